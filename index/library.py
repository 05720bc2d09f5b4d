"""The library of one-shots: event → scan → delta → decode → encode → catalogue → snapshot."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

from encoders.audio import FloatArray
from encoders.errors import Busy, NotFound, Refused
from index.catalogue import Catalogue, model_id, read_only, revision_of
from index.cleaning import use_model
from index.decoding import Decoders
from index.files import folder_rows, jobs
from index.folders import restore_cleaned, volume_of
from index.keeper import Keeper
from index.lock import StateLock
from index.marks import Marks
from index.pipeline import KeyEncoder, examine
from index.portable import Model
from index.porter import Porter
from index.report import FolderState, LibraryStatus, Skipped, read_folders, read_skipped, read_status
from index.scanning import Scanner
from index.sight import ANSWER_LIMIT_S
from index.snapshot import Snapshot, Table, advanced, rebuilt
from index.types_by_sound import Guesser
from index.vectors import N_QUERIES
from index.watch import Follower, Parts

log = logging.getLogger(__name__)

__all__ = [
    "FolderState",
    "Library",
    "LibraryStatus",
    "Skipped",
    "read_folders",
    "read_skipped",
    "read_status",
]

Progress = Callable[[int, int], None]
"""Told (done, total)."""

PUBLISH_EVERY_S = 5.0
"""How often a long sync makes what it has found searchable."""

DELTA_MAX = 4096
"""One-shots that may lie beside the large table before it is made anew, or an eighth of it if that is more: so
each one-shot is copied a few times over a library's life, and a press scans little beside the table."""


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
        self._swapping = threading.Lock()  # for the snapshot; taken after `_syncing` where both are
        self._n_removed = 0  # folders, in this life: a scan looks at it to leave theirs
        self._adopting = threading.Lock()
        self._closing = threading.Event()
        self._settled_at: int | None = None  # the revision at which what was read had its key and its type
        self._waits = False  # files that were too young then
        with ExitStack() as ends:
            ends.callback(StateLock(self.state).release)
            self._catalogue = Catalogue(self.state)
            ends.callback(self._catalogue.close)
            self._decoders = Decoders()
            ends.callback(self._decoders.close)
            self._porter = Porter(self._catalogue)
            self._scanner = Scanner(self._catalogue, self._porter, clock)
            with self._catalogue.change() as db:
                self._model = model_id(db, encoder.card.digest)
            use_model(self._catalogue, self.state, encoder.card.digest)
            self._guesser = Guesser(self._catalogue, self._model, encoder.card.dim)
            self._keeper = Keeper(self.state, self._catalogue, self._model, encoder.card)
            self.snapshot = self._keeper.load()
            self.marks = Marks(self._catalogue, encoder.card.digest, clock)
            self._ends = ends.pop_all()
        self._follower = (
            Follower(self._followed, self.sync_parts, self._catalogue.set_watching) if watch else None
        )
        if self._follower:
            self._follower.start()

    def __enter__(self) -> Library:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the following and the worker processes and gives the state folder back; a sync under way is cut off."""
        if self._closing.is_set():
            return
        self._closing.set()
        with self._ends, self._adopting:
            if self._follower:
                self._follower.stop()
            self._keeper.close()
            with self._syncing, self._swapping:
                self._porter.is_busy(ANSWER_LIMIT_S)
                self._catalogue.set_watching("")

    def pair(self) -> tuple[KeyEncoder, Snapshot]:
        """The encoder and a snapshot of its keys: of one model, even at the moment when another is adopted."""
        while True:
            encoder, snapshot = self.encoder, self.snapshot
            if encoder.card.digest == snapshot.model:
                return encoder, snapshot

    def adopt(self, encoder: KeyEncoder, progress: Progress | None = None) -> None:
        """Goes over to another model: its keys are made aside while the old pair answers, then both change at once.

        What was made is kept when it is interrupted, and going back to a model that was in use before costs nothing.

        Raises:
            Busy: the library is being closed.
        """
        with self._adopting:
            before = self._go_over(encoder, progress or (lambda done, total: None))
        before.close()  # its thread may wait for the lock that was held

    def _go_over(self, encoder: KeyEncoder, told: Progress) -> Keeper:
        """Makes what is missing of a model's keys, then swaps; returns the old model's keeper."""
        card = encoder.card
        with self._catalogue.change() as db:
            model = model_id(db, card.digest)
        self._scanner.take_in(Model(model, card.digest, card.dim))
        with closing(Decoders()) as aside:
            self._encode_waiting(aside, encoder, model, told)
        with self._syncing:
            self._encode_waiting(self._decoders, encoder, model, told)  # what came meanwhile
            guesser = Guesser(self._catalogue, model, card.dim)
            guesser.guess()
            keeper = Keeper(self.state, self._catalogue, model, card)
            with self._swapping:
                snapshot = keeper.load()
                use_model(self._catalogue, self.state, card.digest)
                before, self._keeper = self._keeper, keeper
                self._model, self._guesser, self._settled_at = model, guesser, None
                self.encoder, self.snapshot = encoder, snapshot
            self.marks.use(card.digest)
            self._keep()
        return before

    def add(self, path: bytes | str, progress: Progress | None = None, portable: bool | None = None) -> None:
        """Follows a folder from now on, and returns when its one-shots are searchable.

        Args, Raises:
            As `enrol`.
        """
        self.enrol(path, portable)
        self.sync(progress)
        self._wake_follower()

    def enrol(self, path: bytes | str, portable: bool | None = None) -> None:
        """Notes that a folder is followed; from now on `sync` reads it, too.

        Args:
            portable: keep its keys on its own drive, too, and take those that lie there. None leaves that as it is.

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
            db.execute(_PUT_FOLDER, (folder, volume_of(folder)))
            if portable is not None:
                db.execute("UPDATE folders SET portable = ? WHERE path = ?", (portable, folder))

    def remove(self, path: bytes | str) -> None:
        """Follows a folder no more; a scan under way is not waited for, it leaves the folder's files.

        Its one-shots' keys and marks are kept, should it come back.

        Raises:
            NotFound: it is not followed.
        """
        with self._swapping:
            with self._catalogue.change() as db:
                n_removed = db.execute("DELETE FROM folders WHERE path = ?", (_absolute(path),)).rowcount
            if not n_removed:
                raise NotFound(
                    os.fsdecode(path), found="not a folder of this library", remedy="see `samplefit folders`"
                )
            self._n_removed += 1
            self._swap_in()
        self._wake_follower()

    def restore(self, path: bytes | str) -> None:
        """Takes back the cleaning of an emptied folder: what it held is known again, and waits another grace.

        Nothing but its files' names hangs on that: keys and marks stay whatever is cleaned.

        Raises:
            NotFound: it is not followed, was not cleaned, or has files again.
        """
        with self._syncing:
            with self._catalogue.change() as db:
                restored = restore_cleaned(db, _absolute(path), self._clock())
            if not restored:
                raise NotFound(
                    os.fsdecode(path),
                    found="no folder that was cleaned and is empty still",
                    remedy="files that came back were taken up by themselves: see `samplefit folders`",
                )
            self._publish()

    def sync(self, progress: Progress | None = None) -> int:
        """Brings the library up to the disk: every change made before the call is searchable on return.

        What was encoded is kept when it is interrupted; the next one goes on from there.

        Returns:
            The library's revision.
        """
        with self._syncing:
            self._scanner.scan(self._keyed())
            self._examine(progress or (lambda done, total: None))
            revision = self._publish()
            self._keep()
            self._porter.carry_out(self._keyed(), ANSWER_LIMIT_S)
            return revision

    def sync_parts(self, parts: Mapping[bytes, Parts], hold_still_s: float) -> tuple[bytes, ...]:
        """Brings some files and folders up to the disk, for whoever hears of changes.

        Args:
            parts: followed folder → paths below it, or None for all of it; a folder that is not followed any more is left alone.
            hold_still_s: files that changed so recently may still be written: they wait.

        Raises:
            Refused: nothing can be written down.

        Returns:
            The absolute paths that wait; of a network drive that takes its time to answer, the folder's own.
        """
        trouble = self._catalogue.trouble()
        if trouble:  # to encode what cannot be written down would only burn power
            raise trouble
        with self._syncing:
            under_way = self._scanner.scan(self._keyed(), parts)
            young = self._examine(lambda done, total: None, hold_still_s)
            self._publish()
            self._keep()
            self._porter.carry_out(self._keyed(), 0.0)
            return (*young, *under_way)

    def mark(self, path: bytes | str, what: str) -> None:
        """Notes that the user took, likes or dislikes a one-shot; it holds for every copy of the file.

        Raises:
            What `Marks.add` raises.
        """
        self.marks.add(_absolute(path), what)

    def unmark(self, number: int) -> None:
        """Takes back a mark; `marks.read_marks` tells its number.

        Raises:
            NotFound: there is none of that number.
        """
        self.marks.take_back(number)

    def remember(self, query: FloatArray, model: str) -> None:
        """Keeps the query of a press: approximate search is tuned on the last `N_QUERIES` of them.

        Args:
            query: (D,) float32.
            model: digest of the model that made it, which may have been left since.
        """
        with self._catalogue.quietly() as db:
            number = model_id(db, model)
            db.execute(
                "INSERT INTO queries (model, vector) VALUES (?, ?)", (number, query.astype("<f4").tobytes())
            )
            db.execute(
                """DELETE FROM queries WHERE model = :model AND id <=
                   (SELECT id FROM queries WHERE model = :model ORDER BY id DESC LIMIT 1 OFFSET :kept)""",
                {"model": number, "kept": N_QUERIES},
            )

    def folders(self) -> tuple[FolderState, ...]:
        """The folders followed, in order of path."""
        return read_folders(self.state)

    def skipped(self) -> tuple[Skipped, ...]:
        """The files left out and why, in order of path."""
        return read_skipped(self.state)

    def status(self) -> LibraryStatus:
        """What is indexed, how it is followed, and what is in the way of it."""
        return replace(read_status(self.state), trouble=self.trouble())

    @property
    def pending(self) -> int:
        """Files still to be indexed; costs nothing while nobody is at it."""
        return read_status(self.state).pending if self._syncing.locked() else 0

    def trouble(self) -> tuple[str, ...]:
        """What keeps the library from being brought up to the disk at this moment; empty where nothing does."""
        error = self._catalogue.trouble()
        if error:
            return (error.text,)
        return (self._follower.trouble,) if self._follower and self._follower.trouble else ()

    def _keep(self) -> None:
        """Has the large table kept on disk, and searches it in the form that comes back."""
        with self._swapping:
            self.snapshot = self._keeper.keep(self.snapshot, self._take)

    def _take(self, old: Table, new: Table) -> None:
        """Puts a better form of the same large table into the snapshot, from another thread."""
        with self._swapping:
            if self.snapshot.tables[0].rows is old.rows:
                base = replace(self.snapshot.tables[0], forests=new.forests)
                self.snapshot = replace(self.snapshot, tables=(base, *self.snapshot.tables[1:]))

    def _wake_follower(self) -> None:
        if self._follower:
            self._follower.wake()

    def _followed(self) -> dict[bytes, bool]:
        with self._catalogue.reading() as db:
            return {folder.path: folder.state == "online" for folder in folder_rows(db)}

    def _keyed(self) -> Model:
        """Whose keys the drives carry."""
        return Model(self._model, self.encoder.card.digest, self.encoder.card.dim)

    def _examine(self, progress: Progress, hold_still_s: float = 0.0) -> tuple[bytes, ...]:
        """Reads what waits and encodes what has no key, each file once; then guesses types.

        Returns:
            The paths left waiting because they changed less than `hold_still_s` ago.
        """
        with self._catalogue.reading() as db:
            if revision_of(db) == self._settled_at and not self._waits:
                return ()
        published_at = time.monotonic()

        def told(done: int, total: int) -> None:
            nonlocal published_at
            if time.monotonic() - published_at > PUBLISH_EVERY_S:
                self._publish()
                published_at = time.monotonic()
            progress(done, total)

        since = self._settled_at
        young = self._encode_waiting(self._decoders, self.encoder, self._model, told, since, hold_still_s)
        self._guesser.guess(since)
        with self._catalogue.reading() as db:
            self._settled_at, self._waits = revision_of(db), bool(young)
        return young

    def _encode_waiting(
        self,
        decoders: Decoders,
        encoder: KeyEncoder,
        model: int,
        told: Progress,
        since: int | None = None,
        hold_still_s: float = 0.0,
    ) -> tuple[bytes, ...]:
        """Reads what waits for a model and encodes what has no key of it, each file once.

        Args:
            since: a revision at which nothing that was read lacked its key.

        Returns:
            The paths left waiting because they changed less than `hold_still_s` ago.
        """

        def told_unless_in_vain(done: int, total: int) -> None:
            if self._closing.is_set():
                raise Busy("the library", found="it is being closed", remedy="sync again later")
            if self._n_removed != n_removed:
                raise _FolderRemoved
            told(done, total)

        tried: set[tuple[bytes, int]] = (
            set()
        )  # a file once to be read, and once more for a key of its content
        while True:
            n_removed = self._n_removed
            with self._catalogue.reading() as db:
                waiting = {
                    path: job
                    for path, job in jobs(db, model, since).items()
                    if (path, job.changed_ns) not in tried
                }
            now_ns = time.time_ns()
            young = {
                path for path, job in waiting.items() if 0 <= now_ns - job.changed_ns < hold_still_s * 1e9
            }
            old = {path: job for path, job in waiting.items() if path not in young}
            if not old:
                return tuple(sorted(young))
            try:
                examine(self._catalogue, decoders, encoder, model, old, told_unless_in_vain)
            except _FolderRemoved:  # on with what waits in the others
                continue
            tried |= {(path, job.changed_ns) for path, job in old.items()}

    def _publish(self) -> int:
        """Swaps in a snapshot of the catalogue as it is now; returns its revision."""
        with self._swapping:
            return self._swap_in()

    def _swap_in(self) -> int:
        """`_publish` for who holds `_swapping`."""
        old, card = self.snapshot, self.encoder.card
        with read_only(self.state) as db:
            revision = revision_of(db)
            if revision == old.revision:
                return revision
            n_touched = db.execute(
                "SELECT count(*) FROM touched WHERE revision > ?", (old.base_revision,)
            ).fetchone()[0]
            if n_touched > max(DELTA_MAX, len(old.tables[0].rows) // 8):
                self.snapshot = rebuilt(db, self._model, card.digest, card.dim, revision)
            else:
                self.snapshot = advanced(old, db, self._model, card.dim, revision)
        return revision


class _FolderRemoved(Exception):
    """A folder was removed while its files may be under way."""


_PUT_FOLDER = """
    INSERT OR IGNORE INTO folders (id, path, volume, state)
    SELECT value, ?, ?, 'online' FROM meta WHERE key = 'revision'
"""
"""No number is ever given twice: a scan may still hold that of a folder removed meanwhile."""


def _absolute(path: bytes | str) -> bytes:
    return os.path.abspath(os.fsencode(path))
