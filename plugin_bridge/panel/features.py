"""How a one-shot sounds, by seven measures that producers have words for (Lattner 2022, section 6.3, in part).

Brightness, noisiness and attack are measured as `samplefit analyse` does, over the first half second, so that length
is a measure of its own. The panel comes without the `train` extra, so they are written anew here; a test compares.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoders.audio import SAMPLE_RATE, FloatArray, to_mono
from plugin_bridge.panel.loudness import integrated_lufs


@dataclass(frozen=True)
class Measure:
    """One measure, and the words for its two ends.

    Attributes:
        name: what is measured, for the user.
        low, high: as in "a dark kick".
        lower, higher: as in "darker than most".
    """

    name: str
    low: str
    high: str
    lower: str
    higher: str


MEASURES = (
    Measure("brightness", "dark", "bright", "darker", "brighter"),
    Measure("low end", "thin", "full", "thinner", "fuller"),
    Measure("attack", "sharp", "soft", "sharper", "softer"),
    Measure("length", "short", "long", "shorter", "longer"),
    Measure("loudness", "quiet", "loud", "quieter", "louder"),
    Measure("noise", "tonal", "noisy", "more tonal", "noisier"),
    Measure("pitch", "low", "high", "lower", "higher"),
)

HEARD = round(0.5 * SAMPLE_RATE)
FFT, HOP = 2048, 512
LOW_END_HZ = 150.0
PITCHED_HZ = (30.0, 2000.0)
TONE = 0.3
"""Share of the energy within a semitone of the strongest partial, from which on a hit has a pitch: invented."""

LONG = 0.9
"""A hit is as long as it takes this share of its energy to come."""

_FLOOR = 1e-10
_WINDOW = np.hanning(FFT + 1)[:-1]
_HZ = np.fft.rfftfreq(FFT, 1 / SAMPLE_RATE)
_N_FINE = 1 << 16
_FINE_HZ = np.fft.rfftfreq(_N_FINE, 1 / SAMPLE_RATE)


def measure(samples: FloatArray) -> NDArray[np.float64]:
    """(7,) the measures of a hit, in the order of `MEASURES`; NaN for the pitch of one that has none.

    Args:
        samples: (T, C) float32 at 44.1 kHz, from the hit's beginning to its end; something sounds in it.

    Returns:
        Spectral centroid in Hz; share of energy below `LOW_END_HZ` in dB; log10 of the rise in s; seconds; LUFS;
        spectral flatness in dB; octaves above 1 Hz.
    """
    frames = np.zeros((HEARD, samples.shape[1]), np.float32)
    frames[: min(HEARD, len(samples))] = samples[:HEARD]
    heard = to_mono(frames).astype(np.float64)  # (22050,)
    size = _sizes(heard)  # (frames, 1025)
    power = size**2
    weights = power.sum(axis=1) + 1e-20
    centroid = (size @ _HZ) / np.maximum(size.sum(axis=1), _FLOOR)
    floored = np.maximum(power, _FLOOR)
    flatness = np.exp(np.log(floored).mean(axis=1)) / floored.mean(axis=1)
    low_share = power[:, _HZ < LOW_END_HZ].sum() / max(power.sum(), _FLOOR)
    energy = np.cumsum(to_mono(samples).astype(np.float64) ** 2)
    return np.array(
        [
            np.average(centroid, weights=weights),
            _db(low_share),
            np.log10(max(_rise_s(heard), 1e-4)),
            np.searchsorted(energy, LONG * energy[-1]) / SAMPLE_RATE,
            integrated_lufs(frames),
            _db(np.average(flatness, weights=weights)),
            _pitch(heard),
        ]
    )


def _sizes(heard: NDArray[np.float64]) -> NDArray[np.float64]:
    """(frames, 1025) magnitudes of frames centred every `HOP`, as librosa's."""
    padded = np.pad(heard, FFT // 2)
    rows = np.lib.stride_tricks.sliding_window_view(padded, FFT)[::HOP]
    return np.abs(np.fft.rfft(rows * _WINDOW, axis=1))


def _rise_s(heard: NDArray[np.float64]) -> float:
    """Time from 10 % to 90 % of the peak, by blocks of 32 samples."""
    block = 32
    level = np.abs(heard[: len(heard) // block * block]).reshape(-1, block).max(axis=1)
    peak = int(level.argmax())
    low, high = (int((level[: peak + 1] >= part * level[peak]).argmax()) for part in (0.1, 0.9))
    return (high - low + 1) * block / SAMPLE_RATE


def _pitch(heard: NDArray[np.float64]) -> float:
    """Octaves above 1 Hz of the strongest partial, where it carries enough of the energy; else NaN."""
    power = np.abs(np.fft.rfft(heard * np.hanning(len(heard)), _N_FINE)) ** 2
    sung = (PITCHED_HZ[0] <= _FINE_HZ) & (PITCHED_HZ[1] >= _FINE_HZ)
    hz = float(_FINE_HZ[np.where(sung, power, 0).argmax()])
    near = np.abs(np.log2(np.maximum(_FINE_HZ, 1.0) / max(hz, 1.0))) <= 1 / 12
    return float(np.log2(hz)) if hz and power[near].sum() >= TONE * power.sum() else float("nan")


def _db(ratio: float) -> float:
    return float(10 * np.log10(max(ratio, _FLOOR)))
