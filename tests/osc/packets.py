"""Hostile packets and streams without end, the same for the same seed: noise, damaged requests, nearly right ones."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import count
from random import Random

from plugin_bridge.addresses import REPLIES, TABLE
from plugin_bridge.framing import LENGTH, SLIP
from plugin_bridge.osc import Message, encode

_ADDRESSES = [row.address for row in (*TABLE, *REPLIES)]
_KEYS = sorted({field.name for row in TABLE for field in (*row.arguments, *row.options)} | {"token"})
_TYPES = "ifsbhdTFNcrmtSI[]QX,\0"


def hostile_packets(seed: int) -> Iterator[bytes]:
    """Packets of up to some kilobytes, without end."""
    random = Random(seed)
    kinds = (_noise, _damaged, _damaged, _typed, _typed, _nearly, _nearly, _bundled)
    for _ in count():
        yield random.choice(kinds)(random)


def hostile_streams(seed: int) -> Iterator[bytes]:
    """What a hostile TCP client sends before it ends or falls silent, without end."""
    random = Random(seed)
    for packet in hostile_packets(seed + 1):
        kind = random.randrange(6)
        if kind == 0:
            yield packet
        elif kind == 1:
            yield (
                struct.pack(">i", random.choice([2**31 - 1, -1, 1 << 24, 1 << 22, len(packet) + 8])) + packet
            )
        elif kind == 2:
            whole = random.choice([LENGTH, SLIP]).wrap(packet)
            yield whole[: random.randrange(len(whole) + 1)]
        elif kind == 3:
            yield b"\xc0" + random.choice([b"\xdb", b"\xdbx", b"a" * 5000, b"\xc0" * 5000])
        else:
            yield random.choice([LENGTH, SLIP]).wrap(packet) * random.randrange(1, 20)


def _noise(random: Random) -> bytes:
    return random.randbytes(random.choice([0, 1, 4, 7, 8, 16, 100, 1500]))


def _request(random: Random) -> Message:
    row = random.choice(TABLE)
    return Message(row.address, row.example)


def _damaged(random: Random) -> bytes:
    """A request with a few bytes changed, put in or left out, or cut off."""
    packet = bytearray(encode(_request(random)))
    for _ in range(random.randrange(1, 5)):
        at = random.randrange(len(packet) + 1)
        match random.randrange(4):
            case 0:
                packet[at : at + 1] = bytes([random.choice([0, 1, 44, 47, 127, 128, 255])])
            case 1:
                packet[at : at + 4] = struct.pack(">i", random.choice([-1, -4, 0, 1 << 16, 2**31 - 1]))
            case 2:
                packet[at:at] = random.randbytes(random.randrange(5))
            case 3:
                del packet[at : at + random.randrange(5)]
    return bytes(packet[: random.randrange(len(packet) + 1)] if random.random() < 0.2 else packet)


def _typed(random: Random) -> bytes:
    """Well-formed address and tags, and about as many bytes behind as they promise."""
    address = _padded(random.choice(_ADDRESSES).encode())
    tags = "".join(random.choice(_TYPES) for _ in range(random.choice([0, 1, 3, 6, 300])))
    return address + _padded(b"," + tags.encode()) + random.randbytes(4 * random.randrange(12))


def _nearly(random: Random) -> bytes:
    """A message that any decoder takes, with arguments that are not what the table says."""
    values = [
        lambda: random.choice([0, 1, -1, 2**31 - 1, -(2**31), random.randrange(1 << 20)]),
        lambda: random.choice([0.0, -1.5, float("nan"), float("inf"), 7.0]),
        lambda: random.choice(_KEYS),
        lambda: random.choice(["", "x" * 65, "/dev/zero", "../..", "\udcff", "any", "s16le", "a" * 3000]),
        lambda: random.randbytes(random.choice([0, 1, 3, 64, 4000])),
    ]
    message = _request(random)
    address = message.address
    if random.random() < 0.2:
        address = "".join(random.choice([c, c, c, *"?*[]{},-!/"]) for c in address[1:])
        address = "/" + address
    arguments = list(message.arguments[: random.randrange(len(message.arguments) + 1)])
    arguments += [random.choice(values)() for _ in range(random.choice([0, 1, 2, 5, 30]))]
    return encode(Message(address, tuple(arguments)))


def _bundled(random: Random) -> bytes:
    packet = encode(_request(random))
    for _ in range(random.choice([1, 1, 2, 2, 3, 7, 8, 9, 9, 400])):
        size = random.choice([len(packet)] * 6 + [-4, 0, 2, len(packet) + 4, 2**31 - 1])
        packet = b"#bundle\0" + random.randbytes(8) + struct.pack(">i", size) + packet
        if len(packet) < 200:
            packet += struct.pack(">i", len(packet)) + packet
    return packet


def _padded(data: bytes) -> bytes:
    return data + bytes(4 - len(data) % 4)
