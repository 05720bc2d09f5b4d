"""What the features say of sounds whose answer is known, and that they agree with the timbral models."""

from __future__ import annotations

import sys
import warnings

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encoders.audio import SAMPLE_RATE
from trainer import features
from trainer.features import FEATURES, LENGTH, PERCEPTUAL, describe
from trainer.sones import STEP_BARK, WINDOW, lufs, specific_loudness, to_target

TIME_S = np.arange(LENGTH) / SAMPLE_RATE


def tone(hz, spl_db=94.0, n=WINDOW):
    """(n,) a sine of a sound pressure level, a full-scale RMS of 1 being 100 dB."""
    return np.sqrt(2) * 10 ** ((spl_db - 100) / 20) * np.sin(2 * np.pi * hz * np.arange(n) / SAMPLE_RATE)


def hit(pitch_hz, noise, decay_s, seed=0):
    """(22050,) float32: a decaying sine with a share of noise."""
    rng = np.random.default_rng(seed)
    body = (1 - noise) * np.sin(2 * np.pi * pitch_hz * TIME_S + 1) + noise * rng.standard_normal(LENGTH)
    body *= np.exp(-TIME_S / decay_s)
    return (0.5 * body / np.abs(body).max()).astype(np.float32)


KICK, SNARE, HIHAT = hit(55, 0.02, 0.12), hit(190, 0.5, 0.07), np.diff(hit(190, 1.0, 0.03), prepend=0.0)


def value(sound, name):
    return describe(np.asarray(sound, np.float32))[FEATURES.index(name)]


def sone(samples):
    return float(specific_loudness(samples[None]).sum() * STEP_BARK)


@pytest.mark.parametrize(("spl_db", "expected"), [(40, 1.0), (60, 4.0), (80, 16.0)])
def test_a_tone_of_1_khz_and_40_db_is_one_sone_and_each_10_db_doubles_it(spl_db, expected):
    assert sone(tone(1000, spl_db)) == pytest.approx(expected, rel=0.15)


def test_the_ear_hears_3_khz_better_than_60_hz_and_a_whisper_below_its_threshold_not_at_all():
    assert sone(tone(3000, 60)) > sone(tone(1000, 60)) > sone(tone(60, 60))
    assert sone(tone(1000, -20)) == 0


def test_loudness_adds_up_over_critical_bands():
    one = tone(500, 60)
    assert sone(one + tone(2000, 60)) == pytest.approx(sone(one) + sone(tone(2000, 60)), rel=0.2)


def test_a_full_scale_sine_of_997_hz_is_minus_3_lufs():
    sine = np.sin(2 * np.pi * 997 * np.arange(SAMPLE_RATE) / SAMPLE_RATE)
    assert lufs(sine) == pytest.approx(-3.01, abs=0.1)
    assert lufs(to_target(0.001 * sine)) == pytest.approx(-24, abs=0.01)
    assert np.abs(to_target(np.eye(1, 4096)[0])).max() == pytest.approx(1.0), (
        "a click is brought to a peak of 1"
    )


@pytest.mark.parametrize(
    ("name", "more", "less"),
    [
        ("boominess", KICK, HIHAT),
        ("brightness", HIHAT, KICK),
        ("depth", KICK, SNARE),
        ("hardness", SNARE, KICK),
        ("roughness", tone(1000, n=LENGTH) + tone(1070, n=LENGTH), tone(1000, n=LENGTH)),
        ("warmth", KICK, HIHAT),
        ("loudness", SNARE, 0.1 * SNARE),
        ("sharpness", HIHAT, KICK),
        ("log attack time", KICK * np.minimum(1, TIME_S / 0.05), KICK),
        ("spectral centroid", HIHAT, SNARE),
        ("spectral bandwidth", SNARE, KICK),
        ("spectral contrast", tone(400, n=LENGTH), SNARE),
        ("spectral flatness", HIHAT, KICK),
        ("spectral rolloff", HIHAT, KICK),
    ],
)
def test_each_feature_tells_the_sounds_apart_that_it_is_named_for(name, more, less):
    assert value(more, name) > value(less, name)


def test_only_loudness_hears_the_level():
    loud, soft = describe(SNARE), describe(0.25 * SNARE)
    differing = {name for name, a, b in zip(FEATURES, loud, soft, strict=True) if abs(a - b) > 1e-2 * abs(a)}
    assert differing == {"loudness"}


@settings(max_examples=12)
@given(st.integers(1, 60_000), st.floats(-5, 0), st.integers(0, 2**32 - 1))
def test_any_sound_has_finite_features(n_samples, level, seed):
    sound = 10**level * np.random.default_rng(seed).uniform(-1, 1, n_samples)
    assert np.isfinite(describe(sound.astype(np.float32))).all()


@pytest.fixture(scope="module")
def oracle():
    """timbral_models 0.4.0, with the two calls of librosa and numpy that it makes in their old form."""
    patch = pytest.MonkeyPatch()
    patch.setattr(np.lib, "pad", np.pad, raising=False)
    for name in ("onset_strength", "onset_detect"):
        new = getattr(librosa.onset, name)
        patch.setattr(
            librosa.onset, name, lambda y=None, sr=SAMPLE_RATE, new=new, **rest: new(y=y, sr=sr, **rest)
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        models = pytest.importorskip("timbral_models", reason="timbral_models is not installed")
        yield models
    patch.undo()


def judged(models, sound):
    """The oracle's values in the order of PERCEPTUAL, loudness left out."""
    sound = sound.astype(np.float64)
    calls = (models.timbral_booming, models.timbral_brightness, models.timbral_depth, models.timbral_hardness,
             models.timbral_roughness, models.timbral_warmth, models.timbral_sharpness)  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [call(sound, fs=SAMPLE_RATE) for call in calls]


def test_they_agree_with_the_timbral_models(oracle):
    sounds = [hit(hz, noise, decay, seed) for seed, (hz, noise, decay) in enumerate(
        [(55, 0.02, 0.12), (90, 0.1, 0.08), (140, 0.2, 0.15), (190, 0.5, 0.07), (240, 0.7, 0.1), (330, 0.3, 0.05),
         (190, 1.0, 0.03), (6000, 0.8, 0.2)]
    )]  # fmt: skip
    theirs = np.array([judged(oracle, sound) for sound in sounds])  # (8, 7)
    rows = [row for row, name in enumerate(PERCEPTUAL) if name != "loudness"]
    ours = np.array([describe(sound) for sound in sounds])[:, rows]
    agreement = [np.corrcoef(a, b)[0, 1] for a, b in zip(ours.T, theirs.T, strict=True)]
    least = dict(
        boominess=0.9, brightness=0.95, depth=0.9, hardness=0.85, roughness=0.85, warmth=0.93, sharpness=0.95
    )
    found = dict(zip(least, agreement, strict=True))
    assert all(found[name] >= least[name] for name in least), found


def test_the_total_loudness_agrees_with_their_tables(oracle):
    theirs = sys.modules["timbral_models.timbral_util"].specific_loudness
    rng = np.random.default_rng(0)
    windows = [tone(1000, 70), tone(200, 80) + tone(3000, 60), 0.05 * rng.standard_normal(WINDOW)]
    for window in windows:
        assert sone(window) == pytest.approx(theirs(window, 100.0, SAMPLE_RATE, 0)[0], rel=0.12)


def test_the_order_of_names_is_that_of_values():
    assert len(FEATURES) == len(describe(SNARE)) == len(features.PERCEPTUAL) + len(features.SPECTRAL)
