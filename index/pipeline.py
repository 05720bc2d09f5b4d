"""Decode → encode → catalogue: what waits gets its key or its reason, a few at a time that a kill costs."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Protocol

import numpy as np

from encoders.audio import FloatArray
from encoders.errors import SamplefitError, one_line
from encoders.package import Card
from encoders.windows import pad
from index.catalogue import Catalogue
from index.decoding import Decoders, Examined
from index.files import Job, is_settled, write_examined

N_LANES = min(8, os.cpu_count() or 1)
"""One-shots encoded side by side, each on one thread: two cores then do a quarter more than with one run's work
split over both. Eight at most bounds the memory."""

COMMIT_EVERY, COMMIT_EVERY_S = 64, 1.0
"""A kill costs at most what was encoded since the last commit."""


class KeyEncoder(Protocol):
    """What the library needs of an `Encoder`; `keys` is called from several threads at once."""

    @property
    def card(self) -> Card: ...

    def keys(self, windows: FloatArray) -> FloatArray: ...


def examine(
    catalogue: Catalogue,
    decoders: Decoders,
    encoder: KeyEncoder,
    model: int,
    waiting: Mapping[bytes, Job],
    told: Callable[[int, int], None],
) -> None:
    """Reads every file that waits, encodes each new content once, and writes down what came of it.

    Args:
        told: called with (done, total) after each file, when no transaction is open.
    """
    claimed: set[bytes] = set()
    turn = threading.Lock()

    def is_known(content: bytes) -> bool:
        """Asked by the decoders' threads; of two copies under way, one is decoded."""
        with turn, catalogue.reading() as db:
            known = content in claimed or is_settled(db, model, content)
            claimed.add(content)
            return known

    finished: list[_Encoded] = []
    encoding: deque[Future[_Encoded]] = deque()

    def commit() -> None:
        with catalogue.change() as db:
            while finished:
                one, key = finished.pop()
                write_examined(db, model, waiting[one.path].places, one, key)

    committed_at = time.monotonic()
    with ThreadPoolExecutor(N_LANES) as lanes:
        try:
            for n_done, examined in enumerate(decoders.examine(list(waiting), is_known), 1):
                if examined.samples is None:
                    finished.append((examined, None))
                else:
                    encoding.append(lanes.submit(_encode, encoder, examined))
                while len(encoding) > (2 * N_LANES if n_done < len(waiting) else 0):
                    finished.append(encoding.popleft().result())
                if len(finished) >= COMMIT_EVERY or time.monotonic() - committed_at > COMMIT_EVERY_S:
                    commit()
                    committed_at = time.monotonic()
                told(n_done, len(waiting))
        finally:  # whoever interrupts it loses nothing
            finished += [one.result() for one in encoding if one.exception() is None]
            commit()


_Encoded = tuple[Examined, FloatArray | None]
"""A one-shot with its key (D,), or with the reason why the model has none for it."""


def _encode(encoder: KeyEncoder, one: Examined) -> _Encoded:
    """The key of what has samples.

    Raises:
        SamplefitError: the model has none for a mere click either: it is broken, not the one-shot.
    """
    assert one.samples is not None
    try:
        return one, encoder.keys(pad(one.samples)[None])[0]
    except SamplefitError as error:
        encoder.keys(pad(np.ones(1, np.float32))[None])
        text = f"{os.fsdecode(one.path)}: {error.text}"
        return replace(one, samples=None, code=error.code, text=one_line(text)), None
