import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from packages import make_package

from encoders.calibration import MIN_OTHERS, Calibration, standings
from encoders.errors import NoModel
from encoders.package import read_card

CALIBRATION = {
    "offset": -2.0,
    "slope": 2.0,
    "most": 3.0,
    "corpus": "0" * 64,
    "split": "eval",
    "n_songs": 30,
    "n_presses": 240,
}


def test_among_many_a_standing_is_the_distance_in_deviations():
    scores = np.random.default_rng(0).normal(0.3, 0.1, 20_000).astype(np.float32)
    own = np.array([0.0, 0.3, 0.5, 0.6], np.float32)
    found = standings(own, np.concatenate([scores, own]))
    np.testing.assert_allclose(found, [-3, 0, 2, 3], atol=0.05)


@pytest.mark.parametrize("n_others", [MIN_OTHERS, 12, 40])
def test_among_few_it_is_the_normal_deviate_of_the_same_probability(n_others):
    stats = pytest.importorskip("scipy.stats")
    others = np.random.default_rng(n_others).normal(0, 0.2, n_others)
    for own in (-0.6, -0.1, 0.3, 0.7):
        found = standings([own], np.append(others, own))[0]
        t = (own - others.mean()) / (others.std(ddof=1) * np.sqrt(1 + 1 / n_others))
        expected = stats.norm.ppf(stats.t.cdf(t, n_others - 1))
        assert found == pytest.approx(expected, abs=0.03)


@given(
    st.lists(st.floats(-0.4, 0.4), min_size=MIN_OTHERS + 1, max_size=40, unique=True),
    st.floats(0.2, 2),
    st.floats(-0.2, 0.2),
)
def test_neither_the_level_nor_the_spread_of_a_press_matters(scores, spread, level):
    scores = np.array(scores)
    moved = standings(level + spread * scores, level + spread * scores)
    here = standings(scores, scores)
    told = np.isfinite(here) & np.isfinite(moved)
    np.testing.assert_allclose(moved[told], here[told], atol=1e-3)
    assert (np.diff(here[told][np.argsort(scores[told])]) > -1e-9).all(), "the order of the scores is kept"


def test_too_few_or_equal_others_tell_nothing():
    few = np.linspace(0, 1, MIN_OTHERS)
    assert np.isnan(standings(few, few)).all()
    alike = np.full(100, np.float32(0.1))
    assert np.isnan(standings(alike[:2], alike)).all()
    assert np.isnan(standings([0.9], np.append(alike, 0.9))).all(), "one that differs from a hundred copies"
    assert np.isfinite(standings(alike[:1], np.append(alike, [0.2, 0.9]))).all()


def test_a_fit_rises_with_the_standing_up_to_what_was_seen():
    calibration = Calibration(**CALIBRATION)
    fits = calibration.fit(np.array([-9.0, 0.0, 1.0, 2.0, 3.0, 9.0, np.nan]))
    np.testing.assert_allclose(fits[1:4], 1 / (1 + np.exp([2.0, 0.0, -2.0])))
    assert fits[0] < 1e-6 and fits[4] == fits[5] and np.isnan(fits[6])


def test_a_card_carries_its_calibration(tmp_path):
    folder = make_package(tmp_path / "model")
    assert read_card(folder).calibration is None
    write(folder, CALIBRATION)
    assert read_card(folder).calibration == Calibration(**CALIBRATION)
    write(folder, None)
    assert read_card(folder).calibration is None


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ([], r"model\.json: calibration: found \[\]; expected a table"),
        ({}, r"calibration: offset: found nothing"),
        ({**CALIBRATION, "slope": "steep"}, r"calibration: slope: found 'steep'; expected a number"),
        ({**CALIBRATION, "slopes": 1.0}, r"calibration: slopes: found an unknown key; expected slope"),
        (
            {**CALIBRATION, "slope": -1.0},
            r"calibration: found .*-1\.0.*; expected finite numbers, slope from 0",
        ),
        ({**CALIBRATION, "most": float("nan")}, r"calibration: found .*nan.*; expected finite numbers"),
    ],
)
def test_a_wrong_calibration_is_refused(tmp_path, table, says):
    folder = make_package(tmp_path / "model")
    write(folder, table)
    with pytest.raises(NoModel, match=says):
        read_card(folder)


def write(folder, table):
    card = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**card, "calibration": table}))
