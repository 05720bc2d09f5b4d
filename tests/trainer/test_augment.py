"""Augmentation: each as strong as the paper says, on its own rows, the same for the same seed."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from trainer.augment import add_noise, augment, shift, stretch
from trainer.settings import Augment

RATE, T = 44_100, 176_400
OFF = Augment(0.0)


def sines(hz: list[float], level: float = 0.3) -> torch.Tensor:
    time_s = torch.arange(T) / RATE
    return torch.stack([level * torch.sin(2 * math.pi * f * time_s) for f in hz])


def only(**changes: float) -> Augment:
    """Everything at probability 1 and no strength but for what is named."""
    still = dict(noise_db=-math.inf, stretch_min=1.0, stretch_max=1.0, gain_min_db=0.0, shift_left_ms=0.0)
    return Augment(**{"probability": 1.0, **still, "shift_right_ms": 0.0, **changes})


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rms_db(audio: torch.Tensor) -> torch.Tensor:
    return 20 * audio.square().mean(dim=1).sqrt().log10()


def test_a_seed_gives_the_same_batch_bit_for_bit_and_leaves_its_input():
    audio = sines([100, 200, 300, 400])
    before = audio.clone()
    first = augment(audio, Augment(), generator(1))
    assert torch.equal(first, augment(audio, Augment(), generator(1)))
    assert not torch.equal(first, augment(audio, Augment(), generator(2)))
    assert torch.equal(audio, before)


def test_probability_nought_changes_nothing_and_half_changes_half():
    audio = sines([100.0] * 400)[:, :4096]
    assert torch.equal(augment(audio, OFF, generator()), audio)
    settings = replace(only(gain_min_db=-6.0), probability=0.5)
    changed = (augment(audio, settings, generator()) != audio).any(dim=1)
    assert 150 < int(changed.sum()) < 250


def test_noise_reaches_minus_12_db_of_each_rows_own_level_and_no_more():
    audio = torch.cat([sines([100.0] * 100, 0.3), sines([100.0] * 100, 0.003)])[:, :22_050]
    added = augment(audio, only(noise_db=-12.0), generator()) - audio
    relative = rms_db(added) - rms_db(audio)
    assert relative.max() < -11.9
    assert relative.max() > -13
    assert relative.min() < -30  # down to nothing


def test_noise_on_silence_is_silence():
    silence = torch.zeros(1, 1000)
    assert torch.equal(add_noise(silence, torch.ones(1, 1000), torch.ones(1)), silence)


def test_gain_only_lowers_by_at_most_6_db():
    audio = sines([100.0] * 200)[:, :4096]
    change = rms_db(augment(audio, only(gain_min_db=-6.0), generator())) - rms_db(audio)
    assert -6.01 < change.min() < -5.5
    assert -0.5 < change.max() < 0.01


def test_shift_moves_both_ways_within_its_bounds():
    clicks = torch.zeros(80, T)
    clicks[:, T // 2] = 1.0
    moved = augment(clicks, only(shift_left_ms=200.0, shift_right_ms=800.0), generator())
    by_ms = (moved.argmax(dim=1) - T // 2) * 1000 / RATE
    assert -200.1 < by_ms.min() < -170
    assert 770 < by_ms.max() < 800.1


def test_shift_fills_with_silence():
    row = torch.arange(1.0, 6.0)[None]
    assert shift(row.expand(3, 5), torch.tensor([2, -1, 0])).tolist() == [
        [0, 0, 1, 2, 3],
        [2, 3, 4, 5, 0],
        [1, 2, 3, 4, 5],
    ]


@pytest.mark.parametrize("rate", [0.9, 1.0, 1.15])
def test_stretch_keeps_the_pitch_and_moves_what_happens(rate):
    audio = sines([440.0, 1234.5])
    audio[:, 2 * RATE :] = 0  # the sound ends at 2 s
    out = stretch(audio, torch.tensor([rate, rate]))
    assert out.shape == audio.shape
    end = int(2 * RATE / rate)
    assert rms_db(out[:, end + 4096 :]).max() < -60
    body = out[:, 8192 : end - 8192]
    assert (rms_db(body) - rms_db(audio[:, 8192 : 2 * RATE - 8192])).abs().max() < 0.5
    peaks_hz = (
        torch.fft.rfft(body * torch.hann_window(body.shape[1])).abs().argmax(dim=1) * RATE / body.shape[1]
    )
    torch.testing.assert_close(peaks_hz, torch.tensor([440.0, 1234.5]), atol=1.5, rtol=0)


def test_stretch_at_its_own_tempo_is_exact_and_rows_do_not_meet():
    audio = torch.randn(3, T, generator=generator())
    torch.testing.assert_close(stretch(audio, torch.ones(3)), audio, atol=1e-5, rtol=0)
    together = stretch(audio, torch.tensor([0.9, 1.0, 1.1]))
    torch.testing.assert_close(stretch(audio[2:], torch.tensor([1.1])), together[2:], atol=1e-5, rtol=0)


def test_stretch_keeps_the_attack_of_a_one_shot():
    hit = torch.exp(-torch.arange(T) / 2000) * torch.randn(1, T, generator=generator())
    out = stretch(hit, torch.tensor([0.9]))
    assert out[0, :64].square().sum() > 0.5 * hit[0, :64].square().sum()
    assert torch.isfinite(out).all()
    assert torch.equal(stretch(torch.zeros(1, T), torch.tensor([1.1])), torch.zeros(1, T))
