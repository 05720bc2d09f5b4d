"""The loss terms against hand-worked numbers, and against a slow reading of the paper's equations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainer.losses import contrastive, covariance, norm_hinge, variance

CROSS = torch.tensor([[1.0, 0.0], [0.0, 1.0]])


def slow_contrastive(query: np.ndarray, key: np.ndarray, tau: float, exclude: np.ndarray) -> float:
    terms = []
    for i, u in enumerate(query):
        scores = [float(u @ v / np.linalg.norm(u) / np.linalg.norm(v)) for v in key]
        below = sum(math.exp(scores[l] / tau) for l in range(len(key)) if l != i and not exclude[i, l])
        terms.append(-math.log(math.exp(scores[i] / tau) / below) if below else 0.0)
    return sum(terms) / len(terms)


def slow_covariance(z: np.ndarray) -> float:
    n, d = z.shape
    total = 0.0
    for i in range(d):
        for j in range(d):
            if i != j:
                products = [(z[l, i] - z[:, i].mean()) * (z[l, j] - z[:, j].mean()) for l in range(n)]
                total += (sum(products) / (n - 1)) ** 2
    return total / d


def test_contrastive_by_hand():
    # Both positives have cosine 1, both negatives 0: -1/tau + log(exp(0)).
    assert contrastive(CROSS, CROSS, 0.2) == pytest.approx(-5.0)
    # The wrong way round: -0 + log(exp(1 / .5)).
    assert contrastive(CROSS, CROSS.flip(0), 0.5) == pytest.approx(2.0)


def test_contrastive_ignores_length():
    assert contrastive(CROSS * 7, CROSS * 0.1, 0.2) == pytest.approx(-5.0)


def test_variance_by_hand():
    # Standard deviations (n - 1): sqrt(2) / 2 and 0, shortfalls .29289 and 1 (less the root of epsilon, 1e-4).
    z = torch.tensor([[0.0, 5.0], [1.0, 5.0]])
    assert variance(z) == pytest.approx((1 - math.sqrt(0.5) + 1 - 1e-4) / 2, abs=1e-6)
    assert variance(z * 100)[None].item() == pytest.approx((1 - 1e-4) / 2, abs=1e-6)


def test_covariance_by_hand():
    # Centred (-.5, -1), (.5, 1): covariance 1 in both corners, 1 + 1 over d = 2.
    assert covariance(torch.tensor([[0.0, 0.0], [1.0, 2.0]])) == pytest.approx(1.0)


def test_norm_hinge_by_hand():
    z = torch.tensor([[3.0, 4.0], [0.0, 1.0]])  # lengths 5 and 1
    assert norm_hinge(z) == pytest.approx(0.5)
    assert norm_hinge(z, c=6.0) == 0


@given(st.integers(2, 9), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_terms_agree_with_the_slow_reading(n: int, d: int, seed: int):
    rng = np.random.default_rng(seed)
    query, key = rng.normal(size=(2, n, d)) + 0.01
    exclude = rng.random((n, n)) < 0.3
    fast = contrastive(*map(torch.from_numpy, (query, key)), 0.3, torch.from_numpy(exclude))
    assert fast.item() == pytest.approx(slow_contrastive(query, key, 0.3, exclude), abs=1e-9)
    assert covariance(torch.from_numpy(query)).item() == pytest.approx(slow_covariance(query), abs=1e-9)
    deviations = np.sqrt(query.var(axis=0, ddof=1) + 1e-8)
    assert variance(torch.from_numpy(query)).item() == pytest.approx(np.maximum(0, 1 - deviations).mean())


def test_excluded_keys_have_no_slope():
    """A key that no row may push away is moved by its own query's pull alone."""
    rng = torch.Generator().manual_seed(0)
    query, key = torch.randn(5, 4, generator=rng), torch.randn(5, 4, generator=rng, requires_grad=True)
    exclude = torch.zeros(5, 5, dtype=torch.bool)
    exclude[:, 1] = True
    (slope,) = torch.autograd.grad(contrastive(query, key, 0.2, exclude), key)
    pull = -torch.nn.functional.cosine_similarity(query[1], key[1], dim=0) / 0.2 / len(key)
    (own,) = torch.autograd.grad(pull, key)
    torch.testing.assert_close(slope[1], own[1])
    (pushed,) = torch.autograd.grad(contrastive(query, key, 0.2), key)
    assert not torch.allclose(pushed[1], own[1])


def test_all_excluded_is_nothing_not_nan():
    z = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    loss = contrastive(z, z, 0.2, torch.ones(4, 4, dtype=torch.bool))
    loss.backward()
    assert loss == 0 and torch.isfinite(z.grad).all()


def test_equal_embeddings_have_a_finite_slope():
    z = torch.ones(4, 3, requires_grad=True)
    (variance(z) + covariance(z)).backward()
    assert torch.isfinite(z.grad).all()
