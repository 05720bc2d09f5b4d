"""What the page is about: the daemon it belongs to, and what it remembers of this life of it."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from encoders.errors import SamplefitError
from index.catalogue import read_only
from index.library import Library
from index.marks import read_choices, read_marks
from index.taste import LEAST
from plugin_bridge.panel.access import Access, read_key
from plugin_bridge.panel.feed import Feed
from plugin_bridge.panel.one_shots import Ids, Shelf, Shelves
from plugin_bridge.panel.picks import Picks
from plugin_bridge.panel.presses import Presses
from plugin_bridge.press import Answer, Press

log = logging.getLogger(__name__)

PressNow = Callable[[Press], tuple[Answer, dict[str, Any]]]
"""`Daemon.press`."""


class Watcher:
    """What the daemon tells of presses: it begins before the panel, which needs the daemon.

    Attributes:
        feed: the open pages.
        presses: what was pressed.
    """

    def __init__(self, key: bytes) -> None:
        self.ids = Ids(key)
        self.feed, self.presses = Feed(), Presses()

    def __call__(self, press: Press, answer: Answer, document: dict[str, Any]) -> None:
        """Keeps a press and shows it on every page; see `daemon.OnPress`."""
        self.feed.publish("press", self.presses.add(press, answer, document).shown(self.ids))


@dataclass(frozen=True, eq=False)
class Panel:
    """Everything that the routes need.

    Attributes:
        run: tells this life of the daemon from the ones before; a page that was open then starts afresh.
        errands: where long work on the library goes, one after another.
    """

    state: Path
    version: str
    library: Library
    press: PressNow
    watcher: Watcher
    access: Access
    picks: Picks
    shelves: Shelves = field(default_factory=Shelves)
    run: str = field(default_factory=lambda: secrets.token_hex(8))
    errands: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "panel-errand"))
    closing: threading.Event = field(default_factory=threading.Event)

    @property
    def ids(self) -> Ids:
        return self.watcher.ids

    @property
    def feed(self) -> Feed:
        return self.watcher.feed

    @property
    def presses(self) -> Presses:
        return self.watcher.presses

    @property
    def shelf(self) -> Shelf:
        """The library as it is now."""
        return self.shelves.of(self.library.snapshot)

    def marks(self) -> list[dict[str, Any]]:
        """What was used, liked and disliked, newest first, as JSON: one-shots that are in the library now."""
        shelf = self.shelf
        return [
            {
                "mark": mark.number,
                "what": mark.what,
                "at": mark.at,
                **shelf.shown(self.ids, shelf.numbers[mark.path]),
            }
            for mark in read_marks(self.state)
            if mark.path in shelf.numbers
        ]

    def learned(self) -> dict[str, Any]:
        """What the order of hits leans towards, as JSON: whether it does yet, and from how many choices of how many."""
        taste = self.library.marks.taste
        with read_only(self.state) as db:
            n_choices = len(read_choices(db, self.library.encoder.card.digest))
        return {
            "n_marks": taste.n_marks,
            "trust": round(taste.trust, 3),
            "n_choices": n_choices,
            "least": LEAST,
        }

    def show_marks(self) -> list[dict[str, Any]]:
        """Tells every page of the marks; also returns them."""
        marks = self.marks()
        self.feed.publish("marks", marks)
        return marks

    def send(self, what: str, errand: Callable[[Callable[[int, int], None]], object]) -> None:
        """Has long work done later, its progress and end told to every page.

        Args:
            what: one line for the user.
            errand: takes the function that is to be told (done, total).
        """
        self.errands.submit(self._run_errand, what, errand)

    def _run_errand(self, what: str, errand: Callable[[Callable[[int, int], None]], object]) -> None:
        told: Mapping[str, Any] = {"what": what, "done": 0, "total": 0}
        self.feed.publish("errand", told)

        def progress(done: int, total: int) -> None:
            if self.closing.is_set():
                raise _Closing
            if done % 16 == 0 or done == total:
                self.feed.publish("errand", {"what": what, "done": done, "total": total})

        failure = None
        with suppress(_Closing):
            try:
                errand(progress)
            except SamplefitError as error:
                failure = error.text
            except _Closing:
                raise
            except Exception as error:
                log.exception("an errand of the panel broke: %s", what)
                failure = f"{what}: {type(error).__name__}: see the log"
            self.feed.publish("errand", {"what": what, "ended": True, "failure": failure})

    def close(self) -> None:
        """Breaks off long work; what the library has done of it is kept."""
        self.closing.set()
        self.errands.shutdown(cancel_futures=True)


class _Closing(Exception):
    """The daemon ends."""


def open_panel(
    state: Path,
    version: str,
    library: Library,
    press: PressNow,
    watcher: Watcher,
) -> Panel:
    """The panel of a state folder. Raises Refused where its key cannot be read."""
    return Panel(state, version, library, press, watcher, Access(read_key(state)), Picks(state / "picks"))
