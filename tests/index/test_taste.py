"""What marks teach: a taste is found, chance is not, a score moves so far and no further, one model's keys alone."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.marks import read_choices
from index.search import Want, search
from index.taste import LEAST, REACH, Choice, learn
from tests.index.conftest import StandIn, write_hit

DIM = 32


def answers(rng: np.random.Generator, n: int, n_hits: int = 10) -> np.ndarray:
    """(n, n_hits, DIM) float32, unit keys as answers show them."""
    keys = rng.standard_normal((n, n_hits, DIM)).astype(np.float32)
    return keys / np.linalg.norm(keys, axis=2, keepdims=True)


def choice(keys: np.ndarray, at: int, is_liked: bool = True) -> Choice:
    """The hit at one place of an answer, marked."""
    return Choice(np.concatenate([keys[at][None], np.delete(keys, at, axis=0)]), is_liked)


def by_axis(shown: np.ndarray, axis: int = 0) -> list[Choice]:
    """Choices of a user who likes what is furthest along one axis and dislikes what is least so."""
    half = len(shown) // 2
    return [choice(keys, int(keys[:, axis].argmax())) for keys in shown[:half]] + [
        choice(keys, int(keys[:, axis].argmin()), False) for keys in shown[half:]
    ]


def test_a_taste_is_found_from_likes_and_dislikes():
    rng = np.random.default_rng(0)
    taste = learn(by_axis(answers(rng, 60)), "m")
    assert taste.model == "m" and taste.n_marks == 60 and taste.trust > 0.8
    keys = answers(rng, 1, 100)[0]
    order = taste.order(np.zeros(100) + rng.normal(0, 0.1, 100), keys)
    assert keys[order[:10], 0].mean() > keys[:, 0].mean() + keys[:, 0].std() / 2


def test_chance_is_no_taste():
    trusts = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        taste = learn([choice(keys, int(rng.integers(10))) for keys in answers(rng, 60)], "m")
        trusts.append(taste.trust)
    assert np.mean(np.square(trusts)) < 0.1


def test_who_likes_all_that_is_shown_or_takes_everything_back_teaches_nothing():
    rng = np.random.default_rng(1)
    shown = answers(rng, 6)
    assert learn([choice(keys, at) for keys in shown for at in range(10)], "m").trust < 1e-6
    both = [choice(keys, 0, is_liked) for keys in answers(rng, 30) for is_liked in (True, False)]
    assert learn(both, "m").trust < 1e-6


def test_nothing_is_learned_below_twenty_marks():
    shown = answers(np.random.default_rng(2), LEAST)
    assert LEAST == 20
    assert learn(by_axis(shown)[: LEAST - 1], "m").n_marks == 0
    assert learn(by_axis(shown), "m").n_marks == LEAST


def test_equal_keys_teach_nothing():
    keys = np.full((10, DIM), DIM**-0.5, np.float32)
    assert learn([choice(keys, 0)] * 30, "m").n_marks == 0


@settings(max_examples=30)
@given(st.integers(0, 1 << 30), st.integers(2, 60))
def test_a_hit_passes_only_those_within_reach(seed, n):
    """A score moves by at most REACH deviations either way: a hit ahead by more than twice that stays ahead."""
    rng = np.random.default_rng(seed)
    taste = learn(by_axis(answers(np.random.default_rng(0), 60)), "m")
    scores = np.sort(rng.normal(0, 1, n) ** 3)[::-1]
    order = taste.order(scores, answers(rng, 1, n)[0])
    assert sorted(order) == list(range(n)), "no hit is lost"
    place = np.argsort(order)
    for ahead in range(n):
        for behind in range(ahead + 1, n):
            if scores[ahead] - scores[behind] > 2 * REACH * scores.std():
                assert place[ahead] < place[behind]


def test_the_same_marks_teach_the_same():
    shown = answers(np.random.default_rng(3), 40)
    one, other = learn(by_axis(shown), "m"), learn(by_axis(shown), "m")
    assert np.array_equal(one.direction, other.direction) and one.trust == other.trust


@pytest.fixture
def library(opened, drums):
    """A library of 80 kicks, followed."""
    for seed in range(80):
        write_hit(drums / f"kick {seed:03d}.wav", seed)
    library = opened()
    library.add(str(drums))
    return library


def press(library, seed: int = 0, learned: bool = True, **want):
    """The hits of a press with a random query."""
    query = np.random.default_rng(seed).standard_normal(library.encoder.card.dim).astype(np.float32)
    query /= np.linalg.norm(query)
    taste = library.marks.taste
    hits = search(
        library.snapshot,
        query,
        Want(("kick",), diversity=0.3, **want),
        taste if learned and taste.n_marks else None,
    )
    library.marks.show(hits)
    return hits


def key_of(library, path: str) -> np.ndarray:
    """The key of the one-shot at a path."""
    return next(
        table.rows.vectors[row]
        for table in library.snapshot.tables
        for row in range(len(table.rows))
        if table.rows.path(row) == os.fsencode(path)
    )


def mark_by_axis(library, n: int) -> list[str]:
    """Likes the hit furthest along the first axis, and dislikes the opposite, in answers of many presses."""
    marked: dict[str, None] = {}
    for seed in range(1000):
        hits = press(library, seed, learned=False)
        along = [float(key_of(library, hit.path)[0]) for hit in hits]
        for at, what in ((int(np.argmax(along)), "like"), (int(np.argmin(along)), "dislike")):
            if hits[at].path not in marked and len(marked) < n:
                library.mark(hits[at].path, what)
                marked[hits[at].path] = None
        if len(marked) == n:
            return list(marked)
    raise AssertionError("too few distinct hits")


def test_marks_on_hits_lean_later_presses_until_they_are_unlearned(library):
    before = press(library, 5000, learned=False)
    mark_by_axis(library, 19)
    assert library.marks.taste.n_marks == 0
    mark_by_axis(library, 24)
    assert library.marks.taste.n_marks == 24
    after = press(library, 5000)
    assert [hit.path for hit in after] != [hit.path for hit in before]

    def along(hits):
        return np.mean([key_of(library, hit.path)[0] for hit in hits])

    assert along(after) > along(before)
    assert press(library, 5000, learned=False) == before
    assert library.marks.unlearn() >= 24
    assert library.marks.taste.n_marks == 0 and press(library, 5000) == before


def test_a_restart_keeps_what_was_learned(library, opened):
    mark_by_axis(library, 24)
    taste, hits = library.marks.taste, press(library, 7)
    again = opened()
    assert np.array_equal(again.marks.taste.direction, taste.direction)
    assert press(again, 7) == hits


def test_only_what_was_shown_and_marked_counts_and_once(library, drums, opened):
    for _ in range(30):
        library.mark(str(drums / "kick 000.wav"), "like")
    with library._catalogue.reading() as db:
        assert read_choices(db, library.snapshot.model) == []
    hits = press(library)
    for what in ("like", "used", "dislike"):
        library.mark(hits[0].path, what)
    with library._catalogue.reading() as db:
        (only,) = read_choices(db, library.snapshot.model)
    assert not only.is_liked and len(only.keys) == len(hits)
    assert np.array_equal(only.keys[0], key_of(library, hits[0].path))


def test_marks_of_what_is_gone_do_no_harm(library, drums):
    paths = mark_by_axis(library, 24)
    taste = library.marks.taste
    for path in paths[:12]:
        os.remove(path)
    library.sync()
    library.mark(press(library, 9)[0].path, "used")
    assert 24 <= library.marks.taste.n_marks <= 25 and taste.n_marks == 24
    assert not {hit.path for hit in press(library, 9, k=200)} & set(paths[:12])
    library.remove(str(drums))
    library.marks.use(library.snapshot.model)
    assert library.marks.taste.n_marks >= 24


def test_another_model_learns_anew_from_its_own_keys(library):
    mark_by_axis(library, 24)
    first = library.marks.taste
    other = StandIn(seed=1)
    library.adopt(other)
    second = library.marks.taste
    assert second.model == other.card.digest != first.model
    assert not np.array_equal(second.direction, first.direction)
    library.adopt(StandIn())
    assert np.array_equal(library.marks.taste.direction, first.direction)


def test_taking_a_mark_back_takes_its_lesson_back(library):
    mark_by_axis(library, 20)
    assert library.marks.taste.n_marks == 20
    library.unmark(20)
    assert library.marks.taste.n_marks == 0
