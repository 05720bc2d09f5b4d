"""The library of one-shots: event → scan → delta → decode → encode → catalogue → snapshot."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from encoders.audio import FloatArray
from encoders.drum_types import guess_type
from encoders.errors import BadRequest, NotFound, Refused
from encoders.package import Card
from encoders.windows import pad
from index import catalogue
from index.catalogue import Catalogue, model_id, read_only, revision_of
from index.decoding import Decoders, Examined
from index.folders import EMPTY_GRACE_S, judge, volume_of
from index.lock import StateLock
from index.report import FolderState, LibraryStatus, Skipped, read_folders, read_skipped, read_status
from index.scan import Delta, Stamp, Walk, compare, walk
from index.snapshot import advanced, empty, rebuilt
from index.types_by_sound import PER_TYPE, vote

__all__ = ["FolderState", "Library", "LibraryStatus", "Skipped", "read_folders", "read_skipped", "read_status"]

Progress = Callable[[int, int], None]
"""Told (done, total)."""

MARKS = ("used", "like", "dislike")

BATCH = 8
"""One-shots encoded at once; more gain nothing on a CPU."""

COMMIT_EVERY, COMMIT_EVERY_S = 64, 1.0
"""A kill costs at most what was encoded since the last commit."""

PUBLISH_EVERY_S = 5.0
"""How often a long sync makes what it has found searchable."""

DELTA_MAX = 4096
"""One-shots that may lie beside the large table before it is made anew, or an eighth of it if that is more: so
each one-shot is copied a few times over a library's life, and a press scans little beside the table."""


class KeyEncoder(Protocol):
    """What the library needs of an `Encoder`."""

    @property
    def card(self) -> Card: ...

    def keys(self, windows: FloatArray) -> FloatArray: ...


