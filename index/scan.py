"""What lies in a folder, and what that changes: the walk that is the truth, and the pure comparison after it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from encoders.audio import EXTENSIONS

Stamp = tuple[int, int, int]
"""(size, mtime_ns, ctime_ns) of a file. ctime catches a file replaced by one of the same size and mtime; inode
numbers are left out, because FAT and network drives deal them anew at each mount."""

_ENDINGS = tuple(ending.encode() for ending in EXTENSIONS)


@dataclass(frozen=True)
class Walk:
    """What a walk saw.

    Attributes:
        files: sound files by their path below the root, each with its stamp.
        unread: folders below the root that could not be listed; what was known below them still holds.
    """

    files: dict[bytes, Stamp]
    unread: tuple[bytes, ...]


@dataclass(frozen=True)
class Delta:
    """How a walk differs from what was known; both in order of path."""

    changed: tuple[bytes, ...]
    gone: tuple[bytes, ...]


def walk(root: bytes) -> Walk:
    """Lists every sound file below a folder. Hidden names are left out (so macOS's "._" twins are).

    Links are followed. Each folder is listed once, so that a loop ends: under its own path where it lies below
    the root, else under the first link to it.

    Raises:
        OSError: the root itself cannot be listed.
    """
    files: dict[bytes, Stamp] = {}
    unread: list[bytes] = []
    listed: set[tuple[int, int]] = set()
    folders, links = [b""], []
    while folders or links:
        below = folders.pop() if folders else links.pop(0)
        path = os.path.join(root, below) if below else root
        try:
            about = os.stat(path)
            if (about.st_dev, about.st_ino) in listed:
                continue
            listed.add((about.st_dev, about.st_ino))
            found = _list(path, below, files)
        except OSError:
            if not below:
                raise
            unread.append(below)
            continue
        folders += found.folders
        links = sorted(links + found.links) if found.links else links
    return Walk(files, tuple(sorted(unread)))


def compare(known: Mapping[bytes, Stamp], seen: Walk) -> Delta:
    """The files that are new or other than known, and those that are no longer there."""
    changed = sorted(path for path, stamp in seen.files.items() if known.get(path) != stamp)
    gone = [path for path in known.keys() - seen.files.keys() if not _lies_in(path, seen.unread)]
    return Delta(tuple(changed), tuple(sorted(gone)))


@dataclass(frozen=True)
class _Found:
    folders: list[bytes]
    links: list[bytes]


def _list(path: bytes, below: bytes, files: dict[bytes, Stamp]) -> _Found:
    """Lists one folder into `files`; returns the folders in it, linked ones apart."""
    found = _Found([], [])
    prefix = below + b"/" if below else b""
    with os.scandir(path) as entries:
        for entry in entries:
            name = entry.name
            if name.startswith(b"."):
                continue
            try:
                if name.lower().endswith(_ENDINGS) and entry.is_file():
                    about = entry.stat()
                    files[prefix + name] = (about.st_size, about.st_mtime_ns, about.st_ctime_ns)
                elif entry.is_dir():
                    (found.links if entry.is_symlink() else found.folders).append(prefix + name)
            except OSError:  # gone since it was listed, or a link that leads nowhere
                continue
    return found


def _lies_in(path: bytes, folders: tuple[bytes, ...]) -> bool:
    return any(path.startswith(folder + b"/") for folder in folders)
