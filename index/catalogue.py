"""The truth about the library, in SQLite: folders, files, contents, vectors, and what the user did with them.

A file is a path and a stamp; a content is what its bytes are, by digest. Vectors and marks hang on contents, so
that a move or a second copy costs nothing. Every change to what a content offers is written down in `touched` by
triggers, in the transaction that made it: that is how a snapshot knows what it has to read anew.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from encoders.artefacts import write_bytes
from encoders.errors import Refused
from index.schema import MIGRATIONS, migrate, version_of

NAME = "catalogue.sqlite3"
ROOM_BYTES = 1 << 20
"""Free space below which a disk that was full is so still: small writes go well before batches do."""

RESERVE = "reserve"
RESERVE_BYTES = 1 << 18
"""A file that is given up where a full disk lets nobody open the catalogue, not even to read: SQLite needs some room."""


class Catalogue:
    """The one writer's connection. Its methods may be called from any thread; they take turns.

    Raises:
        Refused: the catalogue is of a later version, damaged, or cannot be written.
    """

    def __init__(self, state: Path) -> None:
        self.path = Path(state) / NAME
        self._turn = threading.RLock()
        self._trouble: Refused | None = None
        reserve = self.path.with_name(RESERVE)
        try:
            self.db = _opened(self.path)
        except sqlite3.Error as error:
            if not reserve.exists():
                raise _in_words(self.path, error) from None
            reserve.unlink()
            with _blaming_the_disk(self.path):
                self.db = _opened(self.path)
        with contextlib.suppress(OSError):
            if not reserve.exists() and self._has_room():
                write_bytes(reserve, bytes(RESERVE_BYTES))

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """A transaction under a new revision; it leaves no trace where the block changes nothing or raises.

        Raises:
            Refused: the disk is full or read-only, or the catalogue damaged; the next one may go well.
        """
        with self._writing() as db:
            db.execute("UPDATE meta SET value = value + 1 WHERE key = 'revision'")
            before = db.total_changes
            yield db
            if db.total_changes == before:
                db.execute("ROLLBACK")

    @contextmanager
    def quietly(self) -> Iterator[sqlite3.Connection]:
        """A transaction on what no snapshot shows: no new revision. It raises what `change` raises."""
        with self._writing() as db:
            yield db

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._turn, _blaming_the_disk(self.path):
            try:
                self.db.execute("BEGIN IMMEDIATE")
                yield self.db
                if self.db.in_transaction:
                    self.db.execute("COMMIT")
            except BaseException as error:
                if self.db.in_transaction:  # SQLite ends it itself when the disk is full
                    self.db.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error) and _code(error) in _REMEDIES:
                    self._trouble = _in_words(self.path, error)
                raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A steady view: all that is read in the block belongs to one revision."""
        with self._turn, _blaming_the_disk(self.path):
            self.db.execute("BEGIN")
            try:
                yield self.db
            finally:
                self.db.execute("ROLLBACK")

    def trouble(self) -> Refused | None:
        """Why it could not be written; None when a write goes well again and there is room for more."""
        if self._trouble and self._has_room():
            with contextlib.suppress(Refused):
                with self.quietly() as db:
                    db.execute(
                        "INSERT INTO meta VALUES ('tried', 1) ON CONFLICT (key) DO UPDATE SET value = value + 1"
                    )
                self._trouble = None
        return self._trouble

    def _has_room(self) -> bool:
        return shutil.disk_usage(self.path.parent).free >= ROOM_BYTES

    def forget_touched(self, revision: int) -> None:
        """Drops the record of what was touched up to a revision; no new revision itself."""
        with self.quietly() as db:
            if revision > touched_after(db):
                db.execute("DELETE FROM touched WHERE revision <= ?", (revision,))
                _set(db, "touched_after", revision)

    def shrink(self) -> None:
        """Gives the disk back what was deleted, where that is more than a quarter of the file.

        Raises:
            Refused: no room for the copy that it takes.
        """
        with self._turn, _blaming_the_disk(self.path):
            n_free, n_pages = (
                self.db.execute(f"PRAGMA {what}").fetchone()[0] for what in ("freelist_count", "page_count")
            )
            if 4 * n_free > n_pages:
                self.db.execute("VACUUM")
                self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def set_watching(self, how: str) -> None:
        """Notes how the folders are followed, for those who read beside us; no new revision."""
        with self.quietly() as db:
            _set(db, "watching", how)

    def close(self) -> None:
        """Closes the connection; what was committed stays."""
        with self._turn:
            self.db.close()


