"""Sounds as the page shows and plays them, with their channels: outlines, and one-shots read once."""

from __future__ import annotations

import os
from functools import lru_cache

import numpy as np

from encoders.audio import SAMPLE_RATE, FloatArray, read_frames

HIT_MAX_S = 8.0
"""Where a long one-shot is faded out when it is played: invented; what a crash does after that, no mix lets hear."""

FADE_S = 0.05
ATTACK = 0.02
"""A hit begins where it first reaches this share of its peak."""

BEFORE_ATTACK_S = 0.001


@lru_cache(maxsize=128)
def _read(path: str, changed_ns: int) -> FloatArray:
    samples = read_frames(path, until_s=HIT_MAX_S).copy()
    if len(samples) >= round(HIT_MAX_S * SAMPLE_RATE) - 1:
        n = round(FADE_S * SAMPLE_RATE)
        samples[-n:] *= np.linspace(1, 0, n, dtype=np.float32)[:, None]
    samples.flags.writeable = False
    return samples


def read_hit(path: str) -> FloatArray:
    """(T, C) float32 at 44.1 kHz, read-only: a one-shot from its first sample to its end or `HIT_MAX_S`.

    Raises:
        What `read_frames` raises.
    """
    try:
        changed_ns = os.stat(path).st_mtime_ns
    except OSError:
        changed_ns = 0  # read_frames says what is wrong
    return _read(path, changed_ns)


def from_attack(hit: FloatArray) -> FloatArray:
    """The hit (T, C) without the silence before it, so that it sounds where it is put."""
    level = np.abs(hit).max(axis=1)
    attack = int(np.argmax(level > ATTACK * level.max(initial=0)))
    return hit[max(0, attack - round(BEFORE_ATTACK_S * SAMPLE_RATE)) :]


def outline(samples: FloatArray, n: int) -> list[int]:
    """n peaks of (T, C), 0 to 255: the largest magnitude of each part, against the largest of all."""
    level = np.abs(samples).max(axis=1)
    edges = np.linspace(0, len(level), n + 1).astype(int)[:-1]
    peaks = np.maximum.reduceat(level, np.minimum(edges, len(level) - 1))
    return np.round(255 * peaks / max(float(peaks.max()), 1e-9)).astype(int).tolist()
