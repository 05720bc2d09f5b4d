"""The catalogue's rows of files and contents: what is known, what waits, and writing down what was found out."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from encoders.audio import FloatArray
from encoders.drum_types import Typed, guess_type
from encoders.errors import one_line
from index.decoding import Examined
from index.scan import AFTER_SEP, SEP, Delta, Stamp, Walk

Place = tuple[int, bytes]
"""A file row: its folder's number and its path below it."""


MAX_PATH_BYTES = 800
"""Longest path of a one-shot: it stands in a reply below 1 kB, and cut it would name another file."""


@dataclass(frozen=True)
class Folder:
    """A folder as the catalogue knows it."""

    number: int
    path: bytes
    volume: str
    state: str
    emptied_at: float | None
    portable: bool = False


@dataclass(frozen=True)
class Job:
    """A file that waits to be read.

    Attributes:
        places: the rows that it answers for; more than one where followed folders lie in one another.
        changed_ns: when it last changed, as last seen, nanoseconds since 1970.
    """

    places: tuple[Place, ...]
    changed_ns: int


def folder_rows(db: sqlite3.Connection) -> list[Folder]:
    """The folders followed, in order of path."""
    rows = db.execute("SELECT id, path, volume, state, emptied_at, portable FROM folders ORDER BY path")
    return [Folder(*row) for row in rows]


def known_files(db: sqlite3.Connection, folder: int, parts: Iterable[bytes] = (b"",)) -> dict[bytes, Stamp]:
    """The files of a folder, or of parts of it, as they were when they were read.

    A file that still waits has an impossible stamp: it differs from whatever the walk sees.
    """
    known: dict[bytes, Stamp] = {}
    for part in parts:
        within = "" if part == b"" else " AND (path = ? OR path > ? AND path < ?)"
        limits = () if part == b"" else (part, part + SEP, part + AFTER_SEP)
        for path, waits, *stamp in db.execute(
            "SELECT path, content IS NULL AND code IS NULL, size, mtime_ns, ctime_ns FROM files WHERE folder = ?"
            + within,
            (folder, *limits),
        ):
            known[path] = (-1, 0, 0) if waits else tuple(stamp)
    return known


def n_files(db: sqlite3.Connection, folder: int) -> int:
    """How many files of a folder are known, waiting ones among them."""
    return db.execute("SELECT count(*) FROM files WHERE folder = ?", (folder,)).fetchone()[0]


def write_delta(db: sqlite3.Connection, folder: Folder, seen: Walk, delta: Delta) -> None:
    """Gone files lose their row; changed ones wait under their new stamp, loops (by name) are left out at once."""
    db.executemany(
        "DELETE FROM files WHERE folder = ? AND path = ?", [(folder.number, path) for path in delta.gone]
    )
    top = os.path.basename(folder.path)
    for path in delta.changed:
        typed = guess_type(os.fsdecode(os.path.join(top, path)))
        db.execute(
            _PUT_FILE,
            (
                folder.number,
                path,
                *seen.files[path],
                typed.type if typed else None,
                typed.subtype if typed else None,
                *_left_out(os.path.join(folder.path, path), typed),
            ),
        )


def _left_out(path: bytes, typed: Typed | None) -> tuple[str, str] | tuple[None, None]:
    """Why a file is left out for what it is called, as code and text."""
    if typed is not None and typed.is_loop:
        return "refused", "a loop by its name, not a one-shot"
    if len(path) > MAX_PATH_BYTES:
        name = one_line(os.fsdecode(path[-100:]))
        return "too-big", f"…{name}: found a path of {len(path)} bytes; expected at most {MAX_PATH_BYTES}"
    return None, None


