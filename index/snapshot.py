"""What a press sees: the whole library at one revision, never changed, swapped whole."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from encoders.drum_types import TYPES
from index.rows import Row, Rows, build_rows
from index.vectors import Forest

_OFFERED = """
    SELECT folders.path, files.path, files.type, guesses.type, files.content, contents.duration_s
    FROM files
    JOIN folders ON folders.id = files.folder AND folders.state = 'online'
    JOIN contents USING (content)
    JOIN vectors ON vectors.content = files.content AND vectors.model = :model
    LEFT JOIN guesses ON guesses.content = files.content AND guesses.model = :model
    WHERE files.code IS NULL AND contents.code IS NULL
"""
_KEYS = "SELECT content, vector FROM vectors WHERE model = :model"
_TOUCHED = " AND {}content IN (SELECT content FROM touched WHERE revision > :since)"


@dataclass(frozen=True, eq=False)
class Table:
    """Rows, less those that are no longer true.

    Attributes:
        live: (N,) bool, or None where every row is.
        forests: approximate search by type, where it pays.
    """

    rows: Rows
    live: NDArray[np.bool_] | None = None
    forests: Mapping[str, Forest] = field(default_factory=dict)

    def block_live(self, block: range) -> NDArray[np.bool_]:
        """(len(block),) bool."""
        if self.live is None:
            return np.ones(len(block), np.bool_)
        return self.live[block.start : block.stop]


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The one-shots that can be suggested, at one revision, as keys of one model.

    Attributes:
        tables: a large one that changes seldom, and what came since.
        base_revision: the catalogue's when the large table was made.
        revision: the catalogue's.
        model: digest of the model whose keys these are.
        offline: the folders whose drive is away.
    """

    tables: tuple[Table, ...]
    base_revision: int
    revision: int
    model: str
    offline: tuple[bytes, ...] = ()

    def __len__(self) -> int:
        return sum(self.by_type().values())

    def by_type(self) -> dict[str, int]:
        """How many files of each type; copies count each."""
        return {
            type_: sum(
                int(np.count_nonzero(table.block_live(table.rows.block(type_)))) for table in self.tables
            )
            for type_ in TYPES
        }


def offered(db: sqlite3.Connection, model: int, dim: int, since: int | None = None) -> Rows:
    """The rows of a model that can be suggested: all, or those whose content was touched after a revision."""
    values = {"model": model, "since": since}
    rows = [
        Row(os.path.join(folder, path), named or guessed or "other", content, duration_s, named is None)
        for folder, path, named, guessed, content, duration_s in db.execute(
            _OFFERED + ("" if since is None else _TOUCHED.format("files.")), values
        )
    ]
    keys = db.execute(_KEYS + ("" if since is None else _TOUCHED.format("")), values)
    return build_rows(rows, keys, dim)


def rebuilt(db: sqlite3.Connection, model: int, digest: str, dim: int, revision: int) -> Snapshot:
    """A snapshot read whole from the catalogue."""
    return Snapshot((Table(offered(db, model, dim)),), revision, revision, digest, _offline(db))


def advanced(old: Snapshot, db: sqlite3.Connection, model: int, dim: int, revision: int) -> Snapshot:
    """The snapshot of a later revision: the same large table, less every content touched since it was made, and
    a small one with what those contents offer now.

    Args:
        old: of the same model; what was touched since its `base_revision` has to be on record still.
        revision: of the view that `db` is reading.
    """
    base = old.tables[0]
    touched = b"".join(
        content
        for (content,) in db.execute("SELECT content FROM touched WHERE revision > ?", (old.base_revision,))
    )
    if not touched:
        return Snapshot((replace(base, live=None),), old.base_revision, revision, old.model, _offline(db))
    live = ~np.isin(_names(base.rows.contents), np.frombuffer(touched, _NAME))
    delta = offered(db, model, dim, old.base_revision)
    tables = (replace(base, live=live), Table(delta))
    return Snapshot(tables, old.base_revision, revision, old.model, _offline(db))


def _offline(db: sqlite3.Connection) -> tuple[bytes, ...]:
    rows = db.execute("SELECT path FROM folders WHERE state = 'offline' ORDER BY path")
    return tuple(path for (path,) in rows)


_NAME = np.dtype([("high", "<u8"), ("low", "<u8")])


def _names(contents: NDArray[np.uint8]) -> NDArray[np.void]:
    """(N, 16) uint8 → (N,) pairs of whole numbers, which compare faster than bytes."""
    return np.ascontiguousarray(contents).view(_NAME)[:, 0]
