"""OSC packets to messages and back: pure, strict, bounded.

python-osc (1.10.2) converts the numbers here and frames SLIP in `framing`; clients of ours use it whole
(docs/examples). Packet structure, strings and blobs are read by this module, because python-osc there raises
UnicodeDecodeError on the file names that a file system really holds, pads floats that were cut short, skips
types that it does not know, accepts blobs of negative size and loops for ever on a bundle element of size -4.
Each number reaches it as a slice of the right length, so its work on one argument never depends on the packet's.

Strings are the file system's bytes: `os.fsdecode` on the way in, `os.fsencode` on the way out, so that any file
name makes the round trip.

Source: the Open Sound Control 1.0 specification, opensoundcontrol.stanford.edu.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real

from pythonosc.parsing import osc_types

MAX_ARGUMENTS = 256
"""Arguments in a message: invented; the longest request of ours has fewer than 30."""

MAX_DEPTH = 8
"""Bundles within bundles: invented; clients send one, or one inside another."""

MAX_MESSAGES = 1024
"""Messages in a packet, all bundles together: invented."""


class NotOsc(ValueError):
    """Bytes that are no OSC packet, or one beyond the limits of this module."""


@dataclass(frozen=True)
class Other:
    """An argument of an OSC type that nothing here takes (MIDI, colour, time tag...), kept so that its message can
    be answered."""

    tag: str


Argument = int | float | str | bytes | bool | None | Other


@dataclass(frozen=True)
class Message:
    """One OSC message.

    Attributes:
        address: begins with a slash.
        arguments: int, float, str and bytes for `i f s b` (and `h d S`), True, False and None for `T F N`.
    """

    address: str
    arguments: tuple[Argument, ...] = ()


def encode(message: Message) -> bytes:
    """A message as an OSC packet with the types `i f s b` alone, which every client reads.

    NumPy's scalars count as the numbers that they are.

    Raises:
        ValueError: an integer beyond 32 bits, a float beyond float32, a null byte in a string.
        TypeError: an argument that is no number, str or bytes.
    """
    tags, data = ",", b""
    for argument in message.arguments:
        tag, piece = _encode_argument(argument)
        tags += tag
        data += piece
    return _encode_string(message.address) + _encode_string(tags) + data


def unpack(packet: bytes) -> list[Message]:
    """Every message of a packet, in order, those of its bundles included. Time tags are ignored: all is due now.

    Raises:
        NotOsc: any part of it is malformed or beyond the limits; then no message of it counts.
    """
    messages: list[Message] = []
    pending = [(packet, 0)]  # packets still to be read, last first
    while pending:
        part, depth = pending.pop()
        if not part.startswith(b"#bundle\0"):
            messages.append(decode(part))
        elif depth == MAX_DEPTH:
            raise NotOsc(f"bundles more than {MAX_DEPTH} deep")
        else:
            pending += [(element, depth + 1) for element in reversed(_elements(part))]
        if len(messages) + len(pending) > MAX_MESSAGES:
            raise NotOsc(f"more than {MAX_MESSAGES} messages in a packet")
    return messages


def decode(data: bytes) -> Message:
    """One message from exactly its bytes.

    Raises:
        NotOsc: not aligned to 4 bytes, cut short, with bytes left over, padded with other than zeros, of a type
            unknown to OSC 1.0, or with more than `MAX_ARGUMENTS` arguments.
    """
    if not data.startswith(b"/"):
        raise NotOsc("no address")
    if len(data) % 4:
        raise NotOsc(f"{len(data)} bytes, not a multiple of 4")
    address, at = _string(data, 0)
    tags, at = _string(data, at) if at < len(data) else (",", at)  # OSC before 1.0 left the tags out
    if not tags.startswith(","):
        raise NotOsc("no type tags")
    if len(tags) - 1 > MAX_ARGUMENTS:
        raise NotOsc(f"{len(tags) - 1} arguments")
    arguments: list[Argument] = []
    for tag in tags[1:]:
        argument, at = _argument(tag, data, at)
        arguments.append(argument)
    if at != len(data):
        raise NotOsc(f"{len(data) - at} bytes after the last argument")
    return Message(address, tuple(arguments))


def trim(text: str, n_bytes: int) -> str:
    """The longest beginning of `text` that takes at most `n_bytes` bytes on the wire."""
    text = text[:n_bytes]  # a character takes at least a byte
    while len(os.fsencode(text)) > n_bytes:
        text = text[:-1]
    return text


def _elements(bundle: bytes) -> list[bytes]:
    if len(bundle) < 16:
        raise NotOsc("a bundle without a time tag")
    elements, at = [], 16
    while at < len(bundle):
        size, at = _number(osc_types.get_int, 4, bundle, at)
        if size <= 0 or size % 4 or size > len(bundle) - at:
            raise NotOsc(f"a bundle element of {size} bytes where {len(bundle) - at} are left")
        elements.append(bundle[at : at + size])
        at += size
        if len(elements) > MAX_MESSAGES:
            raise NotOsc(f"more than {MAX_MESSAGES} elements in a bundle")
    return elements


_NUMBERS: dict[str, tuple[Callable[[bytes, int], tuple[int | float, int]], int]] = {
    "i": (osc_types.get_int, 4),
    "f": (osc_types.get_float, 4),
    "h": (osc_types.get_int64, 8),
    "d": (osc_types.get_double, 8),
}
_CONSTANTS = {"T": True, "F": False, "N": None}
_OTHERS = {"c": 4, "r": 4, "m": 4, "t": 8, "I": 0, "[": 0, "]": 0}
"""Bytes that the types which we do not take occupy."""


def _argument(tag: str, data: bytes, at: int) -> tuple[Argument, int]:
    if tag in _NUMBERS:
        return _number(*_NUMBERS[tag], data, at)
    if tag in ("s", "S"):
        return _string(data, at)
    if tag == "b":
        return _blob(data, at)
    if tag in _CONSTANTS:
        return _CONSTANTS[tag], at
    if tag in _OTHERS:
        _need(data, at, _OTHERS[tag])
        return Other(tag), at + _OTHERS[tag]
    raise NotOsc(f"an argument of type {tag!r}")


def _number(
    get: Callable[[bytes, int], tuple[int | float, int]], n_bytes: int, data: bytes, at: int
) -> tuple[int | float, int]:
    _need(data, at, n_bytes)
    return get(data[at : at + n_bytes], 0)[0], at + n_bytes


def _string(data: bytes, at: int) -> tuple[str, int]:
    end = data.find(b"\0", at)
    if end < 0:
        raise NotOsc("a string without an end")
    try:
        return os.fsdecode(data[at:end]), _padded(data, end, -(-(end + 1) // 4) * 4)
    except UnicodeDecodeError:  # Windows: the file system's bytes are UTF-8 there
        raise NotOsc("a string that is not UTF-8") from None


def _blob(data: bytes, at: int) -> tuple[bytes, int]:
    size, at = _number(osc_types.get_int, 4, data, at)
    if size < 0:
        raise NotOsc(f"a blob of {size} bytes")
    _need(data, at, size)
    return data[at : at + size], _padded(data, at + size, at + -(-size // 4) * 4)


def _padded(data: bytes, at: int, end: int) -> int:
    _need(data, at, end - at)
    if any(data[at:end]):
        raise NotOsc("padding that is not zero")
    return end


def _need(data: bytes, at: int, n_bytes: int) -> None:
    if len(data) - at < n_bytes:
        raise NotOsc(f"cut short: {n_bytes} bytes promised, {len(data) - at} left")


def _encode_argument(argument: Argument) -> tuple[str, bytes]:
    if isinstance(argument, str):
        return "s", _encode_string(argument)
    if isinstance(argument, bytes):
        return "b", osc_types.write_int(len(argument)) + argument + bytes(-len(argument) % 4)
    if isinstance(argument, bool):
        raise TypeError("True and False are no arguments of a reply: Pd cannot read them")
    try:
        if isinstance(argument, Integral):
            return "i", osc_types.write_int(int(argument))
        if isinstance(argument, Real):
            return "f", osc_types.write_float(float(argument))
    except (osc_types.BuildError, OverflowError) as error:
        raise ValueError(f"{argument} does not fit 32 bits: {error}") from None
    raise TypeError(f"{type(argument).__name__} is no OSC type")


def _encode_string(text: str) -> bytes:
    data = os.fsencode(text)
    if b"\0" in data:
        raise ValueError(f"a null byte in {text!r}")
    return data + bytes(4 - len(data) % 4)
