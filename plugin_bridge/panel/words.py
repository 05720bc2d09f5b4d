"""How a hit sounds, in plain words, against its neighbours of the same type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass

import numpy as np

from encoders.audio import SAMPLE_RATE, FloatArray

HEARD_S = 2.0
CLEARLY = 0.8
"""Standard deviations beyond which a difference is worth a word: invented."""


@dataclass(frozen=True)
class Features:
    """What a hit's sound can be told by.

    Attributes:
        brightness: log of the spectral centroid in Hz.
        length: log of the time in seconds in which nine tenths of its energy come.
        noisiness: log of the spectral flatness, 0 for noise.
        attack: log of the time in seconds from its beginning to its peak.
    """

    brightness: float
    length: float
    noisiness: float
    attack: float


_WORDS = (("dark", "bright"), ("short", "long"), ("tonal", "noisy"), ("sharp attack", "soft attack"))
"""Low and high, in the order of the features."""


def features(samples: FloatArray) -> Features:
    """The features of a hit's first `HEARD_S` seconds. Source: Lattner 2022, section 6.3, in part.

    Args:
        samples: (T,) float32, T >= 1.
    """
    heard = samples[: round(HEARD_S * SAMPLE_RATE)].astype(np.float64)
    energy = np.cumsum(heard**2)
    power = np.abs(np.fft.rfft(heard, max(2048, len(heard)))) ** 2 + 1e-12  # (F,)
    hz = np.fft.rfftfreq(max(2048, len(heard)), 1 / SAMPLE_RATE)
    first = int(np.argmax(np.abs(heard) > 0.02 * np.abs(heard).max()))
    peak = int(np.argmax(np.abs(heard)))
    return Features(
        float(np.log(max((hz * power).sum() / power.sum(), 20.0))),
        float(np.log(max(np.searchsorted(energy, 0.9 * energy[-1]) - first, 44) / SAMPLE_RATE)),
        float(np.log(power).mean() - np.log(power.mean())),
        float(np.log(max(peak - first, 10) / SAMPLE_RATE)),
    )


def describe(sounds: Mapping[str, tuple[str, FloatArray]]) -> dict[str, list[str]]:
    """The words for each sound that differs clearly from the others of its type, the clearest first.

    Args:
        sounds: name → type and (T,) samples.
    """
    found = {name: np.array(astuple(features(samples))) for name, (_, samples) in sounds.items()}
    words: dict[str, list[str]] = {}
    for name, (type_, _) in sounds.items():
        others = np.stack([found[other] for other, (t, _) in sounds.items() if t == type_])  # (K, 4)
        away = (found[name] - others.mean(axis=0)) / np.maximum(others.std(axis=0), 0.05)
        words[name] = [
            _WORDS[n][int(away[n] > 0)] for n in np.argsort(-np.abs(away)).tolist() if abs(away[n]) > CLEARLY
        ][:2]
    return words
