"""A blocking OSC client over TCP, for the command line and the tests."""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Callable, Iterator

from encoders.errors import Busy, SamplefitError
from plugin_bridge.addresses import DONE, FAIL, PROGRESS, row_of
from plugin_bridge.framing import LENGTH, Framing
from plugin_bridge.osc import Argument, Message, encode, unpack


class Failed(SamplefitError):
    """The daemon's `/samplefit/fail`, with its code."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class Client:
    """One TCP connection to a daemon.

    Args:
        timeout_s: longest silence that `ask` bears, save where a request reports progress: that may take its time.
        token: what `ask` gives a daemon that wants one.

    Raises:
        OSError: nobody listens there.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        timeout_s: float = 30.0,
        framing: Framing = LENGTH,
        token: str | None = None,
    ) -> None:
        self._framing, self._splitter = framing, framing.splitter()
        self._credentials = ("token", token) if token else ()
        self._received: Iterator[Message] = iter(())
        self._ids = (f"{os.getpid()}-{n}" for n in itertools.count())
        self._timeout_s = timeout_s
        self._socket = socket.create_connection((host, port), timeout=timeout_s)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self._socket.close()

    def send(self, address: str, *arguments: Argument) -> None:
        """Sends a message, the id being its first argument, and waits for nothing."""
        self._socket.sendall(self._framing.wrap(encode(Message(address, arguments))))

    def receive(self) -> Message:
        """The next message.

        Raises:
            TimeoutError: none came in time.
            ConnectionError: the daemon closed the connection.
        """
        while (message := next(self._received, None)) is None:
            if not (data := self._socket.recv(1 << 16)):
                raise ConnectionResetError("the daemon closed the connection")
            packets = list(self._splitter.feed(data))
            self._received = iter([message for packet in packets for message in unpack(packet)])
        return message

    def ask(
        self,
        address: str,
        *arguments: Argument,
        id: int | str | None = None,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> list[Message]:
        """Sends a request and collects its replies, the last one included.

        Args:
            arguments: those after the id.
            id: the request's; None makes one.
            progress: told (done, total) as the daemon reports it.

        Raises:
            Failed: the daemon said so.
            Busy: it has gone, or was silent for too long; the connection is closed then.
        """
        request_id = next(self._ids) if id is None else id
        row = row_of(address)
        try:
            self._socket.settimeout(None if PROGRESS in row.replies else self._timeout_s)
            self.send(address, request_id, *arguments, *self._credentials)
            return self._replies(address, request_id, row.ends, progress)
        except OSError as error:
            self._socket.close()
            late = isinstance(error, TimeoutError)
            raise Busy(
                "the daemon",
                found=f"no answer for {self._timeout_s:g} s" if late else "it ended before it answered",
                expected="an answer",
                remedy="end it and start it again" if late else "start it again",
            ) from None

    def _replies(
        self, address: str, request_id: int | str, ends: tuple[str, ...], progress: Callable[[int, int], None]
    ) -> list[Message]:
        replies: list[Message] = []
        while ends:
            reply = self.receive()
            if reply.arguments[:1] != (request_id,):
                continue  # of an earlier request that was given up
            if reply.address in (DONE, FAIL, PROGRESS) and reply.arguments[1] != address:
                continue  # of one sent without waiting, under the same id
            if reply.address == FAIL:
                raise Failed(*reply.arguments[2:4])
            if reply.address == PROGRESS:
                progress(*reply.arguments[2:4])
            replies.append(reply)
            if reply.address in ends:
                break
        return replies


def ask(host: str, port: int, address: str, *arguments: Argument, timeout_s: float = 30.0) -> list[Message]:
    """One request over a connection of its own; see `Client.ask`."""
    with Client(host, port, timeout_s=timeout_s) as client:
        return client.ask(address, *arguments)
