"""Looking at folders that may not answer: each from a thread of its own, so that a hung share holds up nobody."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from index.folders import volume_of
from index.scan import NotSimple, Walk, walk, walk_parts

ANSWER_LIMIT_S = 20.0
"""A folder that lists nothing for so long counts as away. Invented, long enough for a drive that has to spin up."""


@dataclass(frozen=True)
class Glance:
    """What to look at.

    Attributes:
        number: of the folder.
        parts: files and folders below it; None for all of it.
    """

    number: int
    path: bytes
    volume: str
    parts: tuple[bytes, ...] | None = None


@dataclass(frozen=True)
class Sight:
    """What was seen.

    Attributes:
        volume: the drive at that path; "" for none.
        seen: None where the folder is not there, cannot be listed, went away meanwhile or does not answer.
        parts: which parts `seen` speaks of; None for the whole folder.
    """

    volume: str
    seen: Walk | None
    parts: tuple[bytes, ...] | None = None


class Lookout:
    """Remembers which folders still owe an answer: those are not asked again before it came."""

    def __init__(self, limit_s: float = ANSWER_LIMIT_S) -> None:
        self._limit_s = limit_s
        self._owing: dict[int, _Look] = {}

    def look(self, glances: Sequence[Glance]) -> dict[int, Sight]:
        """Looks at folders side by side.

        Returns:
            Folder number → what was seen.
        """
        self._owing = {number: look for number, look in self._owing.items() if look.thread.is_alive()}
        looks = {glance.number: _Look(glance) for glance in glances if glance.number not in self._owing}
        for look in looks.values():
            look.thread.start()
        for number, look in looks.items():
            if not look.answers_within(self._limit_s):
                self._owing[number] = look
        return {
            glance.number: looks[glance.number].sight
            if glance.number in looks and glance.number not in self._owing
            else Sight("", None)
            for glance in glances
        }


class _Look:
    def __init__(self, glance: Glance) -> None:
        self.sight = Sight("", None)
        self.thread = threading.Thread(target=self._run, args=(glance,), daemon=True)
        self._alive_at = time.monotonic()

    def answers_within(self, limit_s: float) -> bool:
        """Waits for the answer as long as the walk shows life within every `limit_s`."""
        while self.thread.is_alive():
            left_s = self._alive_at + limit_s - time.monotonic()
            if left_s <= 0:
                return False
            self.thread.join(left_s)
        return True

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
        if volume_of(glance.path) != volume:  # it went or came while we looked
            seen = None
        self.sight = Sight(volume, seen, parts)

    def _beat(self) -> None:
        self._alive_at = time.monotonic()
