"""The OSC server: UDP and TCP on one port number, many clients, bounded in memory, threads and patience.

An asyncio loop on a thread of its own owns the sockets; requests run on the threads of `lanes`, in order of arrival
under one id. Whatever a client sends or leaves undone costs it its own request or connection, nothing else.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from encoders.errors import Busy, Refused, SamplefitError
from plugin_bridge import replies
from plugin_bridge.addresses import Call, common_option, id_of, is_for_us, parse
from plugin_bridge.clients import Connection, Counters, Datagrams, Limits, Send
from plugin_bridge.lanes import Lanes
from plugin_bridge.osc import Message, NotOsc, encode, unpack
from plugin_bridge.ports import ask_for_buffer, bind_both, is_loopback

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


class OscServer:
    """Listens from `__enter__` to `__exit__`, which lets the running requests end.

    Args:
        handler: answers the calls.
        host: an address of this machine; beyond loopback only with a `token`.
        port: 0 takes a free one.
        token: what each request must then carry as its option `token`. Without it the answer is `refused`, and
            over UDP only where it is no longer than the request, so that nobody can be flooded by way of us.

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
        if not token and not is_loopback(host):
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
        self._known_bugs: set[tuple[str, type[Exception]]] = set()
        self._connections: set[Connection] = set()
        self._paused: set[Connection] = set()

    def __enter__(self) -> OscServer:
        """Raises Busy where the port is taken, BadRequest where the host or port is none of this machine's."""
        tcp, udp = bind_both(self.host, self.port)
        ask_for_buffer(udp, self._limits.receive_bytes)
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
            lambda: Connection(self, self._loop, self._limits), sock=tcp
        )
        self._udp, _ = await self._loop.create_datagram_endpoint(
            lambda: Datagrams(self, self._limits), sock=udp
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

    def received(self, packet: bytes, sender: Datagrams | Connection, came_from: Any = None) -> None:
        """Answers, refuses or counts whatever stands in one packet."""
        try:
            messages = unpack(packet)
        except NotOsc:
            self.counters.n_noise += 1
            return
        for message in messages:
            if is_for_us(message):
                part = len(packet) // len(messages)  # of the packet's bytes, where it is a bundle
                self._accept(message, part, sender, came_from)
            else:
                self.counters.n_noise += 1

    def _accept(
        self,
        message: Message,
        n_bytes: int,
        sender: Datagrams | Connection,
        came_from: Any,
    ) -> None:
        began = time.perf_counter()
        send = sender.answering(message, came_from)
        if self._token and not self._has_token(message):
            self.counters.n_tokenless += 1
            refusal = _refusal(message, Refused("token", found="none, or another"))
            if len(refusal) <= n_bytes or isinstance(sender, Connection):  # whose address is not forged
                send(refusal)
            return
        try:
            call = parse(message)
            job = partial(self._answer, call, partial(self._send_later, send), began, sender)
            if not self._lanes.submit(sender.share(came_from), call.id, n_bytes, job):
                raise Busy(
                    call.address, found="too many requests waiting", remedy="wait for their answers first"
                )
        except SamplefitError as error:
            send(_refusal(message, error))
        else:
            self.counters.n_requests += 1
            sender.n_running += 1

    def _has_token(self, message: Message) -> bool:
        given = common_option(message, "token")
        return isinstance(given, str) and hmac.compare_digest(os.fsencode(given), self._token)

    def admit(self, connection: Connection) -> None:
        """Takes a connection up, at the cost of the one that was silent longest where there are too many."""
        self._connections.add(connection)
        if len(self._connections) > self._limits.max_connections:
            min(
                self._connections,
                key=lambda other: (not other.has_ended, other.n_running > 0, other.heard_s),
            ).cut_off()

    def forget(self, connection: Connection) -> None:
        """Drops a connection that is gone."""
        self._connections.discard(connection)
        self._paused.discard(connection)

    def holds_back(self, connection: Connection) -> bool:
        """After a packet: whether its connection is to wait until it is told to go on."""
        self._paused.add(connection)  # before the look: the last job may leave meanwhile, and nobody tell
        is_crowded = self._lanes.is_crowded(connection.share())
        if not is_crowded:
            self._paused.discard(connection)
        return is_crowded

    def check_held(self, connection: Connection) -> None:
        """After a read: cuts the connection off where too many unfinished packets pile up."""
        if sum(other.n_held for other in self._connections) > self._limits.max_held_bytes:
            connection.cut_off()

    def _resume(self) -> None:
        for connection in tuple(self._paused):
            if not self._lanes.is_crowded(connection.share()):
                self._paused.discard(connection)
                connection.go_on()

    # On a thread of the lanes: the answer.

    def _answer(self, call: Call, reply: Reply, began: float, sender: Datagrams | Connection) -> None:
        try:
            n = self._handler(call, reply)
            if n is not None:
                reply(replies.done(call, n, 1000 * (time.perf_counter() - began)))
        except SamplefitError as error:
            reply(replies.failure(call.id, call.address, error))
        except Exception as error:
            self._note_bug(call.address, error)
            reply(replies.fail(call.id, call.address, "internal", f"{type(error).__name__}: see the log"))
        finally:
            self._on_loop(sender.ran)

    def _note_bug(self, address: str, error: Exception) -> None:
        """Logs each kind of bug once: a client that meets one in a loop must not fill the disk."""
        self.counters.n_bugs += 1
        kind = (address, type(error))
        if kind not in self._known_bugs:
            self._known_bugs.add(kind)
            log.error("%s broke", address, exc_info=error)

    def _send_later(self, send: Send, message: Message) -> None:
        self._on_loop(partial(send, encode(message)))

    def _room_again(self) -> None:
        if self._paused:
            self._on_loop(self._resume)

    def _on_loop(self, work: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(work)
        except RuntimeError:  # the server has closed: nobody is left to hear it
            return


def _refusal(message: Message, error: SamplefitError) -> bytes:
    return encode(replies.failure(id_of(message), message.address, error))
