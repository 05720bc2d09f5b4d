"""Packets on a stream: round trips however the stream is cut, and streams that are none."""

from __future__ import annotations

import json
import struct
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugin_bridge.framing import (
    LENGTH,
    SLIP,
    Framing,
    LengthSplitter,
    NotFramed,
    SlipSplitter,
    Splitter,
    framing_of,
)
from plugin_bridge.osc import Message, unpack

GOLDEN = json.loads((Path(__file__).resolve().parents[1] / "golden" / "osc.json").read_text())["streams"]


def fed(splitter: Splitter, stream: bytes, *cuts: int) -> list[bytes]:
    """What comes out when the stream arrives in pieces."""
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    pieces = [stream[a:b] for a, b in pairwise(edges)]
    return [packet for piece in pieces for packet in splitter.feed(piece)]


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_captured_streams_are_understood(name: str) -> None:
    stream = bytes.fromhex(GOLDEN[name])
    packets = fed(framing_of(stream[0]).splitter(), stream)
    expected = [Message("/samplefit/status", (219,))]
    if name.startswith("python-osc"):
        expected.append(Message("/samplefit/stem/data", ("song", "bass", 0, b"\xc0\xdb\xdc\xdd")))
    assert [message for packet in packets for message in unpack(packet)] == expected


framings = st.sampled_from([SLIP, LENGTH])
escapes = st.lists(st.sampled_from([b"\xc0", b"\xdb", b"\xdc", b"\xdd", b"\n", b"a"]), min_size=1).map(
    b"".join
)
packets = st.lists(st.one_of(st.binary(min_size=1, max_size=50), escapes), max_size=8)


@given(framings, packets, st.lists(st.integers(0, 1000), max_size=20))
def test_packets_survive_any_cutting(framing: Framing, packets: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(map(framing.wrap, packets))
    splitter = framing.splitter()
    assert fed(splitter, stream, *cuts) == packets
    assert splitter.n_held == 0
    assert not stream or framing_of(stream[0]) is framing


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_any_stream_gives_packets_or_not_framed(stream: bytes, cuts: list[int]) -> None:
    for make in (SlipSplitter, LengthSplitter):
        try:
            packets = fed(make(64), stream, *cuts)
        except NotFramed:
            continue
        assert all(0 < len(packet) <= 64 for packet in packets)


def test_packets_before_a_fault_count() -> None:
    stream = LENGTH.wrap(b"good") + struct.pack(">i", -4)
    packets = LengthSplitter().feed(stream)
    assert next(packets) == b"good"
    with pytest.raises(NotFramed, match="-4 bytes"):
        next(packets)


@pytest.mark.parametrize(
    ("splitter", "stream"),
    [
        (LengthSplitter(), struct.pack(">i", 2**31 - 1)),
        (LengthSplitter(100), struct.pack(">i", 101)),
        (SlipSplitter(100), b"\xc0" + b"a" * 201),
        (SlipSplitter(100), b"\xc0" + b"a" * 101 + b"\xc0"),
        (SlipSplitter(), b"\xc0\xdbx\xc0"),
        (SlipSplitter(), b"\xc0abc\xdb\xc0"),
    ],
)
def test_a_stream_that_is_none_is_told(splitter: Splitter, stream: bytes) -> None:
    with pytest.raises(NotFramed):
        fed(splitter, stream)


def test_no_more_than_a_packet_is_held() -> None:
    splitter = SlipSplitter(100)
    for _ in range(1000):
        list(splitter.feed(b"\xc0" + b"a" * 99))
    assert splitter.n_held == 99


@pytest.mark.parametrize("first", [b"G", b"/", b"#", b"\x7f", b"\x01"])
def test_a_stream_is_known_by_its_first_byte(first: bytes) -> None:
    with pytest.raises(NotFramed):
        framing_of(first[0])
