"""The real daemon as a process of its own, for tests: started on free ports, asked over real sockets, ended."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from plugin_bridge.client import Client
from plugin_bridge.framing import LENGTH, Framing
from plugin_bridge.osc import Message, encode, unpack

ROOT = Path(__file__).resolve().parents[1]
COMMAND = [sys.executable, "-c", "import sys; from plugin_bridge.cli import main; sys.exit(main())"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
PATIENCE_S = 60.0


def samplefit(*arguments: object, state: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Runs a command as a shell would."""
    given = [os.fspath(word) if isinstance(word, Path) else str(word) for word in arguments]
    environment = ENVIRONMENT if state is None else {**ENVIRONMENT, "SAMPLEFIT_STATE": str(state)}
    return subprocess.run(
        [*COMMAND, *given],
        capture_output=True,
        text=True,
        env=environment,
        timeout=PATIENCE_S,
        errors="surrogateescape",
    )


@dataclass
class Daemon:
    """A running `samplefit serve`."""

    process: subprocess.Popen[str]
    port: int
    state: Path
    host: str = "127.0.0.1"

    def client(self, framing: Framing = LENGTH) -> Client:
        return Client(self.host, self.port, framing=framing, timeout_s=PATIENCE_S)

    def ask(self, address: str, *arguments: object, id: int | str | None = None) -> list[Message]:
        """One request over TCP."""
        with self.client() as client:
            return client.ask(address, *arguments, id=id)


@contextmanager
def serving(
    state: Path, *arguments: object, osc: str = "127.0.0.1:0", **environment: str
) -> Iterator[Daemon]:
    """A daemon that is ready, and ended at the block's end by SIGTERM, as systemd would."""
    command = [*COMMAND, "serve", "--osc", osc, "--state", str(state), *map(str, arguments)]
    with log_of(state).open("a") as log:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env={**ENVIRONMENT, **environment}
        )
    try:
        line = process.stdout.readline()
        assert line, Path(log.name).read_text()
        yield Daemon(process, json.loads(line)["osc_port"], state)
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
        process.stdout.close()


def log_of(state: Path) -> Path:
    """What the daemon of a state folder says on stderr."""
    return state.parent / f"{state.name}.log"


def udp(daemon: Daemon, *requests: Message, end: int = 1) -> list[Message]:
    """Sends datagrams and collects replies until `end` of them say done, fail, ready or missing."""
    replies: list[Message] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE_S)
        for request in requests:
            sock.sendto(encode(request), ("127.0.0.1", daemon.port))
        while end:
            replies += unpack(sock.recv(1 << 16))
            end -= replies[-1].address.rpartition("/")[2] in ("done", "fail", "ready", "missing")
    return replies


def stem_messages(id: int | str, stem: str, samples: np.ndarray, rate: int, n_bytes: int) -> list[Message]:
    """begin, data..., end for (T,) or (T, C) float32 samples, in pieces of at most `n_bytes`."""
    frames = samples.reshape(len(samples), -1).astype("<f4")
    data, size = frames.tobytes(), 4 * frames.shape[1]
    step = n_bytes // size
    crc = zlib.crc32(data)
    return [
        Message("/samplefit/stem/begin", (id, stem, rate, frames.shape[1], len(frames), "f32le")),
        *(
            Message("/samplefit/stem/data", (id, stem, first, data[first * size : (first + step) * size]))
            for first in range(0, len(frames), step)
        ),
        Message("/samplefit/stem/end", (id, stem, crc - (crc >> 31 << 32))),
    ]


def wait_until(condition, seconds: float = PATIENCE_S) -> None:
    """For what no reply announces: looks until it holds, and fails when it never does."""
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "it never came true"
        time.sleep(0.02)
