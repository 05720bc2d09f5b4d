"""What the user did with one-shots: used, liked, disliked. Marks hang on contents, so they hold for every copy."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from encoders.errors import NotFound
from index.catalogue import read_only

NEWEST = 1000
"""Marks that are told of."""


@dataclass(frozen=True)
class Mark:
    """One thing done.

    Attributes:
        path: of a one-shot with that content; the first where there are copies.
        what: "used", "like" or "dislike".
        at: seconds since 1970.
    """

    number: int
    path: str
    what: str
    at: float


def read_marks(state: Path) -> tuple[Mark, ...]:
    """The newest marks of one-shots that are there now, newest first."""
    with read_only(state) as db:
        rows = db.execute(
            """SELECT marks.id, min(folders.path || '/' || files.path), marks.what, marks.at
               FROM marks JOIN files USING (content) JOIN folders ON folders.id = files.folder
               GROUP BY marks.id ORDER BY marks.id DESC LIMIT ?""",
            (NEWEST,),
        ).fetchall()
    return tuple(Mark(number, os.fsdecode(path), what, at) for number, path, what, at in rows)


def take_back(db: sqlite3.Connection, number: int) -> None:
    """Deletes a mark, as if it had never been made.

    Raises:
        NotFound: there is none of that number.
    """
    if not db.execute("DELETE FROM marks WHERE id = ?", (number,)).rowcount:
        raise NotFound(f"mark {number}", found="no such mark", remedy="it may have been taken back already")
