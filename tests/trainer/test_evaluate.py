"""Evaluation: the contract's JSON, perfect and blind encoders, and what the corpus cannot give."""

from __future__ import annotations

import json
import math
import zlib

import numpy as np
import pytest

from encoders.errors import BadRequest
from trainer.baselines import baselines, fit_cca, popularity
from trainer.corpus import Corpus
from trainer.evaluate import evaluate, rank_truths, set_trial
from trainer.pictures import draw_keys, principal_components
from trainer.prepare import prepare
from trainer.ranks import RankError

FIGURES = {
    "loss",
    "mean_normalised_rank",
    "median_normalised_rank",
    "query_likelihood",
    "key_likelihood",
    "n_queries",
    "within_type",
}


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def blind(windows: np.ndarray) -> np.ndarray:
    """Embeddings that are a hash of the sound: no likeness of one to another."""
    seeds = [zlib.crc32(window.tobytes()) for window in windows]
    return unit(np.stack([np.random.default_rng(seed).standard_normal(256) for seed in seeds]))


@pytest.fixture(scope="module")
def marked(songs, tmp_path_factory) -> Corpus:
    """Songs whose every stem carries the song's number as a steady offset: an oracle can read it."""
    folder = tmp_path_factory.mktemp("marked")
    for row, made in enumerate(songs.make_songs(folder / "stems", n_songs=12, seconds=5.0)):
        (made.folder / "song.toml").write_text(
            f'origin = "{("electronic", "acoustic")[row % 2]}"\nside = "test"\n', "utf-8"
        )
    prepare(folder / "stems", folder / "corpus")
    return Corpus.open(folder / "corpus")


def oracle(corpus: Corpus):
    """A query and a key encoder that know the song: by what was drawn, and by the sound of the hit."""
    trial = set_trial(corpus, "test", 4, 0)
    axes = np.eye(len(corpus.songs), dtype=np.float32)
    by_mix = {
        trial.window(question, sparse).tobytes(): question.song
        for question in trial.questions
        for sparse in (False, True)
    }
    by_hit = {hit.read().tobytes(): hit.song for hit in corpus.one_shots}

    def encode(known: dict[bytes, int]):
        return lambda windows: np.stack([axes[known[window.tobytes()]] for window in windows])

    return encode(by_mix), encode(by_hit)


def test_an_oracle_is_at_the_top_and_the_answer_is_the_contracts(marked):
    said = []
    found = evaluate(*oracle(marked), marked, "test", n_queries=4, progress=lambda *at: said.append(at))
    assert json.loads(json.dumps(found)) == found
    assert set(found) == {"n_songs", "n_one_shots", "seed", "full", "sparse"}
    assert (found["n_songs"], found["n_one_shots"], found["seed"]) == (12, 36, 0)
    assert said[-1] == (36 + 2 * 48, 36 + 2 * 48)
    for mode in ("full", "sparse"):
        figures = found[mode]
        assert set(figures) == FIGURES
        assert figures["mean_normalised_rank"] == pytest.approx(2 / 36)  # three share the first places
        assert figures["median_normalised_rank"] == pytest.approx(2 / 36)
        assert figures["n_queries"] == 48
        assert set(figures["within_type"]) == {"kick", "snare", "hihat"}
        assert sum(table["n_queries"] for table in figures["within_type"].values()) == 48
        for table in figures["within_type"].values():
            assert table["mean_normalised_rank"] == pytest.approx(1 / 12)
            assert table["median_normalised_rank"] == pytest.approx(1 / 12)
        assert figures["loss"] < math.log(47)


def test_a_blind_encoder_is_at_chance(marked):
    found = evaluate(blind, blind, marked, "test", n_queries=40)
    for mode in ("full", "sparse"):
        assert found[mode]["mean_normalised_rank"] == pytest.approx(0.5, abs=0.08)
        assert found[mode]["loss"] == pytest.approx(math.log(189), abs=0.3)
    again = evaluate(blind, blind, marked, "test", n_queries=40)
    assert again == found
    assert evaluate(blind, blind, marked, "test", n_queries=40, seed=1) != found


