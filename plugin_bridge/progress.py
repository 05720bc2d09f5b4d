"""Progress on a terminal: silent for two seconds, then count, rate and time left; on stderr alone."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

PATIENCE_S = 2.0
"""Anything shorter needs no progress."""


class Progress:
    """Called with (done, total) as often as you like; writes seldom.

    On a terminal one line is written over; elsewhere a line is added every ten seconds.
    """

    def __init__(
        self, what: str, unit: str, out: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._what, self._unit, self._out, self._clock = what, unit, out or sys.stderr, clock
        self._began = clock()
        self._tty = self._out.isatty()
        self._due = self._began + PATIENCE_S
        self._written = False

    def __call__(self, done: int, total: int) -> None:
        now = self._clock()
        if now < self._due:
            return
        self._due = now + (0.2 if self._tty else 10.0)
        line = f"{self._what}: {describe(done, total, now - self._began, self._unit)}"
        self._out.write(f"\r\033[K{line}" if self._tty else f"{line}\n")
        self._out.flush()
        self._written = True

    def close(self) -> None:
        """Leaves the cursor at the start of a line."""
        if self._written and self._tty:
            self._out.write("\r\033[K")
            self._out.flush()


def describe(done: int, total: int, elapsed_s: float, unit: str) -> str:
    """ "1,200 of 5,000 files, 240 files/s, 16 s left"."""
    rate = done / elapsed_s if elapsed_s > 0 else 0.0
    left = f", {duration((total - done) / rate)} left" if rate > 0 and total >= done else ""
    return f"{done:,} of {total:,} {unit}, {rate:{',.0f' if rate >= 10 else '.1f'}} {unit}/s{left}"


def duration(seconds: float) -> str:
    """ "16 s", "3 min 20 s", "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
