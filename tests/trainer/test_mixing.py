"""Sparse mixes: which stems, how many, from where; and batches that a seed alone decides."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from encoders.drum_types import TYPES
from encoders.errors import BadRequest
from encoders.windows import WINDOW
from trainer.corpus import Corpus
from trainer.loader import batches
from trainer.mixing import mix_stems, sparse_mix
from trainer.prepare import prepare
from trainer.settings import Data, Loss, Settings

RATE = 44_100


@pytest.fixture(scope="module")
def levels(songs, tmp_path_factory) -> Corpus:
    """One song whose steady stems have levels that tell which of them are in a sum: 1, 2, 4, 8 hundredths."""
    folder = tmp_path_factory.mktemp("levels")
    song = songs.make_song(folder / "stems" / "one", seconds=10.0, stems=("snare",)).folder
    for place in range(4):
        songs.write(song / f"pad{place}.wav", np.full(10 * RATE, 0.01 * 2**place, np.float32))
    prepare(folder / "stems", folder / "corpus")
    return Corpus.open(folder / "corpus")


def stems_in(window: np.ndarray) -> frozenset[int]:
    total = round(float(window.mean()) * 100)
    np.testing.assert_allclose(window, total / 100, atol=1e-4)  # so the snare is not in it either
    return frozenset(place for place in range(4) if total >> place & 1)


def test_the_own_stem_is_never_mixed_and_the_number_of_stems_is_uniform(levels):
    rng = np.random.default_rng(0)
    drawn = [stems_in(sparse_mix(levels, 0, rng)) for _ in range(600)]
    counts = Counter(map(len, drawn))
    assert set(counts) == {2, 3, 4}
    assert all(abs(n - 200) < 60 for n in counts.values())
    assert len(set(drawn)) == 6 + 4 + 1  # and every choice of them occurs


def test_without_sparse_all_others_are_mixed(levels):
    rng = np.random.default_rng(0)
    assert {stems_in(sparse_mix(levels, 0, rng, sparse=False)) for _ in range(5)} == {frozenset(range(4))}


def test_places_are_random_and_a_seed_repeats_them(small_corpus):
    row = small_corpus.query_rows("train")[0]
    mixes = [sparse_mix(small_corpus, row, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(mixes[0], mixes[1])
    assert not np.array_equal(mixes[0], mixes[2])


def test_silent_places_are_drawn_again(songs, tmp_path):
    folder = songs.make_song(tmp_path / "stems" / "one", stems=("kick",)).folder
    for name in ("bass", "keys"):  # 2 s of sound in 5 minutes
        samples = np.zeros(300 * RATE, np.float32)
        samples[200 * RATE : 202 * RATE] = 0.1
        songs.write(folder / f"{name}.wav", samples)
    prepare(tmp_path / "stems", tmp_path / "corpus")
    corpus = Corpus.open(tmp_path / "corpus")
    for seed in range(5):
        assert sparse_mix(corpus, 0, np.random.default_rng(seed)).max() == pytest.approx(0.2, abs=0.01)


def test_a_song_shorter_than_a_window_is_padded(songs, tmp_path):
    songs.make_song(tmp_path / "stems" / "one", seconds=2.0)
    prepare(tmp_path / "stems", tmp_path / "corpus")
    window = sparse_mix(Corpus.open(tmp_path / "corpus"), 0, np.random.default_rng(0))
    assert window.shape == (WINDOW,)
    assert window[: 2 * RATE].any()
    assert not window[2 * RATE :].any()


def take(corpus, n=3, *, data=None, loss=None, seed=0, **options):
    settings = Settings(data=data or Data(batch=6), loss=loss or Loss())
    made = batches(corpus, settings, seed, **options)
    try:
        return list(islice(made, n))
    finally:
        made.close()


def test_a_batch_pairs_each_key_with_a_mix_of_its_song(small_corpus):
    hits = small_corpus.one_shots
    by_content = {hit.content: hit for hit in hits}
    for batch in take(small_corpus):
        assert batch.query.shape == batch.key.shape == (6, WINDOW)
        assert batch.query2 is batch.key2 is batch.content2 is None
        assert len(set(batch.content.tolist())) == 6
        for place in range(6):
            hit = by_content[int(batch.content[place])]
            assert int(batch.song[place]) == hit.song
            assert TYPES[int(batch.type[place])] == hit.type
            assert small_corpus.songs[hit.song].split == "train"
            np.testing.assert_array_equal(batch.key[place], hit.read())


def test_an_epoch_takes_each_one_shot_once(small_corpus):
    rows = small_corpus.query_rows("train")
    assert len(rows) == 24
    epochs = take(small_corpus, 8)
    first, second = (torch.cat([batch.content for batch in part]) for part in (epochs[:4], epochs[4:]))
    assert sorted(first) == sorted(second) == sorted(small_corpus.one_shots[row].content for row in rows)
    assert first.tolist() != second.tolist()


def test_threads_and_a_later_start_change_nothing(small_corpus):
    one = take(small_corpus, 5)
    many = take(small_corpus, 2, n_workers=4, first_step=3)
    for left, right in zip(one[3:], many, strict=True):
        for name in ("query", "key", "song", "content", "type"):
            assert torch.equal(getattr(left, name), getattr(right, name))
    assert not torch.equal(take(small_corpus, 1, seed=1)[0].query, one[0].query)


def test_processes_share_a_batch(small_corpus):
    whole = take(small_corpus, 2)
    parts = [take(small_corpus, 2, rank=rank, n_ranks=2) for rank in (0, 1)]
    for step in range(2):
        for rank in (0, 1):
            assert torch.equal(parts[rank][step].query, whole[step].query[rank::2])
            assert torch.equal(parts[rank][step].content, whole[step].content[rank::2])
    with pytest.raises(BadRequest, match="6 for 4"):
        take(small_corpus, 1, rank=0, n_ranks=4)


def test_invariance_adds_a_second_pair_of_the_same_song(small_corpus):
    song_of = {hit.content: hit.song for hit in small_corpus.one_shots}
    (batch,) = take(small_corpus, 1, loss=Loss(invariance=1.0))
    (plain,) = take(small_corpus, 1)
    assert torch.equal(batch.query, plain.query)
    assert [song_of[int(content)] for content in batch.content2] == batch.song.tolist()
    assert not (batch.content == batch.content2).any()
    assert not torch.equal(batch.query, batch.query2)
    assert not torch.equal(batch.key, batch.key2)


def test_batches_of_one_type(small_corpus):
    for batch in take(small_corpus, 6, data=Data(batch=6, one_type=1.0)):
        assert len(set(batch.type.tolist())) == 1
        assert len(set(batch.content.tolist())) == 6
    with pytest.raises(BadRequest, match="no type with 9"):
        take(small_corpus, 1, data=Data(batch=9, one_type=1.0))


def test_a_batch_larger_than_the_corpus_is_refused(small_corpus):
    with pytest.raises(BadRequest, match="at most 24"):
        take(small_corpus, 1, data=Data(batch=25))


def test_full_mixes_by_setting(levels):
    made = replace(levels, songs=(replace(levels.songs[0], split="train"),))
    (batch,) = take(made, 1, data=Data(batch=1, mix="full"))
    np.testing.assert_allclose(batch.query, 0.15, atol=1e-3)


def test_mix_stems_is_the_sum(small_corpus):
    song = small_corpus.songs[0]
    parts = [song.stems[stem].read(500, WINDOW) for stem in (0, 2)]
    np.testing.assert_allclose(mix_stems(song, np.array([0, 2]), 500), parts[0] + parts[1], atol=1e-6)
