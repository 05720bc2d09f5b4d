"""The address table: what a message must be to become a call, and what a refusal says."""

from __future__ import annotations

import os

import pytest

from encoders import errors
from encoders.errors import BadRequest, Refused, SamplefitError
from plugin_bridge import addresses
from plugin_bridge.addresses import (
    CODES,
    REPLIES,
    STATUS,
    SUGGEST,
    SUGGEST_FILE,
    TABLE,
    common_option,
    id_of,
    is_for_us,
    parse,
)
from plugin_bridge.osc import Message, Other


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.address)
def test_every_example_is_a_call(row: addresses.Request) -> None:
    call = parse(Message(row.address, row.example))
    assert call.id == row.example[0]
    assert tuple(call.arguments) == tuple(field.name for field in row.arguments)
    assert tuple(call.arguments.values()) == row.example[1 : 1 + len(row.arguments)]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.address)
def test_every_missing_argument_is_named(row: addresses.Request) -> None:
    for n, field in enumerate(row.arguments, 1):
        with pytest.raises(BadRequest, match=field.name):
            parse(Message(row.address, row.example[:n]))


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.address)
def test_every_argument_of_a_wrong_type_is_named(row: addresses.Request) -> None:
    for n, field in enumerate(row.arguments, 1):
        wrong = list(row.example)
        wrong[n] = None
        with pytest.raises(BadRequest, match=f"{field.name}: found the NoneType None"):
            parse(Message(row.address, tuple(wrong)))


def test_table_and_errors_know_the_same_codes() -> None:
    known = {
        kind.code
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, SamplefitError)
    }
    assert known == set(CODES)


def test_rows_name_replies_that_exist() -> None:
    replies = {row.address for row in REPLIES}
    assert all({*row.replies, *row.ends} <= replies for row in TABLE)
    assert len({row.address for row in TABLE} | replies) == len(TABLE) + len(REPLIES)


@pytest.mark.parametrize("given", [0, -(1 << 31), "", "x" * 64, "ä" * 32, "k\udce4"])
def test_ids_come_back_as_they_were(given: int | str) -> None:
    message = Message(STATUS, (given,))
    assert parse(message).id == id_of(message) == given


@pytest.mark.parametrize(
    ("given", "answered_as"),
    [
        ("x" * 65, "x" * 64),
        ("ä" * 33, "ä" * 32),
        (1 << 31, ""),
        (0.5, ""),
        (float("nan"), ""),
        (b"id", ""),
        (True, ""),
        (None, ""),
        (Other("m"), ""),
    ],
)
def test_what_is_no_id_is_refused_and_still_answered(given: object, answered_as: str) -> None:
    message = Message(STATUS, (given,))
    with pytest.raises(BadRequest, match="id"):
        parse(message)
    assert id_of(message) == answered_as


def test_a_request_without_id_is_refused() -> None:
    with pytest.raises(BadRequest, match="begin every request with an id"):
        parse(Message(STATUS))


def test_whole_floats_are_ints() -> None:
    call = parse(Message(SUGGEST, (7.0, "k", 5.0, "start", 2, "reply_port", 9000.0)))
    assert (call.id, call.options) == (7, {"k": (5,), "start": (2.0,), "reply_port": (9000,)})
    assert isinstance(call.options["start"][0], float)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("preste", "plain"), r"option 'preste': found an unknown key; expected preset"),
        (("k",), "no value"),
        (("k", 1, "k", 2), "given twice"),
        (("k", 2.5), "found the float 2.5; expected i"),
        (("k", "5"), "found the string '5'; expected i"),
        (("k", 1 << 40), "expected i"),
        (("start", "0"), "expected f"),
        ((5, "k"), "found the int 5; expected a key"),
        (("folder", "samples"), "expected an absolute path"),
        (("reply_port", 0), "expected 1 to 65535"),
        (("reply_port", 65536), "expected 1 to 65535"),
    ],
)
def test_a_wrong_option_is_named(options: tuple[object, ...], says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        parse(Message(SUGGEST, (1, *options)))


def test_type_may_come_again() -> None:
    call = parse(Message(SUGGEST, (1, "type", "kick", "k", 3, "type", "snare")))
    assert call.options == {"type": ("kick", "snare"), "k": (3,)}


@pytest.mark.parametrize("path", ["", "bounce.wav", "../bounce.wav", "~/bounce.wav", "file:///b.wav"])
def test_only_absolute_paths_are_taken(path: str) -> None:
    with pytest.raises(BadRequest, match="absolute"):
        parse(Message(SUGGEST_FILE, (1, path)))


@pytest.mark.parametrize("name", ["", "x" * 256])
def test_a_stem_needs_a_name_that_fits(name: str) -> None:
    with pytest.raises(BadRequest, match="stem"):
        parse(Message(addresses.STEM_DROP, (1, name)))


@pytest.mark.parametrize("character", sorted(addresses.PATTERN_CHARACTERS))
def test_patterns_are_refused(character: str) -> None:
    for address in (f"/samplefit/{character}", f"/samplefit{character}/status", f"/{character}"):
        message = Message(address, (1,))
        assert is_for_us(message)
        with pytest.raises(Refused):
            parse(message)


@pytest.mark.parametrize("address", ["/samplefit/sugest", "/samplefit/Status", "/samplefit/status/"])
def test_an_unknown_address_names_the_nearest(address: str) -> None:
    with pytest.raises(BadRequest, match="/samplefit/s"):
        parse(Message(address, (1,)))


@pytest.mark.parametrize(
    ("message", "ours"),
    [
        (Message("/samplefit/x"), True),
        (Message("/live/song", (1,)), False),
        (Message("/samplefit", (1,)), False),
        (Message("/*", ()), False),
        *((Message(row.address, (1,)), False) for row in REPLIES),
    ],
)
def test_only_what_is_meant_for_us_is_answered(message: Message, ours: bool) -> None:
    assert is_for_us(message) == ours


def test_reply_port_is_found_in_a_request_that_is_wrong() -> None:
    assert common_option(Message("/samplefit/x", (1, None, "reply_port", 9000)), "reply_port") == 9000
    assert common_option(Message("/samplefit/x", (1, "reply_port")), "reply_port") is None


def test_a_file_name_stays_its_bytes() -> None:
    raw = b"/samples/k\xe4\xff.wav"
    call = parse(Message(SUGGEST_FILE, (1, os.fsdecode(raw))))
    assert os.fsencode(call.arguments["path"]) == raw
