"""Replies: as the table says, and below 1 kB whatever they are made of."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoders.errors import NotFound, TooBig
from plugin_bridge import replies
from plugin_bridge.addresses import REPLIES, Call, Field
from plugin_bridge.osc import Argument, Message, decode, encode

ROWS = {row.address: row for row in REPLIES}
LONGEST = Call("/samplefit/stem/begin", "x" * 64, {}, {})
LONG = "ä" * 5000
INT = (1 << 31) - 1

EACH = [
    replies.hit(LONGEST, INT, INT, "percussion", 1.0, "/" + "p" * 799, LONG, 1e9),
    replies.progress(LONGEST, INT, INT),
    replies.done(LONGEST, INT, 1e9),
    replies.fail(LONGEST.id, "/" + LONG, "unreadable-audio", LONG),
    replies.failure(LONGEST.id, LONGEST.address, NotFound(LONG, found=LONG)),
    replies.ready(LONGEST, "s" * 255, INT),
    replies.missing(LONGEST, "s" * 255, INT, INT),
    replies.status(LONGEST, LONG, LONG, LONG, INT, INT, INT, INT),
    replies.trouble(LONGEST, LONG),
    replies.synced(LONGEST, INT),
]


def fits(field: Field, value: Argument) -> bool:
    return type(value) in {"i": (int,), "f": (float,), "s": (str,), "i or s": (int, str)}[field.type]


@pytest.mark.parametrize("message", EACH, ids=lambda message: message.address)
def test_replies_stay_below_1_kb_and_follow_the_table(message: Message) -> None:
    assert len(encode(message)) < 1000
    assert decode(encode(message)).address == message.address
    fields = ROWS[message.address].arguments
    assert len(message.arguments) == len(fields)
    assert all(map(fits, fields, message.arguments))


def test_every_reply_of_the_table_is_tried() -> None:
    assert {message.address for message in EACH} == set(ROWS)


@given(st.binary(min_size=1, max_size=799).map(lambda raw: "/" + os.fsdecode(raw.replace(b"\0", b"/"))))
def test_a_path_is_never_cut(path: str) -> None:
    hit = replies.hit(LONGEST, 1, 1, "kick", 0.5, path, LONG, 0.25)
    assert decode(encode(hit)).arguments[5] == path


def test_a_path_that_does_not_fit_is_told() -> None:
    with pytest.raises(TooBig, match="801 bytes"):
        replies.hit(LONGEST, 1, 1, "kick", 0.5, "/" + "p" * 800, "p", 0.25)
