"""One-shots as columns: numpy arrays alone, so that a table maps from a file as well as it builds from SQLite."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoders.audio import FloatArray
from encoders.drum_types import TYPES
from index.exact import Heads, heads_of
from index.scan import AFTER_SEP, SEP

CONTENT_BYTES = 16
_CODE = {type_: code for code, type_ in enumerate(TYPES)}


@dataclass(frozen=True)
class Row:
    """One file that can be suggested.

    Attributes:
        path: absolute, as the file system has it.
        content: digest of its bytes.
        guessed: the type came from the sound, not from the name.
    """

    path: bytes
    type: str
    content: bytes
    duration_s: float
    guessed: bool


@dataclass(frozen=True, eq=False)
class Rows:
    """A table of one-shots in order of type, then of path; never changed once made.

    Attributes:
        vectors: (N, D) float32, unit rows: a type is one contiguous block.
        contents: (N, 16) uint8.
        durations_s: (N,) float32.
        guessed: (N,) bool.
        path_ends: (N,) int64, where each path ends in `path_bytes`.
        path_bytes: (M,) uint8, the paths one after another.
        type_ends: (n_types,) int64, where each type's block ends, in the order of `TYPES`.
        axes, heads, rests: as in `exact.Heads`.
    """

    vectors: FloatArray
    contents: NDArray[np.uint8]
    durations_s: FloatArray
    guessed: NDArray[np.bool_]
    path_ends: NDArray[np.int64]
    path_bytes: NDArray[np.uint8]
    type_ends: NDArray[np.int64]
    axes: FloatArray
    heads: FloatArray
    rests: FloatArray

    def __len__(self) -> int:
        return len(self.vectors)

    def block(self, type_: str) -> range:
        """The rows of a type."""
        code = _CODE[type_]
        return range(int(self.type_ends[code - 1]) if code else 0, int(self.type_ends[code]))

    def heads_of(self, block: range) -> Heads:
        """The heads of a block's keys."""
        within = slice(block.start, block.stop)
        return Heads(self.axes, self.heads[within], self.rests[within])

    def type(self, row: int) -> str:
        """The type of a row."""
        return TYPES[int(np.searchsorted(self.type_ends, row, side="right"))]

    def path(self, row: int) -> bytes:
        """The path of a row."""
        return self.path_bytes[self.path_ends[row - 1] if row else 0 : self.path_ends[row]].tobytes()

    def content(self, row: int) -> bytes:
        """The content of a row."""
        return self.contents[row].tobytes()

    def below(self, folders: tuple[bytes, ...], rows: range) -> NDArray[np.bool_]:
        """(len(rows),) bool: whether the path lies in one of the folders. Paths of a type are in order: two
        binary searches a folder."""
        inside = np.zeros(len(rows), np.bool_)
        for folder in folders:
            bare = folder.rstrip(SEP)
            inside[_first(self, rows, bare + SEP) : _first(self, rows, bare + AFTER_SEP)] = True
        return inside


def build_rows(rows: Iterable[Row], keys: Iterable[tuple[bytes, bytes]], dim: int) -> Rows:
    """The table of some rows, in any order.

    Args:
        keys: each content of the rows with its key, (D,) float32 little-endian bytes; further ones are ignored.
    """
    ordered = sorted(rows, key=lambda row: (_CODE[row.type], row.path))
    n = len(ordered)
    places: dict[bytes, list[int]] = {}
    for place, row in enumerate(ordered):
        places.setdefault(row.content, []).append(place)
    vectors = np.empty((n, dim), np.float32)
    n_filled = 0
    for content, key in keys:
        for place in places.get(content, ()):
            vectors[place] = np.frombuffer(key, "<f4")
            n_filled += 1
    assert n_filled == n, "a row without its key"
    codes = np.fromiter((_CODE[row.type] for row in ordered), np.int64, n)
    return Rows(
        vectors,
        np.frombuffer(b"".join(row.content for row in ordered), np.uint8).reshape(n, CONTENT_BYTES),
        np.fromiter((row.duration_s for row in ordered), np.float32, n),
        np.fromiter((row.guessed for row in ordered), np.bool_, n),
        np.cumsum(np.fromiter((len(row.path) for row in ordered), np.int64, n)),
        np.frombuffer(b"".join(row.path for row in ordered), np.uint8),
        np.searchsorted(codes, np.arange(len(TYPES)), side="right").astype(np.int64),
        *heads_of(vectors),
    )


def _first(table: Rows, rows: range, prefix: bytes) -> int:
    """How many of the rows, all of one type, have a path before `prefix`."""
    low, high = 0, len(rows)
    while low < high:
        middle = (low + high) // 2
        if table.path(rows[middle]) < prefix:
            low = middle + 1
        else:
            high = middle
    return low
