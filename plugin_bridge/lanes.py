"""A few threads that keep order and share themselves out: no sender, and no transport, can take them all.

Under one key, first come first served; under different keys, side by side.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass

Job = Callable[[], None]

Sender = tuple[Hashable, Hashable]
"""Its transport, and what tells it from the others there."""


@dataclass(frozen=True)
class _Work:
    sender: Sender
    n_bytes: int
    job: Job


@dataclass
class _Held:
    """What one sender, or one transport, has waiting or running."""

    n_jobs: int = 0
    n_bytes: int = 0
    n_running: int = 0


_NOTHING = _Held()


class Lanes:
    """Runs jobs that must not raise, on at most `n_threads` threads, holding at most so much work back.

    Why by key: a stem's end must come after its pieces, and a press after its stems, even when the client does not
    wait for the answers; another client's press waits for neither.

    Why by sender: a flood is to cost its sender alone. Half of the room is each transport's, and of it a sender may
    hold as much as is left: one alone a half, each of two a third, and a newcomer always finds some. Threads are
    shared by the same rule, save that a transport leaves but one to the other. Transports take turns, then the
    senders of each, then their keys.

    Args:
        max_jobs, max_bytes: of the work that waits or runs; beyond its sender's share of them, `submit` refuses.
        after: called on the job's thread when a job has left and its room is free again.

    Source: the share is the dynamic threshold of Choudhury and Hahne, IEEE/ACM Trans. Networking 6 (2), 1998.
    """

    def __init__(self, n_threads: int, max_jobs: int, max_bytes: int, after: Job = lambda: None) -> None:
        self._max_jobs, self._max_bytes, self._after = max_jobs // 2, max_bytes // 2, after
        self._max_running = max(1, n_threads - 1)
        self._wake = threading.Condition()
        self._lanes: dict[Hashable, deque[_Work]] = {}
        self._turns: dict[Hashable, dict[Sender, deque[Hashable]]] = {}  # lanes whose first job waits
        self._held: dict[Hashable, _Held] = {}  # of each sender and each transport that has anything here
        self._is_closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"osc-request-{n}", daemon=True)
            for n in range(n_threads)
        ]
        for thread in self._threads:
            thread.start()

    def is_crowded(self, sender: Sender) -> bool:
        """Whether a sender holds more than half of what it may: who can be made to wait should be."""
        with self._wake:
            own, transport = self._shares(sender)
            return (
                2 * own.n_jobs > self._max_jobs - transport.n_jobs
                or 2 * own.n_bytes > self._max_bytes - transport.n_bytes
            )

    def submit(self, sender: Sender, key: Hashable, n_bytes: int, job: Job) -> bool:
        """Puts a job at the end of its lane. False: its sender has no more room, or all is over; it will not run."""
        with self._wake:
            own, transport = self._shares(sender)
            is_full = (
                own.n_jobs >= self._max_jobs - transport.n_jobs
                or own.n_bytes + n_bytes > self._max_bytes - transport.n_bytes
            )
            if is_full or self._is_closed:
                return False
            for owner in (sender, sender[0]):
                held = self._held.setdefault(owner, _Held())
                held.n_jobs += 1
                held.n_bytes += n_bytes
            lane = self._lanes.setdefault(key, deque())
            lane.append(_Work(sender, n_bytes, job))
            if len(lane) == 1:
                self._queue(key)
        return True

    def close(self) -> None:
        """Lets the running jobs end, forgets the waiting ones and takes no more."""
        with self._wake:
            self._is_closed = True
            self._wake.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (key := self._take()) is not None:
            work = self._lanes[key][0]  # stays there meanwhile: the lane is taken
            try:
                work.job()
            finally:
                self._leave(key, work)
                self._after()

    def _take(self) -> Hashable | None:
        """Waits for a lane whose turn it is; None when all is over."""
        with self._wake:
            while not self._is_closed:
                if (sender := self._next()) is not None:
                    for held in self._shares(sender):
                        held.n_running += 1
                    return self._unqueue(sender)
                self._wake.wait()
        return None

    def _leave(self, key: Hashable, work: _Work) -> None:
        with self._wake:
            for owner in (work.sender, work.sender[0]):
                held = self._held[owner]
                held.n_jobs -= 1
                held.n_bytes -= work.n_bytes
                held.n_running -= 1
                if not held.n_jobs:
                    del self._held[owner]
            lane = self._lanes[key]
            lane.popleft()
            if lane:
                self._queue(key)
            else:
                del self._lanes[key]
            self._wake.notify()  # beside this thread, which goes on: the share that was left may let one more run

    # Under the lock, from here on.

    def _shares(self, sender: Sender) -> tuple[_Held, _Held]:
        return self._held.get(sender, _NOTHING), self._held.get(sender[0], _NOTHING)

    def _queue(self, key: Hashable) -> None:
        sender = self._lanes[key][0].sender
        self._turns.setdefault(sender[0], {}).setdefault(sender, deque()).append(key)
        self._wake.notify()

    def _next(self) -> Sender | None:
        """The sender whose turn it is, of those that may have one more thread."""
        for senders in self._turns.values():
            for sender in senders:
                own, transport = self._shares(sender)
                if transport.n_running == self._max_running:
                    break
                if own.n_running < self._max_running - transport.n_running:
                    return sender
        return None

    def _unqueue(self, sender: Sender) -> Hashable:
        """The sender's next lane; the sender, and its transport, go behind the others."""
        senders = self._turns.pop(sender[0])
        keys = senders.pop(sender)
        key = keys.popleft()
        if keys:
            senders[sender] = keys
        if senders:
            self._turns[sender[0]] = senders
        return key
