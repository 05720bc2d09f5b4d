"""Lanes: order under one key, none between keys, a limit on what waits."""

from __future__ import annotations

import random
import threading

import pytest

from plugin_bridge.lanes import Lanes

PATIENCE_S = 20.0


def test_jobs_of_a_key_run_in_order_one_at_a_time() -> None:
    lanes = Lanes(4, 10_000, 10_000)
    ran: dict[int, list[int]] = {key: [] for key in range(7)}
    running: set[int] = set()
    clashes: list[int] = []
    done = threading.Semaphore(0)

    def job(key: int, n: int) -> None:
        if key in running:
            clashes.append(key)
        running.add(key)
        ran[key].append(n)
        running.discard(key)
        done.release()

    order = random.Random(0)
    n_each = dict.fromkeys(ran, 0)
    for _ in range(2000):
        key = order.randrange(7)
        assert lanes.submit(key, 1, lambda key=key, n=n_each[key]: job(key, n))
        n_each[key] += 1
    for _ in range(2000):
        assert done.acquire(timeout=PATIENCE_S)
    lanes.close()
    assert not clashes
    assert ran == {key: list(range(n)) for key, n in n_each.items()}
    assert (lanes.n_jobs, lanes.n_bytes) == (0, 0)


def test_keys_do_not_wait_for_each_other() -> None:
    lanes = Lanes(2, 10, 10)
    first_may_end, second_ran = threading.Event(), threading.Event()
    lanes.submit("first", 1, lambda: first_may_end.wait(PATIENCE_S))
    lanes.submit("second", 1, second_ran.set)
    assert second_ran.wait(PATIENCE_S)
    first_may_end.set()
    lanes.close()


@pytest.mark.parametrize("limits", [(3, 1000), (1000, 30)])
def test_what_waits_is_limited(limits: tuple[int, int]) -> None:
    freed = threading.Semaphore(0)
    lanes = Lanes(1, *limits, after=freed.release)
    may_end = threading.Event()
    accepted = [lanes.submit(key, 10, lambda: may_end.wait(PATIENCE_S)) for key in range(5)]
    assert accepted == [True, True, True, False, False]
    assert lanes.is_crowded
    may_end.set()
    for _ in range(3):
        assert freed.acquire(timeout=PATIENCE_S)
    assert not lanes.is_crowded
    assert lanes.submit(0, 10, lambda: None)
    lanes.close()


def test_closing_lets_running_jobs_end_and_forgets_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    lanes = Lanes(1, 10, 10)
    began, is_closing, ran = threading.Event(), threading.Event(), []

    def first() -> None:
        began.set()
        is_closing.wait(PATIENCE_S)
        ran.append("first")

    def shutdown(**how: bool) -> None:
        is_closing.set()
        really(**how)

    really = lanes._pool.shutdown
    monkeypatch.setattr(lanes._pool, "shutdown", shutdown)
    lanes.submit("a", 1, first)
    lanes.submit("a", 1, lambda: ran.append("same key"))
    assert began.wait(PATIENCE_S)
    lanes.close()
    assert ran == ["first"]
    assert not lanes.submit("a", 1, lambda: ran.append("late"))
