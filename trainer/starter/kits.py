"""Drum kits, and which songs may play them: songs and kits lie in cells, and no kit plays outside of its own.

A corpus splits by song and by kit only where no chain of songs and kits ties the sides together. So every song and
every kit has one cell: "train"; "eval", which stops the training early; "test"; or "held-out", for the sources that
no training hears. A song's cell follows from its name alone, a kit's stands in the table below: there are few, and
each cell needs acoustic and electronic ones that hold the common drums.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from encoders.audio import EXTENSIONS, read_one_shot
from encoders.errors import NotFound, SamplefitError

SPLIT_SALT = "samplefit starter"
"""Fixed, so that a song keeps its cell whatever the seed of a rendering: an older model was never trained on it."""

HELD_OUT_SOURCES = frozenset({"simutrans", "modules", "lmms-demos"})
TRAIN_SOURCES = frozenset({"madadog", "madadog-lmms", "game-modules"})
"""One composer's hundreds of sketches share tunes and habits: all on one side. The trackers' are too few to deal out."""

SYNTHETIC_SHARE = 0.35
"""Of electronic arrangements, those with a calculated kit, which no other song has: invented."""

HELD_OUT_SOUNDFONT = "TimGM6mb"
DRUMS = ("kick", "snare", "hihat", "openhat", "crash", "ride", "tom", "clap", "percussion")
"""The sounds of a kit: CONTRACT's types, with the open hi-hat apart. A stem holds both hi-hats."""


@dataclass(frozen=True)
class Kit:
    """A drum kit: a preset of a soundfont, one-shots of one source, or sounds made by calculation.

    Attributes:
        origin: the songs it suits, "electronic" or "acoustic".
        sounds: drum → the files to choose from; empty for a preset.
        soundfont: whose preset `program` of bank 128 it is, or None.
        synthetic: seed of a kit made by calculation, or None.
    """

    name: str
    cell: str
    origin: str
    licence: str
    sounds: dict[str, tuple[Path, ...]]
    soundfont: Path | None = None
    program: int = 0
    synthetic: int | None = None


def cell_of_song(source: str, family: str) -> str:
    """The cell of a song by its source and family (what variants, remixes and versions of a tune share)."""
    if source in HELD_OUT_SOURCES:
        return "held-out"
    if source in TRAIN_SOURCES:
        return "train"
    draw = hashlib.sha256(f"{SPLIT_SALT}/{source}/{family}".encode()).digest()[0] / 256
    return "train" if draw < 0.72 else "eval" if draw < 0.78 else "test" if draw < 0.95 else "held-out"


def side(cell: str) -> str:
    """song.toml's "train", "eval" or "test" for the songs and kits of a cell."""
    return "test" if cell == "held-out" else cell


_KITS = (
    # name, cell, origin, source folder, file name, licence
    ("bja-pacific", "train", "acoustic", "hydrogen", "BJA_Pacific", "CC-BY-SA-3.0"),
    ("forzee", "train", "acoustic", "hydrogen", "ForzeeStereo", "GPL-2.0-only"),
    ("gmrock", "train", "acoustic", "hydrogen", "GMRockKit", "GPL-2.0-or-later"),
    ("millo", "train", "acoustic", "hydrogen", "Millo-Drums", "GPL-2.0-only"),
    ("millo-layered", "train", "acoustic", "hydrogen", "Millo_MultiLayered", "GPL-2.0-only"),
    ("black-pearl", "train", "acoustic", "hydrogen", "The_Black_Pearl", "GPL-2.0-only"),
    ("avl", "train", "acoustic", "sampled", "DRUMS_avl", "CC-BY-SA-3.0"),
    ("muldjord", "train", "acoustic", "muldjord", "", "CC-BY-4.0"),
    ("electric-empire", "train", "electronic", "hydrogen", "ElectricEmpire", "GPL-2.0-or-later"),
    ("gimme-a-hand", "train", "electronic", "hydrogen", "Gimme_A_Hand", "GPL-2.0-only"),
    ("hard-electro", "train", "electronic", "hydrogen", "HardElectro", "GPL-2.0-or-later"),
    ("tr808", "train", "electronic", "hydrogen", "TR808", "GPL-2.0-or-later"),
    ("cr78", "train", "electronic", "sampled", "DM_CR-78", "public domain"),
    ("lm2", "train", "electronic", "sampled", "DM_LM-2", "public domain"),
    ("sonicpi-bd", "train", "electronic", "sonicpi", "bd_|sn_", "CC0-1.0"),
    ("sonicpi-elec", "train", "electronic", "sonicpi", "elec_", "CC0-1.0"),
    ("lmms", "train", "electronic", "lmms", "", "GPL-2.0-or-later"),
    ("sonicpi-drum", "eval", "acoustic", "sonicpi", "drum_", "CC0-1.0"),
    ("tr505", "eval", "electronic", "sampled", "DM_TR-505", "public domain"),
    (
        "colombo",
        "test",
        "acoustic",
        "hydrogen",
        "ColomboAcoustic",
        "GPL-2.0-or-later with composition exception",
    ),
    ("samssonor", "test", "acoustic", "samssonor", "", "CC-BY-SA-4.0"),
    ("varibreaks", "test", "electronic", "hydrogen", "VariBreaks", "GPL-2.0-or-later"),
    ("uzu", "test", "electronic", "uzu", "", "Unlicense"),
    ("pearl-studio", "held-out", "acoustic", "sampled", "DRUMS_pearl", "CC-BY-3.0"),
    ("mrk2", "held-out", "electronic", "sampled", "DM_MRK-2", "public domain"),
    ("audiophob", "held-out", "electronic", "hydrogen", "Audiophob", "CC0-1.0"),
)
"""The Black Pearl and AVL's kits were recorded by one person on one set of drums: one cell."""

