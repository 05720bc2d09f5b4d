"""The starter corpus: open songs rendered to stems, each with a kit and a production of its own.

A variant's rendering depends on the seed, its song and its number alone, so the order, the number of processes and
interruptions leave no trace. A song's folder appears by a rename when it is whole; what is there is not rendered again.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile

from encoders.audio import SAMPLE_RATE, SILENCE_DBFS, FloatArray
from encoders.drum_types import SIX
from encoders.errors import NotFound
from trainer.starter import arrange
from trainer.starter.drums import play_kit
from trainer.starter.grooves import list_grooves, read_groove
from trainer.starter.kits import (
    HELD_OUT_SOUNDFONT,
    HELD_OUT_SOURCES,
    Kit,
    cell_of_song,
    choose,
    list_kits,
    side,
)
from trainer.starter.lmms import read_lmms
from trainer.starter.midi import read_midi
from trainer.starter.production import draw_production, produce
from trainer.starter.score import Excerpt, Score, Unusable, excerpt
from trainer.starter.synth import DRUM_BANK, Channel, play

GROOVES_PER_FILE = 3
LICENCES = {
    "freedoom-head": "BSD-3-Clause",
    "blasphemer": "BSD-3-Clause",
    "openmsx": "GPL-2.0",
    "tannerhelland": "CC-BY-4.0",
    "simutrans": "Artistic-1.0",
    "madadog": "CC-BY-SA-4.0",
    "mma": "GPL-2.0-or-later",
}
"""Sources whose licence is known; a folder of another name is not rendered."""


@dataclass(frozen=True)
class Sources:
    """Where the material lies; None leaves a kind out.

    Attributes:
        midi: folder of folders of .mid files, each named by its source.
        lmms: folder of folders of .mmpz projects, likewise.
        mma: MMA's library of grooves.
        one_shots: folder SOURCE/TYPE/*.flac.
        soundfonts: .sf2 and .sf3 files, at least one.
    """

    midi: Path | None
    lmms: Path | None
    mma: Path | None
    one_shots: Path
    soundfonts: tuple[Path, ...]


@dataclass(frozen=True)
class Song:
    """A song that can be read.

    Attributes:
        family: what a tune's versions share; it decides the cell.
        path: its file, or for MMA the groove file's name.
        grooves: for MMA.
    """

    source: str
    name: str
    family: str
    path: str
    grooves: tuple[str, ...] = ()


@dataclass(frozen=True)
class Progress:
    """How far the rendering is; seconds from its start."""

    n_done: int
    n_total: int
    n_dropped: int
    songs_per_min: float
    left_s: float


@dataclass(frozen=True)
class Report:
    """What was rendered, with the reason of each variant that was not."""

    n_variants: int
    n_songs: int
    n_stems: int
    n_kits: int
    hours: float
    dropped: tuple[tuple[str, str], ...]


def render_starter(
    out: Path,
    sources: Sources,
    seed: int,
    n_workers: int,
    progress: Callable[[Progress], None] = lambda _: None,
    n_variants: int = 3,
) -> Report:
    """Renders every song once, then every song a second time, and so on; goes on where it was broken off.

    Raises:
        NotFound: a folder, a soundfont, FluidSynth or MMA is missing.
    """
    songs = list_songs(sources)
    kits = list_kits(sources.one_shots, sources.soundfonts)
    out.mkdir(parents=True, exist_ok=True)
    for leftover in out.glob(".part-*"):
        shutil.rmtree(leftover)
    order = sorted(songs, key=lambda song: _digest(seed, song.source, song.name))
    tasks = [(song, variant) for variant in range(1, n_variants + 1) for song in order]
    missing = [task for task in tasks if not (out / folder_name(*task)).exists()]
    dropped, begun_s = [], time.monotonic()
    context = multiprocessing.get_context("spawn")  # forked copies of a threaded parent can hang
    with ProcessPoolExecutor(n_workers, context, _begin, (out, sources, kits, seed)) as pool:
        for n_done, (task, reason) in enumerate(
            zip(missing, pool.map(_render_task, missing), strict=True), 1
        ):
            if reason:
                dropped.append((folder_name(*task), reason))
            rate = n_done / max(1e-3, time.monotonic() - begun_s)
            total = len(missing)
            progress(Progress(n_done, total, len(dropped), 60 * rate, (total - n_done) / rate))
    return _report(out, tuple(dropped))


def folder_name(song: Song, variant: int) -> str:
    return f"{song.source}__{song.name}__v{variant}"


def list_songs(sources: Sources) -> tuple[Song, ...]:
    """Every song that may be rendered, by source and name.

    Raises:
        NotFound: a folder or soundfont that is not there.
    """
    for path in (sources.midi, sources.lmms, sources.mma, sources.one_shots, *sources.soundfonts):
        if path is not None and not path.exists():
            raise NotFound(str(path), found="nothing there", expected="material for the corpus")
    if not sources.soundfonts:
        raise NotFound("soundfonts", found="none", expected="at least one .sf2 or .sf3 file")
    songs = [*_files(sources.midi, "*.mid"), *_files(sources.lmms, "*.mmpz")]
    if sources.mma is not None:
        for file, grooves in list_grooves(sources.mma):
            for number in range(min(GROOVES_PER_FILE, len(grooves))):
                chosen = grooves[number::GROOVES_PER_FILE]
                songs.append(
                    Song("mma", f"{_slug(file)}-{number + 1}", file.rpartition("/")[2], file, chosen)
                )
    return tuple(songs)


_VERSION = re.compile(r"([-_ ]?v\d+|_[0-9a-f]{8}| ?\(.*\)|improved?|remix)+$", re.IGNORECASE)
_COVERS = re.compile(r"aerith|eragon|kroc|dragonfyre|carol of the bells", re.IGNORECASE)
"""Songs on others' themes inside an open collection: their licence is not the collection's to give."""


def _files(root: Path | None, pattern: str) -> Iterator[Song]:
    for folder in sorted(path for path in root.iterdir() if path.name in LICENCES) if root else ():
        for path in sorted(folder.rglob(pattern)):
            if not _COVERS.search(path.name):
                name = "-".join(_slug(part) for part in path.relative_to(folder).with_suffix("").parts)
                yield Song(folder.name, name, _slug(_VERSION.sub("", path.stem)), str(path))


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _digest(*parts: object) -> bytes:
    return hashlib.sha256("/".join(map(str, parts)).encode()).digest()


def _rng(*parts: object) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(_digest(*parts)[:16], "big"))


_worker: tuple[Path, Sources, tuple[Kit, ...], int]


def _begin(*state: object) -> None:
    global _worker
    _worker = state


def _render_task(task: tuple[Song, int]) -> str:
    """Renders one variant to its folder; what is wrong with the song is the answer, "" for nothing."""
    out, sources, kits, seed = _worker
    try:
        render_variant(out, task[0], task[1], sources, kits, seed)
    except Unusable as error:
        return str(error)
    return ""


def render_variant(
    out: Path, song: Song, variant: int, sources: Sources, kits: tuple[Kit, ...], seed: int
) -> Path:
    """Renders one variant of a song to its folder.

    Raises:
        Unusable: too few stems sound.
    """
    rng = _rng(seed, song.source, song.name, variant)
    score = _read(song, seed)
    chosen = excerpt(score, rng)
    cell = cell_of_song(song.source, song.family)
    origin = (
        score.origin
        if variant == 1
        else arrange.other(score.origin)
        if variant == 2
        else rng.choice(arrange.ORIGINS)
    )
    soundfont = _soundfont(sources.soundfonts, song, cell, rng)
    kit = choose(_playable(kits, song, soundfont), cell, str(origin), rng)
    played = arrange.arrange(chosen, str(origin), variant, rng)
    stems, names = _sound(played, kit, soundfont, rng)
    kinds = {kind: kind for kind in played.score.drums if kind in stems}
    _check(stems, kinds)
    production = draw_production(rng, str(origin))
    done = produce(stems, {name: kinds.get(name) for name in stems}, production, rng)
    done = {name: audio for name, audio in done.items() if np.abs(audio).max() > 10 ** (SILENCE_DBFS / 20)}
    _check(done, kinds)
    facts = {
        "origin": str(origin),
        "source": song.source,
        "song": f"{song.source}/{song.family if song.source != 'mma' else song.name}",
        "kit": names[0],
        "variant": str(variant),
        "side": side(cell),
        "held_out_source": cell == "held-out",
        "licence": f"{LICENCES[song.source]}; kit {kit[0].licence}",
    }
    detail = {
        "format": 1,
        "seed": seed,
        "file": Path(song.path).name,
        "cell": cell,
        "start_s": chosen.start_s,
        "length_s": chosen.length_s,
        "soundfont": soundfont.name,
        "kits": names,
        "production": asdict(production),
    }
    return _write(out / folder_name(song, variant), done, kinds, facts, detail)


def _read(song: Song, seed: int) -> Score:
    if song.source == "mma":
        return read_groove(song.path, song.grooves, _rng(seed, song.source, song.name))
    return read_lmms(Path(song.path)) if song.path.endswith(".mmpz") else read_midi(Path(song.path))


def _soundfont(soundfonts: tuple[Path, ...], song: Song, cell: str, rng: np.random.Generator) -> Path:
    """The held-out soundfont for held-out songs of sources that are not, else any other."""
    alone = cell == "held-out" and song.source not in HELD_OUT_SOURCES
    fitting = [path for path in soundfonts if (path.stem == HELD_OUT_SOUNDFONT) == alone]
    return (fitting or list(soundfonts))[int(rng.integers(len(fitting or soundfonts)))]


def _playable(kits: tuple[Kit, ...], song: Song, soundfont: Path) -> tuple[Kit, ...]:
    """A soundfont's kits go with its own programs; a song of a held-out soundfont has no other kit."""
    if soundfont.stem == HELD_OUT_SOUNDFONT:
        return tuple(kit for kit in kits if kit.soundfont == soundfont)
    return tuple(kit for kit in kits if kit.soundfont in (None, soundfont))


def _sound(
    played: Excerpt, kits: tuple[Kit, ...], soundfont: Path, rng: np.random.Generator
) -> tuple[dict[str, FloatArray], tuple[str, ...]]:
    """Every stem as its instrument gives it, and the names of the kits that played."""
    n_samples = round(played.length_s * SAMPLE_RATE)
    channels = {
        f"part-{number:02d}": Channel(0, part.program, part.notes, part.controls)
        for number, part in enumerate(played.score.parts, 1)
    }
    names = (kits[0].name,)
    if kits[0].soundfont:
        for kind, notes in played.score.drums.items():
            tuning = float(np.clip(rng.normal(0, 1.0), -3, 3))
            channels[kind] = Channel(DRUM_BANK, kits[0].program, notes, tuning=tuning)
    rendered = play(soundfont, list(channels.values()), n_samples)
    stems = dict(zip(channels, rendered, strict=True))
    if not kits[0].soundfont:
        drums, names = play_kit(kits, played.score.drums, n_samples, rng)
        stems |= drums
    return {name: audio for name, audio in stems.items() if np.abs(audio).max() > 1e-3}, names


def _check(stems: dict[str, FloatArray], kinds: dict[str, str]) -> None:
    n_drums = sum(kinds.get(name) in SIX for name in stems)
    n_parts = sum(name not in kinds for name in stems)
    if n_drums < 1 or n_parts < 2:
        raise Unusable(f"only {n_drums} drums and {n_parts} parts can be heard")


def _write(
    target: Path,
    stems: dict[str, FloatArray],
    kinds: dict[str, str],
    facts: dict[str, object],
    detail: dict[str, object],
) -> Path:
    part = target.with_name(f".part-{os.getpid()}-{target.name}")
    part.mkdir()
    for name, audio in stems.items():
        soundfile.write(part / f"{name}.flac", audio, SAMPLE_RATE, subtype="PCM_16", compression_level=0.3)
    lines = [f"{key} = {json.dumps(value)}" for key, value in facts.items()]
    lines += ["", "[stems]", *(f'"{name}.flac" = "{kinds[name]}"' for name in stems if name in kinds)]
    (part / "song.toml").write_text("\n".join(lines) + "\n", "utf-8")
    (part / "render.json").write_text(json.dumps(detail, indent=1, default=float) + "\n", "utf-8")
    part.rename(target)
    return target


def _report(out: Path, dropped: tuple[tuple[str, str], ...]) -> Report:
    n_variants, n_stems, seconds, songs, kits = 0, 0, 0.0, set(), set()
    for path in sorted(out.glob("*/render.json")):
        detail = json.loads(path.read_text("utf-8"))
        n_here = sum(1 for _ in path.parent.glob("*.flac"))
        n_variants, n_stems, seconds = n_variants + 1, n_stems + n_here, seconds + n_here * detail["length_s"]
        songs.add(path.parent.name.rpartition("__")[0])
        kits.add(detail["kits"][0])
    return Report(n_variants, len(songs), n_stems, len(kits), seconds / 3600, dropped)
