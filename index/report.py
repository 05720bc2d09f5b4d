"""What the library says about itself, read from its catalogue beside whoever is writing."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from encoders.drum_types import TYPES
from encoders.errors import one_line
from index.cache import FOLDER, Cache
from index.catalogue import read_only, revision_of
from index.lock import is_held


@dataclass(frozen=True)
class FolderState:
    """A folder that is followed.

    Attributes:
        path: absolute; bytes that are not UTF-8 are PEP 383 escapes.
        state: "online", or "offline" while its drive is away.
        one_shots: files that can be suggested, or could if it were online.
        skipped: files left out.
        portable: its keys are kept on its own drive, too.
        emptied_at: when the drive was first seen without any file, seconds since 1970; else None.
    """

    path: str
    state: str
    one_shots: int
    skipped: int
    portable: bool = False
    emptied_at: float | None = None


@dataclass(frozen=True)
class Skipped:
    """A file left out, and why."""

    path: str
    code: str
    text: str


@dataclass(frozen=True)
class LibraryStatus:
    """What is indexed.

    Attributes:
        one_shots: files that can be suggested now.
        by_type: how many of each type.
        pending: files still to be read or encoded.
        skipped: files left out.
        revision: counts the changes ever made.
        watching: how the folders are followed: "events", "polling" or "both"; "" when nobody does.
        model: digest of the model in use; "" before the first.
        forests: the types that are searched by Annoy, each with the recall@10 and the search_k that it was tuned to; the
            others are searched exactly.
        trouble: what keeps it from being brought up to the disk, as only the process that does it knows.
    """

    one_shots: int
    by_type: dict[str, int]
    pending: int
    skipped: int
    revision: int
    watching: str
    model: str
    folders: tuple[FolderState, ...]
    forests: dict[str, dict[str, float]]
    trouble: tuple[str, ...] = ()


def read_folders(state: Path) -> tuple[FolderState, ...]:
    """The folders followed, in order of path."""
    with read_only(state) as db:
        return _folders(db)


def read_skipped(state: Path) -> tuple[Skipped, ...]:
    """The files left out and why, in order of path."""
    with read_only(state) as db:
        rows = db.execute(
            """SELECT folders.path, files.path, coalesce(files.code, contents.code) AS why,
                      files.text, contents.text
               FROM files JOIN folders ON folders.id = files.folder LEFT JOIN contents USING (content)
               WHERE why NOT NULL"""
        ).fetchall()
    rows = sorted((os.path.join(folder, path), *about) for folder, path, *about in rows)
    return tuple(
        Skipped(name := os.fsdecode(path), code, text or _told_of(name, why))
        for path, code, text, why in rows
    )


def _told_of(path: str, text: str) -> str:
    """Why a content is left out, told of a file that has it; it was written down of the copy that was read."""
    _, found, rest = text.partition(": found ")
    return one_line(path) + found + rest if found else text


def read_status(state: Path) -> LibraryStatus:
    """What is indexed, as a process that does not hold the state folder can know it."""
    with read_only(state) as db:
        model = _meta(db, "model")
        found = dict(db.execute(_BY_TYPE, {"digest": model}).fetchall())
        by_type = {type_: found.get(type_, 0) for type_ in TYPES}
        folders = _folders(db)
        return LibraryStatus(
            sum(by_type.values()),
            by_type,
            db.execute(_N_PENDING, {"digest": model}).fetchone()[0],
            sum(folder.skipped for folder in folders),
            revision_of(db),
            _meta(db, "watching") if is_held(state) else "",
            model,
            folders,
            _forests(state, model),
        )


_MODEL = "(SELECT id FROM models WHERE digest = :digest)"
_BY_TYPE = f"""
    SELECT coalesce(files.type, guesses.type, 'other') AS shown, count(*)
    FROM files
    JOIN folders ON folders.id = files.folder AND folders.state = 'online'
    JOIN contents USING (content)
    JOIN vectors ON vectors.content = files.content AND vectors.model = {_MODEL}
    LEFT JOIN guesses ON guesses.content = files.content AND guesses.model = {_MODEL}
    WHERE files.code IS NULL AND contents.code IS NULL GROUP BY shown
"""
_N_PENDING = f"""
    SELECT count(*) FROM files JOIN folders ON folders.id = files.folder LEFT JOIN contents USING (content)
    WHERE folders.state = 'online' AND files.code IS NULL AND contents.code IS NULL AND NOT EXISTS
        (SELECT 1 FROM vectors WHERE vectors.content = files.content AND vectors.model = {_MODEL})
"""


def _meta(db: sqlite3.Connection, key: str) -> str:
    row = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return row[0] if row else ""


def _forests(state: Path, model: str) -> dict[str, dict[str, float]]:
    newest = Cache(Path(state) / FOLDER / model[:32]).generations()[:1]
    return {
        forest.type: {"recall": forest.recall, "search_k": forest.search_k}
        for generation in newest
        for forest in generation.forests
    }


def _folders(db: sqlite3.Connection) -> tuple[FolderState, ...]:
    rows = db.execute(
        """SELECT folders.path, folders.state,
                  count(*) FILTER (WHERE files.code IS NULL AND contents.content NOT NULL AND contents.code IS NULL),
                  count(*) FILTER (WHERE files.code NOT NULL OR contents.code NOT NULL),
                  folders.portable, folders.emptied_at
           FROM folders LEFT JOIN files ON files.folder = folders.id LEFT JOIN contents USING (content)
           GROUP BY folders.id ORDER BY folders.path"""
    )
    return tuple(
        FolderState(os.fsdecode(path), state, one_shots, skipped, bool(portable), emptied_at)
        for path, state, one_shots, skipped, portable, emptied_at in rows
    )
