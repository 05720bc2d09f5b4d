"""Calibration: the stated share is the observed one, on songs that the curve was not fitted to."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from packages import make_package

from encoders.calibration import MIN_OTHERS
from encoders.package import open_package, read_card
from encoders.session import open_encoder
from trainer.calibrate import (
    MIN_SONGS,
    Evidence,
    calibrate,
    calibrate_package,
    fit_curve,
    gather,
    reliability,
)
from trainer.corpus import Corpus
from trainer.prepare import prepare

N_SONGS = 2 * (MIN_OTHERS + 6)


def evidence(known: float, seed: int = 0, n: int = 20_000, n_songs: int = 40) -> Evidence:
    """Own one-shots that stand `known` deviations above strangers: their true log odds are known * (z - known / 2)."""
    rng = np.random.default_rng(seed)
    stood = np.concatenate([rng.normal(known, 1, n), rng.normal(0, 1, n)])
    return Evidence(stood, np.arange(2 * n) < n, np.full(2 * n, n_songs / n), n_songs, n)


@pytest.mark.parametrize("known", [0.5, 1.5, 2.5])
def test_the_curve_is_the_true_odds(known):
    found = fit_curve(evidence(known, n_songs=4000), "", "eval")
    assert found.slope == pytest.approx(known, abs=0.1)
    assert found.offset == pytest.approx(-(known**2) / 2, abs=0.1)
    assert found.most == pytest.approx(known + 1.645, abs=0.1)
    for row in reliability(found, evidence(known, seed=1)):
        assert row.n_own < 200 or row.stated == pytest.approx(row.observed, abs=0.05)


def test_few_songs_make_a_flatter_curve():
    many, few = (fit_curve(evidence(2.0, n_songs=n), "", "eval").slope for n in (400, 8))
    assert 0.5 * many < few < 0.95 * many


@pytest.mark.parametrize("known", [0.0, -1.0])
def test_a_model_that_knows_nothing_gives_all_the_same(known):
    found = fit_curve(evidence(known), "", "eval")
    np.testing.assert_allclose(found.fit(np.linspace(-3, 3, 7)), 0.5, atol=0.1 if known == 0 else 0)


def test_a_song_has_one_vote_however_many_one_shots_it_has(corpus, encoder):
    found = gather(encoder, corpus, "eval")
    assert found.n_songs == N_SONGS // 2
    for side in (found.own, ~found.own):
        assert found.weights[side].sum() == pytest.approx(found.n_songs)


def test_what_is_stated_of_other_songs_holds(corpus, package):
    calibration = calibrate_package(package, corpus)
    assert read_card(package).calibration == calibration
    assert (calibration.split, calibration.corpus) == ("eval", corpus.digest)
    assert calibration.slope > 0.5, "the model hears the song's tone in its drums"
    opened = open_encoder(open_package(package), "cpu", 1)
    rows = reliability(calibration, gather(opened, corpus, "test"))
    assert rows[0].observed < 0.4 and rows[-1].observed > 0.75
    n_own = np.array([row.n_own for row in rows])
    wrong = np.array([abs(row.stated - row.observed) for row in rows])
    assert np.average(wrong, weights=n_own) < 0.12


def test_calibrating_changes_nothing_else_on_the_card(corpus, package):
    before = json.loads((package / "model.json").read_text())
    calibrate_package(package, corpus)
    after = json.loads((package / "model.json").read_text())
    assert {**before, "calibration": None} == {**after, "calibration": None} and after["calibration"]


def test_too_few_songs_take_a_calibration_away_that_is_no_longer_true(corpus, package, small_corpus):
    calibrate_package(package, corpus)
    assert calibrate_package(package, small_corpus) is None
    assert read_card(package).calibration is None


def test_songs_without_enough_strangers_make_no_calibration(corpus, encoder):
    few = replace(
        corpus,
        songs=tuple(
            replace(song, split="eval" if row < MIN_SONGS else "train")
            for row, song in enumerate(corpus.songs)
        ),
    )
    assert MIN_SONGS <= MIN_OTHERS and calibrate(encoder, few) is None


@pytest.fixture(scope="module")
def corpus(songs, tmp_path_factory) -> Corpus:
    """Songs whose tracks, drums included, all ring at a pitch of the song's own; half eval, half test."""
    folder = tmp_path_factory.mktemp("calibrate")
    for row in range(N_SONGS):
        song = songs.make_song(
            folder / "stems" / f"song{row:02}",
            seconds=4.0,
            seed=row,
            stems=("kick", "hihat", "bass", "keys"),
            facts=f'origin = "electronic"\nside = "{("eval", "test")[row % 2]}"\n',
        )
        pitch_hz = 150 * 1.25 ** np.random.default_rng([9, row]).uniform(0, 18)
        for path in song.folder.glob("*.wav"):
            samples = soundfile.read(path)[0]
            ringing = np.abs(samples) * np.sin(2 * np.pi * pitch_hz * np.arange(len(samples)) / songs.RATE)
            songs.write(path, 0.02 * samples + 0.9 * ringing)
    prepare(folder / "stems", folder / "corpus", n_workers=1)
    return Corpus.open(folder / "corpus")


@pytest.fixture
def package(tmp_path):
    return make_package(tmp_path / "model", dim=64)


@pytest.fixture
def encoder(package):
    return open_encoder(open_package(package), "cpu", 1)
