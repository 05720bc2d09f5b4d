"""One daemon a state folder: an operating system lock that dies with its process."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from encoders.errors import Busy, Refused

NAME = "lock"

PATIENCE_S, RETRY_S = 0.1 if os.name == "nt" else 20.0, 0.002
"""How long a lock is tried for that is in the way of nobody but `is_held`, which takes it for a moment, too: on a busy
machine that moment may last."""


class StateLock:
    """Holds a state folder for this process until `release`, or until the process ends in whatever way.

    The file keeps the holder's process id for the message that another one gets; the lock itself is the
    operating system's, so that a file left over by a crash locks nobody out.

    Raises:
        Busy: another process holds it; its process id is named.
        Refused: the folder cannot be written.
    """

    def __init__(self, state: Path) -> None:
        path = Path(state) / NAME
        try:
            self._file = open(path, "a+b", buffering=0)  # noqa: SIM115 (held open for the life of the lock)
        except OSError as error:
            raise Refused(
                str(state), found=error.strerror or str(error), expected="a folder that can be written"
            ) from None
        if not _lock(self._file.fileno()):
            self._file.seek(0)
            holder = self._file.read(32).decode("ascii", "replace").strip()
            self._file.close()
            raise Busy(
                str(state),
                found=f"in use by process {holder or 'unknown'}",
                expected="one samplefit for each state folder",
                remedy="talk to that one, end it, or give another --state",
            )
        with contextlib.suppress(OSError):  # a full disk: the lock holds, without a name
            self._file.seek(0)
            self._file.truncate()
            self._file.write(str(os.getpid()).encode())

    def release(self) -> None:
        """Lets the next one in."""
        self._file.close()


def is_held(state: Path) -> bool:
    """Whether some process holds a state folder."""
    try:
        with open(Path(state) / NAME, "r+b") as file:
            return not _try_lock(file.fileno(), shared=True)
    except OSError:
        return False


def _lock(handle: int) -> bool:
    until_s = time.monotonic() + PATIENCE_S
    while not _try_lock(handle):
        if time.monotonic() >= until_s or _is_taken(handle):
            return False
        time.sleep(RETRY_S)
    return True


if os.name == "nt":
    import msvcrt

    def _is_taken(handle: int) -> bool:
        return False  # that cannot be told

    def _try_lock(handle: int, shared: bool = False) -> bool:  # there is only one kind of lock here
        os.lseek(handle, 1 << 30, os.SEEK_SET)  # beyond the process id, which others have to be able to read
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _is_taken(handle: int) -> bool:
        """Whether somebody holds it who does more than look."""
        if not _try_lock(handle, shared=True):
            return True
        fcntl.flock(handle, fcntl.LOCK_UN)
        return False

    def _try_lock(handle: int, shared: bool = False) -> bool:
        try:
            fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
