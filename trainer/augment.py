"""Augmentation of queries and keys, in batches, on the device that trains (Lattner 2022, section 5).

Every draw comes from the generator that is passed in, and nothing below depends on the order in which a device adds
floats, so a seed gives the same batch bit for bit on the same device.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from encoders.audio import SAMPLE_RATE
from trainer.settings import Augment

N_FFT, HOP = 2048, 512
AT_ONCE = {"cpu": 1}
"""Rows that are stretched at once, elsewhere 64: measured on a CPU, where 32 took four times as long a row."""

_TURN = 1 << 32
"""Steps in a turn of phase, as integers: their running sum is exact in any order, and wraps as phases do."""


def augment(audio: Tensor, settings: Augment, generator: torch.Generator) -> Tensor:
    """Noise, time stretch, gain and shift, in the paper's order, each with its probability for each row by itself.

    Args:
        audio: (B, T) float32.
        generator: on the device of `audio`.

    Returns:
        (B, T) float32; what a stretch or a shift leaves empty is silent.
    """
    n_rows = len(audio)
    chance = torch.rand(4, n_rows, generator=generator, device=audio.device) < settings.probability  # (4, B)
    amount = torch.rand(4, n_rows, generator=generator, device=audio.device)  # (4, B) in [0, 1)
    noise = torch.randn(audio.shape, generator=generator, device=audio.device)  # (B, T)
    audio = add_noise(audio, noise, amount[0] * chance[0] * 10 ** (settings.noise_db / 20))
    rates = settings.stretch_min + amount[1] * (settings.stretch_max - settings.stretch_min)  # (B,)
    stretched = (chance[1] & (rates != 1)).nonzero()[:, 0]
    if len(stretched):
        audio = audio.index_copy(0, stretched, stretch(audio[stretched], rates[stretched]))
    audio = audio * 10 ** (amount[2] * chance[2] * settings.gain_min_db / 20)[:, None]
    span_ms = settings.shift_left_ms + settings.shift_right_ms
    shift_ms = (amount[3] * span_ms - settings.shift_left_ms) * chance[3]  # (B,)
    return shift(audio, (shift_ms * SAMPLE_RATE / 1000).round().long())


def add_noise(audio: Tensor, noise: Tensor, level: Tensor) -> Tensor:
    """Adds noise at a share of the signal's own level.

    "Up to -12 dB" is read as relative to the RMS of the window, since stems differ by more than that in level and a
    fixed level would drown the soft ones; and as uniform in amplitude from nothing up, which needs no lower bound.

    Args:
        audio: (B, T). noise: (B, T), of variance 1. level: (B,), RMS of the noise over that of the signal.
    """
    rms = audio.square().mean(dim=1).sqrt()  # (B,)
    return audio + noise * (rms * level)[:, None]


def shift(audio: Tensor, n_samples: Tensor) -> Tensor:
    """Moves each row (B, T) by its (B,) int64 samples, later where positive; what it leaves is silent."""
    length = audio.shape[1]
    source = torch.arange(length, device=audio.device) - n_samples[:, None]  # (B, T)
    moved = audio.gather(1, source.clamp(0, length - 1))
    return torch.where((source >= 0) & (source < length), moved, 0.0)


def stretch(audio: Tensor, rates: Tensor) -> Tensor:
    """Time stretch without change of pitch by a phase-locked vocoder, all rows at once, each at its own rate.

    A vocoder softens attacks in the midst of a window a little; the attack at its beginning, where a one-shot has
    it, keeps its phases. In return a batch costs a GPU milliseconds; better stretchers cost a CPU core 25 to 100 ms
    a row. The bins about a spectral peak keep their phases relative to it (Laroche and Dolson 1999), without which
    half of the energy is lost.

    Args:
        audio: (B, T) float32.
        rates: (B,), tempo against the original; above 1 is faster and leaves silence at the end.

    Returns:
        (B, T) float32.
    """
    n_rows = AT_ONCE.get(audio.device.type, 64)
    parts = zip(audio.split(n_rows), rates.split(n_rows), strict=True)
    return torch.cat([_stretch(part, rate) for part, rate in parts])


def _stretch(audio: Tensor, rates: Tensor) -> Tensor:
    """`stretch` of so few rows that their spectra fit into the memory nearest to the processor."""
    length = audio.shape[1]
    window = torch.hann_window(N_FFT, device=audio.device)
    spectrum = torch.stft(audio, N_FFT, HOP, window=window, pad_mode="constant", return_complex=True)
    spectrum = torch.nn.functional.pad(spectrum.transpose(1, 2), (0, 0, 0, 2))  # (B, N + 2, F)
    size, turns = spectrum.abs(), _turns(spectrum)
    n_frames = spectrum.shape[1] - 2
    place = torch.arange(n_frames, device=audio.device) * rates[:, None]  # (B, N) in frames of the source
    before = place.long().clamp(max=n_frames)
    nearer = (place - before).clamp(0, 1)[..., None]  # (B, N, 1)
    rows = torch.arange(len(audio), device=audio.device)[:, None]
    steps = (
        turns[rows, before + 1] - turns[rows, before]
    )  # (B, N, F) from one frame of the source to the next
    phase = torch.cat([turns[:, :1], steps[:, :-1]], dim=1).cumsum(dim=1)
    size = torch.lerp(size[rows, before], size[rows, before + 1], nearer)
    peak = _nearest_peak(size)
    there = turns[rows, (place + 0.5).long().clamp(max=n_frames)]  # (B, N, F)
    phase = phase.gather(2, peak) + there - there.gather(2, peak)
    angle = (phase & (_TURN - 1)).float() * (2 * math.pi / _TURN)
    frames = torch.fft.irfft(torch.polar(size, angle), dim=2) * window  # (B, N, 2048)
    return _overlap(frames, length) / _weight(n_frames, length, audio.device)


def _nearest_peak(size: Tensor) -> Tensor:
    """(B, N, F) magnitudes → (B, N, F) int64: for each bin the nearest one that exceeds its two neighbours a side."""
    n_bins = size.shape[2]
    bins = torch.arange(n_bins, device=size.device, dtype=torch.int32).expand_as(size)
    highest = torch.nn.functional.max_pool1d(size.flatten(0, 1), 5, 1, 2).view_as(size)
    is_peak = size == highest
    below = torch.where(is_peak, bins, -n_bins).cummax(dim=2).values
    above = torch.where(is_peak, bins, 2 * n_bins).flip(2).cummin(dim=2).values.flip(2)
    return torch.where(bins - below <= above - bins, below, above).long()


def _turns(spectrum: Tensor) -> Tensor:
    """The phases of a complex tensor as int64, `_TURN` steps a turn."""
    return (spectrum.angle() * (_TURN / (2 * math.pi))).round().long()


def _overlap(frames: Tensor, length: int) -> Tensor:
    """Adds up frames (B, N, 2048), a hop apart and centred, to (B, length), in a fixed order."""
    n_rows, n_frames, _ = frames.shape
    n_parts = N_FFT // HOP
    parts = frames.reshape(n_rows, n_frames, n_parts, HOP)
    total = frames.new_zeros(n_rows, n_frames + n_parts - 1, HOP)
    for part in range(n_parts):
        total[:, part : part + n_frames] += parts[:, :, part]
    return total.reshape(n_rows, -1)[:, N_FFT // 2 : N_FFT // 2 + length]


@lru_cache(maxsize=8)
def _weight(n_frames: int, length: int, device: torch.device) -> Tensor:
    """(1, length): what the two Hann windows of analysis and synthesis add up to."""
    squares = torch.hann_window(N_FFT, device=device).square().expand(1, n_frames, -1)
    return _overlap(squares, length).clamp(min=1e-3)
