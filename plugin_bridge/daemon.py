"""The daemon: library, encoder and OSC server under one roof, from the ready line to the last signal."""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from types import MappingProxyType
from typing import Any, TypeVar

from encoders.audio import FloatArray, mix
from encoders.errors import Refused, SamplefitError
from index.library import Library
from plugin_bridge import addresses, replies, stems
from plugin_bridge.addresses import Call
from plugin_bridge.answers import check_name, write_answer, write_failure
from plugin_bridge.press import Answer, Engine, Press, Stem, answer, check_tempo, document, to_keep
from plugin_bridge.server import Reply
from plugin_bridge.settings import load_preset, wanted

T = TypeVar("T")

OnPress = Callable[[Press, Answer, dict[str, Any]], None]
"""Told of a press that was answered, and of its answer as the contract's JSON; must return at once."""

PROGRESS_EVERY_S = 0.25


class Daemon:
    """Answers every address of the table. Called by the OSC server, on several threads at once.

    Args:
        state: where answers go and presets are looked for.
        version: what status reports.
        on_press: sees each press that was answered, whichever way it came.
    """

    def __init__(
        self,
        state: Path,
        library: Library,
        version: str,
        clock: Callable[[], float] = time.perf_counter,
        on_press: OnPress = lambda press, found, document: None,
    ) -> None:
        self._state, self._library, self._version = state, library, version
        self._clock, self._on_press = clock, on_press
        self._stems = stems.StemStore()
        self._queries: deque[tuple[FloatArray, str]] = deque(maxlen=100)  # each with its model
        self._handlers = MappingProxyType(
            {
                addresses.SUGGEST_FILE: self._suggest_file,
                addresses.SUGGEST: self._suggest,
                addresses.USED: self._mark,
                addresses.LIKE: self._mark,
                addresses.DISLIKE: self._mark,
                addresses.UNLEARN: self._unlearn,
                addresses.FOLDER_ADD: self._add_folder,
                addresses.FOLDER_REMOVE: self._remove_folder,
                addresses.FOLDER_RESTORE: self._restore_folder,
                addresses.STATUS: self._status,
                addresses.SYNC: self._sync,
                **dict.fromkeys(stems.ADDRESSES, self._hold),
            }
        )

    def __call__(self, call: Call, reply: Reply) -> int | None:
        """Answers one call; see `server.Handler`."""
        return self._handlers[call.address](call, reply)

    def press(self, press: Press) -> tuple[Answer, dict[str, Any]]:
        """Answers a press; also as the contract's JSON.

        Raises:
            What `press.answer` raises.
        """
        began = self._clock()
        engine = Engine(*self._library.pair(), self._library.marks.taste)
        found = answer(press, engine, self._clock)
        told = document(found, engine, 1000 * (self._clock() - began), self._library.pending)
        self._queries.append((found.query, engine.snapshot.model))
        self._library.marks.show(found.hits)
        self._on_press(to_keep(press, found), found, told)
        return found, told

    def tidy(self) -> None:
        """What no press should wait for: lets the library learn the queries, forgets idle stems. Called now and then."""
        self._stems.expire()
        while self._queries:
            self._library.remember(*self._queries.popleft())

    def _hold(self, call: Call, reply: Reply) -> int | None:
        return stems.answer(self._stems, call, reply)

    def _suggest_file(self, call: Call, reply: Reply) -> int:
        path = str(call.arguments["path"])
        return self._press(call, reply, lambda: ((Stem(path=path),), None))

    def _suggest(self, call: Call, reply: Reply) -> int:
        def held() -> tuple[tuple[Stem, ...], Stem | None]:
            exclude = [str(name) for name in call.options.get("exclude", ())]
            heard = tuple(self._stems.take(call.id, exclude))
            left_out = self._stems.left_out(call.id, exclude)
            return heard, Stem(samples=mix(stem.read() for stem in left_out)) if left_out else None

        return self._press(call, reply, held)

    def _press(
        self, call: Call, reply: Reply, bounced: Callable[[], tuple[tuple[Stem, ...], Stem | None]]
    ) -> int:
        """Answers a press, in OSC and, where it asks for one, in an answer file, which tells of a failure too.

        Args:
            bounced: gives the stems that are heard, and the track that is being replaced.
        """
        name = _one(call, "answer", str)
        if name is not None:
            check_name(name)
        try:
            preset = load_preset(self._state, _one(call, "preset", str) or "default")
            types = tuple(str(value) for value in call.options.get("type", ()))
            want = wanted(preset, _one(call, "k", int), types, _one(call, "folder", str))
            start_s, length_s = _one(call, "start", float) or 0.0, _one(call, "length", float)
            tempo_bpm = check_tempo(_one(call, "tempo", float))
            heard, replaced = bounced()
            found, told = self.press(
                Press(call.id, heard, want, preset.n_windows, start_s, length_s, replaced, name, tempo_bpm)
            )
            messages = [
                replies.hit(call, hit.rank, hit.of, hit.type, hit.score, hit.path, hit.name, hit.duration_s)
                for hit in found.hits
            ]
        except Exception as error:
            if name is not None:  # who waits for the file must not wait for nothing, whoever is to blame
                bug = SamplefitError(
                    "the press", found=f"a bug: {type(error).__name__}", remedy="see the log"
                )
                with suppress(Refused):  # a full disk: OSC still tells what was wrong with the press
                    write_failure(self._state, name, error if isinstance(error, SamplefitError) else bug)
            raise
        for message in messages:
            reply(message)
        if name is not None:
            write_answer(self._state, name, told)
        return len(messages)

    def _mark(self, call: Call, reply: Reply) -> int:
        self._library.mark(str(call.arguments["path"]), call.address.rpartition("/")[2])
        return 1

    def _unlearn(self, call: Call, reply: Reply) -> int:
        return self._library.marks.unlearn()

    def _add_folder(self, call: Call, reply: Reply) -> int:
        before = self._library.snapshot
        portable = _one(call, "portable", bool)
        self._library.add(str(call.arguments["path"]), self._progress(call, reply), portable)
        return len(self._library.snapshot) - len(before)

    def _remove_folder(self, call: Call, reply: Reply) -> int:
        before = self._library.snapshot
        self._library.remove(str(call.arguments["path"]))
        return len(before) - len(self._library.snapshot)

    def _restore_folder(self, call: Call, reply: Reply) -> int:
        self._library.restore(str(call.arguments["path"]))
        return 1

    def _status(self, call: Call, reply: Reply) -> None:
        status = self._library.status()
        for text in status.trouble:
            reply(replies.trouble(call, text))
        online = sum(folder.state == "online" for folder in status.folders)
        reply(
            replies.status(
                call,
                self._version,
                self._library.encoder.card.name,
                self._library.encoder.device,
                status.one_shots,
                online,
                len(status.folders) - online,
                status.pending,
            )
        )

    def _sync(self, call: Call, reply: Reply) -> None:
        reply(replies.synced(call, self._library.sync(self._progress(call, reply))))

    def _progress(self, call: Call, reply: Reply) -> Callable[[int, int], None]:
        """Sends progress at most every `PROGRESS_EVERY_S`."""
        due = self._clock() + PROGRESS_EVERY_S

        def progress(done: int, total: int) -> None:
            nonlocal due
            if (now := self._clock()) >= due:
                due = now + PROGRESS_EVERY_S
                reply(replies.progress(call, done, total))

        return progress


def _one(call: Call, key: str, kind: Callable[[Any], T]) -> T | None:
    """The value of an option that is given once, or None."""
    values = call.options.get(key)
    return kind(values[0]) if values else None


class Stop:
    """Told by a signal handler. A threading.Event must not be: the handler runs on the very thread that waits, which
    may hold the event's lock just then, and both would wait for ever."""

    def __init__(self) -> None:
        self._told: SimpleQueue[int] = SimpleQueue()  # whose put may interrupt its get

    def tell(self, number: int, frame: object = None) -> None:
        """Ends the wait; a signal handler."""
        self._told.put(number)

    def wait(self, timeout_s: float) -> bool:
        """Whether it was told before the time is over; once it was, the next wait is a new one."""
        try:
            self._told.get(timeout=timeout_s)
        except Empty:
            return False
        return True


def set_by_signals() -> Stop:
    """What SIGINT and SIGTERM tell from now on, so that what is open can be closed in order."""
    stop = Stop()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop.tell)
    return stop
