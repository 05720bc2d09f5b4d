"""What a score is worth: from the cosine of a press to the share of a library that a one-shot fits better than."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoders.audio import FloatArray
from encoders.errors import BadRequest, NoModel
from encoders.tables import build

FloatArray64 = NDArray[np.float64]

MIN_OTHERS = 8
"""Among fewer others a place says too little: fits above .8 hold to 5 points with 8 others, to 9 with 4 (measured)."""

_ALIKE = 1e-5
"""Scores that differ by less are ties: float32 cosines are no more exact than this."""


@dataclass(frozen=True)
class Calibration:
    """The curve from a one-shot's standing to its fit, learned from songs that the model was not trained on.

        fit = 1 / (1 + exp(-(offset + slope * standing)))

    A fit of .93 states: of this one-shot and another of its type, drawn at random, one of them being the song's own,
    it is this one in 93 of 100 cases. So it compares across presses and types, and a model that hears nothing gives
    .5 to all. A standing above `most` counts as that: beyond it too little was seen to tell.

    Attributes:
        corpus: digest of the corpus that the songs are of.
        split: theirs.
        n_songs, n_presses: how many there were.

    Source: Platt 1999, logistic regression on a score, with both classes given the same weight.
    """

    offset: float
    slope: float
    most: float
    corpus: str
    split: str
    n_songs: int
    n_presses: int

    def fit(self, standings: FloatArray64) -> FloatArray64:
        """(K,) standings → (K,) shares, 0..1; NaN stays NaN."""
        return 1 / (1 + np.exp(-(self.offset + self.slope * np.minimum(standings, self.most))))


def standings(own: FloatArray | FloatArray64, scores: FloatArray) -> FloatArray64:
    """How far scores stand above those of the other one-shots of their type, in deviations of a normal crowd.

    The level and the spread of cosines differ from press to press and from type to type; this does not. The
    deviation of few others is itself uncertain, so it is Student's t, brought to the normal deviate of the same
    probability: four deviations above 8 others are worth 2.7.

    Args:
        own: (K,) the scores in question, each one of `scores`, and left out where it is compared.
        scores: (N,) cosines of a query with every one-shot of the type, or with a sample of some thousand.

    Returns:
        (K,) float64; NaN with fewer than `MIN_OTHERS` others, or with others that all score the same.

    Source: Wallace 1959, "Bounds on normal approximations to Student's and the chi-square distributions".
    """
    own, scores = np.asarray(own, np.float64), scores.astype(np.float64)
    n_others = len(scores) - 1
    if n_others < MIN_OTHERS:
        return np.full(len(own), np.nan)
    mean = (scores.sum() - own) / n_others
    square = ((scores**2).sum() - own**2) / n_others
    n_free = n_others - 1
    deviation = np.sqrt(np.maximum(square - mean**2, 0) * n_others / n_free)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (own - mean) / (deviation * math.sqrt(1 + 1 / n_others))
        normal = np.sign(t) * np.sqrt(n_free * np.log1p(t**2 / n_free)) * (8 * n_free + 1) / (8 * n_free + 3)
    return np.where(deviation > _ALIKE, normal, np.nan)


def read_calibration(table: object, where: str) -> Calibration | None:
    """What model.json has under `calibration`; None where it has none.

    Raises:
        NoModel: something else than `Calibration`'s fields.
    """
    if table is None:
        return None
    if not isinstance(table, dict):
        raise NoModel(where, found=repr(table)[:80], expected="a table")
    try:
        read = build(Calibration, table, where)
    except BadRequest as error:
        raise NoModel(error.text) from None
    numbers = (read.offset, read.slope, read.most)
    if not all(map(math.isfinite, numbers)) or read.slope < 0:
        raise NoModel(where, found=f"offset, slope, most {numbers}", expected="finite numbers, slope from 0")
    return read
