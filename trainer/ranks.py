"""Figures of a ranking: normalised ranks, intervals over songs, and how well two kinds of music lie apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from encoders.audio import FloatArray
from encoders.errors import BadRequest

FloatArray64 = NDArray[np.float64]

N_NEIGHBOURS = 50
"""k of the electronic/acoustic classification (Lattner 2022, section 6.1)."""


class RankError(BadRequest):
    """A ranking of fewer than two candidates."""


def normalised_rank(scores: FloatArray, truth: int) -> float:
    """Place of the true one-shot among all candidates: 1/N best, 1 worst.

    Args:
        scores: (N,) float32, cosine of the query with each key; larger is nearer.
        truth: row of the true key.

    Raises:
        RankError: N < 2; a lone candidate has no rank.

    Source: Lattner 2022, section 6.1. Ties take their mean place.
    """
    return float(normalised_ranks(scores[None], np.array([truth]))[0])


def normalised_ranks(scores: FloatArray, truths: NDArray[np.int64]) -> FloatArray64:
    """`normalised_rank` of each of a query's true one-shots, or of one for each of several queries.

    Args:
        scores: (N,) for one query, or (Q, N), a row for each truth.
        truths: (Q,) rows of the true keys.

    Returns:
        (Q,) float64 in (0, 1].
    """
    if scores.shape[-1] < 2:
        raise RankError("candidates", found=str(scores.shape[-1]), expected="at least 2 to rank")
    own = scores[..., truths] if scores.ndim == 1 else scores[np.arange(len(truths)), truths]  # (Q,)
    table = np.broadcast_to(scores, (len(truths), scores.shape[-1]))  # (Q, N)
    better = (table > own[:, None]).sum(axis=1)
    equal = (table == own[:, None]).sum(axis=1)  # itself included
    return (better + (equal + 1) / 2) / scores.shape[-1]


def bootstrap(
    values: ArrayLike, groups: Sequence[int], seed: int, n_draws: int = 2000, level: float = 0.95
) -> tuple[float, float]:
    """Interval of the mean of values that come in groups: whole songs are drawn again, not single queries.

    Args:
        values: (Q,) figures, one a query.
        groups: (Q,) the song of each; songs that share a kit had better share a number.

    Returns:
        (low, high): percentiles of the mean over `n_draws` draws with replacement; both are the mean where there is
        one group only, which tells nothing about others.
    """
    values = np.asarray(values, np.float64)
    _, place = np.unique(np.asarray(groups), return_inverse=True)  # (Q,)
    sums, counts = np.bincount(place, values), np.bincount(place)  # (G,)
    drawn = np.random.default_rng(seed).integers(len(sums), size=(n_draws, len(sums)))  # (draws, G)
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def top_rate(ranks: ArrayLike, n_candidates: ArrayLike, k: int = 10) -> float:
    """Share of the normalised ranks (Q,) whose one-shot stands among the first `k` of its candidates."""
    return float(np.mean(np.asarray(ranks) * np.asarray(n_candidates) <= k + 0.25))


def neighbour_likelihood(
    rows: FloatArray, labels: Sequence[str | None], k: int = N_NEIGHBOURS
) -> float | None:
    """How surely an embedding's neighbours tell its label: the mean share of its k nearest that bear its own.

    Each row is left out of its own neighbours; rows without a label are left out altogether.

    Args:
        rows: (N, D) float32, unit rows.
        labels: (N,) "electronic", "acoustic" or None.
        k: neighbours, or all others where there are fewer.

    Returns:
        0..1, or None where there are not two labels.

    Source: Lattner 2022, section 6.1 (Lq and Lk): "the likelihood of the data under the predictions".
    """
    known = np.array([label is not None for label in labels], bool)
    names, label = np.unique([name for name in labels if name is not None], return_inverse=True)
    if len(names) < 2:
        return None
    rows = rows[known]  # (M, D)
    k = min(k, len(rows) - 1)
    shares = []
    for start in range(0, len(rows), 1024):  # so that N² scores never stand in memory
        scores = rows[start : start + 1024] @ rows.T  # (b, M)
        scores[np.arange(len(scores)), start + np.arange(len(scores))] = -np.inf
        nearest = np.argpartition(-scores, k - 1, axis=1)[:, :k]  # (b, k)
        shares.append((label[nearest] == label[start : start + len(scores), None]).mean(axis=1))
    return float(np.concatenate(shares).mean())
