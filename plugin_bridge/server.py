"""The OSC server: UDP and TCP on one port number, many clients, bounded in memory, threads and patience.

An asyncio loop on a thread of its own owns the sockets; requests run on the threads of `lanes`, in order of arrival
under one id. Whatever a client sends or leaves undone costs it its own request or connection, nothing else.
"""

from __future__ import annotations

import asyncio
import errno
import hmac
import ipaddress
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from encoders.errors import BadRequest, Busy, Refused, SamplefitError
from plugin_bridge import replies
from plugin_bridge.addresses import Call, common_option, id_of, is_for_us, is_port, parse
from plugin_bridge.framing import Framing, NotFramed, Splitter, framing_of
from plugin_bridge.lanes import Lanes
from plugin_bridge.osc import Message, NotOsc, encode, unpack

log = logging.getLogger(__name__)

DEFAULT_PORT = 7040

Reply = Callable[[Message], None]
"""Sends a reply to who asked; from any thread, at any time, even when the client has gone."""


class Handler(Protocol):
    """What answers the calls, on several threads at once."""

    def __call__(self, call: Call, reply: Reply) -> int | None:
        """Answers one call.

        Returns:
            What `/samplefit/done` reports as n, with the time since arrival; None where no done is due, or not
            yet: `reply` may be kept and used later (a client that has closed its side is gone by then).

        Raises:
            SamplefitError: becomes `/samplefit/fail`; any other exception too, as `internal`, and is logged.
        """
        ...


