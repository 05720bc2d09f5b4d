"""Reading sound files in processes of their own: a file that crashes, hangs or eats memory costs itself alone."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from encoders.audio import FloatArray
from encoders.errors import UnreadableAudio
from index.scan import Stamp

FILE_LIMIT_S = 20.0
"""Longest time for one file; a one-shot takes milliseconds. Invented, long enough for a drive that has to spin up."""

MEMORY_LIMIT_BYTES = 1 << 30
"""Memory of one worker process, where the system can hold it to that (Linux)."""

FILE_MAX_BYTES = 1 << 28
"""Largest file that is read: more than `ONE_SHOT_MAX_S` of 8 channels at 192 kHz in 32 bits."""

_ROOT = Path(__file__).resolve().parents[1]
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, eq=False)
class Examined:
    """What a worker found out about a file. Exactly one holds: `samples`, `known`, or `code` and `text`.

    Attributes:
        path: as it was asked for, bytes.
        stamp: of the file when it was read; None where it could not be, or where it changed meanwhile.
        content: digest of its bytes, 16 bytes; None where they could not be read.
        known: the content needs no decoding.
        samples: (T,) float32, the part that its key is made from.
        duration_s: length of the whole file.
        code, text: why it is left out.
    """

    path: bytes
    stamp: Stamp | None = None
    content: bytes | None = None
    known: bool = False
    samples: FloatArray | None = None
    duration_s: float = 0.0
    code: str | None = None
    text: str | None = None


class Decoders:
    """A few worker processes, started when they are first needed, ended by `close`.

    Args:
        n_workers: how many; None takes one for each core, four at most.
        limit_s: for one file.
        program: what a worker runs.
    """

    def __init__(
        self,
        n_workers: int | None = None,
        limit_s: float = FILE_LIMIT_S,
        program: str = "from index.worker import main; main()",
    ) -> None:
        n_workers = n_workers or min(4, os.cpu_count() or 1)
        self._workers = [_Worker(limit_s, program) for _ in range(n_workers)]

    def examine(self, paths: Sequence[bytes], is_known: Callable[[bytes], bool]) -> Iterator[Examined]:
        """Reads files, in no particular order; each gets its answer, whatever happens to a worker.

        Args:
            is_known: asked with a content's digest, from several threads; True saves decoding it.
        """
        todo: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        for path in paths:
            todo.put(path)
        done: queue.Queue[Examined | BaseException] = queue.Queue(
            maxsize=32
        )  # bounds the memory that decoded sounds take
        stop = threading.Event()

        def work(worker: _Worker) -> None:
            while not stop.is_set():
                try:
                    path = todo.get_nowait()
                except queue.Empty:
                    return
                try:
                    done.put(worker.examine(path, is_known))
                except BaseException as error:  # raised again where somebody waits
                    done.put(error)
                    return

        threads = [
            threading.Thread(target=work, args=(worker,), daemon=True)
            for worker in self._workers[: max(1, len(paths))]
        ]
        for thread in threads:
            thread.start()
        n_left = len(paths)
        try:
            while n_left:
                one = done.get()
                if isinstance(one, BaseException):
                    raise one
                yield one
                n_left -= 1
        finally:
            stop.set()
            while any(
                thread.is_alive() for thread in threads
            ):  # each may hold one more result for a full queue
                try:
                    done.get(timeout=0.05)
                except queue.Empty:
                    continue

    def close(self) -> None:
        """Ends the processes."""
        for worker in self._workers:
            worker.close()


class _Worker:
    """One process, driven by one thread at a time."""

    def __init__(self, limit_s: float, program: str) -> None:
        self._limit_s, self._program = limit_s, program
        self._process: subprocess.Popen[bytes] | None = None
        self._late = False

    def examine(self, path: bytes, is_known: Callable[[bytes], bool]) -> Examined:
        content, stamp = None, None
        process = self._start()
        self._late = False
        limit = threading.Timer(self._limit_s, self._kill_late, (process,))
        limit.daemon = True
        limit.start()
        try:
            send(process.stdin, path)
            read = json.loads(receive(process.stdout))
            if "code" in read:
                return Examined(path, code=read["code"], text=read["text"])
            content, stamp = bytes.fromhex(read["content"]), tuple(read["stamp"])
            known = is_known(content)
            send(process.stdin, b"" if known else b"decode")
            found = json.loads(receive(process.stdout))
            samples = None if known or "code" in found else np.frombuffer(receive(process.stdout), "<f4")
        except (EOFError, BrokenPipeError):
            self.close()
            how = f"took longer than {self._limit_s:g} s" if self._late else "broke the decoder"
            error = UnreadableAudio(os.fsdecode(path), found=f"a file that {how}", expected="a sound file")
            return Examined(path, stamp, content, code=error.code, text=error.text)
        finally:
            limit.cancel()
        return Examined(
            path,
            stamp if found["stamp"] == read["stamp"] else None,
            content,
            known,
            samples,
            found.get("duration_s", 0.0),
            found.get("code"),
            found.get("text"),
        )

    def close(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()  # type: ignore[union-attr]
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(1.0)  # one that hangs in the kernel on a dead share goes when it can

    def _start(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", self._program],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OPENBLAS_NUM_THREADS": "1"},
            )
        return self._process

    def _kill_late(self, process: subprocess.Popen[bytes]) -> None:
        self._late = True
        process.kill()


def send(pipe: BinaryIO | None, data: bytes) -> None:
    assert pipe is not None
    pipe.write(_LENGTH.pack(len(data)) + data)
    pipe.flush()


def receive(pipe: BinaryIO | None) -> bytes:
    """One message; EOFError where the other end is gone."""
    assert pipe is not None
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    (length,) = _LENGTH.unpack(head)
    data = pipe.read(length)
    if len(data) < length:
        raise EOFError
    return data