def _opened(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")  # a power cut may cost the last batch, never the rest
        db.execute("PRAGMA foreign_keys = ON")
        migrate(db, path)
    except BaseException:
        db.close()
        raise
    return db


@contextmanager
def read_only(state: Path) -> Iterator[sqlite3.Connection]:
    """A steady view of a state folder's catalogue beside a running daemon; an empty one where there is none yet.

    Raises:
        Refused: the catalogue is damaged or of another version.
    """
    path = Path(state) / NAME
    with _blaming_the_disk(path):
        there = path.exists()
        db = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro" if there else ":memory:", uri=there, isolation_level=None
        )
        try:
            if there and version_of(db) < len(MIGRATIONS):  # its writer has not brought it up yet
                db = _copied(db)
            migrate(db, path)
            db.execute("BEGIN")
            yield db
        finally:
            db.close()


def _copied(db: sqlite3.Connection) -> sqlite3.Connection:
    """The same in memory, where it can be changed."""
    copy = sqlite3.connect(":memory:", isolation_level=None)
    with contextlib.closing(db):
        db.backup(copy)
    return copy


def revision_of(db: sqlite3.Connection) -> int:
    """Counts the changes ever made."""
    return db.execute("SELECT value FROM meta WHERE key = 'revision'").fetchone()[0]


def identity_of(db: sqlite3.Connection) -> str:
    """Tells this catalogue from every other."""
    return db.execute("SELECT value FROM meta WHERE key = 'identity'").fetchone()[0]


def touched_after(db: sqlite3.Connection) -> int:
    """The revision since which every touched content is on record."""
    return db.execute("SELECT value FROM meta WHERE key = 'touched_after'").fetchone()[0]


def model_id(db: sqlite3.Connection, digest: str) -> int:
    """The catalogue's number for a model; a model never seen gets one."""
    db.execute("INSERT OR IGNORE INTO models (digest) VALUES (?)", (digest,))
    return db.execute("SELECT id FROM models WHERE digest = ?", (digest,)).fetchone()[0]


def set_model_in_use(db: sqlite3.Connection, digest: str) -> None:
    """Notes whose keys are searched."""
    _set(db, "model", digest)


def labelled_at_guess(db: sqlite3.Connection, model: int) -> int:
    """How many keys had a telling name when types were last guessed by this model."""
    row = db.execute("SELECT value FROM meta WHERE key = ?", (f"labelled/{model}",)).fetchone()
    return row[0] if row else 0


def set_labelled_at_guess(db: sqlite3.Connection, model: int, n_labelled: int) -> None:
    """Notes it."""
    _set(db, f"labelled/{model}", n_labelled)


def _set(db: sqlite3.Connection, key: str, value: str | int) -> None:
    """Writes only what differs: an unchanged value is no new revision."""
    db.execute(
        """INSERT INTO meta VALUES (?, ?)
           ON CONFLICT (key) DO UPDATE SET value = excluded.value WHERE value <> excluded.value""",
        (key, value),
    )


_MOVE_AWAY = "if it is damaged, move it away and sync anew"
_MEND = "mend the disk or the permissions of its folder; what is indexed is still suggested"
_REMEDIES = {
    sqlite3.SQLITE_CANTOPEN: _MEND,
    sqlite3.SQLITE_CORRUPT: _MOVE_AWAY,
    sqlite3.SQLITE_FULL: "free some disk space; until then nothing new is indexed, what is indexed is still suggested",
    sqlite3.SQLITE_IOERR: _MEND,
    sqlite3.SQLITE_NOTADB: _MOVE_AWAY,
    sqlite3.SQLITE_READONLY: _MEND,
}
"""What the disk does to a catalogue, and what to do about it; any other error of SQLite's is a bug of this program."""


@contextmanager
def _blaming_the_disk(path: Path) -> Iterator[None]:
    """What the disk did becomes an error that the user can mend."""
    try:
        yield
    except sqlite3.Error as error:
        if _code(error) in _REMEDIES:
            raise _in_words(path, error) from None
        raise


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _in_words(path: Path, error: sqlite3.Error) -> Refused:
    code = _code(error)
    if code == sqlite3.SQLITE_IOERR and shutil.disk_usage(path.parent).free < RESERVE_BYTES:
        code = sqlite3.SQLITE_FULL
    remedy = _REMEDIES.get(code, _MOVE_AWAY)
    return Refused(
        str(path), found=str(error), expected="a catalogue that can be read and written", remedy=remedy
    )
