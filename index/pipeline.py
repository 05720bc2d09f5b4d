"""Decode → encode → catalogue: what waits gets its key or its reason, in batches that a kill costs one of."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

from encoders.audio import FloatArray
from encoders.package import Card
from encoders.windows import pad
from index.catalogue import Catalogue
from index.decoding import Decoders, Examined
from index.files import Job, is_settled, write_examined

BATCH = 8
"""One-shots encoded at once; more gain nothing on a CPU."""

COMMIT_EVERY, COMMIT_EVERY_S = 64, 1.0
"""A kill costs at most what was encoded since the last commit."""


class KeyEncoder(Protocol):
    """What the library needs of an `Encoder`."""

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

    encoding: list[Examined] = []
    finished: list[tuple[Examined, FloatArray | None]] = []
    committed_at = time.monotonic()
    for n_done, examined in enumerate(decoders.examine(list(waiting), is_known), 1):
        is_last = n_done == len(waiting)
        if examined.samples is None:
            finished.append((examined, None))
        else:
            encoding.append(examined)
        if encoding and (len(encoding) == BATCH or is_last):
            windows = np.stack([pad(one.samples) for one in encoding])  # (B, 176400)
            finished += zip(encoding, encoder.keys(windows), strict=True)
            encoding = []
        if len(finished) >= COMMIT_EVERY or is_last or time.monotonic() - committed_at > COMMIT_EVERY_S:
            with catalogue.change() as db:
                for one, key in finished:
                    write_examined(db, model, waiting[one.path].places, one, key)
            finished, committed_at = [], time.monotonic()
        told(n_done, len(waiting))