def test_each_query_lacks_the_stem_of_its_truths(marked):
    trial = set_trial(marked, "test", n_queries=6, seed=0)
    hits = marked.one_shots
    for question in trial.questions:
        stem = hits[question.row].stem
        assert hits[question.row].song == question.song
        truths = [hits[trial.candidates[truth]] for truth in question.truths]
        assert truths
        assert all((hit.song, hit.stem) == (question.song, stem) for hit in truths)
    for song in range(12):  # every percussion stem in turn
        assert len({hits[q.row].stem for q in trial.questions if q.song == song}) == 3


def test_equal_samples_are_one_candidate(songs, tmp_path):
    for row in range(3):
        songs.make_song(
            tmp_path / "stems" / f"{row}", seed=row, kit_seed=0, seconds=3.0, facts='side = "test"\n'
        )
    songs.make_song(tmp_path / "stems" / "other", seed=9, seconds=3.0, facts='side = "test"\n')
    prepare(tmp_path / "stems", tmp_path / "corpus")
    corpus = Corpus.open(tmp_path / "corpus")
    trial = set_trial(corpus, "test", 2, 0)
    assert len(corpus.one_shots) == 12
    assert len(trial.candidates) == 6
    assert sorted(popularity(trial)) == [1, 1, 1, 3, 3, 3]
    popular = rank_truths(trial, np.tile(popularity(trial), (len(trial.questions), 1)))
    assert popular.over_all.mean() < 0.5  # the popular sample is the right one three times out of four


def test_what_the_corpus_cannot_give_is_null(songs, tmp_path):
    songs.make_song(tmp_path / "stems" / "one", seconds=3.0, facts='side = "test"\n')
    prepare(tmp_path / "stems", tmp_path / "corpus")
    found = evaluate(blind, blind, Corpus.open(tmp_path / "corpus"), "test", n_queries=3)
    assert found["full"]["key_likelihood"] is found["full"]["query_likelihood"] is None
    assert found["full"]["within_type"]["kick"] == {
        "mean_normalised_rank": None,
        "median_normalised_rank": None,
        "n_queries": 0,
    }
    with pytest.raises(RankError, match="at least 2"):
        evaluate(blind, blind, Corpus.open(tmp_path / "corpus"), "eval")
    with pytest.raises(BadRequest, match="held-out"):
        evaluate(blind, blind, Corpus.open(tmp_path / "corpus"), "tset")


def test_embeddings_that_are_no_numbers_are_refused(marked):
    def broken(windows: np.ndarray) -> np.ndarray:
        return np.full((len(windows), 4), np.nan, np.float32)

    with pytest.raises(BadRequest, match="NaN"):
        evaluate(broken, broken, marked, "test", n_queries=1)


def test_baselines_face_the_same_trial(marked):
    found = baselines(marked, "test", n_queries=3)
    assert set(found) == {"chance", "most used first", "mean log-mel"}  # nothing to fit a map to
    for ranks in (table[mode] for table in found.values() for mode in ("full", "sparse")):
        assert len(ranks.over_all) == 12 * 3
        low, high = ranks.interval()
        assert low <= ranks.over_all.mean() <= high
        assert 0 <= ranks.top10 <= ranks.top10_within <= 1
    assert found["most used first"]["full"].over_all.mean() == pytest.approx(37 / 72)  # all tied


def test_cca_finds_the_shared_direction():
    rng = np.random.default_rng(0)
    shared = rng.standard_normal((400, 1))
    queries = rng.standard_normal((400, 6)) + shared * rng.standard_normal((1, 6))
    keys = rng.standard_normal((400, 5)) + shared * rng.standard_normal((1, 5))
    cca = fit_cca(queries, keys)
    first = np.corrcoef(cca.query(queries)[:, 0], cca.key(keys)[:, 0])[0, 1]
    second = np.corrcoef(cca.query(queries)[:, 1], cca.key(keys)[:, 1])[0, 1]
    assert first > 0.7
    assert abs(second) < 0.3


def test_the_picture_of_the_keys(tmp_path):
    rows = np.random.default_rng(0).standard_normal((40, 8)).astype(np.float32)
    rows[:20, 3] += 10
    points = principal_components(rows)
    assert abs(np.corrcoef(points[:, 0], rows[:, 3])[0, 1]) > 0.99
    draw_keys(tmp_path / "keys.png", rows, ["electronic"] * 20 + ["acoustic"] * 19 + [None])
    assert (tmp_path / "keys.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(BadRequest, match="at least 3"):
        draw_keys(tmp_path / "few.png", rows[:2], ["electronic"] * 2)
