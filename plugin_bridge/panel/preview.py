"""A hit in the mix: put at the beats or onsets, brought to its level, as loops that play round without a seam.

Sounds have the channels that they were recorded with, (T, 1) or (T, 2); a browser plays both over one another.
"""

from __future__ import annotations

import io

import numpy as np
import soundfile
from numpy.typing import NDArray

from encoders.audio import SAMPLE_RATE, FloatArray
from plugin_bridge.panel.loudness import SILENT_LUFS, gated_lufs, integrated_lufs, weighted
from plugin_bridge.panel.rhythm import Loop

SEAM_S = 0.005
"""Crossfade where the loop closes."""

RINGING = SAMPLE_RATE // 10
"""Samples in which the weighting's high pass rings out."""

HIT_BELOW_MIX_LU = 7.0
"""Loudness of a hit's track below the mix, where there is no track that it replaces: invented."""


def cut_loop(samples: FloatArray, loop: Loop) -> FloatArray:
    """(loop.length, C) float32: the part of a bounce (T, C), closed by a crossfade with what came before it."""
    part = _part(samples, loop.start, loop.length)
    n = min(round(SEAM_S * SAMPLE_RATE), loop.length // 2)
    before = _part(samples, loop.start - n, n)
    fade = np.linspace(0, 1, n, dtype=np.float32)[:, None]
    part[-n:] = part[-n:] * (1 - fade) + before * fade
    return part


def place(hit: FloatArray, at: NDArray[np.int64], length: int) -> FloatArray:
    """(length, C) float32: a hit (T, C) at each place; what rings beyond the end rings on at the beginning."""
    n_rounds, n_channels = -(-len(hit) // length), hit.shape[1]
    once = _padded(hit, n_rounds * length).reshape(n_rounds, length, n_channels).sum(axis=0)  # (length, C)
    track = np.zeros((length, n_channels), np.float32)
    for start in at:
        track[start:] += once[: length - start]
        track[:start] += once[length - start :]
    return track


def matched(hit: FloatArray, at: NDArray[np.int64], length: int, lufs: float) -> FloatArray:
    """(length, C) float32: a hit (T, C) at each place, the whole as loud as asked; silence as it is.

    The hit is weighted before it is placed: that is the same, and a hit is far shorter than a loop.
    """
    peak = float(np.abs(hit).max(initial=0))
    if peak == 0:
        return np.zeros((length, hit.shape[1]), np.float32)
    loud = hit / np.float32(peak)  # so that the absolute gate does not depend on how it was recorded
    n = 1 << (len(loud) + RINGING).bit_length()
    found = gated_lufs(place(weighted(_padded(loud, n)), at, length))
    return place(loud * np.float32(10 ** ((lufs - found) / 20)), at, length)


def target_lufs(music: FloatArray, original: FloatArray | None) -> float:
    """How loud a hit's track should be: as the track that it replaces, else a step below the mix.

    Args:
        music: (T, C) the loop of the mix.
        original: (T, C) the loop of the track that is being replaced, if known and sounding.
    """
    if original is not None and (lufs := integrated_lufs(original)) > SILENT_LUFS:
        return lufs
    return max(integrated_lufs(music) - HIT_BELOW_MIX_LU, -60.0)


def wav(samples: FloatArray) -> bytes:
    """A WAV file of (T, C) float32 samples, as they are."""
    file = io.BytesIO()
    soundfile.write(file, samples, SAMPLE_RATE, format="WAV", subtype="FLOAT")
    return file.getvalue()


def _part(samples: FloatArray, start: int, length: int) -> FloatArray:
    """(length, C) float32, silence where the samples (T, C) do not reach."""
    part = np.zeros((length, samples.shape[1]), np.float32)
    first, last = max(0, start), min(len(samples), start + length)
    if first < last:
        part[first - start : last - start] = samples[first:last]
    return part


def _padded(samples: FloatArray, n: int) -> FloatArray:
    """(T, C) → (n, C), silence at the end."""
    return np.pad(samples, ((0, n - len(samples)), (0, 0)))
