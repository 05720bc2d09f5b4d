"""What the user's choices tell: a direction in the space of keys along which later hits lean, a little.

A mark on a hit is a choice: this one, of all that stood in the answer. The direction is the mean of the differences
between what was chosen and what stood beside it, each axis divided by how much choices differ on it anyway. How far
it is trusted is measured, not set: differences that point everywhere, as those of a user who clicks at random, or of
one who contradicts himself, cancel out and leave the order alone.

Source: one Newton step from nothing of the conditional logit (McFadden 1974), shrunk as James and Stein 1961 shrink a mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoders.audio import FloatArray

LEAST = 20
"""One-shots that must have been chosen before anything is learned."""

REACH = 2.0
"""Furthest that a score is moved, in standard deviations of the scores that it stands among. Invented; docs/taste.md
has what it does to users of many kinds."""

_FULL_AT = 2.0
"""Deviations from the mean at which a one-shot leans as far as any: one outlier must not flatten the rest."""

_RIDGE = 0.2
"""What is added to the spread on each axis, in mean spreads of an axis: few choices say nothing of most axes. Of 0.06,
0.2, 0.6 and 2 it found the tastes of simulated users best."""


@dataclass(frozen=True, eq=False)
class Choice:
    """A hit that was marked, and the answer that it stood in.

    Attributes:
        keys: (n, D) float32, n >= 2: the marked one's first, then those of what stood beside it.
        is_liked: used or liked; else disliked.
    """

    keys: FloatArray
    is_liked: bool


@dataclass(frozen=True, eq=False)
class Taste:
    """What was learned.

    Attributes:
        model: digest of the model whose keys it was learned from; it says nothing of another's.
        n_marks: choices that it comes from; 0 where it changes nothing.
        direction: (D,) float32.
        trust: 0 to 1, how well the direction is expected to agree (as a correlation) with what the user likes.
    """

    model: str
    n_marks: int
    direction: FloatArray
    trust: float

    def order(self, scores: NDArray[np.float64], keys: FloatArray) -> list[int]:
        """The places of hits in their new order.

        A score moves by at most `REACH` deviations of these scores, most along the direction; equals keep their order.

        Args:
            scores: (P,) cosines.
            keys: (P, D) float32.
        """
        leaning = np.vecdot(keys.astype(np.float64), self.direction)
        deviation = leaning.std()
        if not self.n_marks or deviation == 0:
            return list(range(len(scores)))
        lean = np.clip((leaning - leaning.mean()) / (_FULL_AT * deviation), -1, 1)
        moved = scores + REACH * self.trust * scores.std() * lean
        return np.argsort(-moved, kind="stable").tolist()


def indifferent(model: str) -> Taste:
    """The taste of a user who has not chosen yet."""
    return Taste(model, 0, np.zeros(0, np.float32), 0.0)


def learn(choices: Sequence[Choice], model: str) -> Taste:
    """What choices tell; indifference below `LEAST` of them, and where they tell no more than chance would.

    Args:
        choices: with keys of one model.
        model: its digest.
    """
    if len(choices) < LEAST:
        return indifferent(model)
    answers = [choice.keys - choice.keys.mean(axis=0, dtype=np.float64) for choice in choices]
    pulls = np.stack(
        [rows[0] if choice.is_liked else -rows[0] for rows, choice in zip(answers, choices, strict=True)]
    )  # (N, D)
    rows = np.concatenate(answers)
    spread = rows.T @ rows / len(rows)  # (D, D)
    if not (usual := np.trace(spread) / len(spread)) > 0:
        return indifferent(model)
    root = np.linalg.cholesky(spread + _RIDGE * usual * np.eye(len(spread)))
    even = np.linalg.solve(root, pulls.T).T  # (N, D), as wide on each axis
    mean = even.mean(axis=0)
    by_chance = even.var(axis=0, ddof=1).sum() / len(
        even
    )  # the squared length that a mean of so many has anyway
    more = 1 - by_chance / max(mean @ mean, by_chance)  # the share of it that is more than chance
    if more == 0:
        return indifferent(model)
    direction = np.linalg.solve(root.T, mean).astype(np.float32)
    return Taste(model, len(choices), direction, float(np.sqrt(more)))
