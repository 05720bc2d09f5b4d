"""Exact search by heads and rests: what it rules out never belongs among the best, whatever rows count."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index import exact
from index.exact import HEADS_MIN, heads_of, nearest

DIM = 64
N_KEYS = HEADS_MIN + 777


def unit(rows: np.ndarray) -> np.ndarray:
    """The same rows (n, D) at unit length, float32."""
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def crowded(rng: np.random.Generator, n: int) -> np.ndarray:
    """(n, DIM) float32, unit rows of which some directions tell most; copies and takes among them."""
    rows = rng.standard_normal((n, DIM)) * np.exp(-np.arange(DIM) / 5)
    rows[n // 3 : n // 3 + 40] = rows[n // 2]
    rows[n // 4 : n // 4 + 100] = rows[0] + 1e-4 * rng.standard_normal((100, DIM))
    return unit(rows @ np.linalg.qr(np.random.default_rng(9).standard_normal((DIM, DIM)))[0])


KEYS = crowded(np.random.default_rng(0), N_KEYS)
HEADS = heads_of(KEYS)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 1 << 30),
    n=st.integers(1, 400),
    share=st.sampled_from([None, 0.0, 0.001, 0.3, 0.9, 1.0]),
    run=st.booleans(),
    at_a_key=st.booleans(),
)
def test_the_best_are_never_ruled_out(seed, n, share, run, at_a_key):
    rng = np.random.default_rng(seed)
    query = KEYS[rng.integers(N_KEYS)] if at_a_key else crowded(rng, 1000)[0]
    kept = None
    if share is not None:
        kept = rng.random(N_KEYS) < share
        kept = (
            np.roll(np.sort(kept), int(rng.integers(N_KEYS))) if run else kept
        )  # a folder's rows lie together
    rows, scores = nearest(KEYS, HEADS, query, n, kept)
    truth = KEYS.astype(np.float64) @ query.astype(np.float64)
    if kept is not None:
        truth[~kept] = -np.inf
        assert kept[rows].all()
    best = np.sort(truth)[::-1][:n]
    best = best[np.isfinite(best)]
    assert np.unique(rows).size == rows.size >= best.size
    assert np.allclose(np.sort(truth[rows])[::-1][: best.size], best, rtol=0, atol=1e-12)
    assert np.allclose(scores, truth[rows], atol=1e-6)


def test_most_rows_are_ruled_out_by_their_heads():
    assert HEADS.axes.shape == (DIM, 32) and HEADS.heads.shape == (N_KEYS, 32)
    queries = crowded(np.random.default_rng(1), 1000)[:50]
    left = [len(exact._possible(KEYS, HEADS, query, 10, None)) for query in queries]
    assert np.median(left) < N_KEYS / 20


@pytest.mark.parametrize(
    "keys",
    [
        KEYS[: HEADS_MIN - 1],
        unit(np.random.default_rng(2).standard_normal((N_KEYS, DIM))),
        np.zeros((0, DIM), np.float32),
    ],
    ids=["few", "all directions alike", "none"],
)
def test_no_heads_where_they_would_not_pay(keys):
    heads = heads_of(keys)
    assert heads.axes.shape == (DIM, 0)
    rows, scores = nearest(keys, heads, KEYS[0], 5)
    assert set(np.argsort(-(keys @ KEYS[0]))[:5]) <= set(rows.tolist())
    assert np.allclose(scores, keys[rows] @ KEYS[0], atol=1e-6)