@dataclass(frozen=True)
class Limits:
    """What one server spends on its clients. Every figure is invented; tests use smaller ones.

    Attributes:
        n_threads: requests that run at once.
        max_jobs, max_job_bytes: requests that wait or run, and their size; beyond, the answer is `busy`.
        max_connections: TCP connections; one more, and the one that was silent longest gives way.
        max_held_bytes: unfinished TCP packets of all connections together.
        max_unsent_bytes: replies that a client has not read yet; beyond, it is cut off.
        patience_s: from the beginning of a TCP packet to its end.
        receive_bytes: the UDP receive buffer asked for; the system may give less.
    """

    n_threads: int = 8
    max_jobs: int = 1024
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
    """

    n_requests: int = 0
    n_noise: int = 0
    n_tokenless: int = 0
    n_cut_off: int = 0


class OscServer:
    """Listens from `__enter__` to `__exit__`, which lets the running requests end.

    Args:
        handler: answers the calls.
        host: an address of this machine; beyond loopback only with a `token`.
        port: 0 takes a free one.
        token: what each request must then carry as its option `token`. Without it the answer is `refused`, and
            only where it is no longer than the request, so that nobody can be flooded by way of us.

    Attributes:
        port: the port in use, once entered.
        counters: what came in so far.

    Raises:
        Refused: a host beyond loopback and no token.
    """

    def __init__(
        self,
        handler: Handler,
        host: str = "127.0.0.1",
        port: int = DEFAULT_PORT,
        *,
        token: str | None = None,
        limits: Limits | None = None,
    ) -> None:
        if not token and not _is_loopback(host):
            raise Refused(
                f"listening on {host}",
                found="an address that other machines may reach, and no token",
                expected="loopback",
                remedy="use 127.0.0.1, or set a token",
            )
        self.host, self.port = host, port
        self.counters = Counters()
        self._handler = handler
        self._token = os.fsencode(token) if token else None
        self._limits = limits or Limits()
        self._connections: set[_Connection] = set()
        self._paused: set[_Connection] = set()

    def __enter__(self) -> OscServer:
        """Raises Busy where the port is taken, BadRequest where the host or port is none of this machine's."""
        tcp, udp = _bind_both(self.host, self.port)
        _ask_for_buffer(udp, self._limits.receive_bytes)
        self.port = tcp.getsockname()[1]
        limits = self._limits
        self._loop = asyncio.new_event_loop()
        self._lanes = Lanes(limits.n_threads, limits.max_jobs, limits.max_job_bytes, after=self._room_again)
        self._thread = threading.Thread(target=self._loop.run_forever, name="osc-loop", daemon=True)
        self._thread.start()
        self._wait_for(self._open(tcp, udp))
        return self

    def __exit__(self, *exception: object) -> None:
        self._wait_for(self._stop_listening())
        self._lanes.close()
        self._wait_for(self._hang_up())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _wait_for(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _open(self, tcp: socket.socket, udp: socket.socket) -> None:
        self._tcp = await self._loop.create_server(
            lambda: _Connection(self, self._loop, self._limits), sock=tcp
        )
        self._udp, _ = await self._loop.create_datagram_endpoint(
            lambda: _Datagrams(self, self._limits), sock=udp
        )

    async def _stop_listening(self) -> None:
        self._tcp.close()
        for connection in self._connections:
            connection.transport.pause_reading()

    async def _hang_up(self) -> None:
        self._udp.close()
        for connection in tuple(self._connections):
            connection.transport.close()
        await asyncio.sleep(0)  # what the clients take at once is sent
        for connection in tuple(self._connections):
            connection.transport.abort()
        await asyncio.sleep(0)

    # On the loop's thread: what came off the wire.

    def received(self, packet: bytes, sender: _Datagrams | _Connection, came_from: Any = None) -> None:
        """Answers, refuses or counts whatever stands in one packet."""
        try:
            messages = unpack(packet)
        except NotOsc:
            self.counters.n_noise += 1
            return
        for message in messages:
            if is_for_us(message):
                self._accept(message, len(packet), sender, sender.answering(message, came_from))
            else:
                self.counters.n_noise += 1

    def _accept(
        self,
        message: Message,
        n_bytes: int,
        sender: _Datagrams | _Connection,
        send: Callable[[bytes], None],
    ) -> None:
        began = time.perf_counter()
        if self._token and not self._has_token(message):
            self.counters.n_tokenless += 1
            refusal = _refusal(message, Refused("token", found="none, or another"))
            if len(refusal) <= n_bytes:
                send(refusal)
            return
        try:
            call = parse(message)
            job = partial(self._answer, call, partial(self._send_later, send), began, sender)
            if not self._lanes.submit(call.id, n_bytes, job):
                raise Busy(call.address, found="too many requests waiting", remedy="try again in a moment")
        except SamplefitError as error:
            send(_refusal(message, error))
        else:
            self.counters.n_requests += 1
            sender.n_running += 1

    def _has_token(self, message: Message) -> bool:
        given = common_option(message, "token")
        return isinstance(given, str) and hmac.compare_digest(os.fsencode(given), self._token)

    def admit(self, connection: _Connection) -> None:
        """Takes a connection up, at the cost of the one that was silent longest where there are too many."""
        self._connections.add(connection)
        if len(self._connections) > self._limits.max_connections:
            min(self._connections, key=lambda other: (not other.has_ended, other.heard_s)).cut_off()

    def forget(self, connection: _Connection) -> None:
        """Drops a connection that is gone."""
        self._connections.discard(connection)
        self._paused.discard(connection)

    def relieve(self, connection: _Connection) -> None:
        """After a connection was read: cuts it off, or reads no more from it for now, where too much piles up."""
        if sum(other.n_held for other in self._connections) > self._limits.max_held_bytes:
            connection.cut_off()
        elif self._lanes.is_crowded:
            self._paused.add(connection)
            connection.pause()

    def _resume(self) -> None:
        while self._paused and not self._lanes.is_crowded:
            self._paused.pop().resume()

    # On a thread of the lanes: the answer.

    def _answer(self, call: Call, reply: Reply, began: float, sender: _Datagrams | _Connection) -> None:
        try:
            n = self._handler(call, reply)
            if n is not None:
                reply(replies.done(call, n, 1000 * (time.perf_counter() - began)))
        except SamplefitError as error:
            reply(replies.failure(call.id, call.address, error))
        except Exception as error:
            log.exception("%s broke", call.address)
            reply(replies.fail(call.id, call.address, "internal", f"{type(error).__name__}: see the log"))
        finally:
            self._on_loop(sender.ran)

    def _send_later(self, send: Callable[[bytes], None], message: Message) -> None:
        self._on_loop(partial(send, encode(message)))

    def _room_again(self) -> None:
        if self._paused:
            self._on_loop(self._resume)

    def _on_loop(self, work: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(work)
        except RuntimeError:  # the server has closed: nobody is left to hear it
            return


class _Datagrams(asyncio.DatagramProtocol):
    """The UDP side."""

    def __init__(self, server: OscServer, limits: Limits) -> None:
        self._server, self._limits = server, limits
        self.n_running = 0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        self._server.received(data, self, address)

    def answering(self, message: Message, address: Any) -> Callable[[bytes], None]:
        """Sends to the sender, or to the port of the sender's host that the message names."""
        port = common_option(message, "reply_port")
        return partial(self._send, (address[0], port, *address[2:]) if is_port(port) else address)

    def ran(self) -> None:
        """One request less is running."""
        self.n_running -= 1

    def _send(self, address: Any, packet: bytes) -> None:
        unsent = self._transport.get_write_buffer_size()
        if not self._transport.is_closing() and unsent < self._limits.max_unsent_bytes:
            self._transport.sendto(packet, address)


class _Connection(asyncio.Protocol):
    """One TCP client."""

    def __init__(self, server: OscServer, loop: asyncio.AbstractEventLoop, limits: Limits) -> None:
        self._server, self._loop, self._limits = server, loop, limits
        self._framing: Framing | None = None
        self._splitter: Splitter | None = None
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
        try:
            if self._splitter is None:
                self._framing = framing_of(data[0])
                self._splitter = self._framing.splitter()
            for packet in self._splitter.feed(data):
                self._set_deadline(None)  # the next packet has its own time
                self._server.received(packet, self)
        except NotFramed:
            self._server.counters.n_noise += 1
            self.cut_off()
            return
        if not self.n_held:
            self._set_deadline(None)
        elif self._deadline is None:
            self._set_deadline(self._limits.patience_s)
        self._server.relieve(self)

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

    def answering(self, message: Message, address: Any) -> Callable[[bytes], None]:
        """Sends down this connection, in its own framing."""
        return self._send

    def pause(self) -> None:
        """Reads no more for now; the wait is ours, so no deadline runs."""
        self._set_deadline(None)
        self.transport.pause_reading()

    def resume(self) -> None:
        """Reads on."""
        self._set_deadline(self._limits.patience_s if self.n_held else None)
        self.transport.resume_reading()

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


def _refusal(message: Message, error: SamplefitError) -> bytes:
    return encode(replies.failure(id_of(message), message.address, error))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _bind_both(host: str, port: int) -> tuple[socket.socket, socket.socket]:
    """A TCP and a UDP socket bound to the same number.

    Raises:
        Busy: it is taken.
        BadRequest: the host or the number is none of this machine's.
    """
    for _ in range(20 if port == 0 else 1):  # a free TCP number may be taken on UDP
        try:
            if not 0 <= port <= 65_535:
                raise OSError(f"port {port}")
            return _bind_pair(host, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise BadRequest(
                    f"listening on {host}:{port}",
                    found=error.strerror or str(error),
                    expected="an address of this machine and a port from 0 to 65535",
                ) from None
    raise Busy(
        f"port {port} of {host}",
        found="another program, or another samplefit, listening there",
        remedy="end that one, or choose another with --osc HOST:PORT",
    )


def _bind_pair(host: str, port: int) -> tuple[socket.socket, socket.socket]:
    family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with ExitStack() as undo:
        tcp = undo.enter_context(socket.socket(family, socket.SOCK_STREAM))
        if os.name == "posix":  # else a restart would wait for the last connection's farewell
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tcp.bind(address)
        tcp.listen(128)
        udp = undo.enter_context(socket.socket(family, socket.SOCK_DGRAM))
        udp.bind(tcp.getsockname())
        tcp.setblocking(False)
        udp.setblocking(False)
        undo.pop_all()
    return tcp, udp


def _ask_for_buffer(udp: socket.socket, n_bytes: int) -> None:
    try:
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, n_bytes)
    except OSError:  # some systems refuse where others give less; either way we take what there is
        log.debug("no larger receive buffer than the system's own")
