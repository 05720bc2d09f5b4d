"""Exact search over one block of a table: the part of a key that tells most is looked at first, the rest rarely.

The keys of a trained model crowd in few directions. Each row keeps its coordinates along those (its head) and the
length of what they leave out (its rest). By Cauchy-Schwarz a score lies at most rest × rest away from the product of
the heads, so most rows are ruled out by an eighth of their floats, and no answer changes.

Source: the SVD transformation and the bound of FEXIPRO (Li, Chan, Yiu and Mamoulis, SIGMOD 2017).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from encoders.audio import FloatArray

HEADS_MIN = 8192
"""Rows below which scoring them whole takes no longer."""

ENERGY = 0.95
"""Share of the keys' squared length that heads hold, at least. Less rules out fewer rows, more reads more of each."""

_STEP = 32
"""BLAS multiplies so many at once; a head of 24 or 48 takes twice the time of one of 32."""

_N_FITTED = 20_000
"""Rows that the directions are taken from; enough for a few dozen of them."""

_ROUNDING = 1e-5
"""Beyond what float32 loses on squared lengths: a bound may be too wide, never too narrow."""

_GROUP = 64
_COPY_WORTH = 4
"""Rows are gathered only where fewer than one in so many is wanted; else scoring them all is quicker."""

SLACK = 1e-5
"""How far a float32 score may lie from the exact one."""


class Heads(NamedTuple):
    """What bounds the scores of N rows.

    Attributes:
        axes: (D, M) float32, orthonormal; M is 0 where heads would not be short.
        heads: (N, M) float32, the keys along the axes.
        rests: (N,) float32, length of what is left of each key.
    """

    axes: FloatArray
    heads: FloatArray
    rests: FloatArray


def heads_of(vectors: FloatArray) -> Heads:
    """The heads of (N, D) float32 keys; none for a few rows, or where more than half of D would be needed."""
    n, dim = vectors.shape
    n_axes = 0
    if n >= HEADS_MIN:
        some = vectors[:: -(-n // _N_FITTED)].astype(np.float64)
        values, directions = np.linalg.eigh(some.T @ some)  # ascending
        share = np.cumsum(values[::-1]) / values.sum()
        n_axes = -(-(int(np.searchsorted(share, ENERGY)) + 1) // _STEP) * _STEP
        n_axes = n_axes if n_axes <= dim // 2 else 0
    if not n_axes:
        return Heads(np.empty((dim, 0), np.float32), np.empty((n, 0), np.float32), np.empty(0, np.float32))
    axes = np.ascontiguousarray(directions[:, ::-1][:, :n_axes], np.float32)
    heads = vectors @ axes
    return Heads(axes, heads, _rest(np.vecdot(vectors, vectors), heads))


def nearest(
    vectors: FloatArray, heads: Heads, query: FloatArray, n: int, kept: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.int64], FloatArray]:
    """The best `n` rows for a query, and those too close to the last of them for float32 to tell; in no order.

    Products row by row, not as a matrix: BLAS would wake its threads for each, which costs 50 times the work where
    a DAW has the cores busy.

    Args:
        vectors: (N, D) float32.
        heads: of these rows.
        query: (D,) float32.
        kept: (N,) bool, the rows that count; None for all.

    Returns:
        (m,) rows and (m,) float32 scores, m >= n where so many are kept.
    """
    n_kept = len(vectors) if kept is None else int(np.count_nonzero(kept))
    if n_kept < len(vectors) // _COPY_WORTH:
        rows = np.flatnonzero(kept)
    elif heads.axes.shape[1] and n < n_kept:
        rows = _possible(vectors, heads, query, n, kept)
    else:
        rows = np.arange(len(vectors)) if kept is None else np.flatnonzero(kept)
        scores = np.vecdot(vectors, query)
        return _leading(rows, scores if kept is None else scores[kept], n)
    return _leading(rows, np.vecdot(vectors[rows], query), n)


def _possible(
    vectors: FloatArray, heads: Heads, query: FloatArray, n: int, kept: NDArray[np.bool_] | None
) -> NDArray[np.int64]:
    """The rows that may be among the best `n`: those whose bound reaches the score of `n` others."""
    head = query @ heads.axes  # (M,)
    bounds = np.vecdot(heads.heads, head)
    bounds += heads.rests * _rest(query @ query, head)
    if kept is not None:
        bounds[~kept] = -np.inf
    firsts = _firsts(bounds, n)
    return np.flatnonzero(bounds >= np.vecdot(vectors[firsts], query).min() - SLACK)


def _firsts(bounds: FloatArray, n: int) -> NDArray[np.int64]:
    """`n` rows with high bounds: the first of each of `n` groups, where there are groups enough."""
    n_groups = len(bounds) // _GROUP
    if n_groups >= 2 * n:
        groups = bounds[: n_groups * _GROUP].reshape(n_groups, _GROUP)
        best = np.argpartition(groups.max(axis=1), -n)[-n:]
        firsts = best * _GROUP + groups[best].argmax(axis=1)
        if np.isfinite(bounds[firsts]).all():  # a group may have no row that counts
            return firsts
    return np.argpartition(bounds, -n)[-n:]


def _leading(rows: NDArray[np.int64], scores: FloatArray, n: int) -> tuple[NDArray[np.int64], FloatArray]:
    if len(rows) <= n:
        return rows, scores
    near = scores >= np.partition(scores, -n)[-n] - SLACK
    return rows[near], scores[near]


def _rest(squares: FloatArray, heads: FloatArray) -> FloatArray:
    """Length of what heads leave out of vectors with these squared lengths, rounded up."""
    return np.sqrt(np.maximum(squares - np.vecdot(heads, heads), 0) + np.float32(_ROUNDING))
