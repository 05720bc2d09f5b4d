"""Decode → encode → catalogue: what waits gets its key or its reason, in batches that a kill costs one of."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Mapping
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

BATCH = 2
"""One-shots encoded at once: on a CPU eight cost an eighth more each, for they fall out of its caches."""

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

    def commit() -> None:
        with catalogue.change() as db:
            while finished:
                one, key = finished.pop()
                write_examined(db, model, waiting[one.path].places, one, key)

    committed_at = time.monotonic()
    try:
        for n_done, examined in enumerate(decoders.examine(list(waiting), is_known), 1):
            is_last = n_done == len(waiting)
            if examined.samples is None:
                finished.append((examined, None))
            else:
                encoding.append(examined)
            if encoding and (len(encoding) == BATCH or is_last):
                finished += _encode(encoder, encoding)
                encoding = []
            if len(finished) >= COMMIT_EVERY or time.monotonic() - committed_at > COMMIT_EVERY_S:
                commit()
                committed_at = time.monotonic()
            told(n_done, len(waiting))
    finally:  # whoever interrupts it loses nothing
        commit()


def _encode(encoder: KeyEncoder, batch: list[Examined]) -> list[tuple[Examined, FloatArray | None]]:
    """Each one-shot with its key (D,), or with the reason why the model has none for it.

    Raises:
        SamplefitError: the model has none for a mere click either: it is broken, not the one-shots.
    """
    windows = np.stack([pad(one.samples) for one in batch if one.samples is not None])  # (B, 176400)
    with contextlib.suppress(SamplefitError):
        return list(zip(batch, encoder.keys(windows), strict=True))
    encoder.keys(pad(np.ones(1, np.float32))[None])
    found: list[tuple[Examined, FloatArray | None]] = []
    for one, window in zip(batch, windows, strict=True):
        try:
            found.append((one, encoder.keys(window[None])[0]))
        except SamplefitError as error:
            text = f"{os.fsdecode(one.path)}: {error.text}"
            found.append((replace(one, samples=None, code=error.code, text=one_line(text)), None))
    return found
