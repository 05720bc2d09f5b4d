"""One-shots by the paper's rule: the hits of a percussion stem that are left alone for longest.

Source: Lattner 2022, section 4: those "where the subsequent onset is of maximal distance", 5 of a stem in
pop/rock, 1 in electronic music.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import librosa
import numpy as np
from numpy.typing import NDArray

from encoders.audio import SAMPLE_RATE, SILENCE_DBFS, FloatArray
from encoders.windows import WINDOW

HOP = 256
N_PER_STEM = {"electronic": 1, "acoustic": 5, None: 5}
"""One-shots cut from a stem, by the song's origin; of unknown origin as of acoustic: doubles are dropped anyway."""

LEAD = 16 * HOP
"""Silence put before and after a stem while its onsets are looked for: one on its first sample has to rise, too."""

BACK_S, PEAK_S = 0.06, 0.1
"""How far before a detected onset its attack may begin, and after it its peak may stand: invented."""

ATTACK_DB = -50.0
"""An attack begins where it first comes this near to the hit's peak: invented."""

FAINT_DB = -24.0
"""A hit this far below the stem's loudest is a ghost note or another drum's bleed; it ends a tail, but is not
cut: invented."""

SHORTEST_S = 0.03
"""A hit with less room before the next onset is no one-shot: invented."""

CONTENT_S = 0.1
"""The part of a hit that its content is known by: tails differ with the gap that follows them."""


@dataclass(frozen=True)
class Hit:
    """Where a one-shot lies in its stem, in samples, and the 63-bit digest of its attack."""

    start: int
    n_samples: int
    content: int


def cut_hits(stem: FloatArray, n_hits: int) -> tuple[Hit, ...]:
    """The audible hits of a stem that are followed by the longest gaps, their tails kept to the next onset.

    Args:
        stem: (T,) float32, mono at 44.1 kHz.
        n_hits: at most so many; of hits with equal content only one is taken.

    Returns:
        Longest gap first (of equal gaps the earlier), each at most 4 s long; none where nothing sounds.
    """
    starts = onsets(stem)  # (N,)
    if not len(starts):
        return ()
    gaps = np.diff(starts, append=len(stem))  # (N,)
    peaks = np.array([_peak(stem, start, gap) for start, gap in zip(starts, gaps, strict=True)])  # (N,)
    faintest = max(10 ** (SILENCE_DBFS / 20), peaks.max() * 10 ** (FAINT_DB / 20))
    chosen: dict[int, Hit] = {}
    for row in np.argsort(-gaps, kind="stable"):
        if len(chosen) == n_hits or gaps[row] < SHORTEST_S * SAMPLE_RATE:
            break
        if peaks[row] >= faintest:
            hit = _hit(stem, int(starts[row]), int(gaps[row]))
            chosen.setdefault(hit.content, hit)
    return tuple(chosen.values())


def onsets(stem: FloatArray) -> NDArray[np.int64]:
    """Where the hits of a stem begin, with their whole attack.

    librosa finds the onsets on a grid of 256 samples; each is then moved back to the quietest moment before its
    peak, and from there on to the first sample that belongs to the attack, so that equal hits are cut equally
    wherever they fall on the grid.

    Args:
        stem: (T,) float32.

    Returns:
        (N,) int64 samples, ascending, no two alike; empty for silence.
    """
    if np.abs(stem).max(initial=0.0) < 10 ** (SILENCE_DBFS / 20):
        return np.zeros(0, np.int64)
    padded = np.pad(stem, (LEAD, LEAD))
    strength = librosa.onset.onset_strength(y=padded, sr=SAMPLE_RATE, hop_length=HOP)  # (frames,)
    frames = librosa.onset.onset_detect(onset_envelope=strength, sr=SAMPLE_RATE, hop_length=HOP)
    starts = np.unique([_attack(padded, int(frame) * HOP) for frame in frames]).astype(np.int64) - LEAD
    return np.unique(starts[starts < len(stem)].clip(min=0))


def _attack(stem: FloatArray, near: int) -> int:
    """The first sample of the attack about `near`."""
    low, high = max(0, near - round(BACK_S * SAMPLE_RATE)), near + round(PEAK_S * SAMPLE_RATE)
    part = np.abs(stem[low:high])  # (n,)
    peak = int(part.argmax())
    if peak + low < near:  # the loudest is the tail of the hit before
        peak = near - low + int(part[near - low :].argmax()) if near < len(stem) else peak
    n_step = 64
    n_blocks = peak // n_step
    if not n_blocks:
        return low
    levels = part[: n_blocks * n_step].reshape(n_blocks, n_step).max(axis=1)  # (blocks,)
    quietest = (n_blocks - 1 - int(levels[::-1].argmin())) * n_step
    loud = part[quietest : peak + 1] >= part[peak] * 10 ** (ATTACK_DB / 20)
    return low + quietest + int(loud.argmax())


def _peak(stem: FloatArray, start: int, gap: int) -> float:
    return float(np.abs(stem[start : start + min(gap, round(PEAK_S * SAMPLE_RATE))]).max(initial=0.0))


def _hit(stem: FloatArray, start: int, gap: int) -> Hit:
    n_samples = min(gap, WINDOW)
    attack = stem[start : start + min(n_samples, round(CONTENT_S * SAMPLE_RATE))]  # (n,)
    digest = hashlib.sha256(np.round(attack * 32768).astype("<i4").tobytes()).digest()
    return Hit(start, n_samples, int.from_bytes(digest[:8], "big") >> 1)
