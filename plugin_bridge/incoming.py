"""A stem that comes in pieces: its bytes as sent, which of them came, and what they become."""

from __future__ import annotations

import math
import mmap
from dataclasses import dataclass
from itertools import islice
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from encoders.audio import BLOCK_VALUES, SAMPLE_RATE, FloatArray, prepare, to_mono
from encoders.errors import BadRequest

BYTES_PER_SAMPLE = {"f32le": 4, "s16le": 2, "s24le": 3}

MAX_GAPS = 100
"""Gaps told of at once: invented; what they tell is sent again, and the next end tells of more."""


@dataclass(frozen=True, eq=False)
class Incoming:
    """A stem of which pieces are still to come.

    Attributes:
        data: (n_frames, bytes of a frame) uint8, as sent; zeros where nothing came yet.
        came: (n_frames,) bool, which frames came.
    """

    sample_rate: int
    n_channels: int
    format: str
    data: NDArray[np.uint8]
    came: NDArray[np.bool_]

    @classmethod
    def empty(cls, sample_rate: int, n_channels: int, n_frames: int, format: str) -> Self:
        """One of which nothing came yet; it takes memory as it comes."""
        data = _untouched((n_frames, n_channels * BYTES_PER_SAMPLE[format]), np.uint8)
        return cls(sample_rate, n_channels, format, data, _untouched((n_frames,), np.bool_))

    @property
    def n_bytes(self) -> int:
        return room_for(self.sample_rate, self.n_channels, len(self.data), self.format)

    def put(self, first_frame: int, samples: bytes) -> None:
        """Takes a piece.

        Raises:
            BadRequest: not whole frames, or frames that the stem does not have.
        """
        n_frames, frame_bytes = self.data.shape
        n_new, rest = divmod(len(samples), frame_bytes)
        if rest:
            raise BadRequest(
                "samples", found=f"{len(samples)} bytes", expected=f"whole frames of {frame_bytes} bytes"
            )
        if not 0 <= first_frame <= n_frames - n_new:
            raise BadRequest(
                "samples",
                found=f"frames {first_frame} to {first_frame + n_new}",
                expected=f"frames within 0 to {n_frames}",
            )
        part = slice(first_frame, first_frame + n_new)
        self.data[part] = np.frombuffer(samples, np.uint8).reshape(n_new, frame_bytes)
        self.came[part] = True

    def gaps(self) -> list[tuple[int, int]]:
        """(first_frame, n_frames) of each run of frames that did not come, `MAX_GAPS` at most."""
        edges = np.flatnonzero(np.diff(self.came, prepend=True, append=True))  # into a gap, out of it
        return [(int(a), int(b - a)) for a, b in islice(zip(edges[::2], edges[1::2], strict=True), MAX_GAPS)]

    def samples(self, name: str) -> FloatArray:
        """(T,) float32 mono at 44.1 kHz, read-only.

        Raises:
            NoSignal: NaN or infinity among them.
        """
        mono = np.empty(len(self.data), np.float32)
        step = max(1, BLOCK_VALUES // self.n_channels)
        for start in range(0, len(mono), step):
            block = decode(self.data[start : start + step].reshape(-1), self.format)
            mono[start : start + step] = to_mono(block.reshape(-1, self.n_channels))
        return prepare(mono, self.sample_rate, name)


def room_for(sample_rate: int, n_channels: int, n_frames: int, format: str) -> int:
    """Bytes that a stem in pieces counts: its own and which frames came, or what they become, where that is more."""
    n_samples = math.ceil(n_frames * SAMPLE_RATE / sample_rate)  # (T,) float32
    return max(n_frames * (n_channels * BYTES_PER_SAMPLE[format] + 1), 4 * n_samples)


def decode(data: NDArray[np.uint8], format: str) -> FloatArray:
    """Little-endian PCM as float32.

    Args:
        data: (n * bytes of a sample,) uint8.
        format: a key of `BYTES_PER_SAMPLE`.

    Returns:
        (n,) float32; integers scaled to -1..1.
    """
    if format == "f32le":
        return data.view("<f4").astype(np.float32, copy=False)
    if format == "s16le":
        return data.view("<i2").astype(np.float32) / np.float32(1 << 15)
    wide = np.zeros((len(data) // 3, 4), np.uint8)
    wide[:, 1:] = data.reshape(-1, 3)  # the high bytes of an int32: the sign comes right
    return wide.view("<i4")[:, 0].astype(np.float32) / np.float32(1 << 31)


def _untouched(shape: tuple[int, ...], dtype: type[np.generic]) -> NDArray[Any]:
    """Zeros of `shape` that take memory only where they are written, and give it back at their end.

    NumPy's own come from a heap that keeps what it once had, so that stems begun and never sent would cost it all.
    """
    size = np.dtype(dtype).itemsize * math.prod(shape)
    return np.frombuffer(mmap.mmap(-1, size), dtype).reshape(shape)
