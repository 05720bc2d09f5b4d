"""The two ways in which clients reach the server, each bounded: datagrams, and connections that stay."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from plugin_bridge.addresses import common_option, is_port
from plugin_bridge.framing import Framing, NotFramed, Splitter, framing_of
from plugin_bridge.lanes import Sender
from plugin_bridge.osc import Message

Send = Callable[[bytes], None]
"""Sends one packet to one client; on the loop's thread."""


@dataclass(frozen=True)
class Limits:
    """What one server spends on its clients. Every figure is invented; tests use smaller ones.

    Attributes:
        n_threads: requests that run at once.
        max_jobs, max_job_bytes: requests that wait or run, and their size, shared as `Lanes` says; beyond, the answer
            is `busy`.
        max_connections: TCP connections; one more, and the one that was silent longest gives way.
        max_held_bytes: unfinished TCP packets of all connections together.
        max_unsent_bytes: replies that a client has not read yet; beyond, it is cut off.
        patience_s: from the beginning of a TCP packet to its end.
        receive_bytes: the UDP receive buffer asked for; the system may give less.
    """

    n_threads: int = 8
    max_jobs: int = 4096
    max_job_bytes: int = 64 << 20
    max_connections: int = 64
    max_held_bytes: int = 32 << 20
    max_unsent_bytes: int = 8 << 20
    patience_s: float = 30.0
    receive_bytes: int = 8 << 20


@dataclass
class Counters:
    """What came in since the start.

    Attributes:
        n_requests: understood and taken on.
        n_noise: packets that are no OSC, messages that are not for us, streams that are not framed.
        n_tokenless: requests without the token.
        n_cut_off: connections ended by us: not framed, too slow, too many, or replies left unread.
        n_bugs: requests that ended as `internal`.
    """

    n_requests: int = 0
    n_noise: int = 0
    n_tokenless: int = 0
    n_cut_off: int = 0
    n_bugs: int = 0


class Server(Protocol):
    """What the server does for its clients, all on the loop's thread."""

    counters: Counters

    def received(self, packet: bytes, sender: Datagrams | Connection, came_from: Any = None) -> None:
        """Answers, refuses or counts whatever stands in one packet."""
        ...

    def admit(self, connection: Connection) -> None:
        """Takes a connection up, at the cost of the one that was silent longest where there are too many."""
        ...

    def forget(self, connection: Connection) -> None:
        """Drops a connection that is gone."""
        ...

    def holds_back(self, connection: Connection) -> bool:
        """After a packet: whether its connection is to wait until it is told to go on."""
        ...

    def check_held(self, connection: Connection) -> None:
        """After a read: cuts the connection off where too many unfinished packets pile up."""
        ...


class Datagrams(asyncio.DatagramProtocol):
    """The UDP side."""

    def __init__(self, server: Server, limits: Limits) -> None:
        self._server, self._limits = server, limits
        self.n_running = 0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        self._server.received(data, self, address)

    def answering(self, message: Message, address: Any) -> Send:
        """Sends to the sender, or to the port of the sender's host that the message names."""
        port = common_option(message, "reply_port")
        return partial(self._send, (address[0], port, *address[2:]) if is_port(port) else address)

    def share(self, address: Any) -> Sender:
        """Whom a request is counted against: the port that it came from."""
        return ("udp", address)

    def ran(self) -> None:
        """One request less is running."""
        self.n_running -= 1

    def _send(self, address: Any, packet: bytes) -> None:
        unsent = self._transport.get_write_buffer_size()
        if not self._transport.is_closing() and unsent < self._limits.max_unsent_bytes:
            self._transport.sendto(packet, address)


class Connection(asyncio.Protocol):
    """One TCP client."""

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop, limits: Limits) -> None:
        self._server, self._loop, self._limits = server, loop, limits
        self._framing: Framing | None = None
        self._splitter: Splitter | None = None
        self._packets: Iterator[bytes] = iter(())
        self._deadline: asyncio.TimerHandle | None = None
        self.heard_s = loop.time()
        self.n_running = 0
        self.has_ended = False

    @property
    def n_held(self) -> int:
        """Bytes of its unfinished packet."""
        return self._splitter.n_held if self._splitter else 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.set_write_buffer_limits(high=self._limits.max_unsent_bytes)
        self._server.admit(self)

    def data_received(self, data: bytes) -> None:
        self.heard_s = self._loop.time()
        self._packets = self._split(data)
        self.go_on()

    def _split(self, data: bytes) -> Iterator[bytes]:
        if self._splitter is None:
            self._framing = framing_of(data[0])
            self._splitter = self._framing.splitter()
        yield from self._splitter.feed(data)

    def go_on(self) -> None:
        """Hands over the packets that are here, then reads on; stops where the server holds it back."""
        try:
            for packet in self._packets:
                self._set_deadline(None)  # the next packet has its own time
                self._server.received(packet, self)
                if self._server.holds_back(self):
                    self.transport.pause_reading()
                    return
        except NotFramed:
            self._server.counters.n_noise += 1
            self.cut_off()
            return
        self.transport.resume_reading()
        if not self.n_held:
            self._set_deadline(None)
        elif self._deadline is None:
            self._set_deadline(self._limits.patience_s)
        self._server.check_held(self)

    def eof_received(self) -> bool:
        """The client sends no more; whether it still listens cannot be told, so running requests are awaited."""
        self.has_ended = True
        self._set_deadline(None)
        return self.n_running > 0

    def ran(self) -> None:
        """One request less is running."""
        self.n_running -= 1
        if self.has_ended and not self.n_running:
            self.transport.close()

    def pause_writing(self) -> None:
        self.cut_off()

    def connection_lost(self, error: Exception | None) -> None:
        self._set_deadline(None)
        self._server.forget(self)

    def answering(self, message: Message, address: Any) -> Send:
        """Sends down this connection, in its own framing."""
        return self._send

    def share(self, address: Any = None) -> Sender:
        """Whom a request is counted against: this connection."""
        return ("tcp", self)

    def cut_off(self) -> None:
        """Ends the connection at once."""
        if not self.transport.is_closing():
            self._server.counters.n_cut_off += 1
            self.transport.abort()

    def _send(self, packet: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(self._framing.wrap(packet))

    def _set_deadline(self, seconds: float | None) -> None:
        if self._deadline:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self._loop.call_later(seconds, self.cut_off)
