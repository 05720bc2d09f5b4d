"""Why a hit fits, as far as it can be measured: how it sounds beside the library's others of its type, and which of
that goes with a high score in this mix (the correlations of Lattner 2022, section 6.3, for one query)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from encoders.audio import FloatArray, read_frames
from encoders.drum_types import TYPES
from encoders.errors import SamplefitError
from plugin_bridge.panel.features import MEASURES, measure
from plugin_bridge.panel.one_shots import Shelf
from plugin_bridge.panel.sounds import HIT_MAX_S

N_AGAINST = 100
"""One-shots of a type that a hit is held against: enough for shares with a standard error of five points at most."""

FEWEST = 12
"""Below this there is nothing to be held against: invented."""

CLEAR = 3.0
"""Standard errors beyond which a correlation counts: forty of them are looked at for a press, and one in 370 lies as
far out by chance."""

LEANS, STANDS_OUT = 2 / 3, 0.8
"""Share of the others that a hit lies beyond: with what the mix favours, and without. Invented."""

MOST = 3
"""Traits that are told of a hit."""

_DIGEST = np.dtype([("high", ">u8"), ("low", ">u8")])


@dataclass(frozen=True, eq=False)
class Yardstick:
    """Some of the library's one-shots of a type, as they sound.

    Attributes:
        values: (N, 7) by `MEASURES`.
        scores: (N,) with the query, or None where it is another model's.
        n_all: how many contents of this type there are.
    """

    values: NDArray[np.float64]
    scores: FloatArray | None
    n_all: int


@dataclass(frozen=True)
class Leaning:
    """What the mix favours: one-shots further to one end of a measure score higher.

    Attributes:
        measure: place in `MEASURES`.
        r: Spearman's, of the measure with the score.
    """

    measure: int
    r: float


@dataclass(frozen=True)
class Trait:
    """In what a hit differs from the others of its type.

    Attributes:
        measure: place in `MEASURES`.
        high: at which end.
        beyond: share of the others that it lies beyond, 0..1.
        favoured: whether this end goes with a higher score.
    """

    measure: int
    high: bool
    beyond: float
    favoured: bool


def yardstick(shelf: Shelf, type_: str, query: FloatArray | None) -> Yardstick:
    """The yardstick of a type: those with the lowest digests, so drawn by chance, and the same every time.

    Args:
        query: (D,) float32, of the shelf's model; None where there is none.
    """
    rows = np.flatnonzero(shelf.types == TYPES.index(type_))
    _, first = np.unique(shelf.contents[rows].view(_DIGEST).ravel(), return_index=True)
    drawn, values = [], []
    for row in rows[first[:N_AGAINST]].tolist():
        heard = measured(shelf.paths[row])
        if heard is not None:
            drawn.append(row)
            values.append(heard)
    scores = None if query is None else shelf.vectors[drawn] @ query
    return Yardstick(np.reshape(values, (-1, len(MEASURES))), scores, len(first))


def leanings(against: Yardstick) -> list[Leaning]:
    """What the mix favours, the clearest first."""
    if against.scores is None:
        return []
    found = []
    for place, column in enumerate(against.values.T):
        known = np.isfinite(column)
        if known.sum() >= FEWEST:
            r = _spearman(column[known], against.scores[known])
            if abs(r) * np.sqrt(known.sum() - 1) >= CLEAR:
                found.append(Leaning(place, r))
    return sorted(found, key=lambda leaning: -abs(leaning.r))


def traits(values: NDArray[np.float64], against: Yardstick, favours: Iterable[Leaning]) -> list[Trait]:
    """What sets a hit apart from the others, what the mix favours first.

    Args:
        values: (7,) the hit's.
    """
    favoured = {leaning.measure: leaning.r > 0 for leaning in favours}
    found = []
    for place in [*favoured, *(n for n in range(len(MEASURES)) if n not in favoured)]:
        others = against.values[:, place]
        others = others[np.isfinite(others)]
        if not np.isfinite(values[place]) or len(others) < FEWEST:
            continue
        above, below = float((others < values[place]).mean()), float((others > values[place]).mean())
        high = above > below
        fits = favoured.get(place) == high
        if max(above, below) >= (LEANS if fits else STANDS_OUT):
            found.append(Trait(place, high, max(above, below), fits))
    found.sort(key=lambda trait: (not trait.favoured, 0.0 if trait.favoured else -trait.beyond))
    return found[:MOST]


def measured(path: str) -> NDArray[np.float64] | None:
    """(7,) the measures of a file, taken once; None where it cannot be read any more."""
    try:
        return _measured(path, os.stat(path).st_mtime_ns)
    except (OSError, SamplefitError):
        return None


@lru_cache(maxsize=1 << 14)
def _measured(path: str, changed_ns: int) -> NDArray[np.float64]:
    return measure(read_frames(path, until_s=HIT_MAX_S))


def _spearman(a: NDArray[np.float64], b: FloatArray) -> float:
    """Correlation of the ranks; 0 where one does not vary."""
    a, b = (_ranks(values) for values in (a, b))
    spread = float(a.std() * b.std())
    return float(((a - a.mean()) * (b - b.mean())).mean()) / spread if spread else 0.0


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) ranks from 0, ties sharing the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts + 1) / 2)[place]
