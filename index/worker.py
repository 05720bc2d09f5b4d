"""The other side of `decoding`: a process that reads one file after another until its pipe closes."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from typing import Any, BinaryIO

import numpy as np

from encoders.audio import read_one_shot
from encoders.errors import SamplefitError, TooBig, UnreadableAudio
from index.decoding import FILE_MAX_BYTES, MEMORY_LIMIT_BYTES, receive, send
from index.scan import Stamp, stamp_of

GRANULE_NS = 20_000_000
"""A file that changed within this time may change again under the same stamp: clocks of file systems tick this
coarsely (Linux 4 to 10 ms). Such a file is read after its tick is over."""


def main() -> None:
    """Answers on stdout what is asked on stdin; libraries that print do it on stderr."""
    requests, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _limit_memory()
    try:
        send(replies, b"ready")
        while True:
            _serve(receive(requests), requests, replies)
    except (EOFError, BrokenPipeError):
        return


def _serve(path: bytes, requests: BinaryIO, replies: BinaryIO) -> None:
    try:
        stamp, content = _read(path)
    except SamplefitError as error:
        return _send_json(replies, {"code": error.code, "text": error.text})
    _send_json(replies, {"content": content.hex(), "stamp": stamp})
    if receive(requests):
        _decode(path, replies)
    else:
        _send_json(replies, {"stamp": _stamp_or_none(path)})
    return None


def _decode(path: bytes, replies: BinaryIO) -> None:
    try:
        one_shot = read_one_shot(os.fsdecode(path))
    except MemoryError:
        error = TooBig(
            os.fsdecode(path),
            found=f"more than {MEMORY_LIMIT_BYTES >> 20} MiB to decode",
            expected="a one-shot",
        )
        return _send_json(replies, {"stamp": _stamp_or_none(path), "code": error.code, "text": error.text})
    except SamplefitError as error:
        return _send_json(replies, {"stamp": _stamp_or_none(path), "code": error.code, "text": error.text})
    _send_json(replies, {"stamp": _stamp_or_none(path), "duration_s": one_shot.duration_s})
    send(replies, np.ascontiguousarray(one_shot.samples, "<f4").tobytes())
    return None


def _read(path: bytes) -> tuple[Stamp, bytes]:
    """Stamp and digest of a file's bytes.

    Raises:
        TooBig: more than `FILE_MAX_BYTES`.
        UnreadableAudio: it is gone, or cannot be opened or read.
    """
    name = os.fsdecode(path)
    try:
        about = os.stat(path)
        if about.st_size > FILE_MAX_BYTES:
            raise TooBig(name, found=f"{about.st_size} bytes", expected=f"at most {FILE_MAX_BYTES}")
        age_ns = time.time_ns() - max(about.st_mtime_ns, about.st_ctime_ns)
        if 0 <= age_ns < GRANULE_NS:
            time.sleep((GRANULE_NS - age_ns) / 1e9)
        with open(path, "rb", opener=_open) as file:
            stamp = stamp_of(os.fstat(file.fileno()))
            digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16))
    except OSError as error:
        raise UnreadableAudio(
            name, found=error.strerror or str(error), expected="a file that can be read"
        ) from None
    return stamp, digest.digest()


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # a pipe named kick.wav must not hold us


def _stamp_or_none(path: bytes) -> Stamp | None:
    try:
        return stamp_of(os.stat(path))
    except OSError:
        return None


def _send_json(replies: BinaryIO, value: dict[str, Any]) -> None:
    send(replies, json.dumps(value).encode())


def _limit_memory() -> None:
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
