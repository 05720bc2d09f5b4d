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
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from encoders.audio import FloatArray
from encoders.errors import UnreadableAudio
from index.drives import is_network, network_drive
from index.scan import Stamp

FILE_LIMIT_S = 20.0
"""Longest time for one file; a one-shot takes milliseconds. Invented, long enough for a drive that has to spin up."""

HUNG_S = 300.0
"""How long a network drive that gave no bytes in time is left alone before its files are tried again. Invented."""

MEMORY_LIMIT_BYTES = 1 << 30
"""Memory of one worker process, where the system can hold it to that (Linux)."""

FILE_MAX_BYTES = 1 << 28
"""Largest file that is read: more than `ONE_SHOT_MAX_S` of 8 channels at 192 kHz in 32 bits."""

WORKER = """
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)  # in a console of Windows Ctrl-C reaches everybody; a worker ends with its pipe
from index.worker import main
main()
"""

_ROOT = Path(__file__).resolve().parents[1]
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, eq=False)
class Examined:
    """What a worker found out about a file. At most one holds: `samples`, `known`, or `code` and `text`.

    None holds where a network drive did not give its bytes in time: that may pass, so the file waits.

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
        program: str = WORKER,
    ) -> None:
        n_workers = n_workers or min(4, os.cpu_count() or 1)
        self._workers = [_Worker(limit_s, program) for _ in range(n_workers)]
        self._hung: dict[bytes, float] = {}  # network drives that are left alone, each until when

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
                    done.put(self._examine_by(worker, path, is_known))
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

    def _examine_by(self, worker: _Worker, path: bytes, is_known: Callable[[bytes], bool]) -> Examined:
        """Leaves a network drive alone for a while after it gave no bytes in time: its files wait."""
        if self._hung and self._hung.get(network_drive(path) or b"", 0.0) > time.monotonic():
            return Examined(path)
        examined = worker.examine(path, is_known)
        if examined.content is None and examined.code is None:
            self._hung[network_drive(path) or b""] = time.monotonic() + HUNG_S
        return examined

    def close(self) -> None:
        """Ends the processes."""
        for worker in self._workers:
            worker.close()


class _Worker:
    """One process, talked to by one thread at a time."""

    def __init__(self, limit_s: float, program: str) -> None:
        self._limit_s, self._program = limit_s, program
        self._process: subprocess.Popen[bytes] | None = None

    def examine(self, path: bytes, is_known: Callable[[bytes], bool]) -> Examined:
        """What became of a file within the limit. One that a network drive did not even give by then waits.

        The talk has a thread of its own, for a process that hangs in the kernel (on a dead share) does not die of being
        killed, and its pipes do not close.
        """
        talk = _Talk(self._start(), path, is_known)
        try:
            found = talk.result(self._limit_s)
        except BaseException:
            self.close()  # it waits for the rest of the talk
            raise
        if found is not None:
            return found
        is_late = not talk.is_over
        self.close()
        if is_late and talk.content is None and is_network(path):
            return Examined(path)
        how = f"took longer than {self._limit_s:g} s" if is_late else "broke the decoder"
        error = UnreadableAudio(os.fsdecode(path), found=f"a file that {how}", expected="a sound file")
        return Examined(path, talk.stamp, talk.content, code=error.code, text=error.text)

    def close(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            end = threading.Thread(target=_see_off, args=(process,), daemon=True)
            end.start()
            end.join(1.0)  # one that hangs in the kernel goes when it can

    def _start(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", self._program],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OPENBLAS_NUM_THREADS": "1"},
                process_group=0 if os.name == "posix" else None,  # Ctrl-C is for us alone
            )
            with contextlib.suppress(EOFError):
                receive(self._process.stdout)  # a start on a busy machine is no file's fault
        return self._process


def _see_off(process: subprocess.Popen[bytes]) -> None:
    """Waits for the end of a process that was killed; till then a thread of ours may read its pipe."""
    process.wait()
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(BrokenPipeError):
            pipe.close()  # type: ignore[union-attr]


class _Talk:
    """Questions and answers about one file.

    Attributes:
        stamp, content: as soon as they are known.
        is_over: the process ended before it had answered.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], path: bytes, is_known: Callable[[bytes], bool]
    ) -> None:
        self.stamp: Stamp | None = None
        self.content: bytes | None = None
        self.is_over = False
        self._process, self._path, self._is_known = process, path, is_known
        self._said: queue.SimpleQueue[Examined | BaseException | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, daemon=True).start()

    def result(self, limit_s: float) -> Examined | None:
        """What was found; None where the process died or took longer. What `is_known` raises is raised here."""
        try:
            said = self._said.get(timeout=limit_s)
        except queue.Empty:
            return None
        if isinstance(said, BaseException):
            raise said
        return said

    def _run(self) -> None:
        try:
            self._said.put(self._talk())
        except (EOFError, OSError):
            self.is_over = True
            self._said.put(None)
        except BaseException as error:
            self._said.put(error)

    def _talk(self) -> Examined:
        path, requests, replies = self._path, self._process.stdin, self._process.stdout
        send(requests, path)
        read = json.loads(receive(replies))
        if "code" in read:
            return Examined(path, code=read["code"], text=read["text"])
        self.stamp, self.content = tuple(read["stamp"]), bytes.fromhex(read["content"])
        known = self._is_known(self.content)
        send(requests, b"" if known else b"decode")
        found = json.loads(receive(replies))
        samples = None if known or "code" in found else np.frombuffer(receive(replies), "<f4")
        return Examined(
            path,
            self.stamp if found["stamp"] == read["stamp"] else None,
            self.content,
            known,
            samples,
            found.get("duration_s", 0.0),
            found.get("code"),
            found.get("text"),
        )


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
