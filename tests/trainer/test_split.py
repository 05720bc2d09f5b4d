"""The split: shares, and never a bond across it."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from trainer.split import group_songs, split_groups


def test_songs_are_grouped_through_others():
    ties = [{"kit a"}, {"kit b"}, {"kit a", "hit 1"}, {"hit 1", "kit c"}, {"kit b"}, set()]
    assert group_songs(ties) == (0, 1, 0, 0, 1, 2)


@given(st.lists(st.sets(st.integers(0, 12), max_size=3), max_size=40))
def test_groups_are_exactly_the_songs_that_hang_together(ties):
    groups = group_songs(ties)
    for one, mine in enumerate(ties):  # a bond never crosses groups
        assert all(groups[one] == groups[two] for two, other in enumerate(ties) if mine & other)
    reached = {0}  # and a group is no larger than what its first song reaches
    if ties:
        for _ in ties:
            reached |= {two for one in reached for two, other in enumerate(ties) if ties[one] & other}
        assert reached == {row for row, group in enumerate(groups) if group == 0}


def test_shares_are_the_papers():
    split = split_groups(range(1000), [None] * 1000, [False] * 1000, seed=0)
    assert Counter(split) == {"train": 850, "eval": 50, "test": 100}


def test_the_seed_draws_the_split():
    def draw(seed: int) -> tuple[str, ...]:
        return split_groups(range(50), [None] * 50, [False] * 50, seed)

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), st.integers(0, 5))
def test_groups_stay_whole_and_every_split_has_one_where_there_are_three(groups, seed):
    split = split_groups(groups, [None] * len(groups), [False] * len(groups), seed)
    assert len(set(zip(groups, split, strict=True))) == len(set(groups))
    if len(set(groups)) >= 3:
        assert set(split) == {"train", "eval", "test"}
    else:
        assert "train" in split


def test_given_sides_and_held_out_sources_are_kept():
    sides = ["test", "train", None, "train", None, "test"] + [None] * 20
    held_out = [False, False, True, False, False, False] + [False] * 20
    groups = [0, 1, 2, 0, 2, 3, *range(4, 24)]
    split = split_groups(groups, sides, held_out, seed=0)
    assert split[0] == split[3] == split[5] == "test"  # song 3 shares a group with a test song
    assert split[2] == split[4] == "held-out"
    assert split[1] in ("train", "eval")
    assert set(split[6:]) == {"train", "eval"}  # the test side was named, so no other song is added to it


def test_who_names_the_eval_side_has_drawn_it_too():
    split = split_groups(range(24), ["test", "eval", "eval", "train"] + [None] * 20, [False] * 24, seed=0)
    assert split == ("test", "eval", "eval", *["train"] * 21)
    assert split_groups([0, 0], ["test", "eval"], [False] * 2, seed=0) == ("test", "test")
