"""The last thing that a song goes through: one tone for all of its stems alike.

Records differ in their overall balance by several dB an octave, and some lack the ends of the spectrum altogether.
Unlike the desk before it, this is the same for every stem to the last decimal: what a one-shot out of a record
shares with all the rest of it. The figures are invented, and wide.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import firwin2, oaconvolve

from encoders.audio import SAMPLE_RATE, FloatArray

POINTS_HZ = (60.0, 125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0, 16000.0)
DEVIATION_DB = 6.0
N_TAPS = 2049
"""Odd, so that the filter delays by whole samples, which are taken off again."""


@dataclass(frozen=True)
class Finish:
    """A song's tone.

    Attributes:
        curve_db: gain at each of `POINTS_HZ`.
        low_hz, high_hz: where the record ends at either side; None where it does not.
    """

    curve_db: tuple[float, ...]
    low_hz: float | None
    high_hz: float | None


def draw_finish(rng: np.random.Generator) -> Finish:
    """A tone for a song."""
    curve = rng.normal(0, DEVIATION_DB, len(POINTS_HZ))
    low_hz, high_hz = np.exp(rng.uniform(np.log((40, 2500)), np.log((300, 14000))))
    has_low, has_high = rng.random(2) < (0.25, 0.4)
    return Finish(
        tuple(map(float, curve)), float(low_hz) if has_low else None, float(high_hz) if has_high else None
    )


def finish(stems: dict[str, FloatArray], tone: Finish) -> dict[str, FloatArray]:
    """Plays every stem through one filter; the sum keeps its peak.

    Args:
        stems: name → (T,) float32, all of one length.
    """
    taps = _taps(tone)
    done = {name: oaconvolve(audio, taps, mode="same") for name, audio in stems.items()}
    before, after = (float(np.abs(sum(some.values())).max()) for some in (stems, done))
    gain = before / max(after, 1e-9)
    return {name: (audio * gain).astype(np.float32) for name, audio in done.items()}


def _taps(tone: Finish) -> FloatArray:
    """(N_TAPS,) float64: a linear-phase filter of the tone, 24 dB an octave beyond its ends."""
    hz = np.linspace(0, SAMPLE_RATE / 2, N_TAPS // 2 + 1)
    octave = np.log2(np.maximum(hz, 1.0))
    gain_db = np.interp(octave, np.log2(POINTS_HZ), tone.curve_db)
    if tone.low_hz is not None:
        gain_db = gain_db - 24 * np.maximum(0, np.log2(tone.low_hz) - octave)
    if tone.high_hz is not None:
        gain_db = gain_db - 24 * np.maximum(0, octave - np.log2(tone.high_hz))
    return firwin2(N_TAPS, hz, 10 ** (np.maximum(gain_db, -80) / 20), fs=SAMPLE_RATE)
