"""Types that names don't tell: the nearest one-shots whose names do."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from encoders.audio import FloatArray

N_NEIGHBOURS = 9
N_AGREE = 5
"""A type needs this many of the neighbours, else it is "other"."""

MIN_LABELLED = 2 * N_NEIGHBOURS
"""Below so many one-shots with a telling name nothing is guessed."""

PER_TYPE = 512
"""Labelled keys of one type that vote, at most: bounds the cost, and keeps a rich type from outvoting a poor one."""

_ROWS = 4096


def vote(keys: FloatArray, labelled: FloatArray, types: NDArray[np.str_]) -> list[str]:
    """The type of each key, by the vote of its nearest labelled keys.

    Args:
        keys: (N, D) float32, unit rows.
        labelled: (L, D) float32, unit rows, at most `PER_TYPE` of each type.
        types: (L,) str.
    """
    if len(labelled) < MIN_LABELLED:
        return ["other"] * len(keys)
    names, codes = np.unique(types, return_inverse=True)
    voted: list[str] = []
    for start in range(0, len(keys), _ROWS):
        scores = keys[start : start + _ROWS] @ labelled.T  # (n, L)
        nearest = np.argpartition(-scores, N_NEIGHBOURS - 1, axis=1)[:, :N_NEIGHBOURS]
        votes = np.stack([(codes[nearest] == code).sum(axis=1) for code in range(len(names))], axis=1)
        voted += [
            str(names[best]) if n >= N_AGREE else "other"
            for best, n in zip(votes.argmax(axis=1), votes.max(axis=1), strict=True)
        ]
    return voted
