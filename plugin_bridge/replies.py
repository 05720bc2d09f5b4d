"""Replies as messages, each below 1 kB on the wire whatever it is made of.

What is only for reading is cut to fit (a name, a text, a version); what a program goes by (an id, a path, a number)
never is.
"""

from __future__ import annotations

import os

from encoders.errors import SamplefitError, TooBig
from index.files import MAX_PATH_BYTES
from plugin_bridge.addresses import (
    DONE,
    FAIL,
    HIT,
    MISSING,
    PROGRESS,
    READY,
    STATUS_REPLY,
    SYNCED,
    TROUBLE,
    Call,
    Id,
)
from plugin_bridge.osc import Message, trim

MAX_REPLY_BYTES = 999
MAX_LABEL_BYTES = 64
"""Longest name of a hit, model, device, version or address: it is cut there."""

MAX_TEXT_BYTES = 640
"""Longest text of a failure: it is cut there."""


def hit(
    request: Call, rank: int, of: int, type: str, score: float, path: str, name: str, duration_s: float
) -> Message:
    """One suggested one-shot.

    Raises:
        TooBig: a path of more than `MAX_PATH_BYTES`. Cut, it would name another file; whole, it would not arrive.
    """
    if (n_bytes := len(os.fsencode(path))) > MAX_PATH_BYTES:
        raise TooBig(
            f"path {trim(path, 100)}...",
            found=f"{n_bytes} bytes",
            expected=f"at most {MAX_PATH_BYTES}",
            remedy="shorten the names of its folders",
        )
    label = trim(name, MAX_LABEL_BYTES)
    return Message(HIT, (request.id, rank, of, type, float(score), path, label, float(duration_s)))


def progress(request: Call, n_done: int, n_total: int) -> Message:
    """How far a long request has come."""
    return Message(PROGRESS, (request.id, request.address, n_done, n_total))


def done(request: Call, n: int, elapsed_ms: float) -> Message:
    """The end of a request that went well."""
    return Message(DONE, (request.id, request.address, n, float(elapsed_ms)))


def fail(request_id: Id, address: str, code: str, text: str) -> Message:
    """The end of a request that did not; for one that could not even be parsed too."""
    return Message(FAIL, (request_id, trim(address, MAX_LABEL_BYTES), code, trim(text, MAX_TEXT_BYTES)))


def failure(request_id: Id, address: str, error: SamplefitError) -> Message:
    """`fail` as an error tells it."""
    return fail(request_id, address, error.code, error.text)


def ready(request: Call, stem: str, n_frames: int) -> Message:
    """The stem is held."""
    return Message(READY, (request.id, stem, n_frames))


def missing(request: Call, stem: str, first_frame: int, n_frames: int) -> Message:
    """A gap in a stem."""
    return Message(MISSING, (request.id, stem, first_frame, n_frames))


def status(
    request: Call,
    version: str,
    model: str,
    device: str,
    one_shots: int,
    folders_online: int,
    folders_offline: int,
    pending: int,
) -> Message:
    """The answer to status."""
    labels = (trim(text, MAX_LABEL_BYTES) for text in (version, model, device))
    return Message(STATUS_REPLY, (request.id, *labels, one_shots, folders_online, folders_offline, pending))


def trouble(request: Call, text: str) -> Message:
    """What is in the library's way; comes before the answer to status."""
    return Message(TROUBLE, (request.id, trim(text, MAX_TEXT_BYTES)))


def synced(request: Call, revision: int) -> Message:
    """The answer to sync."""
    return Message(SYNCED, (request.id, revision))
