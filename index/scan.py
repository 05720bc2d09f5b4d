"""What lies in a folder, and what that changes: the walk that is the truth, and the pure comparison after it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from encoders.audio import EXTENSIONS

Stamp = tuple[int, int, int]
"""(size, mtime_ns, ctime_ns) of a file. ctime catches a file replaced by one of the same size and mtime; inode
numbers are left out, because FAT and network drives deal them anew at each mount."""

SEP = os.sep.encode()
AFTER_SEP = bytes([SEP[0] + 1])
"""What follows the separator in byte order: a folder's paths lie from folder + SEP up to folder + AFTER_SEP."""

_ENDINGS = tuple(ending.encode() for ending in EXTENSIONS)


@dataclass(frozen=True)
class Walk:
    """What a walk saw.

    Attributes:
        files: sound files by their path below the root, each with its stamp.
        unread: folders below the root that could not be listed; what was known below them still holds.
        n_folders: how many were listed.
    """

    files: dict[bytes, Stamp]
    unread: tuple[bytes, ...] = ()
    n_folders: int = 0


@dataclass(frozen=True)
class Delta:
    """How a walk differs from what was known; both in order of path."""

    changed: tuple[bytes, ...]
    gone: tuple[bytes, ...]


class NotSimple(Exception):
    """A part of a folder that cannot be judged by itself: the whole has to be walked."""


def walk(root: bytes, beat: Callable[[], None] = lambda: None) -> Walk:
    """Lists every sound file below a folder. Hidden names are left out (so macOS's "._" twins are).

    Links are followed. Each folder is listed once, so that a loop ends: under its own path where it lies below
    the root, else under the first link to it.

    Args:
        beat: called once for each folder, so that another thread sees the walk alive.

    Raises:
        OSError: the root itself cannot be listed.
    """
    files: dict[bytes, Stamp] = {}
    unread: list[bytes] = []
    listed: set[tuple[int, int]] = set()
    folders, links = [b""], []
    while folders or links:
        below = folders.pop() if folders else links.pop(0)
        beat()
        try:
            about = os.stat(os.path.join(root, below))
            if (about.st_dev, about.st_ino) in listed:
                continue
            listed.add((about.st_dev, about.st_ino))
            found = _list(root, below, files)
        except OSError:
            if not below:
                raise
            unread.append(below)
            continue
        folders += found.folders
        links = sorted(links + found.links) if found.links else links
    return Walk(files, tuple(sorted(unread)), len(listed))


def walk_parts(root: bytes, parts: Iterable[bytes]) -> Walk:
    """Lists some files and folders below a folder, as `walk` would have found them; what is not there is left out.

    Raises:
        NotSimple: a link to a folder is among them, or something cannot be read.
    """
    files: dict[bytes, Stamp] = {}
    folders = []
    try:
        for part in parts:
            path = os.path.join(root, part)
            if os.path.isdir(path):
                if os.path.realpath(path) != os.path.join(os.path.realpath(root), part):
                    raise NotSimple
                folders.append(part)
            elif os.path.isfile(path) and _is_sound(os.path.basename(part)):
                files[part] = stamp_of(os.stat(path))
        while folders:
            found = _list(root, folders.pop(), files)
            if found.links:
                raise NotSimple
            folders += found.folders
    except OSError:
        raise NotSimple from None
    return Walk(files)


def compare(known: Mapping[bytes, Stamp], seen: Walk) -> Delta:
    """The files that are new or other than known, and those that are no longer there."""
    changed = sorted(path for path, stamp in seen.files.items() if known.get(path) != stamp)
    gone = [path for path in known.keys() - seen.files.keys() if not _lies_in(path, seen.unread)]
    return Delta(tuple(changed), tuple(sorted(gone)))


def stamp_of(about: os.stat_result) -> Stamp:
    """What tells one state of a file from another."""
    return about.st_size, about.st_mtime_ns, about.st_ctime_ns


def is_hidden(path: bytes) -> bool:
    """Whether a name on a path below a root hides it."""
    return path.startswith(b".") or SEP + b"." in path


@dataclass(frozen=True)
class _Found:
    folders: list[bytes]
    links: list[bytes]


def _list(root: bytes, below: bytes, files: dict[bytes, Stamp]) -> _Found:
    """Lists one folder into `files`; returns the folders in it, linked ones apart."""
    found = _Found([], [])
    prefix = below + SEP if below else b""
    with os.scandir(os.path.join(root, below)) as entries:
        for entry in entries:
            name = entry.name
            if name.startswith(b"."):
                continue
            try:
                if _is_sound(name) and entry.is_file():
                    files[prefix + name] = stamp_of(entry.stat())
                elif entry.is_dir():
                    (found.links if entry.is_symlink() else found.folders).append(prefix + name)
            except OSError:  # gone since it was listed, or a link that leads nowhere
                continue
    return found


def _is_sound(name: bytes) -> bool:
    return name.lower().endswith(_ENDINGS) and not name.startswith(b".")


def _lies_in(path: bytes, folders: tuple[bytes, ...]) -> bool:
    return any(path.startswith(folder + SEP) for folder in folders)
