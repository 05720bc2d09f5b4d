"""Looking at folders that may not answer: each from a thread of its own, so that a hung share holds up nobody."""

from __future__ import annotations

import math
import os
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from index.folders import volume_of
from index.portable import Model, Records, read_keys
from index.scan import NotSimple, Walk, walk, walk_parts

ANSWER_LIMIT_S = 20.0
"""A folder that lists nothing for so long counts as away. Invented, long enough for a drive that has to spin up."""

LEISURE_S = 0.2
"""How long a look at leisure holds up the others."""


ROOT_LIMIT_S = 0.5
"""Longest wait for a word about a folder itself; a disk that spins up is asked again at the next tick."""

Root = tuple[int, int] | None
"""Device and inode; None where there is nothing."""

HANGS: Literal["hangs"] = "hangs"


@dataclass(frozen=True)
class Glance:
    """What to look at.

    Attributes:
        number: of the folder.
        parts: files and folders below it; None for all of it.
        at_leisure: an answer that takes long may be fetched by a later look: nothing waits for it.
        carries: the model whose keys are to be read from the drive; None for none.
    """

    number: int
    path: bytes
    volume: str
    parts: tuple[bytes, ...] | None = None
    at_leisure: bool = False
    carries: Model | None = None


@dataclass(frozen=True)
class Sight:
    """What was seen.

    Attributes:
        volume: the drive at that path; "" for none.
        seen: None where the folder is not there, cannot be listed, went away meanwhile or does not answer.
        parts: which parts `seen` speaks of; None for the whole folder.
        carried: keys that lie on the drive, where they were asked for.
    """

    volume: str
    seen: Walk | None
    parts: tuple[bytes, ...] | None = None
    carried: Records | None = None


class Lookout:
    """Remembers which folders still owe an answer: those are not asked again before it came."""

    def __init__(self, limit_s: float = ANSWER_LIMIT_S) -> None:
        self._limit_s = limit_s
        self._owing: dict[int, _Look] = {}

    def look(self, glances: Sequence[Glance]) -> dict[int, Sight]:
        """Looks at folders side by side.

        Returns:
            Folder number → what was seen; a folder looked at at leisure has none while the look is under way.
        """
        for glance in glances:
            owed = self._owing.get(glance.number)
            if owed is None or (not glance.at_leisure and owed.ends_within(self._limit_s)):
                self._owing[glance.number] = _Look(glance)  # what ended may have missed what is asked for now
        sights = {}
        for glance in glances:
            look = self._owing[glance.number]
            if look.ends_within(self._limit_s, LEISURE_S if glance.at_leisure else math.inf):
                sights[glance.number] = self._owing.pop(glance.number).sight
            elif look.silent_s() >= self._limit_s:
                sights[glance.number] = Sight("", None)
        return sights


class _Look:
    def __init__(self, glance: Glance) -> None:
        self.sight = Sight("", None)
        self._alive_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, args=(glance,), daemon=True)
        self._thread.start()

    def ends_within(self, silence_s: float, patience_s: float = math.inf) -> bool:
        """Waits for the end while the walk shows life within every `silence_s`, and no longer than `patience_s`."""
        ends = time.monotonic() + patience_s
        while self._thread.is_alive():
            left_s = min(silence_s - self.silent_s(), ends - time.monotonic())
            if left_s <= 0:
                return False
            self._thread.join(left_s)
        return True

    def silent_s(self) -> float:
        """Since the walk last showed life."""
        return time.monotonic() - self._alive_at

    def _run(self, glance: Glance) -> None:
        volume = volume_of(glance.path)
        seen, parts = None, glance.parts
        try:
            if parts is not None and volume == glance.volume:
                seen = walk_parts(glance.path, parts)
        except NotSimple:
            parts = None
        try:
            if seen is None:
                seen, parts = walk(glance.path, self._beat), None
        except OSError:
            seen = None
        carried = (
            None if seen is None or not glance.carries else read_keys(glance.path, glance.carries, self._beat)
        )
        if volume_of(glance.path) != volume:  # it went or came while we looked
            seen = carried = None
        self.sight = Sight(volume, seen, parts, carried)

    def _beat(self) -> None:
        self._alive_at = time.monotonic()


class Roots:
    """Device and inode of folders, asked from threads of their own: a disk that hangs holds up nobody."""

    def __init__(self) -> None:
        self._answers: dict[bytes, queue.SimpleQueue[Root]] = {}

    def ask(self, folder: bytes) -> Root | Literal["hangs"]:
        """What is there now, or `HANGS`."""
        answer = self._answers.get(folder)
        if answer is None:
            answer = self._answers[folder] = queue.SimpleQueue()
            threading.Thread(target=lambda: answer.put(_root(folder)), daemon=True).start()
        try:
            root = answer.get(timeout=ROOT_LIMIT_S)
        except queue.Empty:
            return HANGS
        del self._answers[folder]
        return root


def _root(folder: bytes) -> Root:
    try:
        about = os.stat(folder)
    except OSError:
        return None
    return about.st_dev, about.st_ino
