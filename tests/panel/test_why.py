"""What is said of a hit is what is measured, against what it says, and as the trainer's analysis measures it."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import SAMPLE_RATE
from hypothesis import given
from hypothesis import strategies as st

from encoders.audio import read_frames
from plugin_bridge.panel.features import MEASURES, measure
from plugin_bridge.panel.one_shots import Shelf
from plugin_bridge.panel.why import (
    N_AGAINST,
    Leaning,
    Trait,
    Yardstick,
    leanings,
    traits,
    yardstick,
)

PLACE = {each.name: n for n, each in enumerate(MEASURES)}


def hit(hz=200.0, seconds=0.3, level=0.5, noise=0.0, rise_s=0.0, seed=0):
    """(T, 1): a decaying tone with some noise, that rises for a while first."""
    n = round(seconds * SAMPLE_RATE)
    time_s = np.arange(n) / SAMPLE_RATE
    rng = np.random.default_rng(seed)
    sound = (1 - noise) * np.sin(2 * np.pi * hz * time_s) + noise * rng.standard_normal(n)
    shape = np.minimum(1, time_s / rise_s if rise_s else 1) * np.exp(-4 * time_s / seconds)
    return (level * sound * shape).astype(np.float32)[:, None]


@pytest.mark.parametrize(
    ("name", "less", "more"),
    [
        ("brightness", {"hz": 200}, {"hz": 3000}),
        ("low end", {"hz": 1000}, {"hz": 60}),
        ("attack", {"rise_s": 0.002}, {"rise_s": 0.08}),
        ("length", {"seconds": 0.1}, {"seconds": 1.5}),
        ("loudness", {"level": 0.1}, {"level": 0.4}),
        ("noise", {"noise": 0.0}, {"noise": 0.8}),
        ("pitch", {"hz": 110}, {"hz": 220}),
    ],
)
def test_each_measure_rises_with_what_it_is_called(name, less, more):
    low, high = measure(hit(**less)), measure(hit(**more))
    assert high[PLACE[name]] > low[PLACE[name]]


def test_measures_are_in_their_units():
    values = dict(zip(PLACE, measure(hit(220.0, 1.0)), strict=True))
    assert 2 ** values["pitch"] == pytest.approx(220, rel=0.01)
    assert values["length"] == pytest.approx(
        np.log(10) / 8, abs=0.02
    )  # where exp(-8 t) has given nine tenths
    louder = dict(zip(PLACE, measure(hit(220.0, 1.0, level=0.25)), strict=True))
    assert values["loudness"] - louder["loudness"] == pytest.approx(6.02, abs=0.05)


def test_noise_has_no_pitch_and_stereo_changes_no_word():
    assert np.isnan(measure(hit(noise=1.0))[PLACE["pitch"]])
    mono = hit(150.0)
    assert np.allclose(measure(mono), measure(np.repeat(mono, 2, axis=1)), equal_nan=True)


def test_what_the_analysis_measures_too_is_the_same(sounds):
    trained = pytest.importorskip("trainer.features", reason="the train extra is not installed")
    paths = sorted((sounds / "samples").rglob("*.wav"))[::3]
    rise, centroid, *_, flatness, _ = np.transpose(
        [trained.spectral(trained._half_second(read_frames(path)[:, 0])) for path in paths]
    )
    ours = np.array([measure(read_frames(path)) for path in paths])
    assert ours[:, PLACE["brightness"]] == pytest.approx(centroid, rel=1e-3)
    assert ours[:, PLACE["attack"]] == pytest.approx(rise, abs=1e-6)
    assert ours[:, PLACE["noise"]] == pytest.approx(10 * np.log10(flatness), abs=0.01)


def ruler(n=100, **columns):
    """A yardstick of noise, but for the measures given by name; scores are 0 to 1."""
    values = np.random.default_rng(1).standard_normal((n, len(MEASURES)))
    for name, column in columns.items():
        values[:, PLACE[name]] = column
    return Yardstick(values, np.linspace(0, 1, n, dtype=np.float32), n)


def test_what_goes_with_the_score_is_found_and_noise_is_not():
    falls = 10 - np.linspace(0, 1, 100) ** 3
    assert leanings(ruler(brightness=falls)) == [Leaning(PLACE["brightness"], pytest.approx(-1.0))]
    assert leanings(ruler()) == []


def test_chance_is_hardly_ever_taken_for_a_preference():
    """Three standard errors: one in 370 by chance."""
    rng = np.random.default_rng(4)
    found = sum(
        len(leanings(Yardstick(rng.standard_normal((100, 7)), rng.random(100).astype(np.float32), 100)))
        for _ in range(300)
    )
    assert found < 18, "2,100 were looked at"


def test_a_hit_that_leans_with_the_mix_is_told_of_first():
    against = ruler(brightness=np.linspace(100, 0, 100))
    (dark,) = leanings(against)
    values = np.median(against.values, axis=0)
    values[PLACE["brightness"]], values[PLACE["length"]] = 10.5, 99.0
    told = traits(values, against, [dark])
    assert told == [
        Trait(PLACE["brightness"], False, pytest.approx(0.89, abs=0.02), True),
        Trait(PLACE["length"], True, 1.0, False),
    ]
    values[PLACE["brightness"]] = 99.5
    assert told[0] not in traits(values, against, [dark])
    assert not any(trait.favoured for trait in traits(values, against, [dark])), "it leans the other way"


def test_too_few_to_compare_with_say_nothing():
    few = ruler(8, brightness=np.arange(8.0))
    assert leanings(few) == [] and traits(np.full(7, 50.0), few, []) == []


@given(st.lists(st.floats(-5, 5), min_size=7, max_size=7))
def test_no_more_is_told_than_holds(values):
    against = ruler()
    for trait in traits(np.array(values), against, [Leaning(0, 0.5)]):
        others = against.values[:, trait.measure]
        beyond = others < values[trait.measure] if trait.high else others > values[trait.measure]
        assert trait.beyond == pytest.approx(beyond.mean()) and trait.beyond >= 2 / 3


def test_the_yardstick_is_drawn_by_content_and_stays_when_the_library_grows(sounds):
    paths = tuple(map(str, sorted((sounds / "samples" / "kick").glob("*.wav"))))
    contents = np.random.default_rng(2).integers(0, 256, (len(paths), 16), np.uint8)

    def shelf(n):
        return Shelf(
            1, "m", paths[:n], np.eye(n, 8, dtype=np.float32), np.zeros(n, np.uint8), np.ones(n, np.float32),
            np.zeros(n, np.bool_), contents[:n],
        )  # fmt: skip

    query = np.arange(8, dtype=np.float32)
    few, all_ = yardstick(shelf(4), "kick", query), yardstick(shelf(5), "kick", query)
    assert len(few.values) == 4 and all_.n_all == 5 <= N_AGAINST
    assert {float(score) for score in few.scores} == {0.0, 1.0, 2.0, 3.0} < {float(s) for s in all_.scores}
    copies = Shelf(**{**vars(shelf(5)), "contents": np.zeros((5, 16), np.uint8)})
    assert len(yardstick(copies, "kick", None).values) == 1, "equal files count once"
    assert len(yardstick(shelf(5), "snare", query).values) == 0
