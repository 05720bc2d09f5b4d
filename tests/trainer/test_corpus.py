"""The reader: any part of any stem, in any process."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoders.errors import BadRequest, NotFound
from trainer.corpus import SPLITS, Corpus


@given(start=st.integers(-300_000, 300_000), n=st.integers(0, 200_000))
def test_a_part_is_the_same_part_of_the_whole(small_corpus, start, n):
    stem = small_corpus.songs[0].stems[1]
    whole = np.pad(stem.audio * np.float32(stem.gain), 500_000)
    np.testing.assert_array_equal(stem.read(start, n), whole[500_000 + start : 500_000 + start + n])


def test_every_one_shot_is_in_one_split_and_knows_its_stem(small_corpus):
    rows = [row for split in SPLITS for row in small_corpus.rows(split)]
    assert sorted(rows) == list(range(len(small_corpus.one_shots)))
    for hit in small_corpus.one_shots:
        stem = small_corpus.songs[hit.song].stems[hit.stem]
        assert stem.type == hit.type
        assert hit.start + hit.n_samples <= stem.n_samples
    assert set(small_corpus.query_rows("train")) <= set(small_corpus.rows("train"))


def test_a_corpus_travels_to_workers_and_is_read_by_many_threads(small_corpus):
    copy = pickle.loads(pickle.dumps(small_corpus))
    assert copy.digest == small_corpus.digest
    with ThreadPoolExecutor(4) as pool:
        ours = list(pool.map(lambda hit: hit.read(), small_corpus.one_shots))
    theirs = [hit.read() for hit in copy.one_shots]
    np.testing.assert_array_equal(np.stack(ours), np.stack(theirs))


def test_no_corpus_and_no_such_split_are_said(small_corpus, tmp_path):
    with pytest.raises(NotFound, match="samplefit corpus prepare"):
        Corpus.open(tmp_path)
    (tmp_path / "corpus.json").write_text("{")
    with pytest.raises(BadRequest, match="prepare it anew"):
        Corpus.open(tmp_path)
    with pytest.raises(BadRequest, match="train, eval, test, held-out"):
        small_corpus.rows("valid")
