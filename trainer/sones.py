"""Loudness as ears have it: Zwicker's method (DIN 45631, ISO 532 B) on short windows of sound.

Source: the tables of DIN 45631 as in Zwicker, Fastl et al., J. Acoust. Soc. Jpn. (E) 12, 1 (1991). The
third-octave levels come from an FFT in place of filters, and all windows go through the tables at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from encoders.audio import SAMPLE_RATE, FloatArray

FloatArray64 = NDArray[np.float64]

WINDOW = 4096
FULL_SCALE_DB = 100.0
"""Sound pressure level of a full-scale RMS of 1; Pearce's timbral models assume the same."""

TARGET_LUFS = -24.0
STEP_BARK = 0.1
N_STEPS = 240

_CENTRES_HZ = 1000 * 10 ** ((np.arange(28) - 16) / 10)  # 25 Hz to 12.5 kHz
_RANGE_DB = np.array([45, 55, 65, 71, 80, 90, 100, 120])
_EQUAL_DB = np.array(
    [
        [-32, -24, -16, -10, -5, 0, -7, -3, 0, -2, 0],
        [-29, -22, -15, -10, -4, 0, -7, -2, 0, -2, 0],
        [-27, -19, -14, -9, -4, 0, -6, -2, 0, -2, 0],
        [-25, -17, -12, -9, -3, 0, -5, -2, 0, -2, 0],
        [-23, -16, -11, -7, -3, 0, -4, -1, 0, -1, 0],
        [-20, -14, -10, -6, -3, 0, -4, -1, 0, -1, 0],
        [-18, -12, -9, -6, -2, 0, -3, -1, 0, -1, 0],
        [-15, -10, -8, -4, -2, 0, -3, -1, 0, -1, 0],
    ]
)
"""Equal-loudness corrections of the 11 lowest third octaves, a row for each range of levels."""
_QUIET_DB = np.array([30, 18, 12, 8, 7, 6, 5, 4] + 12 * [3])
_EAR_DB = np.array([0] * 10 + [-0.5, -1.6, -3.2, -5.4, -5.6, -4, -1.5, 2, 5, 12])
_BAND_DB = np.array(
    [-0.25, -0.6, -0.8, -0.8, -0.5, 0, 0.5, 1.1, 1.5, 1.7, 1.8, 1.8, 1.7, 1.6, 1.4, 1.2, 0.8, 0.5, 0, -0.5]
)
_UPPER_BARK = np.array(
    [
        0.9,
        1.8,
        2.8,
        3.5,
        4.4,
        5.4,
        6.6,
        7.9,
        9.2,
        10.6,
        12.3,
        13.8,
        15.2,
        16.7,
        18.1,
        19.3,
        20.6,
        21.8,
        22.7,
        23.6,
        24,
    ]
)
_SLOPE_ABOVE = np.array(
    [21.5, 18, 15.1, 11.5, 9, 6.1, 4.4, 3.1, 2.13, 1.36, 0.82, 0.42, 0.30, 0.22, 0.15, 0.10, 0.035, 0]
)
_SLOPES = np.array(
    [
        [13.0, 8.2, 6.3, 5.5, 5.5, 5.5, 5.5, 5.5],
        [9.0, 7.5, 6.0, 5.1, 4.5, 4.5, 4.5, 4.5],
        [7.8, 6.7, 5.6, 4.9, 4.4, 3.9, 3.9, 3.9],
        [6.2, 5.4, 4.6, 4.0, 3.5, 3.2, 3.2, 3.2],
        [4.5, 3.8, 3.6, 3.2, 2.9, 2.7, 2.7, 2.7],
        [3.7, 3.0, 2.8, 2.35, 2.2, 2.2, 2.2, 2.2],
        [2.9, 2.3, 2.1, 1.9, 1.8, 1.7, 1.7, 1.7],
        [2.4, 1.7, 1.5, 1.35, 1.3, 1.3, 1.3, 1.3],
        [1.95, 1.45, 1.3, 1.15, 1.1, 1.1, 1.1, 1.1],
        [1.5, 1.2, 0.94, 0.86, 0.82, 0.82, 0.82, 0.82],
        [0.72, 0.67, 0.64, 0.63, 0.62, 0.62, 0.62, 0.62],
        [0.59, 0.53, 0.51, 0.50, 0.42, 0.42, 0.42, 0.42],
        [0.40, 0.33, 0.26, 0.24, 0.24, 0.22, 0.22, 0.22],
        [0.27, 0.21, 0.20, 0.18, 0.17, 0.17, 0.17, 0.17],
        [0.16, 0.15, 0.14, 0.12, 0.11, 0.11, 0.11, 0.11],
        [0.12, 0.11, 0.10, 0.08, 0.08, 0.08, 0.08, 0.08],
        [0.09, 0.08, 0.07, 0.06, 0.06, 0.06, 0.06, 0.05],
        [0.06, 0.05, 0.03, 0.02, 0.02, 0.02, 0.02, 0.02],
    ]
)
"""Sone/Bark that masking falls by in a Bark: a row a range of loudness, a column a band."""


