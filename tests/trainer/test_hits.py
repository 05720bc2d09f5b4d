"""One-shots by the paper's rule: the hits that are left alone for longest, whole."""

from __future__ import annotations

import numpy as np
import pytest

from encoders.windows import WINDOW
from trainer.hits import cut_hits, onsets

RATE = 44_100


def stem_of(songs, gaps_s: list[float], drum: str = "snare", level: float = 1.0, seed: int = 3) -> tuple:
    """A stem whose hits are followed by these gaps, and its onsets."""
    at = np.round(np.cumsum([0.2, *gaps_s[:-1]]) * RATE).astype(int)
    sound = level * songs.hit(drum, np.random.default_rng(seed))
    return songs.place(sound, tuple(at), round((0.2 + sum(gaps_s)) * RATE)), at


@pytest.mark.parametrize("drum", ["kick", "snare", "hihat"])
def test_every_onset_is_found_to_half_a_millisecond(songs, drum):
    stem, at = stem_of(songs, [0.31, 0.5, 0.43, 1.1, 0.37, 0.8], drum)
    found = onsets(stem)
    assert len(found) == len(at)
    assert np.abs(found - at).max() <= 22


def test_the_hits_before_the_longest_gaps_are_cut_longest_first(songs):
    rng = np.random.default_rng(0)
    gaps_s = [0.4, 2.0, 0.5, 5.0, 0.6, 3.0]
    at = np.round(np.cumsum([0.1, *gaps_s[:-1]]) * RATE).astype(int)
    stem = np.zeros(round((0.1 + sum(gaps_s)) * RATE), np.float32)
    for start in at:  # each hit of its own content
        sound = songs.hit("snare", rng)
        stem[start : start + len(sound)] += sound
    hits = cut_hits(stem, 3)
    assert [np.abs(at - hit.start).argmin() for hit in hits] == [3, 5, 1]
    assert [hit.n_samples for hit in hits] == [
        WINDOW,
        pytest.approx(3 * RATE, abs=30),
        pytest.approx(2 * RATE, abs=30),
    ]
    assert len({hit.content for hit in hits}) == 3


def test_equal_hits_are_cut_once_wherever_they_fall_on_the_grid(songs):
    stem, at = stem_of(songs, [0.31, 0.5, 0.43, 1.1, 0.37, 0.8])
    (hit,) = cut_hits(stem, 5)
    assert abs(hit.start - at[3]) <= 22
    other, _ = stem_of(songs, [0.7123, 0.4567, 0.9])
    assert cut_hits(other, 5)[0].content == hit.content
    different, _ = stem_of(songs, [0.7123, 0.4567, 0.9], seed=4)
    assert cut_hits(different, 5)[0].content != hit.content


def test_a_ghost_note_ends_a_tail_and_is_not_cut(songs):
    rng = np.random.default_rng(1)
    loud, ghost = songs.hit("snare", rng), 0.03 * songs.hit("snare", rng)
    stem = songs.place(loud, (4_000, 60_000), 4 * RATE) + songs.place(ghost, (90_000,), 4 * RATE)
    hits = cut_hits(stem, 5)
    assert len(hits) == 1  # the two loud ones are equal, the ghost is too faint
    assert hits[0].start == pytest.approx(4_000, abs=22)
    assert hits[0].n_samples == pytest.approx(56_000, abs=44)


def test_a_hit_on_the_first_sample_and_a_stem_of_one_hit_alone_are_found(songs):
    sound = songs.hit("kick", np.random.default_rng(0))
    (only,) = cut_hits(sound, 5)
    assert (only.start, only.n_samples) == (0, len(sound))
    found = onsets(songs.place(sound, (0, 30_000), 2 * RATE))
    assert found.tolist() == pytest.approx([0, 30_000], abs=22)
    assert len(cut_hits(sound[:1400], 5)) == 1


@pytest.mark.parametrize("stem", [np.zeros(0), np.zeros(RATE), np.full(RATE, 1e-5)])
def test_silence_has_no_hits(stem):
    assert cut_hits(stem.astype(np.float32), 5) == ()
