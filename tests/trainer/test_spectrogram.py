"""The two-stage transform against librosa's, and both ways to level."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch

from encoders.windows import WINDOW
from trainer.spectrogram import N_FRAMES, HitMel, PowerMel, log_level, peak_level


@pytest.fixture(scope="module")
def audio() -> torch.Tensor:
    """(3, 176400): noise, a padded hit, a low and a high sine."""
    rng = torch.Generator().manual_seed(0)
    rows = 0.1 * torch.randn(3, WINDOW, generator=rng)
    rows[1, 9000:] = 0
    time_s = torch.arange(WINDOW) / 44_100
    rows[2] = 0.5 * torch.sin(2 * np.pi * 55 * time_s) + 0.1 * torch.sin(2 * np.pi * 17_000 * time_s)
    return rows


def test_it_is_librosas_mel_spectrogram(audio):
    ours = PowerMel()(audio).numpy()
    assert ours.shape == (3, 128, N_FRAMES)
    for row, found in zip(audio.numpy(), ours, strict=True):
        expected = librosa.feature.melspectrogram(
            y=row, sr=44_100, n_fft=2048, hop_length=512, n_mels=128, fmax=22_050, pad_mode="reflect"
        )
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5 * expected.max())


@pytest.mark.parametrize(
    "last", [0, 1, 511, 512, 1023, 1024, 9000, WINDOW - 1025, WINDOW - 513, WINDOW - 1, None]
)
def test_the_silence_behind_hits_is_left_out_and_nothing_else(last):
    rows = torch.zeros(2, WINDOW)
    if last is not None:
        rows[0, last], rows[1, last // 2] = 1.0, -1.0
    whole, hit = PowerMel()(rows), HitMel()(rows)
    assert hit.shape == whole.shape == (2, 128, N_FRAMES)
    torch.testing.assert_close(hit, whole, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("level", [log_level, peak_level])
def test_levels_stay_within_0_and_1(audio, level):
    image = level(PowerMel()(audio), 1e-8)
    assert image.min() >= 0 and image.max() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("level", [log_level, peak_level])
def test_silence_is_black(level):
    assert (level(torch.zeros(2, 128, 5), 1e-8) == 0).all()


def test_peak_level_knows_no_gain(audio):
    power = PowerMel()(audio)
    torch.testing.assert_close(peak_level(power, 1e-6), peak_level(0.01 * power, 1e-6), atol=1e-4, rtol=0)
