"""Lanes: order under one key, none between keys, a limit on what waits, and a share of it for every sender."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator

import pytest
from daemon import wait_until

from plugin_bridge.lanes import Lanes

PATIENCE_S = 20.0
A, B, C = ("udp", "a"), ("udp", "b"), ("tcp", "c")


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What holds jobs up until the test lets them go on."""
    gate = threading.Event()
    yield gate
    gate.set()


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
        assert lanes.submit(order.choice([A, B, C]), key, 1, lambda key=key, n=n_each[key]: job(key, n))
        n_each[key] += 1
    for _ in range(2000):
        assert done.acquire(timeout=PATIENCE_S)
    lanes.close()
    assert not clashes
    assert ran == {key: list(range(n)) for key, n in n_each.items()}
    assert lanes._held == lanes._turns == lanes._lanes == {}, "nothing is kept of who has gone"


def test_keys_do_not_wait_for_each_other(gate: threading.Event) -> None:
    lanes = Lanes(4, 10, 10)
    second_ran = threading.Event()
    lanes.submit(A, "first", 1, gate.wait)
    lanes.submit(A, "second", 1, second_ran.set)
    assert second_ran.wait(PATIENCE_S)
    gate.set()
    lanes.close()


@pytest.mark.parametrize("limits", [(16, 10_000), (10_000, 160)])
def test_a_sender_may_hold_as_much_as_is_left(limits: tuple[int, int], gate: threading.Event) -> None:
    freed = threading.Semaphore(0)
    lanes = Lanes(1, *limits, after=freed.release)

    def accepted(sender: tuple[str, str]) -> int:
        return sum(lanes.submit(sender, (sender, n), 10, gate.wait) for n in range(9))

    assert [accepted(sender) for sender in (A, B, C)] == [4, 2, 4], (
        "half of each transport's eight, then of the rest"
    )
    assert lanes.is_crowded(A) and lanes.is_crowded(C) and not lanes.is_crowded(("udp", "new"))
    gate.set()
    for _ in range(10):
        assert freed.acquire(timeout=PATIENCE_S)
    assert not lanes.is_crowded(A)
    assert accepted(A) > 0
    lanes.close()


def test_senders_and_transports_take_turns(gate: threading.Event) -> None:
    lanes, ran = Lanes(1, 100, 100), []
    began, done = threading.Event(), threading.Event()
    lanes.submit(A, "first", 1, lambda: (began.set(), gate.wait()))
    assert began.wait(PATIENCE_S)
    for n in range(6):
        lanes.submit(A, n, 1, lambda: ran.append("a"))
    for sender in (B, C):
        for n in range(2):
            lanes.submit(sender, (sender, n), 1, lambda sender=sender: ran.append(sender[1]))
    lanes.submit(A, "end", 1, done.set)
    gate.set()
    assert done.wait(PATIENCE_S)
    lanes.close()
    assert "".join(ran) == "acbcabaaaa"


def test_no_sender_and_no_transport_takes_every_thread(gate: threading.Event) -> None:
    lanes = Lanes(4, 1000, 1000)
    ran = threading.Semaphore(0)

    def hold() -> None:
        ran.release()
        gate.wait()

    for sender, n_run in ((A, 2), (B, 1), (C, 1)):
        for n in range(n_run if sender == C else 9):
            lanes.submit(sender, (sender, n), 1, hold)
        for _ in range(n_run):
            assert ran.acquire(timeout=PATIENCE_S), f"a thread was left to {sender}"
    assert [lanes._held[owner].n_running for owner in (A, B, C)] == [2, 1, 1]
    gate.set()
    lanes.close()


def test_closing_lets_running_jobs_end_and_forgets_the_rest(gate: threading.Event) -> None:
    lanes, ran = Lanes(2, 10, 10), []
    began, is_closed = threading.Event(), threading.Event()

    def first() -> None:
        began.set()
        gate.wait(PATIENCE_S)
        ran.append("first")

    def close() -> None:
        lanes.close()
        is_closed.set()

    lanes.submit(A, "a", 1, first)
    lanes.submit(A, "a", 1, lambda: ran.append("same key"))
    assert began.wait(PATIENCE_S)
    threading.Thread(target=close).start()
    wait_until(lambda: lanes._is_closed)
    assert not lanes.submit(A, "b", 1, lambda: None), "it takes no more"
    assert not is_closed.is_set()
    gate.set()
    assert is_closed.wait(PATIENCE_S)
    assert ran == ["first"]
