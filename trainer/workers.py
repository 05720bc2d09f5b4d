"""Pools of worker processes that end with their parent, however it ends."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any


def pool(n_workers: int, begin: Callable[..., None] | None = None, *state: Any) -> ProcessPoolExecutor:
    """A pool of fresh processes: copies of a threaded parent can hang.

    Args:
        begin: is called with `state` in each worker before its first job.
    """
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(n_workers, context, initializer=_begin, initargs=(begin, state))


def _begin(begin: Callable[..., None] | None, state: tuple[Any, ...]) -> None:
    threading.Thread(target=_follow_parent, daemon=True).start()
    if begin:
        begin(*state)


def _follow_parent() -> None:
    """A worker whose parent was killed waits for its next job for ever: nobody tells it."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)
