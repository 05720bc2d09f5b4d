"""Types that names don't tell: the nearest one-shots whose names do."""

from __future__ import annotations

import sqlite3

import numpy as np
from numpy.typing import NDArray

from encoders.audio import FloatArray
from index import catalogue
from index.catalogue import Catalogue
from index.files import TOUCHED_FILES

N_NEIGHBOURS = 9
N_AGREE = 5
"""A type needs this many of the neighbours, else it is "other"."""

MIN_LABELLED = 2 * N_NEIGHBOURS
"""Below so many one-shots with a telling name nothing is guessed."""

PER_TYPE = 512
"""Labelled keys of one type that vote, at most: bounds the cost, and keeps a rich type from outvoting a poor one."""

MORE_LABELLED = 1.25
"""When so many times more names tell a type than at the last time, every guess is made anew."""

_ROWS = 4096


class Guesser:
    """Gives a type to every key whose names tell none. Who votes is read anew only when enough has changed."""

    def __init__(self, truth: Catalogue, model: int, dim: int) -> None:
        self._truth, self._model, self._dim = truth, model, dim
        self._counted_at, self._n_labelled = -1, 0  # how many keys had a telling name at that revision
        self._voters: tuple[FloatArray, NDArray[np.str_]] | None = None  # (L, D) and (L,), as of then

    def guess(self, since: int | None = None) -> None:
        """Guesses what has no guess yet, or everything where the names tell much more than they did.

        Args:
            since: a revision at which no guess was missing: only what was touched later is looked at. None looks at
                everything.
        """
        values = {"model": self._model, "since": since}
        with self._truth.reading() as db:
            is_stale = self._is_stale(db)
            if is_stale:
                self._counted_at, self._voters = catalogue.revision_of(db), None
                self._n_labelled = db.execute(_N_LABELLED, values).fetchone()[0]
            n_before = catalogue.labelled_at_guess(db, self._model)
            anew = is_stale and self._n_labelled > MORE_LABELLED * n_before
            which = "" if anew else _UNGUESSED + ("" if since is None else TOUCHED_FILES)
            nameless = db.execute(_NAMELESS + which, values).fetchall()
            if not nameless:
                return
            self._voters = self._voters or self._read_voters(db)
        types = vote(_matrix([vector for _, vector in nameless], self._dim), *self._voters)
        with self._truth.change() as db:
            if anew:
                catalogue.set_labelled_at_guess(db, self._model, self._n_labelled)
            db.executemany(
                """INSERT INTO guesses VALUES (?, ?, ?) ON CONFLICT (model, content)
                   DO UPDATE SET type = excluded.type WHERE type <> excluded.type""",
                [(self._model, content, type_) for (content, _), type_ in zip(nameless, types, strict=True)],
            )

    def _is_stale(self, db: sqlite3.Connection) -> bool:
        """Whether so much was touched since the names were counted that they may tell much more now."""
        if self._counted_at < catalogue.touched_after(db):
            return True
        touched = db.execute("SELECT count(*) FROM touched WHERE revision > ?", (self._counted_at,))
        return touched.fetchone()[0] > (MORE_LABELLED - 1) * self._n_labelled

    def _read_voters(self, db: sqlite3.Connection) -> tuple[FloatArray, NDArray[np.str_]]:
        rows = db.execute(_VOTERS, {"model": self._model, "per_type": PER_TYPE}).fetchall()
        return _matrix([vector for _, vector in rows], self._dim), np.array(
            [type_ for type_, _ in rows], np.str_
        )


def vote(keys: FloatArray, labelled: FloatArray, types: NDArray[np.str_]) -> list[str]:
    """The type of each key, by the vote of its nearest labelled keys.

    Args:
        keys: (N, D) float32, unit rows.
        labelled: (L, D) float32, unit rows, at most `PER_TYPE` of each type.
        types: (L,) str.
    """
    if len(labelled) < MIN_LABELLED:
        return ["other"] * len(keys)
    names, codes = np.unique(types, return_inverse=True)
    voted: list[str] = []
    for start in range(0, len(keys), _ROWS):
        scores = keys[start : start + _ROWS] @ labelled.T  # (n, L)
        nearest = np.argpartition(-scores, N_NEIGHBOURS - 1, axis=1)[:, :N_NEIGHBOURS]
        votes = np.stack([(codes[nearest] == code).sum(axis=1) for code in range(len(names))], axis=1)
        voted += [
            str(names[best]) if n >= N_AGREE else "other"
            for best, n in zip(votes.argmax(axis=1), votes.max(axis=1), strict=True)
        ]
    return voted


def _matrix(vectors: list[bytes], dim: int) -> FloatArray:
    """(N, D) float32 of N keys as the catalogue keeps them."""
    return np.frombuffer(b"".join(vectors), "<f4").reshape(len(vectors), dim)


_KEYS = """
    FROM files JOIN folders ON folders.id = files.folder AND folders.state = 'online'
    JOIN vectors ON vectors.content = files.content AND vectors.model = :model
    WHERE files.code IS NULL
"""
_N_LABELLED = f"SELECT count(DISTINCT files.content) {_KEYS} AND files.type NOT NULL"
_NAMELESS = f"SELECT DISTINCT files.content, vectors.vector {_KEYS} AND files.type IS NULL"
_UNGUESSED = """
    AND NOT EXISTS (SELECT 1 FROM guesses WHERE guesses.model = :model AND guesses.content = files.content) """
_VOTERS = f"""
    SELECT type, vectors.vector FROM (
        SELECT type, content, row_number() OVER (PARTITION BY type ORDER BY content) AS place FROM (
            SELECT DISTINCT files.type AS type, files.content AS content {_KEYS} AND files.type NOT NULL
        )
    ) AS voters
    JOIN vectors ON vectors.content = voters.content AND vectors.model = :model
    WHERE place <= :per_type ORDER BY type, place
"""
