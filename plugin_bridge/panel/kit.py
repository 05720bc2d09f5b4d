"""A whole kit: not each type's best hit, but the hits that fit the mix and one another.

Of all combinations of one hit a type, the kit is the one with the largest

    mean over types of z(score) + TOGETHER * mean over pairs of types of z(likeness)

where z is in standard deviations from the mean: of a type's hits, and of all pairs. Likeness is the cosine of two keys,
each less the mean key of its type's hits: keys mostly tell types apart, and what is left tells sounds of one production
from another. No combination is passed over, so two hits that only fit together are found, too.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from encoders.audio import FloatArray

TOGETHER = 1.0
"""What likeness among the hits counts beside their scores: invented."""

MAX_KITS = 1_000_000
"""Combinations that are compared, some 30 ms: of six types the ten best hits of each."""


@dataclass(frozen=True)
class Kit:
    """One hit of each type.

    Attributes:
        places: type → place of its hit.
        score, likeness: the two means.
    """

    places: Mapping[str, int]
    score: float
    likeness: float


@dataclass(frozen=True)
class Choice:
    """The kit chosen, beside the first hits of each type.

    Attributes:
        n_kits: how many were compared.
    """

    kit: Kit
    first: Kit
    n_kits: int


def choose_kit(
    scores: Mapping[str, FloatArray], keys: Mapping[str, FloatArray], together: float = TOGETHER
) -> Choice:
    """The best of all kits.

    Args:
        scores: (K_t,) cosine of query and key, by type, best first; at least one of each.
        keys: (K_t, D) unit rows, by type, in the same order.
    """
    types = list(scores)
    pairs = list(itertools.combinations(range(len(types)), 2))
    n_each = int(MAX_KITS ** (1 / len(types)) + 1e-9)
    own = [_standard(scores[t][:n_each]) for t in types]
    rest = [_unit(keys[t][:n_each] - keys[t][:n_each].mean(axis=0)) for t in types]
    alike = [rest[a] @ rest[b].T for a, b in pairs]  # each (K_a, K_b)
    flat = np.concatenate([pair.ravel() for pair in alike]) if pairs else np.zeros(1)
    mean, spread = flat.mean(), max(float(flat.std()), 1e-6)

    shape = tuple(map(len, own))
    score, likeness = np.zeros(shape, np.float32), np.zeros(shape, np.float32)  # (K_1, ..., K_n)
    for axis, values in enumerate(own):
        score += np.expand_dims(values, [n for n in range(len(types)) if n != axis]) / len(types)
    for axes, values in zip(pairs, alike, strict=True):
        standard = (values - mean) / spread / len(pairs)
        likeness += np.expand_dims(standard, [n for n in range(len(types)) if n not in axes])

    def kit(places: tuple[int, ...]) -> Kit:
        return Kit(dict(zip(types, places, strict=True)), float(score[places]), float(likeness[places]))

    best = np.unravel_index(int((score + together * likeness).argmax()), shape)
    return Choice(kit(tuple(map(int, best))), kit((0,) * len(types)), score.size)


def _standard(values: FloatArray) -> FloatArray:
    return (values - values.mean()) / max(float(values.std()), 1e-6)


def _unit(rows: FloatArray) -> FloatArray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
