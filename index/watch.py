"""Hearing of changes: events say where to look, the look is the truth, and a timer mistrusts the events."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import ObservedWatch

from encoders.errors import SamplefitError
from index.drives import is_network
from index.scan import SEP, is_hidden
from index.sight import HANGS, Root, Roots

log = logging.getLogger(__name__)

# A folder that appears while its tree is being walked is watched twice, which harms nothing. watchdog's warning of it
# is as long as the list of all watches; where warnings are errors it ends the one thread that reads events.
warnings.filterwarnings("ignore", "Callback with id", RuntimeWarning)

SETTLE_S = 0.3
"""A file is taken when it has held still for so long; a DAW may be writing it. Invented: a suggestion a second
after the last byte leaves no room for more."""

PATIENCE_S = 3.0
"""Where changes never cease, look after so long all the same."""

FLOOD = 1000
"""So many changes in one folder at once are looked at as the whole folder; the kernel drops events beyond 16,384."""

TICK_S = 2.0
"""How often watches are compared with what they should watch."""

POLL_S = 10.0
"""How often a folder without (enough) events is looked at, or every twentieth part of the time where a look is slow."""

RESCAN_S = 900.0
"""How often every folder is looked at, whatever the events say."""

Parts = tuple[bytes, ...] | None
"""Paths below a folder; None is all of it."""

SyncParts = Callable[[Mapping[bytes, Parts], float], tuple[bytes, ...]]
"""What to look at in each folder, seconds to hold still → absolute paths that were too young, and folders whose look is
still under way."""

_HEARD = [
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
]
"""Not the opening and closing of files read: that is what we do ourselves."""


@dataclass
class _Follow:
    """How one folder is followed.

    Attributes:
        watch: watchdog's; None without events.
        root: device and inode that were watched.
        polled: events are missing or do not reach every folder.
        dirty: paths below that are to be looked at; holding b"" for the whole folder.
        asked_at: when the look began that is under way at leisure.
        has_grown: folders appeared below, perhaps beyond the limit of watches.
    """

    watch: ObservedWatch | None = None
    root: Root = None
    polled: bool = True
    poll_at: float = 0.0
    dirty: set[bytes] = field(default_factory=lambda: {b""})
    asked_at: float | None = None
    has_grown: bool = False


class Follower:
    """A thread that keeps a library up to its folders.

    Args:
        folders: the folders to follow now, each with whether it is online.
        sync_parts: looks at the disk, and takes what it finds.
        tell: called with "events", "polling" or "both" when that changes.

    Attributes:
        trouble: why the folders are not followed at the moment, or "".
    """

    def __init__(
        self, folders: Callable[[], Mapping[bytes, bool]], sync_parts: SyncParts, tell: Callable[[str], None]
    ) -> None:
        self._folders, self._sync_parts, self._tell = folders, sync_parts, tell
        self._heard: queue.SimpleQueue[_Heard | None] = queue.SimpleQueue()
        self._follows: dict[bytes, _Follow] = {}
        self._observer = Observer()
        self._stopping = threading.Event()
        self._roots = Roots()
        self._said = ""
        self.trouble = ""
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)

    def start(self) -> None:
        """Begins with a look at everything."""
        self._observer.start()
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; a sync under way has to be ended by its owner."""
        self._stopping.set()
        self._heard.put(None)
        self._thread.join()
        self._observer.stop()
        self._observer.join()

    def wake(self) -> None:
        """Folders were added or removed."""
        self._heard.put(None)

    def _run(self) -> None:
        rescan_at = time.monotonic() + RESCAN_S
        while not self._stopping.is_set():
            now = time.monotonic()
            if now >= rescan_at:
                rescan_at = now + RESCAN_S
                for follow in self._follows.values():
                    follow.dirty = {b""}
                    follow.root = None  # count the watches anew
            try:
                self._tend()
                self._look()
            except (
                Exception
            ) as error:  # whatever it is, it may pass, and nobody else would follow the folders
                self._stumble(error)
            else:
                self.trouble = ""
            self._listen()

    def _stumble(self, error: Exception) -> None:
        """Tells of a failure, once while it lasts, and waits; after a bug of ours everything is looked at anew."""
        is_foreseen = isinstance(error, OSError | SamplefitError)  # a full disk, a model that broke
        trouble = f"the folders are not followed: {error if is_foreseen else repr(error)}"
        if trouble != self.trouble:
            log.warning("%s; trying again", trouble, exc_info=None if is_foreseen else error)
        self.trouble = trouble
        if not is_foreseen:
            for follow in self._follows.values():
                follow.dirty = {b""}
        self._stopping.wait(TICK_S if is_foreseen else POLL_S)

    def _listen(self) -> None:
        """Waits for events until they cease, or until there is something else to do."""
        began = time.monotonic()
        wait_s = SETTLE_S if any(follow.dirty for follow in self._follows.values()) else TICK_S
        while time.monotonic() - began < PATIENCE_S:
            try:
                heard = self._heard.get(timeout=wait_s)
            except queue.Empty:
                return
            if heard is None:
                return
            wait_s = SETTLE_S
            follow = self._follows.get(heard.folder)
            if follow is None:
                continue
            follow.has_grown |= heard.has_grown
            if b"" not in follow.dirty:
                follow.dirty.add(heard.below)
                if len(follow.dirty) > FLOOD:
                    follow.dirty = {b""}

    def _look(self) -> None:
        """Looks at what is dirty or due."""
        now = time.monotonic()
        for follow in self._follows.values():
            if follow.polled and now >= follow.poll_at:
                follow.dirty = {b""}
        parts = {
            folder: None if b"" in follow.dirty else tuple(sorted(follow.dirty))
            for folder, follow in self._follows.items()
            if follow.dirty
        }
        if not parts:
            return
        waiting = self._sync_parts(parts, SETTLE_S)
        for folder in parts:
            follow = self._follows[folder]
            inside = _inside(folder)
            follow.dirty = {path[len(inside) :] for path in waiting if path.startswith(inside)}
            if folder in waiting:
                follow.dirty = {b""}
                follow.asked_at = follow.asked_at or now
            else:
                took_s = time.monotonic() - (follow.asked_at or now)
                follow.poll_at = time.monotonic() + max(POLL_S, 20 * took_s)
                follow.asked_at = None

    def _tend(self) -> None:
        """Brings the watches up to the folders: new ones, removed ones, those whose drive came back."""
        if self._is_deaf():
            log.warning("the thread that reads events has ended: the folders are watched anew")
            self._observer.stop()
            self._observer.join()
            self._observer = Observer()
            self._observer.start()
            for follow in self._follows.values():
                follow.watch = None
        wanted = self._folders()
        for folder in self._follows.keys() - wanted.keys():
            self._forget(self._follows.pop(folder))
        for folder, is_online in wanted.items():
            follow = self._follows.setdefault(folder, _Follow())
            if not is_online:  # however long the last look took: it may have hung
                follow.poll_at = min(follow.poll_at, time.monotonic() + POLL_S)
            if not is_online or is_network(folder):
                self._forget(follow)
                continue
            root = self._roots.ask(folder)
            if root is not HANGS and not self._is_watched(follow, root):
                self._forget(follow)
                self._watch(folder, follow, root)
                follow.dirty = {b""}  # what happened before the watch
            elif follow.has_grown and not follow.polled:
                watched = [other for other, about in self._follows.items() if about.watch is not None]
                self._poll_if(self._is_short(sum(map(n_folders, watched))), folder, follow)
            follow.has_grown = False
        modes = {self._mode(follow) for follow in self._follows.values()}
        said = next(iter(modes), "events") if len(modes) < 2 else "both"
        if said != self._said:
            self._tell(said)
            self._said = said

    @staticmethod
    def _mode(follow: _Follow) -> str:
        return "polling" if follow.watch is None else "both" if follow.polled else "events"

    def _is_deaf(self) -> bool:
        """Whether the one thread has ended that reads inotify's events for all watches; watchdog does not look at it."""
        reader = getattr(self._observer, "_inotify_fd", None)
        return reader is not None and not reader.is_alive()

    def _is_watched(self, follow: _Follow, root: Root) -> bool:
        alive = any(
            emitter.watch == follow.watch and emitter.is_alive() for emitter in self._observer.emitters
        )
        return follow.watch is not None and alive and follow.root == root

    def _watch(self, folder: bytes, follow: _Follow, root: Root) -> None:
        """Asks for events; where they cannot reach every folder, it is polled as well."""
        follow.root = root
        n_before = n_watches()
        try:
            follow.watch = self._observer.schedule(
                _Handler(folder, self._heard.put), os.fsdecode(folder), recursive=True, event_filter=_HEARD
            )
        except OSError as error:
            log.warning("no events for %s, it is polled: %s", os.fsdecode(folder), error)
            follow.watch, follow.polled = None, True
            return
        self._poll_if(self._is_short(n_before + n_folders(folder)), folder, follow)

    def _is_short(self, n_wanted: int) -> bool:
        """Whether there are fewer watches than wanted, and no more of them coming: each that comes has an event behind
        it, and then it is asked again."""
        n_held = n_watches()
        if n_held >= n_wanted:
            return False
        until_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < until_s:  # the thread that adds them may wait long for its turn
            if self._stopping.wait(SETTLE_S) or n_watches() > n_held:
                return False
        return True

    @staticmethod
    def _poll_if(is_short: bool, folder: bytes, follow: _Follow) -> None:
        follow.polled = is_short
        if is_short:
            log.warning(
                "fewer folders can be watched than %s has, it is polled as well: raise fs.inotify.max_user_watches",
                os.fsdecode(folder),
            )

    def _forget(self, follow: _Follow) -> None:
        if follow.watch is not None:
            with contextlib.suppress(KeyError, OSError):  # its emitter may be dead, its drive away
                self._observer.unschedule(follow.watch)
        follow.watch, follow.root, follow.polled = None, None, True


