"""OSC packets on a byte stream: SLIP (OSC 1.1) or an int32 length before each (OSC 1.0, liblo). Pure, bounded.

A splitter is fed what came off the wire in pieces of any size and gives back whole packets. It holds at most one
unfinished packet, and works in time linear in the bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from pythonosc import slip

MAX_PACKET_BYTES = 4 << 20
"""Largest packet on a stream: invented; 11 s of stereo float32 at 48 kHz in one blob. Below 2^24, so that a length
prefix always begins with a zero byte."""


class NotFramed(ValueError):
    """A stream that follows neither framing, or a packet beyond the limit: what comes next cannot be told."""


class Splitter(Protocol):
    """Takes a stream apart."""

    n_held: int
    """Bytes of the unfinished packet, framing included."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The packets that `data` completes; to be used up before the next call.

        Raises:
            NotFramed: after the packets before the fault; the splitter is of no use any more.
        """
        ...


class LengthSplitter:
    """Packets that follow their length, a big-endian int32."""

    def __init__(self, max_bytes: int = MAX_PACKET_BYTES) -> None:
        self._max_bytes = max_bytes
        self._held = bytearray()

    @property
    def n_held(self) -> int:
        return len(self._held)

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._held += data
        at = 0
        try:
            while len(self._held) - at >= 4:
                (size,) = struct.unpack_from(">i", self._held, at)
                if not 0 <= size <= self._max_bytes:
                    raise NotFramed(f"a packet of {size} bytes, at most {self._max_bytes} are taken")
                if len(self._held) - at - 4 < size:
                    return
                at += 4 + size
                if size:
                    yield bytes(self._held[at - size : at])
        finally:
            del self._held[:at]


class SlipSplitter:
    """Packets between END bytes (RFC 1055); empty ones, which keep a line alive, are passed over."""

    def __init__(self, max_bytes: int = MAX_PACKET_BYTES) -> None:
        self._max_bytes = max_bytes
        self._held = bytearray()

    @property
    def n_held(self) -> int:
        return len(self._held)

    def feed(self, data: bytes) -> Iterator[bytes]:
        *ended, rest = data.split(slip.END)
        for part in ended:
            packet, self._held = bytes(self._held + part), bytearray()
            if packet:
                yield self._decoded(packet)
        self._held += rest
        self._check(len(self._held), 2 * self._max_bytes)  # each byte may be escaped

    def _decoded(self, packet: bytes) -> bytes:
        try:
            decoded = slip.decode(packet)
        except slip.ProtocolError:
            raise NotFramed("an escape byte before a byte that needs none") from None
        self._check(len(decoded), self._max_bytes)
        return decoded

    def _check(self, n_bytes: int, most: int) -> None:
        if n_bytes > most:
            raise NotFramed(f"a packet of more than {self._max_bytes} bytes")


@dataclass(frozen=True)
class Framing:
    """How packets stand on a stream.

    Attributes:
        wrap: a packet → its bytes on the stream.
        splitter: makes the reader of one stream.
    """

    name: str
    wrap: Callable[[bytes], bytes]
    splitter: Callable[[], Splitter]


def _prefixed(packet: bytes) -> bytes:
    return struct.pack(">i", len(packet)) + packet


SLIP = Framing("slip", slip.encode, SlipSplitter)
LENGTH = Framing("length", _prefixed, LengthSplitter)


def framing_of(first_byte: int) -> Framing:
    """The framing of a stream by its first byte: END begins SLIP, a zero begins a length.

    Raises:
        NotFramed: any other byte, such as the letter that begins an HTTP request.
    """
    if first_byte == slip.END[0]:
        return SLIP
    if first_byte == 0:
        return LENGTH
    raise NotFramed(f"first byte {first_byte:#04x}")
