"""LMMS projects as LMMS itself plays them: their own synthesisers, drums, effects and mixer, stem by stem."""

from __future__ import annotations

import copy
import math
import os
import shutil
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile

from encoders.audio import SAMPLE_RATE, FloatArray
from encoders.errors import NotFound
from trainer.starter.finished import Finished, heard
from trainer.starter.kits import Kit
from trainer.starter.lmms import DRUM_BANKS, STEP_LENGTH, TICKS_PER_BEAT, bar_ticks, load, tempo
from trainer.starter.lmms_stems import Voice, Window, as_1_2, sounds_in, stem_project, voices
from trainer.starter.score import MAX_PARTS, Part, Score, Unusable, as_notes, excerpt

OPEN_HAT = 46
_OPTIONS = ("-f", "wav", "-a", "-s", str(SAMPLE_RATE), "-x", "1")
"""Floating point, so that a stem louder than the mix is not clipped; no oversampling, as in LMMS's own dialogue."""

MAX_RENDER_S = 300.0
"""Longest that one stem may take: invented, hundreds of times the mean."""


def take_project(
    path: Path,
    rng: np.random.Generator,
    kits: tuple[Kit, ...],
    soundfont: Path,
) -> Finished:
    """Plays 20 to 40 s of a project, where most of it sounds; drums by the names of samples and tracks.

    Drums of one type are one stem. Each stem is rendered alone, so the compressors that stems share in the mixer hear
    that stem only. Noise is LMMS's own and differs from one rendering to the next.

    Args:
        kits: with files; for the drums whose samples are not here, one file for each.
        soundfont: instead of the soundfonts that are not here.

    Raises:
        NotFound: LMMS is not installed.
        Unusable: no project, or a drum and two other instruments never sound together, or LMMS fails at it.
    """
    program = shutil.which("lmms")
    if program is None:
        raise NotFound("lmms", found="no such program", remedy="install it (Debian: lmms)")
    root = as_1_2(load(path))
    factory = Path(program).resolve().parents[1] / "share" / "lmms" / "samples"
    playable, lent = _furnished(voices(root), factory, kits, soundfont, rng)
    tick_s = 60 / tempo(root) / TICKS_PER_BEAT
    chosen = excerpt(_score(playable, tick_s), rng)
    bar = int(bar_ticks(root))
    start = int(chosen.start_s / tick_s // bar) * bar
    window = Window(start, start + math.ceil(chosen.length_s / tick_s / bar) * bar, bar)
    n_samples = round(chosen.length_s * SAMPLE_RATE)
    sounding = [voice for voice in playable if sounds_in(voice, window)]
    stems = heard(
        {
            name: _render(program, stem_project(root, stem, window), n_samples)
            for name, stem in _stems(sounding).items()
        }
    )
    kinds = {voice.drum[0] for voice in playable if voice.drum}
    return Finished(
        stems,
        {name: name for name in stems if name in kinds},
        start * tick_s,
        chosen.length_s,
        tuple(sorted(lent)),
    )


def _score(playable: list[Voice], tick_s: float) -> Score:
    parts, drums = [], defaultdict(list)
    for voice in playable:
        rows = [
            (at * tick_s, max(float(note.get("len", 0)), STEP_LENGTH) * tick_s, 0.0, 0.0)
            for at, note in voice.notes
        ]
        if voice.drum:
            drums[voice.drum[0]] += rows
        else:
            parts.append(Part(0, as_notes(rows)))
    return Score(tuple(parts), {kind: as_notes(rows) for kind, rows in drums.items()}, "electronic")


def _stems(sounding: list[Voice]) -> dict[str, list[Voice]]:
    """The voices of each stem: those of a drum type, or a part alone; of the parts, those with most notes."""
    stems: dict[str, list[Voice]] = defaultdict(list)
    parts = sorted((voice for voice in sounding if not voice.drum), key=lambda voice: -len(voice.notes))[
        :MAX_PARTS
    ]
    for voice in sounding:
        if voice.drum:
            stems[voice.drum[0]].append(voice)
        elif voice in parts:
            stems[f"part-{parts.index(voice) + 1:02d}"].append(voice)
    return stems


def _furnished(
    found: Iterable[Voice],
    factory: Path,
    kits: tuple[Kit, ...],
    soundfont: Path,
    rng: np.random.Generator,
) -> tuple[list[Voice], set[str]]:
    """The voices with files that are here, without those that nothing can stand in for, and the kits that lend them files."""
    furnished: list[Voice] = []
    lent: dict[str, tuple[str, Path] | None] = {}
    for voice in found:
        instrument = copy.deepcopy(voice.instrument)
        plugin = instrument.find("instrument")
        sound = plugin[0]
        if plugin.get("name") == "sf2player":
            sound.attrib |= {"src": str(soundfont), "bank": "128" if sound.get("bank") in DRUM_BANKS else "0"}
        elif plugin.get("name") == "audiofileprocessor":
            source = sound.get("src") or ""
            own = factory / source.rpartition(":")[2].lstrip("/")
            if own.is_file():
                sound.set("src", str(own))
            else:
                if source not in lent:
                    lent[source] = _lend(kits, voice.drum, rng)
                if not (file := lent[source]):
                    continue
                sound.attrib |= {"src": str(file[1]), "sframe": "0", "eframe": "1", "looped": "0"}
        furnished.append(replace(voice, instrument=instrument))
    return furnished, {file[0] for file in lent.values() if file}


def _lend(
    kits: tuple[Kit, ...], drum: tuple[str, int] | None, rng: np.random.Generator
) -> tuple[str, Path] | None:
    """A kit's name and a file of it."""
    sound = "" if drum is None else "openhat" if drum[1] == OPEN_HAT else drum[0]
    suited = [kit for kit in kits if sound in kit.sounds]
    if not suited:
        return None
    kit = suited[int(rng.integers(len(suited)))]
    return kit.name, kit.sounds[sound][int(rng.integers(len(kit.sounds[sound])))]


def _render(program: str, project: bytes, n_samples: int) -> FloatArray:
    """→ (n_samples,) mono."""
    with tempfile.TemporaryDirectory(prefix="samplefit-lmms-") as folder:
        source, target = Path(folder) / "stem.mmp", Path(folder) / "stem.wav"
        source.write_bytes(project)
        command = [program, "--allowroot", "render", str(source), "-o", str(target), *_OPTIONS]
        own = {"HOME": folder, "XDG_RUNTIME_DIR": folder, "QT_QPA_PLATFORM": "offscreen"}
        try:
            done = subprocess.run(
                command, env=os.environ | own, capture_output=True, timeout=MAX_RENDER_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise Unusable(f"LMMS was not done with a stem after {MAX_RENDER_S:.0f} s") from None
        audio = np.zeros(0, np.float32)
        if target.exists():
            audio = soundfile.read(target, n_samples, dtype="float32", always_2d=True)[0].mean(axis=1)
        # now and then LMMS crashes as it leaves, when its file is whole
        if not len(audio) or (done.returncode and len(audio) < n_samples):
            raise Unusable(f"LMMS failed at a stem: status {done.returncode}")
    return np.pad(audio, (0, n_samples - len(audio)))