class Library:
    """The one-shots below the folders that the user gave, as keys of one model. A context manager.

    Its methods may be called from any thread. `snapshot` is swapped whole, so a press that took one keeps it.

    Args:
        state: the state folder; made where it is missing.
        encoder: gives the keys; those of other models are kept and never mixed with its own.
        watch: follow the folders from a thread of its own until the end.
        clock: seconds since 1970.

    Raises:
        Busy: another process holds the state folder.
        Refused: the state folder cannot be used.
    """

    def __init__(
        self,
        state: Path,
        encoder: KeyEncoder,
        watch: bool = False,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.state = Path(state)
        self.encoder = encoder
        try:
            self.state.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Refused(str(state), found=error.strerror or str(error), expected="a state folder") from None
        self._clock = clock
        self._syncing = threading.Lock()
        self._lock = StateLock(self.state)
        self._catalogue = Catalogue(self.state)
        self._decoders = Decoders()
        with self._catalogue.change() as db:
            self._model = model_id(db, encoder.card.digest)
            catalogue.set_model_in_use(db, encoder.card.digest)
        self.snapshot = empty(encoder.card.dim, encoder.card.digest)
        self._publish(whole=True)

    def __enter__(self) -> Library:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the worker processes and gives the state folder back."""
        self._decoders.close()
        self._catalogue.close()
        self._lock.release()

    def add(self, path: bytes | str, progress: Progress | None = None) -> None:
        """Follows a folder from now on, and returns when its one-shots are searchable.

        Raises:
            NotFound: no such folder.
            Refused: not a folder, or it cannot be listed.
        """
        folder = _absolute(path)
        name = os.fsdecode(folder)
        if not os.path.exists(folder):
            raise NotFound(name, found="no such folder", remedy="check the path, and that its drive is there")
        if not os.path.isdir(folder) or not os.access(folder, os.R_OK | os.X_OK):
            raise Refused(name, found="not a folder that can be listed", expected="a folder of samples")
        with self._catalogue.change() as db:
            db.execute(
                "INSERT OR IGNORE INTO folders (path, volume, state) VALUES (?, ?, 'online')",
                (folder, volume_of(folder)),
            )
        self.sync(progress)

    def remove(self, path: bytes | str) -> None:
        """Follows a folder no more. Its one-shots' keys and marks are kept, should it come back.

        Raises:
            NotFound: it is not followed.
        """
        with self._syncing:
            with self._catalogue.change() as db:
                n_removed = db.execute("DELETE FROM folders WHERE path = ?", (_absolute(path),)).rowcount
            if not n_removed:
                raise NotFound(
                    os.fsdecode(path), found="not a folder of this library", remedy="see `samplefit folders`"
                )
            self._publish()

    def sync(self, progress: Progress | None = None) -> int:
        """Brings the library up to the disk: every change made before the call is searchable on return.

        What was encoded is kept when it is interrupted; the next one goes on from there.

        Returns:
            The library's revision.
        """
        with self._syncing:
            for folder in self._folder_rows():
                self._scan(*folder)
            self._examine_all(progress or (lambda done, total: None))
            self._guess_types()
            return self._publish()

    def mark(self, path: bytes | str, what: str) -> None:
        """Notes that the user took, likes or dislikes a one-shot; it holds for every copy of the file.

        Raises:
            BadRequest: not one of `MARKS`.
            NotFound: no such one-shot in the library.
        """
        if what not in MARKS:
            raise BadRequest("mark", found=repr(what), expected=", ".join(MARKS))
        with self._catalogue.change() as db:
            content = _content_at(db, _absolute(path))
            if content is None:
                raise NotFound(
                    os.fsdecode(path), found="not in the library", expected="the path of one of its one-shots"
                )
            db.execute(
                "INSERT INTO marks (content, what, at) VALUES (?, ?, ?)", (content, what, self._clock())
            )

    def folders(self) -> tuple[FolderState, ...]:
        """The folders followed, in order of path."""
        return read_folders(self.state)

    def skipped(self) -> tuple[Skipped, ...]:
        """The files left out and why, in order of path."""
        return read_skipped(self.state)

    def status(self) -> LibraryStatus:
        """What is indexed, and how it is followed."""
        return read_status(self.state)

    def _folder_rows(self) -> list[tuple[int, bytes, str, str, float | None]]:
        with self._catalogue.reading() as db:
            return db.execute(
                "SELECT id, path, volume, state, emptied_at FROM folders ORDER BY path"
            ).fetchall()

    def _scan(self, number: int, folder: bytes, volume: str, state: str, emptied_at: float | None) -> None:
        """Walks one folder and writes down what is to be done about it."""
        volume_before = volume_of(folder)
        try:
            seen = walk(folder)
        except OSError:
            seen = None
        volume_now = volume_of(folder)
        if volume_now != volume_before:  # it went or came while we looked
            seen = None
        with self._catalogue.reading() as db:
            known = _known_files(db, number)
        now = self._clock()
        presence = judge(known, volume, seen, volume_now)
        if presence.emptied and emptied_at is not None and now - emptied_at >= EMPTY_GRACE_S:
            presence = presence.__class__("online", believed=True)
        with self._catalogue.change() as db:
            if presence.emptied != (emptied_at is not None) or presence.state != state:
                since = min(emptied_at or now, now) if presence.emptied else None
                db.execute(
                    "UPDATE folders SET state = ?, emptied_at = ? WHERE id = ?",
                    (presence.state, since, number),
                )
            if presence.believed and seen is not None:
                if volume_now != volume:
                    db.execute("UPDATE folders SET volume = ? WHERE id = ?", (volume_now, number))
                _write_delta(db, number, folder, seen, compare(known, seen))

    def _examine_all(self, progress: Progress) -> None:
        """Reads what is pending and encodes what has no key; again for what changed while it was read."""
        tried: set[bytes] = set()
        while jobs := {path: places for path, places in self._jobs().items() if path not in tried}:
            tried |= jobs.keys()
            self._examine(jobs, progress)

    def _jobs(self) -> dict[bytes, list[tuple[int, bytes]]]:
        """Path → the file rows that wait for it: those not read yet, and one for each content without a key."""
        jobs: dict[bytes, list[tuple[int, bytes]]] = {}
        with self._catalogue.reading() as db:
            for folder_path, folder, path in db.execute(_PENDING, {"model": self._model}):
                jobs.setdefault(os.path.join(folder_path, path), []).append((folder, path))
        return jobs

    def _examine(self, jobs: dict[bytes, list[tuple[int, bytes]]], progress: Progress) -> None:
        claimed: set[bytes] = set()
        turn = threading.Lock()

        def is_known(content: bytes) -> bool:
            with turn, self._catalogue.reading() as db:
                known = content in claimed or _is_settled(db, self._model, content)
                claimed.add(content)
                return known

        encoding: list[Examined] = []
        finished: list[tuple[Examined, FloatArray | None]] = []
        committed_at = published_at = time.monotonic()
        for n_done, examined in enumerate(self._decoders.examine(list(jobs), is_known), 1):
            if examined.samples is not None:
                encoding.append(examined)
            else:
                finished.append((examined, None))
            if len(encoding) == BATCH or (encoding and n_done == len(jobs)):
                windows = np.stack([pad(one.samples) for one in encoding])  # (B, 176400)
                finished += zip(encoding, self.encoder.keys(windows), strict=True)
                encoding = []
            now = time.monotonic()
            if len(finished) >= COMMIT_EVERY or now - committed_at > COMMIT_EVERY_S or n_done == len(jobs):
                with self._catalogue.change() as db:
                    for one, key in finished:
                        _write_examined(db, self._model, jobs[one.path], one, key)
                finished, committed_at = [], now
            if now - published_at > PUBLISH_EVERY_S:
                self._publish()
                published_at = now
            progress(n_done, len(jobs))

    def _guess_types(self) -> None:
        """Gives a type to each key whose names tell none; to all of them anew when far more names tell one now."""
        with self._catalogue.reading() as db:
            n_labelled = db.execute(_N_LABELLED, {"model": self._model}).fetchone()[0]
            n_before = catalogue.labelled_at_guess(db, self._model)
            anew = n_labelled > 1.25 * n_before
            nameless = db.execute(_NAMELESS + ("" if anew else _UNGUESSED), {"model": self._model}).fetchall()
            if not nameless:
                return
            labelled = db.execute(_LABELLED, {"model": self._model, "per_type": PER_TYPE}).fetchall()
        dim = self.encoder.card.dim
        types = vote(
            _matrix([vector for _, vector in nameless], dim),
            _matrix([vector for _, vector in labelled], dim),
            np.array([type_ for type_, _ in labelled]),
        )
        with self._catalogue.change() as db:
            catalogue.set_labelled_at_guess(db, self._model, n_labelled if anew else n_before)
            db.executemany(
                """INSERT INTO guesses VALUES (?, ?, ?)
                   ON CONFLICT (model, content) DO UPDATE SET type = excluded.type""",
                [(self._model, content, type_) for (content, _), type_ in zip(nameless, types, strict=True)],
            )

    def _publish(self, whole: bool = False) -> int:
        """Swaps in a snapshot of the catalogue as it is now."""
        old, card = self.snapshot, self.encoder.card
        with read_only(self.state) as db:
            revision = revision_of(db)
            if revision == old.revision and not whole:
                return revision
            n_touched = db.execute(
                "SELECT count(*) FROM touched WHERE revision > ?", (old.base_revision,)
            ).fetchone()[0]
            if whole or n_touched > max(DELTA_MAX, len(old.tables[0].rows) // 8):
                self.snapshot = rebuilt(db, self._model, card.digest, card.dim, revision)
            else:
                self.snapshot = advanced(old, db, self._model, card.dim, revision)
        self._catalogue.forget_touched(self.snapshot.base_revision)
        return revision


_PENDING = """
    SELECT folders.path, files.folder, files.path FROM files JOIN folders ON folders.id = files.folder
    WHERE folders.state = 'online' AND files.content IS NULL AND files.code IS NULL
    UNION
    SELECT folders.path, files.folder, min(files.path) FROM files JOIN folders ON folders.id = files.folder
    JOIN contents USING (content)
    WHERE folders.state = 'online' AND files.code IS NULL AND contents.code IS NULL
        AND NOT EXISTS (SELECT 1 FROM vectors WHERE vectors.model = :model AND vectors.content = files.content)
    GROUP BY files.content
"""

_KEYS = """
    FROM files JOIN folders ON folders.id = files.folder AND folders.state = 'online'
    JOIN vectors ON vectors.content = files.content AND vectors.model = :model
    WHERE files.code IS NULL
"""
_N_LABELLED = f"SELECT count(DISTINCT files.content) {_KEYS} AND files.type NOT NULL"
_NAMELESS = f"SELECT DISTINCT files.content, vectors.vector {_KEYS} AND files.type IS NULL"
_UNGUESSED = """
    AND NOT EXISTS (SELECT 1 FROM guesses WHERE guesses.model = :model AND guesses.content = files.content)"""
_LABELLED = f"""
    SELECT type, vector FROM (
        SELECT type, vector, row_number() OVER (PARTITION BY type ORDER BY content) AS place FROM (
            SELECT files.type AS type, files.content AS content, vectors.vector AS vector
            {_KEYS} AND files.type NOT NULL GROUP BY files.content, files.type
        )
    ) WHERE place <= :per_type ORDER BY type, place
"""


def _absolute(path: bytes | str) -> bytes:
    return os.path.abspath(os.fsencode(path))


def _matrix(vectors: list[bytes], dim: int) -> FloatArray:
    """(N, D) float32 of N keys as the catalogue keeps them."""
    return np.frombuffer(b"".join(vectors), "<f4").reshape(len(vectors), dim)


def _known_files(db: sqlite3.Connection, folder: int) -> dict[bytes, Stamp]:
    """The files of a folder as they were when they were read."""
    rows = db.execute(
        """SELECT path, size, mtime_ns, ctime_ns FROM files
           WHERE folder = ? AND (content NOT NULL OR code NOT NULL)""",
        (folder,),
    )
    return {path: (size, mtime_ns, ctime_ns) for path, size, mtime_ns, ctime_ns in rows}


def _write_delta(db: sqlite3.Connection, folder: int, folder_path: bytes, seen: Walk, delta: Delta) -> None:
    """Changed files become pending under their new stamp, those whose name says loop are left out at once."""
    top = os.path.basename(folder_path)
    db.executemany("DELETE FROM files WHERE folder = ? AND path = ?", [(folder, path) for path in delta.gone])
    for path in delta.changed:
        typed = guess_type(os.fsdecode(os.path.join(top, path)))
        is_loop = typed is not None and typed.is_loop
        db.execute(
            _PUT_FILE,
            (
                folder,
                path,
                *seen.files[path],
                typed.type if typed else None,
                typed.subtype if typed else None,
                "refused" if is_loop else None,
                "a loop by its name, not a one-shot" if is_loop else None,
            ),
        )


_PUT_FILE = """
    INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?, NULL, ?, ?)
    ON CONFLICT (folder, path) DO UPDATE SET size = excluded.size, mtime_ns = excluded.mtime_ns,
        ctime_ns = excluded.ctime_ns, type = excluded.type, subtype = excluded.subtype, content = NULL,
        code = excluded.code, text = excluded.text
"""


def _write_examined(
    db: sqlite3.Connection,
    model: int,
    places: list[tuple[int, bytes]],
    examined: Examined,
    key: FloatArray | None,
) -> None:
    """What was found out about a file. One that changed meanwhile stays pending."""
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


def _is_settled(db: sqlite3.Connection, model: int, content: bytes) -> bool:
    """Whether a content needs no decoding: it has a key of this model, or a reason to have none."""
    row = db.execute(
        """SELECT code NOT NULL OR EXISTS (SELECT 1 FROM vectors WHERE model = ? AND vectors.content = contents.content)
           FROM contents WHERE content = ?""",
        (model, content),
    ).fetchone()
    return row is not None and bool(row[0])


def _content_at(db: sqlite3.Connection, path: bytes) -> bytes | None:
    for folder, folder_path in db.execute("SELECT id, path FROM folders").fetchall():
        prefix = folder_path.rstrip(b"/") + b"/"
        if path.startswith(prefix):
            row = db.execute(
                "SELECT content FROM files WHERE folder = ? AND path = ? AND content NOT NULL",
                (folder, path[len(prefix) :]),
            ).fetchone()
            if row is not None:
                return row[0]
    return None
