"""Ranks, intervals and likelihoods, by hand and by slow readings of their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.ranks import (
    RankError,
    bootstrap,
    neighbour_likelihood,
    normalised_rank,
    normalised_ranks,
    top_rate,
)


def test_the_best_of_four_has_rank_a_quarter_and_the_worst_one():
    scores = np.array([0.9, 0.1, 0.5, -1.0], np.float32)
    assert [normalised_rank(scores, truth) for truth in range(4)] == [0.25, 0.75, 0.5, 1.0]


def test_ties_take_their_mean_place():
    scores = np.array([0.5, 0.5, 0.5, 0.9], np.float32)
    assert normalised_rank(scores, 0) == 0.75  # places 2, 3 and 4
    assert normalised_rank(np.zeros(9, np.float32), 4) == pytest.approx(5 / 9)


def test_a_lone_candidate_has_no_rank():
    with pytest.raises(RankError, match="at least 2"):
        normalised_rank(np.ones(1, np.float32), 0)


@given(st.lists(st.integers(-3, 3), min_size=2, max_size=12), st.data())
def test_ranks_are_the_mean_place_in_a_sorted_list(values, data):
    scores = np.array(values, np.float32)
    truth = data.draw(st.integers(0, len(values) - 1))
    places = [at for at, value in enumerate(sorted(values, reverse=True), start=1) if value == values[truth]]
    assert normalised_rank(scores, truth) == pytest.approx(np.mean(places) / len(values))
    both = normalised_ranks(np.stack([scores, -scores]), np.array([truth, truth]))
    assert both.sum() == pytest.approx((len(values) + 1) / len(values))


def test_random_scores_rank_one_half():
    rng = np.random.default_rng(0)
    ranks = [normalised_rank(rng.random(200, np.float32), 0) for _ in range(400)]
    assert np.mean(ranks) == pytest.approx(0.5, abs=0.05)


def test_the_interval_is_over_songs_and_covers():
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(100):
        of_song = rng.normal(0.3, 0.1, 30)
        values, groups = np.repeat(of_song, 20), np.repeat(np.arange(30), 20)
        low, high = bootstrap(values, groups, seed=trial, n_draws=400)
        covered += low <= 0.3 <= high
        naive = bootstrap(values, np.arange(600), seed=trial, n_draws=400)
        assert high - low > 2 * (naive[1] - naive[0])  # 20 queries of one song are not 20 songs
    assert 85 <= covered <= 100


def test_an_interval_of_one_group_is_a_point_and_a_seed_repeats_it():
    assert bootstrap([0.1, 0.3], [7, 7], seed=0) == (pytest.approx(0.2), pytest.approx(0.2))
    assert bootstrap([0.1, 0.3, 0.2], [1, 2, 3], seed=4) == bootstrap([0.1, 0.3, 0.2], [1, 2, 3], seed=4)


def test_top_rate_counts_places_up_to_ten():
    assert top_rate(np.array([1, 10, 11, 100]) / 100, 100) == 0.5
    assert top_rate([0.5, 0.5], [20, 22]) == 0.5


def test_likelihood_is_the_share_of_like_neighbours():
    rng = np.random.default_rng(0)
    towards = np.repeat([[1.0, 0, 0], [0, 1.0, 0]], 60, axis=0)
    rows = (towards + 0.01 * rng.standard_normal((120, 3))).astype(np.float32)
    labels = ["electronic"] * 60 + ["acoustic"] * 60
    assert neighbour_likelihood(rows, labels) == 1.0
    mixed = ["electronic", "acoustic"] * 60
    assert neighbour_likelihood(rows, mixed) == pytest.approx(0.5, abs=0.05)
    assert neighbour_likelihood(rows, [*labels[:-30], *[None] * 30], k=80) == pytest.approx(
        np.mean([59 / 80] * 60 + [29 / 80] * 30)  # k reaches beyond the own kind, never to oneself
    )


def test_one_origin_has_no_likelihood():
    rows = np.eye(4, dtype=np.float32)
    assert neighbour_likelihood(rows, ["acoustic", None, "acoustic", None]) is None
    assert neighbour_likelihood(rows, [None] * 4) is None
