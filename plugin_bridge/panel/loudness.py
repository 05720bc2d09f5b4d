"""Loudness in LUFS, and the gain that brings one sound to another's.

Source: ITU-R BS.1770-4; the filters for any sample rate after De Man (2014), as in libebur128. What has one channel
comes out of both loudspeakers and counts so, or a mono hit beside a stereo one would be 3 LU too loud.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from encoders.audio import SAMPLE_RATE, FloatArray

BLOCK_S, STEP_S = 0.4, 0.1
ABSOLUTE_GATE_LUFS, RELATIVE_GATE_LU = -70.0, -10.0
SILENT_LUFS = -120.0
"""What silence counts as: below anything that can be heard."""


def integrated_lufs(samples: FloatArray) -> float:
    """Gated loudness.

    Args:
        samples: (T, C) float32 at 44.1 kHz, C 1 or 2.

    Returns:
        LUFS; `SILENT_LUFS` where nothing passes the absolute gate. Under .4 s: of the whole, as one block.
    """
    return gated_lufs(weighted(samples))


def gated_lufs(samples: FloatArray) -> float:
    """The same, of (T, C) samples that are weighted already."""
    powers = _block_powers(samples)
    powers = powers[powers > _power(ABSOLUTE_GATE_LUFS)]
    if not len(powers):
        return SILENT_LUFS
    powers = powers[powers > powers.mean() * 10 ** (RELATIVE_GATE_LU / 10)]
    return _lufs(float(powers.mean()))


def weighted(samples: FloatArray) -> FloatArray:
    """(T, C) → (T, C) K-weighted: a shelf for the head, a high pass for the ear.

    Filtered in the frequency domain, hence as if the samples went round and round: as a loop does.
    """
    n = len(samples)
    spectrum = np.fft.rfft(samples, axis=0)  # (n // 2 + 1, C)
    return np.fft.irfft(spectrum * _response(n)[:, None], n, axis=0).astype(np.float32)


@lru_cache(maxsize=8)
def _response(n: int) -> NDArray[np.complex64]:
    """(n // 2 + 1,) what both filters do to each frequency."""
    z = np.exp(-2j * np.pi * np.fft.rfftfreq(n))  # one sample of delay
    response = np.ones_like(z)
    for b, a in (_shelf(), _high_pass()):
        response *= (b[0] + z * (b[1] + z * b[2])) / (a[0] + z * (a[1] + z * a[2]))
    return response.astype(np.complex64)


def _block_powers(samples: FloatArray) -> NDArray[np.float64]:
    """(n_blocks,) mean squares of overlapping blocks, summed over both loudspeakers."""
    block, step = round(BLOCK_S * SAMPLE_RATE), round(STEP_S * SAMPLE_RATE)
    squares = samples.astype(np.float64) ** 2  # (T, C)
    sums = np.concatenate([[0.0], np.cumsum(2 * squares.mean(axis=1))])
    if len(samples) <= block:
        return np.array([sums[-1] / max(1, len(samples))])
    starts = np.arange(0, len(samples) - block + 1, step)
    return (sums[starts + block] - sums[starts]) / block


def _lufs(power: float) -> float:
    return -0.691 + 10 * np.log10(power)


def _power(lufs: float) -> float:
    return 10 ** ((lufs + 0.691) / 10)


Biquad = tuple[tuple[float, float, float], tuple[float, float, float]]


def _shelf() -> Biquad:
    k, q, gain = (
        np.tan(np.pi * 1681.974450955533 / SAMPLE_RATE),
        0.7071752369554196,
        10 ** (3.999843853973347 / 20),
    )
    middle = gain**0.4996667741545416
    a0 = 1 + k / q + k * k
    return (
        (gain + middle * k / q + k * k) / a0,
        2 * (k * k - gain) / a0,
        (gain - middle * k / q + k * k) / a0,
    ), (1.0, 2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0)


def _high_pass() -> Biquad:
    k, q = np.tan(np.pi * 38.13547087602444 / SAMPLE_RATE), 0.5003270373238773
    a0 = 1 + k / q + k * k
    return (1.0, -2.0, 1.0), (1.0, 2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0)
