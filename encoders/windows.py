"""A bounce as the windows that the query encoder hears."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from encoders.audio import SAMPLE_RATE, SILENCE_DBFS, FloatArray
from encoders.errors import NoSignal

WINDOW_S = 4.0
WINDOW = round(WINDOW_S * SAMPLE_RATE)
"""Samples in a window: 176,400."""

MAX_WINDOWS = 10
"""Excerpts whose encodings are averaged into a query (Lattner 2022, section 6.2)."""


def starts(n_samples: int, n_windows: int = MAX_WINDOWS) -> NDArray[np.int64]:
    """Where the windows of a bounce begin: as many as fill it, at most `n_windows`, evenly from end to end.

    Args:
        n_samples: length of the bounce, at least 1.

    Returns:
        (W,) int64, ascending, 1 <= W <= n_windows. Bounces up to n_windows * 4 s are covered without a gap.
    """
    n_needed = max(1, -(-n_samples // WINDOW))
    return np.linspace(0, max(0, n_samples - WINDOW), min(n_needed, n_windows)).astype(np.int64)


def cut(samples: FloatArray, n_windows: int = MAX_WINDOWS) -> FloatArray:
    """Cuts a bounce into windows spread over it, leaving out the silent ones.

    The paper draws ten at random; evenly spread ones cover more and give the same answer every time.

    Args:
        samples: (T,) float32 mono at 44.1 kHz, T >= 1.
        n_windows: at most so many.

    Returns:
        (W, 176400) float32, 1 <= W <= n_windows; a bounce shorter than a window is zero-padded at its end.

    Raises:
        NoSignal: every window is silent.

    Source: Lattner 2022, section 6.2.
    """
    parts = [samples[start : start + WINDOW] for start in starts(len(samples), n_windows)]
    loud = [part for part in parts if not is_silent(part)]
    if not loud:
        raise NoSignal(
            "the bounce",
            found=f"nothing above {SILENCE_DBFS:g} dBFS",
            expected="audible music",
            remedy="check that the tracks are not muted and the range is not empty",
        )
    return np.stack([pad(part) for part in loud])


def pad(samples: FloatArray) -> FloatArray:
    """(T,) → (176400,): the first 4 s, zero-padded at the end, as the encoders take a short sound."""
    window = np.zeros(WINDOW, np.float32)
    window[: len(samples)] = samples[:WINDOW]
    return window


def is_silent(samples: FloatArray) -> bool:
    """Whether the RMS of (T,) samples about their mean, so that DC is silence too, lies below `SILENCE_DBFS`."""
    return float(samples.std(dtype=np.float64)) < 10 ** (SILENCE_DBFS / 20)
