"""A hit in the mix: put at the beats or onsets, brought to its level, as loops that play round without a seam."""

from __future__ import annotations

import io

import numpy as np
import soundfile
from numpy.typing import NDArray

from encoders.audio import SAMPLE_RATE, FloatArray
from plugin_bridge.panel.loudness import SILENT_LUFS, integrated_lufs
from plugin_bridge.panel.rhythm import Loop

SEAM_S = 0.005
"""Crossfade where the loop closes."""

HIT_BELOW_MIX_LU = 7.0
"""Loudness of a hit's track below the mix, where there is no track that it replaces: invented."""


def cut_loop(samples: FloatArray, loop: Loop) -> FloatArray:
    """(loop.length,) float32: the part of a bounce, closed by a crossfade with what came before it."""
    part = _part(samples, loop.start, loop.length)
    n = min(round(SEAM_S * SAMPLE_RATE), loop.length // 2)
    before = _part(samples, loop.start - n, n)
    fade = np.linspace(0, 1, n, dtype=np.float32)
    part[-n:] = part[-n:] * (1 - fade) + before * fade
    return part


def place(hit: FloatArray, at: NDArray[np.int64], length: int) -> FloatArray:
    """(length,) float32: a hit at each place; what rings beyond the end rings on at the beginning, as a loop does."""
    n_rounds = -(-len(hit) // length)
    once = np.pad(hit, (0, n_rounds * length - len(hit))).reshape(n_rounds, length).sum(axis=0)  # (length,)
    track = np.zeros(length, np.float32)
    for start in at:
        track[start:] += once[: length - start]
        track[:start] += once[length - start :]
    return track


def matched(track: FloatArray, lufs: float) -> FloatArray:
    """The track at a loudness; silence as it is."""
    peak = float(np.abs(track).max(initial=0))
    if peak == 0:
        return track
    loud = track / np.float32(peak)
    gain = 10 ** ((lufs - integrated_lufs(loud)) / 20)
    return loud * np.float32(gain)


def target_lufs(music: FloatArray, original: FloatArray | None) -> float:
    """How loud a hit's track should be: as the track that it replaces, else a step below the mix.

    Args:
        music: (T,) the loop of the mix.
        original: (T,) the loop of the track that is being replaced, if known and sounding.
    """
    if original is not None and (lufs := integrated_lufs(original)) > SILENT_LUFS:
        return lufs
    return max(integrated_lufs(music) - HIT_BELOW_MIX_LU, -60.0)


def wav(samples: FloatArray) -> bytes:
    """A WAV file of (T,) float32 samples, as they are."""
    file = io.BytesIO()
    soundfile.write(file, samples, SAMPLE_RATE, format="WAV", subtype="FLOAT")
    return file.getvalue()


def _part(samples: FloatArray, start: int, length: int) -> FloatArray:
    """(length,) float32, silence where the samples do not reach."""
    part = np.zeros(length, np.float32)
    first, last = max(0, start), min(len(samples), start + length)
    if first < last:
        part[first - start : last - start] = samples[first:last]
    return part
