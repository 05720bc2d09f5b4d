"""The states of a sample folder: whether what is at its path now is what was followed there."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from index.scan import Stamp, Walk

EMPTY_GRACE_S = 24 * 3600.0
"""How long a folder that was emptied keeps what was known of it. Invented: a day is enough to notice."""

N_EVIDENCE = 200
"""Known files that are looked for where the drive seems to be another one."""


@dataclass(frozen=True)
class Presence:
    """What to believe about a folder after a walk.

    Attributes:
        state: "online" or "offline".
        believed: whether the walk replaces what was known; else all of that is kept.
        emptied: the drive is there and its files are gone.
    """

    state: str
    believed: bool
    emptied: bool = False


def judge(known: Mapping[bytes, Stamp], volume: str, seen: Walk | None, volume_now: str) -> Presence:
    """Tells an absent drive from a changed folder. Forgetting is the last thing to do.

    Args:
        known: the files of the last walk that was believed.
        volume: the drive that they lay on.
        seen: None where the folder could not be listed.
        volume_now: the drive at that path now.
    """
    if seen is None:
        return Presence("offline", believed=False)
    if volume_now != volume and known and not _familiar(known, seen):
        return Presence("offline", believed=False)  # another drive, or the mount point of one that is away
    if known and not seen.files and not seen.unread:
        return Presence("offline", believed=False, emptied=True)
    return Presence("online", believed=True)


def keep_cleaned(db: sqlite3.Connection, folder: int) -> None:
    """Sets aside the files of an emptied folder before they are cleaned."""
    db.execute("DELETE FROM cleaned WHERE folder = ?", (folder,))
    db.execute("INSERT INTO cleaned SELECT * FROM files WHERE folder = ?", (folder,))


def restore_cleaned(db: sqlite3.Connection, path: bytes, now: float) -> bool:
    """Knows again what a folder held before it was cleaned; False where it was not, or has files again.

    Args:
        now: seconds since 1970, when its new grace begins.
    """
    row = db.execute(
        """SELECT id FROM folders WHERE path = ? AND id IN (SELECT folder FROM cleaned)
           AND id NOT IN (SELECT folder FROM files)""",
        (path,),
    ).fetchone()
    if row is None:
        return False
    db.execute("UPDATE folders SET state = 'offline', emptied_at = ? WHERE id = ?", (now, *row))
    db.execute("INSERT INTO files SELECT * FROM cleaned WHERE folder = ?", row)
    db.execute("DELETE FROM cleaned WHERE folder = ?", row)
    return True


def volume_of(path: bytes) -> str:
    """A name for the drive that a folder lies on, the same after it was away; "" where there is nothing.

    The file system's UUID on Linux where udev knows it, else the system's own numbers. Those may be dealt anew,
    which `judge` allows for by looking for familiar files.
    """
    try:
        about = os.stat(path)
        uuid = _uuids().get(about.st_dev)
        if uuid:
            return uuid
        fsid = os.statvfs(path).f_fsid if hasattr(os, "statvfs") else 0
    except OSError:
        return ""
    return f"{about.st_dev:x}-{fsid:x}"


def _uuids() -> dict[int, str]:
    """Device number → UUID of the file system on it."""
    found = {}
    try:
        for link in sorted(Path("/dev/disk/by-uuid").iterdir()):
            found[link.stat().st_rdev] = link.name
    except OSError:  # not Linux, or no udev
        return found
    return found


def _familiar(known: Mapping[bytes, Stamp], seen: Walk) -> bool:
    """True where at least half of the files looked for are there, with their size."""
    step = max(1, len(known) // N_EVIDENCE)
    looked_for = sorted(known)[::step]
    n_there = sum(seen.files.get(path, (-1,))[0] == known[path][0] for path in looked_for)
    return 2 * n_there >= len(looked_for)
