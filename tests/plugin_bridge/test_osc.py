"""The codec: bytes that other programs really sent, round trips, and everything that is no OSC."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pythonosc.osc_message import OscMessage
from pythonosc.osc_message_builder import OscMessageBuilder

from plugin_bridge.osc import MAX_ARGUMENTS, MAX_DEPTH, Message, NotOsc, Other, decode, encode, trim, unpack

GOLDEN = json.loads((Path(__file__).resolve().parents[1] / "golden" / "osc.json").read_text())["packets"]

CAPTURED = {
    "oscsend": [Message("/samplefit/suggest/file", (1, "/music/bounce 1.wav", "k", 5))],
    "oscsend of every type": [
        Message(
            "/samplefit/x",
            (1, 2, 3.5, 4.5, "five", "six", Other("c"), Other("m"), True, False, None, Other("I")),
        )
    ],
    "oscsend not UTF-8": [Message("/samplefit/used", (1, "/k\udce4.wav"))],
    "pd": [Message("/samplefit/suggest/file", (1.0, "/music/bounce.wav", "k", 5.0))],
    "python-osc": [Message("/samplefit/status", ("ä", 0.5, b"12345"))],
    "python-osc without arguments": [Message("/samplefit/status")],
    "python-osc bundle": [Message("/samplefit/status", (1,)), Message("/samplefit/status", (2,))],
}


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_captured_packets_are_understood(name: str) -> None:
    assert unpack(bytes.fromhex(GOLDEN[name])) == CAPTURED[name]


@pytest.mark.parametrize("name", ["oscsend", "oscsend not UTF-8", "pd", "python-osc"])
def test_we_send_the_bytes_that_others_send(name: str) -> None:
    (message,) = CAPTURED[name]
    assert encode(message).hex() == GOLDEN[name]


addresses = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20).map("/".__add__)
file_names = st.binary(max_size=40).map(lambda raw: os.fsdecode(raw.replace(b"\0", b"")))
arguments = st.one_of(
    st.integers(-(1 << 31), (1 << 31) - 1),
    st.floats(width=32, allow_nan=False),
    file_names,
    st.binary(max_size=40),
)
messages = st.builds(Message, addresses, st.lists(arguments, max_size=12).map(tuple))


@given(messages)
def test_encode_then_decode_is_the_same_message(message: Message) -> None:
    assert decode(encode(message)) == message


@given(messages)
@example(Message("/", ("\udcc2", "\udc80")))  # UTF-8 together, and neither alone
def test_python_osc_reads_what_we_send(message: Message) -> None:
    try:
        for part in message.arguments:
            if isinstance(part, str):
                os.fsencode(part).decode("utf-8")
    except UnicodeDecodeError:
        return  # the file names that python-osc cannot read
    read = OscMessage(encode(message))
    assert (read.address, tuple(read.params)) == (message.address, message.arguments)


@given(addresses, st.lists(st.one_of(st.integers(-(1 << 63), (1 << 63) - 1), st.text("abc"), st.none())))
def test_we_read_what_python_osc_sends(address: str, values: list[int | str | None]) -> None:
    builder = OscMessageBuilder(address)
    for value in values:
        builder.add_arg(value)
    assert decode(builder.build().dgram) == Message(address, tuple(values))


def bundle(*elements: bytes, timetag: bytes = bytes(7) + b"\1") -> bytes:
    return b"#bundle\0" + timetag + b"".join(struct.pack(">i", len(part)) + part for part in elements)


trees = st.recursive(messages, lambda inner: st.lists(inner, max_size=3), max_leaves=8)


@given(trees)
def test_bundles_come_apart_in_order(tree: Message | list[object]) -> None:
    def pack(node: Message | list[object]) -> bytes:
        return encode(node) if isinstance(node, Message) else bundle(*map(pack, node))

    def leaves(node: Message | list[object]) -> list[Message]:
        return [node] if isinstance(node, Message) else [leaf for part in node for leaf in leaves(part)]

    def depth(node: Message | list[object]) -> int:
        return 0 if isinstance(node, Message) else 1 + max(map(depth, node), default=0)

    if depth(tree) <= MAX_DEPTH:
        assert unpack(pack(tree)) == leaves(tree)
    else:
        with pytest.raises(NotOsc):
            unpack(pack(tree))


def test_time_tags_are_ignored() -> None:
    next_year = struct.pack(">II", 0xFFFF0000, 0)
    status = Message("/samplefit/status", (1,))
    assert unpack(bundle(encode(status), timetag=next_year)) == [status]


STATUS = encode(Message("/samplefit/status", (1,)))


def nested(depth: int) -> bytes:
    packet = STATUS
    for _ in range(depth):
        packet = bundle(packet)
    return packet


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="http"),
        pytest.param(bytes(range(1, 101)), id="noise"),
        pytest.param(b"/a\0", id="unaligned"),
        pytest.param(b"/abc", id="address without end"),
        pytest.param(b"/a\0\0abc\0", id="no comma"),
        pytest.param(b"/a\0x,\0\0\0", id="padding"),
        pytest.param(b"/a\0\0,i\0\0", id="no int"),
        pytest.param(b"/a\0\0,h\0\0\0\0\0\0", id="half an int64"),
        pytest.param(b"/a\0\0,s\0\0abcd", id="string without end"),
        pytest.param(b"/a\0\0,b\0\0\0\0\0\x0cabcd", id="blob cut short"),
        pytest.param(b"/a\0\0,b\0\0\xff\xff\xff\xfcabcd", id="blob of -4 bytes"),
        pytest.param(b"/a\0\0,b\0\0\0\0\0\x03abcd", id="blob padding"),
        pytest.param(b"/a\0\0,b\0\0\x7f\xff\xff\xff", id="blob of 2 GiB"),
        pytest.param(b"/a\0\0,Q\0\0", id="unknown type"),
        pytest.param(b"/a\0\0,\0\0\0\0\0\0\0", id="bytes left over"),
        pytest.param(encode(Message("/a", (0,) * (MAX_ARGUMENTS + 1))), id="too many arguments"),
        pytest.param(b"#bundle\0", id="bundle without time"),
        pytest.param(bundle() + struct.pack(">i", -4), id="element of -4 bytes"),
        pytest.param(bundle() + struct.pack(">i", 0), id="element of 0 bytes"),
        pytest.param(bundle() + struct.pack(">i", 64) + STATUS, id="element beyond the end"),
        pytest.param(bundle(STATUS, b"/bad"), id="one bad element"),
        pytest.param(nested(400), id="nested 400 deep"),
        pytest.param(bundle(*[STATUS] * 2000), id="2000 messages"),
        pytest.param(bundle(bundle(*[bundle()] * 1000), *[bundle()] * 1000), id="bundles of bundles"),
    ],
)
def test_what_is_no_osc_is_told(packet: bytes) -> None:
    with pytest.raises(NotOsc):
        unpack(packet)


def test_bundles_nest_as_deep_as_said() -> None:
    assert unpack(nested(MAX_DEPTH)) == unpack(STATUS)
    with pytest.raises(NotOsc, match="deep"):
        unpack(nested(MAX_DEPTH + 1))


@given(st.binary(max_size=200))
def test_bytes_are_osc_or_not_and_nothing_else(packet: bytes) -> None:
    try:
        messages = unpack(packet)
    except NotOsc:
        return
    assert all(message.address.startswith("/") for message in messages)


def test_numpy_scalars_are_numbers() -> None:
    sent = Message("/a", (np.int64(3), np.float32(0.5), np.float64(0.25)))
    assert decode(encode(sent)).arguments == (3, 0.5, 0.25)


@pytest.mark.parametrize("value", [1 << 31, -(1 << 31) - 1, 1e39, "a\0b"])
def test_values_that_do_not_fit_are_refused(value: object) -> None:
    with pytest.raises(ValueError):
        encode(Message("/a", (value,)))


@pytest.mark.parametrize("value", [True, None, (1, 2), Other("m")])
def test_types_that_no_reply_may_carry_are_refused(value: object) -> None:
    with pytest.raises(TypeError):
        encode(Message("/a", (value,)))


@given(file_names, st.integers(0, 50))
def test_trim_keeps_a_beginning_that_fits(text: str, n_bytes: int) -> None:
    kept = trim(text, n_bytes)
    assert text.startswith(kept)
    assert len(os.fsencode(kept)) <= n_bytes
    assert kept == text or len(os.fsencode(text[: len(kept) + 1])) > n_bytes
