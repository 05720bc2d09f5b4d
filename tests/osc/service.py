"""What the server tests talk to: the real server and stem store, with answers of a known form behind them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from encoders.errors import NotFound
from plugin_bridge import addresses, replies, stems
from plugin_bridge.addresses import Call
from plugin_bridge.osc import Argument, Message, decode, encode
from plugin_bridge.server import OscServer, Reply
from plugin_bridge.settings import check_k

PATIENCE_S = 20.0
"""Longest wait for what must come: only a failing test waits so long."""


@dataclass
class Service:
    """A handler: presses get k hits, `/samplefit/sync` waits for `may_sync`, likes hit a bug, uses find nothing.

    `heard` counts the calls that have begun.
    """

    store: stems.StemStore = field(default_factory=stems.StemStore)
    may_sync: threading.Event = field(default_factory=threading.Event)
    heard: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    calls: list[Call] = field(default_factory=list)
    path: str = "/samples/ä\udce4.wav"
    check_k: Callable[[int], None] = check_k

    def __call__(self, call: Call, reply: Reply) -> int | None:
        self.calls.append(call)
        self.heard.release()
        match call.address:
            case addresses.STATUS:
                reply(replies.status(call, "1", "model", "cpu", 1, 1, 0, 0))
                return None
            case addresses.SYNC:
                assert self.may_sync.wait(PATIENCE_S)
                reply(replies.synced(call, 7))
                return None
            case addresses.SUGGEST | addresses.SUGGEST_FILE:
                (k,) = call.options.get("k", (3,))
                self.check_k(k)  # as the daemon does; else one hostile press would hold its lane for days
                for rank in range(1, k + 1):
                    reply(replies.hit(call, rank, k, "kick", 0.5, self.path, "ä", 0.25))
                return k
            case addresses.USED:
                raise NotFound("the one-shot", found="no such file", remedy="sync first")
            case addresses.LIKE:
                raise ZeroDivisionError
            case address if address in stems.ADDRESSES:
                return stems.answer(self.store, call, reply)
        return 0


class Udp:
    """A UDP client of one server."""

    def __init__(self, server: OscServer) -> None:
        self._to = (server.host, server.port)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(PATIENCE_S)
        self.port = self.socket.getsockname()[1]

    def send(self, address: str, *arguments: Argument) -> None:
        self.send_bytes(encode(Message(address, arguments)))

    def send_bytes(self, packet: bytes) -> None:
        self.socket.sendto(packet, self._to)

    def receive(self) -> Message:
        return decode(self.socket.recv(65_536))

    def ask(self, address: str, *arguments: Argument) -> Message:
        """The first reply to a request, the id being its first argument."""
        self.send(address, *arguments)
        return self.receive()


@contextmanager
def udp(server: OscServer) -> Iterator[Udp]:
    client = Udp(server)
    with client.socket:
        yield client


@contextmanager
def tcp(server: OscServer, sent: bytes = b"") -> Iterator[socket.socket]:
    """A bare TCP connection, with some bytes sent."""
    with socket.create_connection((server.host, server.port), PATIENCE_S) as connection:
        connection.sendall(sent)
        yield connection


def is_hung_up(connection: socket.socket) -> bool:
    """Waits for the server to end a connection."""
    try:
        while connection.recv(1 << 16):
            continue
    except ConnectionError:
        pass
    return True
