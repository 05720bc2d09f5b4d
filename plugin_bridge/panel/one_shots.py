"""The library as the page sees it: one-shots by opaque id, by name, by likeness, and on a map."""

from __future__ import annotations

import hashlib
import os
import threading
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.audio import FloatArray
from encoders.drum_types import TYPES
from encoders.errors import NotFound
from index.snapshot import Snapshot

ID_BYTES = 12

FOUND_MAX = 200
"""Names that a search gives at most."""

SEARCHED = 3
"""Parts of a path that a search looks at, from its end: the file, its folder and the one above."""

PCA_ROWS = 8192
"""Keys that the axes of the map are computed from; all are placed on them."""


class Ids:
    """Names of files that tell nothing: a page asks for a sound by id, never by path.

    Args:
        key: makes the ids of one state folder its own, and the same after a restart.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._paths: dict[str, str] = {}

    def of(self, path: str) -> str:
        """The id of a path; from now on `path_of` knows it."""
        name = hashlib.blake2b(os.fsencode(path), digest_size=ID_BYTES, key=self._key).hexdigest()
        self._paths[name] = path
        return name

    def path_of(self, name: str) -> str:
        """Raises NotFound for an id that was never given out."""
        try:
            return self._paths[name]
        except KeyError:
            raise NotFound(
                f"one-shot {name[:40]}",
                found="no such id",
                remedy="reload the page; the daemon has restarted",
            ) from None


@dataclass(frozen=True, eq=False)
class Shelf:
    """Every one-shot of a snapshot under a number.

    Attributes:
        model: digest of the model whose keys these are.
        vectors: (N, D) float32, unit rows.
        types: (N,) uint8, place in `TYPES`.
        durations_s: (N,) float32.
        guessed: (N,) bool.
        contents: (N, 16) uint8.
    """

    revision: int
    model: str
    paths: tuple[str, ...]
    vectors: FloatArray
    types: NDArray[np.uint8]
    durations_s: FloatArray
    guessed: NDArray[np.bool_]
    contents: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.paths)

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Path → number."""
        return {path: number for number, path in enumerate(self.paths)}

    @cached_property
    def _lower(self) -> tuple[str, ...]:
        return tuple("/".join(path.lower().split(os.sep)[-SEARCHED:]) for path in self.paths)

    def shown(self, ids: Ids, number: int) -> dict[str, Any]:
        """A one-shot as JSON."""
        return shown(
            ids,
            self.paths[number],
            TYPES[int(self.types[number])],
            float(self.durations_s[number]),
            bool(self.guessed[number]),
        )

    def below(self, folder: str) -> NDArray[np.bool_]:
        """(N,) bool: which lie in a folder or below it."""
        prefix = folder.rstrip(os.sep) + os.sep
        return np.fromiter((path.startswith(prefix) for path in self.paths), np.bool_, len(self))

    def find(
        self,
        text: str,
        type_: str | None = None,
        longest_s: float | None = None,
        folder: str | None = None,
    ) -> list[int]:
        """Numbers of the one-shots whose name or folders hold every word, those first whose name does."""
        words = text.lower().split()
        kept = np.ones(len(self), np.bool_) if folder is None else self.below(folder)
        if type_ is not None:
            kept &= self.types == TYPES.index(type_)
        if longest_s is not None:
            kept &= self.durations_s <= longest_s
        found = [n for n in np.flatnonzero(kept).tolist() if all(word in self._lower[n] for word in words)]

        def order(number: int) -> tuple[bool, str]:
            name = os.path.basename(self._lower[number])
            return (not all(word in name for word in words), name)

        return sorted(found, key=order)[:FOUND_MAX]

    def like(self, number: int, n: int = 30) -> list[int]:
        """Numbers of the one-shots of the same type that are most like one, by key, equal files left out."""
        same = np.flatnonzero(self.types == self.types[number])
        nearest = same[np.argsort(-(self.vectors[same] @ self.vectors[number]), kind="stable")]
        chosen: dict[bytes, int] = {self.contents[number].tobytes(): number}
        for other in nearest.tolist():
            chosen.setdefault(self.contents[other].tobytes(), other)
            if len(chosen) > n:
                break
        return list(chosen.values())[1:]

    @cached_property
    def places(self) -> FloatArray:
        """(N, 2) float32 in -1..1: the keys on their two widest axes (PCA), the map of the library."""
        if len(self) < 3:
            return np.zeros((len(self), 2), np.float32)
        rows = self.vectors[:: max(1, len(self) // PCA_ROWS)]  # (R, D)
        mean = rows.mean(axis=0)
        _, axes = np.linalg.eigh(np.cov(rows - mean, rowvar=False))
        flat = (self.vectors - mean) @ axes[:, :-3:-1].astype(np.float32)  # (N, 2)
        low, high = np.percentile(flat, (0.5, 99.5), axis=0)  # a few strays must not squeeze the rest
        return np.clip(2 * (flat - low) / np.maximum(high - low, 1e-6) - 1, -1, 1).astype(np.float32)

    @cached_property
    def copies(self) -> list[list[int]]:
        """Numbers of files with the same content, a list for each that is there more than once."""
        groups: dict[bytes, list[int]] = {}
        for number, content in enumerate(self.contents):
            groups.setdefault(content.tobytes(), []).append(number)
        return sorted((group for group in groups.values() if len(group) > 1), key=len, reverse=True)


class Shelves:
    """The shelf of the newest snapshot, made when it is asked for."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._snapshot: Snapshot | None = None

    def of(self, snapshot: Snapshot) -> Shelf:
        """The shelf of a snapshot; the last one is kept."""
        with self._turn:
            if self._snapshot is not snapshot:
                self._snapshot, self._shelf = snapshot, make_shelf(snapshot)
            return self._shelf


def make_shelf(snapshot: Snapshot) -> Shelf:
    """Puts the live rows of a snapshot's tables one after another."""
    tables = [
        (table.rows, np.arange(len(table.rows)) if table.live is None else np.flatnonzero(table.live))
        for table in snapshot.tables
    ]
    return Shelf(
        snapshot.revision,
        snapshot.model,
        tuple(os.fsdecode(rows.path(n)) for rows, kept in tables for n in kept.tolist()),
        np.concatenate([rows.vectors[kept] for rows, kept in tables]),
        np.concatenate(
            [np.searchsorted(rows.type_ends, kept, side="right").astype(np.uint8) for rows, kept in tables]
        ),
        np.concatenate([rows.durations_s[kept] for rows, kept in tables]),
        np.concatenate([rows.guessed[kept] for rows, kept in tables]),
        np.concatenate([rows.contents[kept] for rows, kept in tables]),
    )


def shown(ids: Ids, path: str, type_: str, duration_s: float, guessed: bool) -> dict[str, Any]:
    """A one-shot as JSON; its folder with the one above, as many libraries have a folder for each type."""
    folder, name = os.path.split(path)
    return {
        "id": ids.of(path),
        "name": name,
        "folder": "/".join(folder.split(os.sep)[-2:]),
        "path": path,
        "type": type_,
        "duration_s": round(float(duration_s), 4),
        "guessed": bool(guessed),
    }
