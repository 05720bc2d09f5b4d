"""The starter corpus: open songs rendered to stems, each with a kit and a production of its own.

A variant's rendering depends on the seed, its song and its number alone, so the order, the number of processes and
interruptions leave no trace. A song's folder appears by a rename when it is whole; what is there is not rendered again.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from trainer import workers
from trainer.starter.kits import Kit, list_kits
from trainer.starter.plan import Song, Sources, folder_name, list_songs
from trainer.starter.score import Unusable
from trainer.starter.variant import digest, render_variant


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
    order = sorted(songs, key=lambda song: digest(seed, song.source, song.name))
    tasks = [(song, variant) for variant in range(1, n_variants + 1) for song in order]
    missing = [task for task in tasks if not (out / folder_name(*task)).exists()]
    dropped, begun_s = [], time.monotonic()
    with workers.pool(n_workers, _begin, out, sources.soundfonts, kits, seed) as pool:
        for n_done, (task, reason) in enumerate(
            zip(missing, pool.map(_render_task, missing), strict=True), 1
        ):
            if reason:
                dropped.append((folder_name(*task), reason))
            rate = n_done / max(1e-3, time.monotonic() - begun_s)
            total = len(missing)
            progress(Progress(n_done, total, len(dropped), 60 * rate, (total - n_done) / rate))
    return _report(out, tuple(dropped))


_worker: tuple[Path, tuple[Path, ...], tuple[Kit, ...], int]


def _begin(*state: object) -> None:
    global _worker
    _worker = state


def _render_task(task: tuple[Song, int]) -> str:
    """Renders one variant to its folder; what is wrong with the song is the answer, "" for nothing."""
    out, soundfonts, kits, seed = _worker
    try:
        render_variant(out, task[0], task[1], soundfonts, kits, seed)
    except Unusable as error:
        return str(error)
    return ""


def _report(out: Path, dropped: tuple[tuple[str, str], ...]) -> Report:
    n_variants, n_stems, seconds, songs, kits = 0, 0, 0.0, set(), set()
    for path in sorted(out.glob("*/render.json")):
        detail = json.loads(path.read_text("utf-8"))
        n_here = sum(1 for _ in path.parent.glob("*.flac"))
        n_variants, n_stems, seconds = n_variants + 1, n_stems + n_here, seconds + n_here * detail["length_s"]
        songs.add(path.parent.name.rpartition("__")[0])
        kits.add(detail["kits"][0])
    return Report(n_variants, len(songs), n_stems, len(kits), seconds / 3600, dropped)
