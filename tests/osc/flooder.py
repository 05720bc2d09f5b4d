"""A client that never waits, as a process of its own: python -m tests.osc.flooder PORT [n_sockets] sends requests over UDP
until it is ended."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, cycle
from pathlib import Path

from plugin_bridge.addresses import STATUS, SUGGEST, SUGGEST_FILE
from plugin_bridge.osc import Message, encode

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def flooding(port: int, n_sockets: int = 1) -> Iterator[subprocess.Popen[bytes]]:
    """A flooder at full speed while the block runs; it has begun."""
    command = [sys.executable, "-m", "tests.osc.flooder", str(port), str(n_sockets)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as flooder:
        try:
            assert flooder.stdout.readline() == b"flooding\n"
            yield flooder
        finally:
            flooder.kill()


def flood(port: int, n_sockets: int) -> None:
    """Sends for ever; every id is new, so that no lane of the server's holds the requests together."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(n_sockets)]
    for each in sockets:
        each.setblocking(False)
        each.connect(("127.0.0.1", port))
    addresses = ((SUGGEST_FILE, "/gone.wav"), (STATUS,), (SUGGEST,))
    for n, each, (address, *arguments) in zip(count(), cycle(sockets), cycle(addresses), strict=False):
        try:
            each.send(encode(Message(address, (f"{os.getpid()}-{n}", *arguments))))
        except OSError:  # what it is told, or that nobody listens, is nothing to it
            continue
        if n == 1_000:
            print("flooding", flush=True)


if __name__ == "__main__":
    flood(int(sys.argv[1]), int(sys.argv[2]))
