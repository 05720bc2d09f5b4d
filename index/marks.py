"""What the user did with one-shots: used, liked, disliked. Marks hang on contents, so they hold for every copy.

A mark keeps what stood beside its one-shot in the newest answer that showed it: that makes it a choice, from which a
taste can be learned, by any model that has keys of these contents.
"""

from __future__ import annotations

import itertools
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from encoders.audio import FloatArray
from encoders.errors import BadRequest, NotFound
from index.catalogue import Catalogue, read_only
from index.files import content_at
from index.rows import CONTENT_BYTES
from index.search import Hit
from index.taste import Choice, Taste, learn

MARKS = ("used", "like", "dislike")

NEWEST = 1000
"""Marks that are told of."""

N_LEARNED = 300
"""One-shots, those marked last, that a taste is learned from: tastes change. Invented."""

N_ANSWERS = 600
"""Answers that a mark may be about, each of one type: those of the last hundred presses. Invented."""

N_BESIDE = 24
"""One-shots of an answer, from the best on, that count as seen. Invented."""

N_ASKED = 500
"""Contents in one question: SQLite of long ago takes 999."""


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


class Marks:
    """The marks of a catalogue, and the taste learned from them. From any thread.

    Args:
        model: digest of the model whose keys it is learned from.
        clock: seconds since 1970.

    Attributes:
        taste: swapped whole.
    """

    def __init__(self, catalogue: Catalogue, model: str, clock: Callable[[], float]) -> None:
        self._catalogue, self._clock = catalogue, clock
        self._answers: deque[tuple[str, ...]] = deque(maxlen=N_ANSWERS)
        self._learning = threading.Lock()
        self.taste: Taste
        self.use(model)

    def show(self, hits: Iterable[Hit]) -> None:
        """Notes what an answer showed; marks are choices among it."""
        for _, same in itertools.groupby(sorted(hits, key=lambda hit: hit.type), lambda hit: hit.type):
            self._answers.append(tuple(hit.path for hit in itertools.islice(same, N_BESIDE)))

    def add(self, path: bytes, what: str) -> None:
        """Notes that the user took, likes or dislikes a one-shot, and learns from it.

        Raises:
            BadRequest: not one of `MARKS`.
            NotFound: no such one-shot in the library.
        """
        if what not in MARKS:
            raise BadRequest("mark", found=repr(what), expected=", ".join(MARKS))
        name = os.fsdecode(path)
        shown = next((answer for answer in reversed(tuple(self._answers)) if name in answer), ())
        with self._catalogue.change() as db:
            content = content_at(db, path)
            if content is None:
                raise NotFound(name, found="not in the library", expected="the path of one of its one-shots")
            beside = {found for other in shown if (found := content_at(db, os.fsencode(other)))} - {content}
            db.execute(
                "INSERT INTO marks (content, what, at, beside) VALUES (?, ?, ?, ?)",
                (content, what, self._clock(), b"".join(sorted(beside))),
            )
        self._learn()

    def take_back(self, number: int) -> None:
        """Deletes a mark, as if it had never been made.

        Raises:
            NotFound: there is none of that number.
        """
        with self._catalogue.change() as db:
            if not db.execute("DELETE FROM marks WHERE id = ?", (number,)).rowcount:
                raise NotFound(
                    f"mark {number}", found="no such mark", remedy="it may have been taken back already"
                )
        self._learn()

    def unlearn(self) -> int:
        """Has no mark made so far count for what is learned; they stay on the list.

        Returns:
            How many counted.
        """
        with self._catalogue.change() as db:
            n_marks = db.execute("UPDATE marks SET beside = x'' WHERE beside <> x''").rowcount
        self._learn()
        return n_marks

    def use(self, model: str) -> None:
        """Learns anew from the keys of another model.

        Args:
            model: its digest.
        """
        self._model = model
        self._learn()

    def _learn(self) -> None:
        with self._learning:
            model = self._model
            with self._catalogue.reading() as db:
                choices = read_choices(db, model)
            self.taste = learn(choices, model)


def read_marks(state: Path) -> tuple[Mark, ...]:
    """The newest marks of one-shots that are there now, newest first."""
    with read_only(state) as db:
        rows = db.execute(
            """SELECT id, folder, path, what, at FROM (
                 SELECT marks.id, folders.path AS folder, files.path AS path, marks.what, marks.at,
                        row_number() OVER (PARTITION BY marks.id ORDER BY folders.path, files.path) AS copy
                 FROM marks JOIN files USING (content) JOIN folders ON folders.id = files.folder)
               WHERE copy = 1 ORDER BY id DESC LIMIT ?""",
            (NEWEST,),
        ).fetchall()
    return tuple(
        Mark(number, os.fsdecode(os.path.join(folder, path)), what, at)
        for number, folder, path, what, at in rows
    )


def read_choices(db: sqlite3.Connection, model: str) -> list[Choice]:
    """The marks that are choices, newest first: each one-shot once, as it was marked last.

    What a model has no key of is left out; one-shots that are gone from the library count while it has.
    """
    marked = db.execute(
        """SELECT content, what, beside, max(id) FROM marks
           GROUP BY content HAVING beside <> x'' ORDER BY max(id) DESC LIMIT ?""",
        (N_LEARNED,),
    ).fetchall()
    answers = [
        [content, *(beside[at : at + CONTENT_BYTES] for at in range(0, len(beside), CONTENT_BYTES))]
        for content, _, beside, _ in marked
    ]
    keys = _keys(db, model, list({content for answer in answers for content in answer}))
    choices = []
    for (content, what, _, _), answer in zip(marked, answers, strict=True):
        found = [keys[each] for each in answer if each in keys]
        if content in keys and len(found) > 1:
            choices.append(Choice(np.stack(found), what != "dislike"))
    return choices


def _keys(db: sqlite3.Connection, model: str, contents: Sequence[bytes]) -> dict[bytes, FloatArray]:
    """The key, (D,) float32, of each content that the model has one of."""
    found: dict[bytes, FloatArray] = {}
    for start in range(0, len(contents), N_ASKED):
        some = contents[start : start + N_ASKED]
        found |= {
            content: np.frombuffer(vector, "<f4")
            for content, vector in db.execute(
                f"""SELECT content, vector FROM vectors WHERE model = (SELECT id FROM models WHERE digest = ?)
                    AND content IN ({",".join("?" * len(some))})""",
                (model, *some),
            )
        }
    return found
