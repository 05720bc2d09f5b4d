"""Going over to another model while the old pair answers."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from encoders.errors import Busy
from index.search import Want, search
from tests.index.conftest import StandIn, write_hit


class Stopped(StandIn):
    """An encoder that waits before its `n`-th batch, and says when it does."""

    def __init__(self, n: int, **options: int) -> None:
        super().__init__(**options)
        self.n_left, self.waits, self.may_go_on = n, threading.Event(), threading.Event()

    def keys(self, windows: np.ndarray) -> np.ndarray:
        self.n_left -= 1
        if self.n_left == 0:
            self.waits.set()
            assert self.may_go_on.wait(60)
        return super().keys(windows)


@pytest.fixture
def filled(opened, drums):
    for seed in range(20):
        write_hit(drums / f"kick {seed}.wav", seed)
    library = opened()
    library.add(str(drums))
    return library


def answer_of(library):
    """What a press would get: hits by an arbitrary query of the pair's own size."""
    encoder, snapshot = library.pair()
    assert encoder.card.digest == snapshot.model
    query = np.ones(encoder.card.dim, np.float32) / np.sqrt(encoder.card.dim)
    return search(snapshot, query.astype(np.float32), Want(types=("kick",), k=3))


def test_the_old_pair_answers_until_the_new_one_is_whole(filled, encoder):
    before = answer_of(filled)
    new = Stopped(2, seed=5, dim=24)
    adopting = threading.Thread(target=filled.adopt, args=(new,))
    adopting.start()
    assert new.waits.wait(60)
    assert answer_of(filled) == before and filled.pair()[0] is encoder
    new.may_go_on.set()
    adopting.join(60)
    assert filled.pair()[0] is new and len(filled.snapshot) == 20
    assert answer_of(filled) != before
    assert new.n_encoded == 20 and encoder.n_encoded == 20


def test_going_back_costs_nothing(filled, encoder):
    before = answer_of(filled)
    filled.adopt(StandIn(seed=5))
    filled.adopt(encoder)
    assert answer_of(filled) == before and encoder.n_encoded == 20


def test_what_is_added_meanwhile_is_in_both(filled, drums, encoder):
    new = Stopped(2, seed=5)
    adopting = threading.Thread(target=filled.adopt, args=(new,))
    adopting.start()
    assert new.waits.wait(60)
    write_hit(drums / "late kick.wav", 99)
    filled.sync()
    assert len(filled.snapshot) == 21 and filled.pair()[0] is encoder
    new.may_go_on.set()
    adopting.join(60)
    assert len(filled.snapshot) == 21 and filled.pair()[0] is new


def test_interrupted_it_goes_on_where_it_was(filled, opened):
    new = Stopped(3, seed=5)
    caught = []

    def adopt():
        try:
            filled.adopt(new)
        except Busy as error:
            caught.append(error)

    adopting = threading.Thread(target=adopt)
    adopting.start()
    assert new.waits.wait(60)
    closing = threading.Thread(target=filled.close)
    closing.start()
    while not filled._closing.is_set():
        pass
    new.may_go_on.set()
    adopting.join(60)
    closing.join(60)
    assert caught and 0 < new.n_encoded < 25
    again = StandIn(seed=5)
    library = opened(again)
    library.sync()
    assert len(library.snapshot) == 20
    assert again.n_encoded < 20, "what was made is kept"
