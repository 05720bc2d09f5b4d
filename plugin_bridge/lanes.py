"""A few threads that keep order: under one key, first come first served; under different keys, side by side."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor

Job = Callable[[], None]


class Lanes:
    """Runs jobs that must not raise, on at most `n_threads` threads, holding at most so much work back.

    Why by key: a stem's end must come after its pieces, and a press after its stems, even when the client does not
    wait for the answers; another client's press waits for neither.

    Args:
        max_jobs, max_bytes: of the work that waits or runs; beyond, `submit` refuses.
        after: called on the job's thread when a job has left and its room is free again.
    """

    def __init__(self, n_threads: int, max_jobs: int, max_bytes: int, after: Job = lambda: None) -> None:
        self._pool = ThreadPoolExecutor(n_threads, thread_name_prefix="osc-request")
        self._max_jobs, self._max_bytes, self._after = max_jobs, max_bytes, after
        self._lock = threading.Lock()
        self._lanes: dict[Hashable, deque[tuple[Job, int]]] = {}
        self._is_closed = False
        self.n_jobs = self.n_bytes = 0

    @property
    def is_crowded(self) -> bool:
        """Whether half the room is taken: who can hold back further work should."""
        return 2 * self.n_jobs > self._max_jobs or 2 * self.n_bytes > self._max_bytes

    def submit(self, key: Hashable, n_bytes: int, job: Job) -> bool:
        """Puts a job at the end of its lane. False: there is no room, or no more is taken; it will not run."""
        with self._lock:
            is_full = self.n_jobs >= self._max_jobs or self.n_bytes + n_bytes > self._max_bytes
            if is_full or self._is_closed:
                return False
            self.n_jobs += 1
            self.n_bytes += n_bytes
            if key in self._lanes:
                self._lanes[key].append((job, n_bytes))
            else:
                self._lanes[key] = deque([(job, n_bytes)])
                self._pool.submit(self._run_next, key)
        return True

    def close(self) -> None:
        """Lets the running jobs end, forgets the waiting ones and takes no more."""
        with self._lock:
            self._is_closed = True
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run_next(self, key: Hashable) -> None:
        job, n_bytes = self._lanes[key][0]  # stays there meanwhile: the lane is taken
        try:
            job()
        finally:
            with self._lock:
                self.n_jobs -= 1
                self.n_bytes -= n_bytes
                lane = self._lanes[key]
                lane.popleft()
                if not lane:
                    del self._lanes[key]
                elif not self._is_closed:  # behind the other lanes: none keeps a thread for itself
                    self._pool.submit(self._run_next, key)
            self._after()
