"""A whole kit: not each type's best hit, but the hits that fit the mix and one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from encoders.audio import FloatArray

TOGETHER = 1.0
"""What likeness among the hits counts beside their scores: invented, both being in standard deviations."""


def choose_kit(
    scores: Mapping[str, FloatArray], keys: Mapping[str, FloatArray], together: float = TOGETHER
) -> dict[str, int]:
    """One hit of each type, so that the mean of their scores and of their likeness in pairs is largest.

    Keys mostly tell types apart; what is left of them once the mean of their type is taken off tells sounds of one
    production from another. Scores are standardised within their type and likenesses over all pairs. The best kit is
    climbed to, one type after another, from every hit: exact for two types, and in practice for six.

    Args:
        scores: (K_t,) cosine of query and key, by type.
        keys: (K_t, D) unit rows, by type, in the same order.

    Returns:
        Type → place of the hit chosen.
    """
    types = list(scores)
    own = {t: _standard(scores[t]) for t in types}
    rest = {t: _unit(keys[t] - keys[t].mean(axis=0)) for t in types}
    pairs = {(a, b): rest[a] @ rest[b].T for a in types for b in types if a != b}  # (K_a, K_b)
    spread = float(np.std(np.concatenate([pair.ravel() for pair in pairs.values()]))) if pairs else 1.0
    weight = together / max(spread, 1e-6) / max(1, len(types) - 1)

    def value_of(type_: str, kit: Mapping[str, int]) -> FloatArray:
        """(K_t,): what each hit of a type adds to the kit."""
        return own[type_] + weight * sum(pairs[type_, b][:, kit[b]] for b in types if b != type_)

    def climb(kit: dict[str, int], order: Sequence[str]) -> dict[str, int]:
        while True:
            before = dict(kit)
            for type_ in order:
                kit[type_] = int(value_of(type_, kit).argmax())
            if kit == before:
                return kit

    def total(kit: Mapping[str, int]) -> float:
        return sum(float(own[t][kit[t]] + value_of(t, kit)[kit[t]]) for t in types)

    best_alone = {t: int(own[t].argmax()) for t in types}
    starts = [(t, place) for t in types for place in range(len(own[t]))]
    kits = [climb({**best_alone, t: place}, [u for u in types if u != t] + [t]) for t, place in starts]
    return max(kits, key=total)


def _standard(values: FloatArray) -> FloatArray:
    return (values - values.mean()) / max(float(values.std()), 1e-6)


def _unit(rows: FloatArray) -> FloatArray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
