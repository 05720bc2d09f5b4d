"""Decode → encode → catalogue: what waits gets its key or its reason, in batches that a kill costs one of."""

from __future__ import annotations

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
            finished += _encode(encoder, encoding)
            encoding = []
        if len(finished) >= COMMIT_EVERY or is_last or time.monotonic() - committed_at > COMMIT_EVERY_S:
            with catalogue.change() as db:
                for one, key in finished:
                    write_examined(db, model, waiting[one.path].places, one, key)
            finished, committed_at = [], time.monotonic()
        told(n_done, len(waiting))


def _encode(encoder: KeyEncoder, batch: list[Examined]) -> list[tuple[Examined, FloatArray | None]]:
    """Each one-shot with its key (D,), or with the reason why the model has none for it.

    Raises:
        SamplefitError: the model has no key for any of several.
    """
    windows = np.stack([pad(one.samples) for one in batch if one.samples is not None])  # (B, 176400)
    try:
        return list(zip(batch, encoder.keys(windows), strict=True))
    except SamplefitError:
        if len(batch) == 1:
            raise
    found: list[tuple[Examined, FloatArray | None]] = []
    for one, window in zip(batch, windows, strict=True):
        try:
            found.append((one, encoder.keys(window[None])[0]))
        except SamplefitError as error:
            text = f"{os.fsdecode(one.path)}: {error.text}"
            found.append((replace(one, samples=None, code=error.code, text=one_line(text)), None))
            reason = error
    if all(key is None for _, key in found):
        raise reason
    return found