def specific_loudness(windows: FloatArray) -> FloatArray64:
    """Loudness along the ear's frequency axis, in a free field.

    Args:
        windows: (W, 4096) float, full scale 1.

    Returns:
        (W, 240) sone/Bark at 0.1 to 24 Bark; times 0.1 and summed it is the loudness in sone.
    """
    main = _main_loudness(third_octaves_db(windows))  # (W, 21)
    band = np.searchsorted(_UPPER_BARK, np.arange(1, N_STEPS + 1) * STEP_BARK - 1e-6)  # (240,)
    loudness = np.empty((len(windows), N_STEPS))
    above = np.zeros(len(windows))  # (W,) what is still masked from below
    for step, row in enumerate(band):
        slope = _SLOPES[
            np.searchsorted(-_SLOPE_ABOVE, -above, side="right").clip(max=17), min(max(row - 1, 0), 7)
        ]
        above = np.maximum(main[:, row], above - STEP_BARK * slope).clip(0)
        loudness[:, step] = above
    return loudness


def third_octaves_db(windows: FloatArray) -> FloatArray64:
    """(W, 4096) → (W, 28): levels of the third octaves from 25 Hz to 12.5 kHz.

    A bin that an edge cuts is shared out, since the lowest bands are narrower than a bin.
    """
    power = np.abs(np.fft.rfft(windows, axis=1)) ** 2 * 2 / WINDOW**2  # (W, 2049), sums to the mean square
    width_hz = SAMPLE_RATE / WINDOW
    bins_hz = np.arange(power.shape[1]) * width_hz
    low, high = _CENTRES_HZ * 10 ** (-1 / 20), _CENTRES_HZ * 10 ** (1 / 20)
    share = np.minimum(bins_hz + width_hz / 2, high[:, None]) - np.maximum(
        bins_hz - width_hz / 2, low[:, None]
    )
    share = (share / width_hz).clip(0, 1)  # (28, 2049)
    return 10 * np.log10(power @ share.T + 1e-20) + FULL_SCALE_DB


def _main_loudness(levels_db: FloatArray64) -> FloatArray64:
    """(W, 28) third-octave levels → (W, 21) sone/Bark of the critical bands, the last one 0."""
    low = levels_db[:, :11]  # (W, 11)
    row = (low[:, None] > (_RANGE_DB[:, None] - _EQUAL_DB)[:7]).cumprod(axis=1).sum(axis=1)  # (W, 11)
    power = 10 ** ((low + _EQUAL_DB[row, np.arange(11)]) / 10)
    groups = [power[:, :6].sum(axis=1), power[:, 6:9].sum(axis=1), power[:, 9:].sum(axis=1)]
    critical = np.column_stack([10 * np.log10(np.stack(groups, axis=1)), levels_db[:, 11:]])  # (W, 20)
    heard = critical > _QUIET_DB
    over_db = critical - _EAR_DB - _BAND_DB - _QUIET_DB
    loudness = 0.0635 * 10 ** (0.025 * _QUIET_DB) * ((0.75 + 0.25 * 10 ** (0.1 * over_db)) ** 0.25 - 1)
    loudness = np.where(heard, loudness.clip(0), 0.0)
    loudness[:, 0] *= np.minimum(1, 0.4 + 0.32 * loudness[:, 0] ** 0.2)
    return np.column_stack([loudness, np.zeros(len(loudness))])


def to_target(samples: FloatArray) -> FloatArray64:
    """(T,) brought to -24 LUFS by its loudest 400 ms, or to a peak of 1 where that would clip."""
    gain = 10 ** ((TARGET_LUFS - lufs(samples)) / 20)
    return samples * min(gain, 1 / max(np.abs(samples).max(), 1e-9))


def lufs(samples: FloatArray) -> float:
    """Level of the loudest 400 ms of (T,) samples, K-weighted; -120 or so for silence.

    Source: ITU-R BS.1770. A hit is shorter than that method's gates ask for.
    """
    weighted = np.asarray(samples, np.float64)
    for b, a in (_shelf(), _high_pass()):
        weighted = lfilter(b, a, weighted)
    block = round(0.4 * SAMPLE_RATE)
    energy = np.concatenate([[0.0], np.cumsum(weighted**2)])
    loudest = (energy[block:] - energy[:-block]).max() if len(samples) > block else energy[-1]
    return float(10 * np.log10(max(loudest / block, 1e-12)) - 0.691)


def _shelf() -> tuple[FloatArray64, FloatArray64]:
    """The head's effect: +4 dB above 1.5 kHz (biquad by Bristow-Johnson's formulas)."""
    a = 10 ** (4 / 40)
    turn = 2 * np.pi * 1500 / SAMPLE_RATE
    cosine, alpha = np.cos(turn), np.sin(turn) / np.sqrt(2)
    root = 2 * np.sqrt(a) * alpha
    zeros = a * np.array(
        [
            (a + 1) + (a - 1) * cosine + root,
            -2 * ((a - 1) + (a + 1) * cosine),
            (a + 1) + (a - 1) * cosine - root,
        ]
    )
    poles = np.array(
        [
            (a + 1) - (a - 1) * cosine + root,
            2 * ((a - 1) - (a + 1) * cosine),
            (a + 1) - (a - 1) * cosine - root,
        ]
    )
    return zeros / poles[0], poles / poles[0]


def _high_pass() -> tuple[FloatArray64, FloatArray64]:
    """What is too low to be loud: below 38 Hz."""
    turn = 2 * np.pi * 38 / SAMPLE_RATE
    cosine, alpha = np.cos(turn), np.sin(turn)  # Q = 1/2
    zeros = np.array([(1 + cosine) / 2, -(1 + cosine), (1 + cosine) / 2])
    poles = np.array([1 + alpha, -2 * cosine, 1 - alpha])
    return zeros / poles[0], poles / poles[0]
