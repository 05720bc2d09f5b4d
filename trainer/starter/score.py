"""Songs as notes: what every source is read into, and the excerpt of it that is rendered."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from encoders.drum_types import SIX

Notes = NDArray[np.float64]
"""(N, 4): start in seconds, length in seconds, MIDI pitch, velocity 1..127; by start."""

MAX_PARTS = 14
"""Parts kept of a song, those with most notes: invented; more would be a fifth of the songs and half of the time."""

MIN_DRUM_HITS = 2
MIN_PART_SHARE = 0.12
"""A part counts as sounding where its notes fill so much of an excerpt (invented)."""


@dataclass(frozen=True)
class Control:
    """A controller or pitch-bend message of a part.

    Attributes:
        time_s: when.
        number: controller 0..127, or -1 for pitch bend.
        value: 0..127, or -8192..8191 for pitch bend.
    """

    time_s: float
    number: int
    value: int


@dataclass(frozen=True, eq=False)
class Part:
    """One pitched track of a song.

    Attributes:
        program: General MIDI program, 0..127.
        notes: (N, 4).
    """

    program: int
    notes: Notes
    controls: tuple[Control, ...] = ()


@dataclass(frozen=True, eq=False)
class Score:
    """A song as notes.

    Attributes:
        parts: its pitched tracks.
        drums: type → (N, 4) notes with General MIDI drum pitches.
        origin: what it was written for, "electronic" or "acoustic".
    """

    parts: tuple[Part, ...]
    drums: dict[str, Notes]
    origin: str


class Unusable(Exception):
    """A song that cannot become training material; the text says why. It ends up in the report, not at a user."""


def as_notes(rows: list[tuple[float, float, float, float]]) -> Notes:
    """Rows of (start_s, length_s, pitch, velocity) in any order → (N, 4) by start."""
    notes = np.array(sorted(rows), np.float64).reshape(-1, 4)
    notes.flags.writeable = False
    return notes


def excerpt(
    score: Score, rng: np.random.Generator, shortest_s: float = 20.0, longest_s: float = 40.0
) -> Excerpt:
    """A part of the song in which most of it plays, drawn among the best places.

    Raises:
        Unusable: nowhere do a drum of the six types and two parts sound together.
    """
    every = [part.notes for part in score.parts] + list(score.drums.values())
    end_s = max((float((notes[:, 0] + notes[:, 1]).max()) for notes in every if len(notes)), default=0.0)
    length_s = min(float(rng.uniform(shortest_s, longest_s)), end_s)
    if length_s < shortest_s / 2:
        raise Unusable(f"only {end_s:.0f} s long")
    starts = np.arange(0.0, max(0.5, end_s - length_s), 1.0)
    crowd = np.array([_crowd(score, start, length_s) for start in starts])
    if not (crowd > 0).any():
        raise Unusable("a drum and two parts never sound together")
    start_s = float(rng.choice(starts[crowd >= 0.8 * crowd.max()]))
    return cut(score, start_s, length_s)


@dataclass(frozen=True, eq=False)
class Excerpt:
    """A part of a song, its notes counted from the excerpt's own start."""

    score: Score
    start_s: float
    length_s: float


def cut(score: Score, start_s: float, length_s: float) -> Excerpt:
    """The notes that sound in [start_s, start_s + length_s), with each part's controllers as they stand there.

    Drum hits begin inside; a held note that began before begins anew. Parts and drums that hardly sound are left
    out.
    """
    parts = tuple(
        replace(part, notes=_clip(part.notes, start_s, length_s), controls=_controls(part, start_s, length_s))
        for part in score.parts
        if _sounds(part.notes, start_s, length_s)
    )
    drums = {
        kind: shifted
        for kind, notes in score.drums.items()
        if len(shifted := _hits(notes, start_s, length_s)) >= _needed(kind)
    }
    kept = sorted(parts, key=lambda part: -len(part.notes))[:MAX_PARTS]
    return Excerpt(Score(tuple(kept), drums, score.origin), start_s, length_s)


def _crowd(score: Score, start_s: float, length_s: float) -> int:
    """How many stems sound there; 0 where they are too few to train on."""
    n_parts = sum(_sounds(part.notes, start_s, length_s) for part in score.parts)
    heard = [
        kind for kind, notes in score.drums.items() if len(_hits(notes, start_s, length_s)) >= _needed(kind)
    ]
    return 2 * len(heard) + min(n_parts, 6) if set(heard) & set(SIX) and n_parts >= 2 else 0


def _needed(kind: str) -> int:
    return 1 if kind == "crash" else MIN_DRUM_HITS


def _hits(notes: Notes, start_s: float, length_s: float) -> Notes:
    inside = notes[(notes[:, 0] >= start_s) & (notes[:, 0] < start_s + length_s - 0.05)].copy()
    inside[:, 0] -= start_s
    return inside


def _clip(notes: Notes, start_s: float, length_s: float) -> Notes:
    first = np.maximum(notes[:, 0], start_s)
    last = np.minimum(notes[:, 0] + notes[:, 1], start_s + length_s)
    kept = notes[last - first > 0.02].copy()
    kept[:, 0] = first[last - first > 0.02] - start_s
    kept[:, 1] = (last - first)[last - first > 0.02]
    return kept


def _sounds(notes: Notes, start_s: float, length_s: float) -> bool:
    return float(_clip(notes, start_s, length_s)[:, 1].sum()) >= MIN_PART_SHARE * length_s


def _controls(part: Part, start_s: float, length_s: float) -> tuple[Control, ...]:
    """The last value of each controller before the excerpt, then those inside it."""
    before: dict[int, Control] = {}
    inside = []
    for control in part.controls:
        if control.time_s < start_s:
            before[control.number] = replace(control, time_s=0.0)
        elif control.time_s < start_s + length_s:
            inside.append(replace(control, time_s=control.time_s - start_s))
    return (*before.values(), *inside)