def jobs(db: sqlite3.Connection, model: int, since: int | None = None) -> dict[bytes, Job]:
    """Path → what waits for it: files not read yet, and one file for each content without a key of this model.

    Args:
        since: a revision at which no content lacked its key: only those touched later are looked at. None looks at
            them all.
    """
    waiting: dict[bytes, Job] = {}
    keyless = _KEYLESS.format(touched="" if since is None else TOUCHED_FILES)
    for folder_path, folder, path, changed_ns in db.execute(
        f"{_UNREAD} UNION ALL {keyless}", {"model": model, "since": since}
    ):
        name = os.path.join(folder_path, path)
        before = waiting[name].places if name in waiting else ()
        waiting[name] = Job((*before, (folder, path)), changed_ns)
    return waiting


def write_examined(
    db: sqlite3.Connection, model: int, places: Iterable[Place], examined: Examined, key: FloatArray | None
) -> None:
    """What was found out about a file. One that changed while it was read goes on waiting.

    Args:
        key: (D,) float32, or None where it needs none.
    """
    if examined.content is None:
        db.executemany(
            "UPDATE files SET code = ?, text = ? WHERE folder = ? AND path = ?",
            [(examined.code, examined.text, *place) for place in places],
        )
        return
    if examined.stamp is None:
        return
    db.executemany(
        "UPDATE files SET size = ?, mtime_ns = ?, ctime_ns = ?, content = ? WHERE folder = ? AND path = ?",
        [(*examined.stamp, examined.content, *place) for place in places],
    )
    if not examined.known:
        db.execute(
            "INSERT OR IGNORE INTO contents VALUES (?, ?, ?, ?)",
            (examined.content, examined.duration_s, examined.code, examined.text),
        )
    if key is not None:
        db.execute(
            "INSERT OR IGNORE INTO vectors (model, content, vector) VALUES (?, ?, ?)",
            (model, examined.content, key.astype("<f4").tobytes()),
        )


def is_settled(db: sqlite3.Connection, model: int, content: bytes) -> bool:
    """Whether a content needs no decoding: it has a key of this model, or a reason to have none."""
    row = db.execute(
        """SELECT code NOT NULL OR EXISTS
               (SELECT 1 FROM vectors WHERE model = ? AND vectors.content = contents.content)
           FROM contents WHERE content = ?""",
        (model, content),
    ).fetchone()
    return row is not None and bool(row[0])


def content_at(db: sqlite3.Connection, path: bytes) -> bytes | None:
    """The content of the file at an absolute path, where the library knows it."""
    for folder in folder_rows(db):
        prefix = folder.path.rstrip(SEP) + SEP
        row = (
            path.startswith(prefix)
            and db.execute(
                "SELECT content FROM files WHERE folder = ? AND path = ? AND content NOT NULL",
                (folder.number, path[len(prefix) :]),
            ).fetchone()
        )
        if row:
            return row[0]
    return None


_PUT_FILE = """
    INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?, NULL, ?, ?)
    ON CONFLICT (folder, path) DO UPDATE SET size = excluded.size, mtime_ns = excluded.mtime_ns,
        ctime_ns = excluded.ctime_ns, type = excluded.type, subtype = excluded.subtype, content = NULL,
        code = excluded.code, text = excluded.text
"""
"""Not REPLACE: that deletes without firing the triggers."""

TOUCHED_FILES = "AND files.content IN (SELECT content FROM touched WHERE revision > :since)"

_UNREAD = """
    SELECT folders.path, files.folder, files.path, max(files.mtime_ns, files.ctime_ns)
    FROM files JOIN folders ON folders.id = files.folder
    WHERE folders.state = 'online' AND files.content IS NULL AND files.code IS NULL
"""
_KEYLESS = """
    SELECT folders.path, files.folder, min(files.path), 0 FROM files JOIN folders ON folders.id = files.folder
    LEFT JOIN contents USING (content)
    WHERE folders.state = 'online' AND files.code IS NULL AND files.content NOT NULL AND contents.code IS NULL
        AND NOT EXISTS (SELECT 1 FROM vectors WHERE vectors.model = :model AND vectors.content = files.content)
        {touched}
    GROUP BY files.content
"""
"""A content may have no row of its own: it was taken for known because of a copy that then could not be read."""