@dataclass(frozen=True)
class _Heard:
    """Something happened below a folder, or, with b"", to itself.

    Attributes:
        has_grown: a folder appeared there.
    """

    folder: bytes
    below: bytes
    has_grown: bool = False


class _Handler(FileSystemEventHandler):
    """Only notes where something happened: a slow handler makes the kernel drop events."""

    def __init__(self, folder: bytes, put: Callable[[_Heard], None]) -> None:
        self._folder, self._put = folder, put

    def dispatch(self, event: FileSystemEvent) -> None:
        has_grown = isinstance(event, DirCreatedEvent | DirMovedEvent)
        for path in (event.src_path, event.dest_path):
            if path:
                self._note(os.fsencode(path), has_grown)

    def _note(self, path: bytes, has_grown: bool) -> None:
        inside = _inside(self._folder)
        if not path.startswith(inside):  # the root itself, or under another name of it
            self._put(_Heard(self._folder, b""))
        elif not is_hidden(below := path[len(inside) :]):
            self._put(_Heard(self._folder, below, has_grown))


def n_folders(root: bytes) -> int:
    """How many folders lie in a tree, itself among them, links not followed: what has to be watched."""
    return sum(1 for _ in os.walk(root))


def n_watches() -> int:
    """How many inotify watches this process holds; watchdog says nothing where the system's limit left some out.

    Very many on systems that watch trees as wholes.
    """
    found = 0
    try:
        for entry in os.scandir("/proc/self/fdinfo"):
            with contextlib.suppress(OSError):
                found += Path(entry.path).read_bytes().count(b"inotify wd:")
    except OSError:
        return 1 << 62
    return found


def _inside(folder: bytes) -> bytes:
    """How the paths in a folder begin; a drive's own ends in the separator already."""
    return folder.rstrip(SEP) + SEP