_DRUM_NAMES = (
    ("clap", r"clap|^cp_"),
    ("percussion", r"rim|side.?stick|stick|conga|shaker|wood|clav"),
    (
        "openhat",
        r"hat.*(open|_op\b|_op_)|ohh|^oh_|openhat|hihat_opened|hho|semi-?open|cymbal_open|hat_ring|metal",
    ),
    ("hihat", r"hat|hh|cymbal_(closed|pedal)"),
    ("kick", r"kick|^bd_|bassdrum|_bd"),
    ("snare", r"snare|^sn_|^sd_|_sn\d?_|_sd_"),
    ("tom", r"tom|^[hlm]t_"),
    ("ride", r"ride|_rd\d?_|^rd_"),
    ("crash", r"crash|splash|china|cymbal|cymball|^cr_"),
)
"""Drum and what a file's name holds; the first that matches wins, the folder's name where none does."""

_ELECTRONIC_PRESETS = frozenset({24, 25})
_PRESETS = (*range(20), 24, 25, 32, 33, 34, 35, 36, 40, 41, 42)
_TIM_PRESETS = (0, 8, 16, 24, 25, 32, 40)


def list_kits(one_shots: Path, soundfonts: tuple[Path, ...]) -> tuple[Kit, ...]:
    """Every kit to be had from a folder of one-shots (SOURCE/TYPE/file or SOURCE/file) and some soundfonts.

    FluidR3 and MuseScore General hold the same drum recordings, one crash and one pair of hi-hats for nearly all of
    their presets, so they lie in one cell together.

    Raises:
        NotFound: no kit at all.
    """
    kits = [kit for row in _KITS if (kit := _from_files(one_shots, *row)).sounds]
    for soundfont in soundfonts:
        held_out = soundfont.stem == HELD_OUT_SOUNDFONT
        for program in _TIM_PRESETS if held_out else _PRESETS:
            origin = "electronic" if program in _ELECTRONIC_PRESETS else "acoustic"
            name, cell = f"{soundfont.stem}-{program:03d}", "held-out" if held_out else "train"
            licence = "GPL-2.0-only" if held_out else "MIT"
            kits.append(Kit(name, cell, origin, licence, {}, soundfont, program))
    if not kits:
        raise NotFound(str(one_shots), found="no drum kit", expected="SOURCE/TYPE/*.flac, or a soundfont")
    return tuple(kits)


def _from_files(root: Path, name: str, cell: str, origin: str, source: str, prefix: str, licence: str) -> Kit:
    sounds: dict[str, list[Path]] = {}
    for path in sorted((root / source).rglob("*")):
        if path.suffix.lower() in EXTENSIONS and re.match(prefix, path.name):
            drum = drum_of(path)
            if drum in DRUMS and _decodes(path):
                sounds.setdefault(drum, []).append(path)
    return Kit(name, cell, origin, licence, {drum: tuple(paths) for drum, paths in sounds.items()})


def _decodes(path: Path) -> bool:
    """False for a damaged or silent file: one lost sound, not the end of the corpus."""
    try:
        read_one_shot(path)
    except SamplefitError:
        return False
    return True


def drum_of(path: Path) -> str:
    """Which sound of a kit a file holds, by its name, else by its folder's."""
    own = path.stem.lower()
    return next((drum for drum, pattern in _DRUM_NAMES if re.search(pattern, own)), path.parent.name)


def choose(kits: tuple[Kit, ...], cell: str, origin: str, rng: np.random.Generator) -> tuple[Kit, ...]:
    """A kit for a song and, behind it, those that lend it the drums it lacks: one cell and, where possible, origin.

    A calculated kit, some of the time for electronic songs, and for any whose cell has no kit here.
    Presets are drawn as if each soundfont were two kits: they share most of their recordings.
    """
    here = [kit for kit in kits if kit.cell == cell]
    if (origin == "electronic" and rng.random() < SYNTHETIC_SHARE) or not here:
        seed = int(rng.integers(1 << 48))
        return (Kit(f"synthetic-{seed:012x}", cell, origin, "made by calculation", {}, synthetic=seed),)
    suited = [kit for kit in here if kit.origin == origin] or here
    weights = np.array(
        [2 / _n_presets(suited, kit) if kit.soundfont else min(1, len(kit.sounds) / 3) for kit in suited]
    )
    first = suited[rng.choice(len(suited), p=weights / weights.sum())]
    if first.soundfont:
        return (first,)
    lenders = [kit for kit in here if kit is not first and not kit.soundfont]
    order = rng.permutation(len(lenders))
    behind = sorted((lenders[place] for place in order), key=lambda kit: kit.origin != origin)
    return (first, *behind)


def _n_presets(kits: list[Kit], kit: Kit) -> int:
    return sum(other.soundfont == kit.soundfont for other in kits)
