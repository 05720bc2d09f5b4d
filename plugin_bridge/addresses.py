"""Every OSC address, request and reply, in one table: what is parsed, what is documented, what is tested."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from encoders.errors import BadRequest, Refused
from encoders.tables import nearest
from plugin_bridge.osc import Argument, Message, Other, trim

PREFIX = "/samplefit/"
PATTERN_CHARACTERS = frozenset("?*[]{}")

MAX_ID_BYTES = 64
MAX_STEM_BYTES = 255
"""Longest name of a stem: invented; it stands in replies, which must stay below 1 kB."""

Id = int | str


@dataclass(frozen=True)
class Field:
    """An argument or option.

    Attributes:
        type: `i`, `f`, `s`, `b`, or `path`: an `s` that must be an absolute path.
        text: what it is.
        repeatable: an option that may be given more than once.
    """

    name: str
    type: str
    text: str
    repeatable: bool = False

    @property
    def tag(self) -> str:
        """The OSC type."""
        return "s" if self.type == "path" else self.type


@dataclass(frozen=True)
class Request:
    """A row of the table.

    Attributes:
        arguments: what follows the id.
        options: key, value pairs that may follow the arguments, besides `COMMON_OPTIONS`.
        replies: addresses that may come back before it is answered; `/samplefit/fail` always may, instead.
        ends: addresses of which one says that it is answered.
        example: the arguments of an example, the id included.
    """

    address: str
    arguments: tuple[Field, ...]
    options: tuple[Field, ...]
    replies: tuple[str, ...]
    ends: tuple[str, ...]
    text: str
    example: tuple[Argument, ...]


@dataclass(frozen=True)
class Reply:
    """A reply's row: `arguments` are all of it, the id first."""

    address: str
    arguments: tuple[Field, ...]
    text: str


@dataclass(frozen=True)
class Call:
    """A request that was understood.

    Attributes:
        arguments: by name, every one of the row's; whole floats have become ints where the row says `i`.
        options: by key, the values in order; only keys that were given.
    """

    address: str
    id: Id
    arguments: Mapping[str, Argument]
    options: Mapping[str, tuple[Argument, ...]]


HIT, PROGRESS, DONE, FAIL = "/samplefit/hit", "/samplefit/progress", "/samplefit/done", "/samplefit/fail"
READY, MISSING = "/samplefit/stem/ready", "/samplefit/stem/missing"
STATUS_REPLY, SYNCED = "/samplefit/status.reply", "/samplefit/synced"
TROUBLE = "/samplefit/trouble"

SUGGEST, SUGGEST_FILE = "/samplefit/suggest", "/samplefit/suggest/file"
STEM_FILE, STEM_BEGIN, STEM_DATA = "/samplefit/stem/file", "/samplefit/stem/begin", "/samplefit/stem/data"
STEM_END, STEM_DROP = "/samplefit/stem/end", "/samplefit/stem/drop"
USED, LIKE, DISLIKE = "/samplefit/used", "/samplefit/like", "/samplefit/dislike"
UNLEARN = "/samplefit/unlearn"
FOLDER_ADD, FOLDER_REMOVE = "/samplefit/folder/add", "/samplefit/folder/remove"
FOLDER_RESTORE = "/samplefit/folder/restore"
STATUS, SYNC = "/samplefit/status", "/samplefit/sync"

COMMON_OPTIONS = (
    Field("reply_port", "i", "UDP only: replies go to this port of the sender's host"),
    Field("token", "s", "the daemon's token, where it listens beyond this machine"),
)

_PRESS_OPTIONS = (
    Field("k", "i", "hits of each type"),
    Field("type", "s", "a type to rank, or `any` for all together", repeatable=True),
    Field("preset", "s", "a press preset; `plain` is the pure order of the score"),
    Field("folder", "path", "only one-shots below this folder"),
    Field("start", "f", "where the part to be heard begins, in seconds"),
    Field("length", "f", "how long it is, in seconds"),
    Field("exclude", "s", "a stem to leave out: the track being replaced"),
    Field("tempo", "f", "the song's, in beats a minute, where the host knows it"),
    Field("answer", "s", "a plain name: the hits are also written to answers/NAME.tsv and .json"),
)
_STEM = Field("stem", "s", f"its name, up to {MAX_STEM_BYTES} bytes")
_ONE_SHOT = Field("path", "path", "the one-shot, as a hit named it")
_FOLDER = Field("path", "path", "the folder")

TABLE = (
    Request(
        SUGGEST_FILE,
        (Field("path", "path", "the bounce, a sound file"),),
        _PRESS_OPTIONS,
        (HIT,),
        (DONE,),
        "Presses with one file as the bounce.",
        (1, "/music/bounce.wav", "k", 5, "type", "kick"),
    ),
    Request(
        STEM_FILE,
        (_STEM, Field("path", "path", "a sound file")),
        (Field("gain", "f", "a factor on its samples: .5 for each of two files that are left and right"),),
        (),
        (READY,),
        "Holds a file as a stem under the id.",
        ("song", "bass", "/music/bass.wav"),
    ),
    Request(
        STEM_BEGIN,
        (
            _STEM,
            Field("sample_rate", "i", "in Hz"),
            Field("n_channels", "i", "channels, interleaved"),
            Field("n_frames", "i", "instants, each of n_channels samples"),
            Field("format", "s", "`f32le`, `s16le` or `s24le`"),
        ),
        (),
        (),
        (DONE,),
        "Announces a stem that comes in pieces; one of the same name is replaced.",
        ("song", "bass", 48000, 2, 192000, "s16le"),
    ),
    Request(
        STEM_DATA,
        (_STEM, Field("first_frame", "i", "where the piece begins"), Field("samples", "b", "whole frames")),
        (),
        (),
        (),
        "A piece of a stem; in any order, and again where it was lost.",
        ("song", "bass", 0, bytes(4)),
    ),
    Request(
        STEM_END,
        (_STEM, Field("crc32", "i", "of all its bytes, signed 32-bit")),
        (),
        (),
        (READY, MISSING),
        "Says that the whole stem was sent. After `missing`: send those frames again, then end again.",
        ("song", "bass", -559038737),
    ),
    Request(STEM_DROP, (_STEM,), (), (), (DONE,), "Forgets a stem.", ("song", "bass")),
    Request(
        SUGGEST,
        (),
        _PRESS_OPTIONS,
        (HIT,),
        (DONE,),
        "Presses with the mix of the stems held under the id. They stay until dropped or 10 minutes idle, so that "
        "a changed track alone is sent again.",
        ("song", "exclude", "old drums", "type", "any"),
    ),
    Request(USED, (_ONE_SHOT,), (), (), (DONE,), "The producer took this hit.", (1, "/samples/kick 1.wav")),
    Request(LIKE, (_ONE_SHOT,), (), (), (DONE,), "The producer likes it.", (1, "/samples/kick 1.wav")),
    Request(
        DISLIKE, (_ONE_SHOT,), (), (), (DONE,), "The producer does not like it.", (1, "/samples/kick 1.wav")
    ),
    Request(
        UNLEARN,
        (),
        (),
        (),
        (DONE,),
        "Has no mark made so far count for what is learned; they stay on the list.",
        (1,),
    ),
    Request(
        FOLDER_ADD,
        (_FOLDER,),
        (Field("portable", "i", "1: its keys are kept on its own drive, too; 0: no longer"),),
        (PROGRESS,),
        (DONE,),
        "Follows a sample folder.",
        (1, "/samples", "portable", 1),
    ),
    Request(
        FOLDER_REMOVE,
        (_FOLDER,),
        (),
        (PROGRESS,),
        (DONE,),
        "Follows it no longer and forgets its one-shots.",
        (1, "/samples"),
    ),
    Request(
        FOLDER_RESTORE,
        (_FOLDER,),
        (),
        (),
        (DONE,),
        "Takes back the cleaning of a folder that was found emptied: it is offline again, with all it held.",
        (1, "/samples"),
    ),
    Request(STATUS, (), (), (TROUBLE,), (STATUS_REPLY,), "What runs, and how much is indexed.", (1,)),
    Request(
        SYNC,
        (),
        (),
        (PROGRESS,),
        (SYNCED,),
        "Answers when every change on disk made before is searchable.",
        (1,),
    ),
)

_ID = Field("id", "i or s", "the request's")
_ADDRESS = Field("request", "s", "the request's address")
_OF_STEM = Field("stem", "s", "its name")

REPLIES = (
    Reply(
        HIT,
        (
            _ID,
            Field("rank", "i", "1 is best; each type has ranks of its own"),
            Field("of", "i", "how many hits of this type come"),
            Field("type", "s", "kick, snare, hihat, ride, crash, tom, clap, percussion or other"),
            Field("score", "f", "cosine of query and key, -1..1"),
            Field("path", "s", "the file, in the file system's bytes"),
            Field("name", "s", "for display; cut where the message would grow beyond 1 kB"),
            Field("duration_s", "f", "in seconds"),
        ),
        "One suggested one-shot.",
    ),
    Reply(
        PROGRESS,
        (_ID, _ADDRESS, Field("done", "i", "steps done"), Field("total", "i", "steps known of")),
        "A long request is under way.",
    ),
    Reply(
        DONE,
        (
            _ID,
            _ADDRESS,
            Field("n", "i", "hits sent, or things changed"),
            Field("elapsed_ms", "f", "from arrival to answer"),
        ),
        "The request is answered.",
    ),
    Reply(
        FAIL,
        (
            _ID,
            _ADDRESS,
            Field("code", "s", "a word of the list below"),
            Field("text", "s", "what, found, expected, remedy"),
        ),
        "The request is refused, or broke off; nothing more comes.",
    ),
    Reply(
        READY,
        (
            _ID,
            _OF_STEM,
            Field("n_frames", "i", "frames held: as sent, or of a file at 44.1 kHz"),
        ),
        "The stem is held.",
    ),
    Reply(
        MISSING,
        (
            _ID,
            _OF_STEM,
            Field("first_frame", "i", "where the gap begins"),
            Field("n_frames", "i", "its length"),
        ),
        "A gap, one message each (of more than 100, the first 100).",
    ),
    Reply(
        STATUS_REPLY,
        (
            _ID,
            Field("version", "s", "of samplefit"),
            Field("model", "s", "its name"),
            Field("device", "s", "what it computes on"),
            Field("one_shots", "i", "that can be suggested"),
            Field("folders_online", "i", ""),
            Field("folders_offline", "i", "their drive is missing"),
            Field("pending", "i", "files still to be indexed"),
        ),
        "The answer to status.",
    ),
    Reply(
        TROUBLE,
        (_ID, Field("text", "s", "what, found, expected, remedy")),
        "Something keeps the library from being brought up to the disk: a full disk, say. One message each; what is "
        "indexed is suggested all the same.",
    ),
    Reply(SYNCED, (_ID, Field("revision", "i", "of the library")), "The answer to sync."),
)

CODES = MappingProxyType(
    {
        "bad-request": "an argument, option, preset or address of the wrong form",
        "not-found": "no such file, folder, preset, model, stem or id",
        "unreadable-audio": "a file or buffer that no decoder understands",
        "no-signal": "silence, DC, or samples that are no numbers",
        "too-long": "audio longer than the limit",
        "no-samples": "nothing in the library is of the types and folders asked for",
        "no-model": "the model package is missing, damaged or of the wrong form",
        "busy": "too many requests of this client are waiting",
        "too-big": "more bytes than the daemon holds",
        "refused": "understood, and not allowed: a pattern in an address, a path that is no file, a wrong token",
        "internal": "a bug of ours",
    }
)

_ROWS = MappingProxyType({row.address: row for row in TABLE})
_REPLY_ADDRESSES = frozenset(row.address for row in REPLIES)


def row_of(address: str) -> Request:
    """The table's row of a request address.

    Raises:
        Refused: a pattern character: addresses match exactly.
        BadRequest: no such request.
    """
    if not PATTERN_CHARACTERS.isdisjoint(address):
        raise Refused(
            f"address {address[:100]}",
            found="a pattern",
            expected="an exact address",
            remedy="name one of docs/osc.md",
        )
    if address not in _ROWS:
        raise BadRequest(
            f"address {address[:100]}", found="no such request", expected=nearest(address[:100], _ROWS)
        )
    return _ROWS[address]


def is_for_us(message: Message) -> bool:
    """Whether a message deserves an answer: ours by its prefix, or a pattern with an id; never a reply of ours.

    Replies that come back (a reply_port that is our own) must stay unanswered, or they would circle for ever.
    """
    if message.address in _REPLY_ADDRESSES:
        return False
    if message.address.startswith(PREFIX):
        return True
    return not PATTERN_CHARACTERS.isdisjoint(message.address) and id_of(message) != ""


def id_of(message: Message) -> Id:
    """What a reply calls the request: its id, cut to 64 bytes, or "" where there is none."""
    first = _whole(message.arguments[0]) if message.arguments else ""
    if isinstance(first, str):
        return trim(first, MAX_ID_BYTES)
    return first if _is_int32(first) else ""


def common_option(message: Message, key: str) -> Argument:
    """The value after `key`, or None: read before anything is checked, so that a refusal finds its way too."""
    for found, value in zip(message.arguments[1:], message.arguments[2:], strict=False):
        if found == key:
            return _whole(value)
    return None


def parse(message: Message) -> Call:
    """A message as the request that it is.

    Raises:
        Refused: a pattern in the address.
        BadRequest: an unknown address; an id, argument or option that is missing, unknown or of the wrong type.
    """
    row = row_of(message.address)
    request_id = _checked_id(message)
    values = message.arguments[1:]
    if len(values) < len(row.arguments):
        lacking = row.arguments[len(values)]
        raise BadRequest(
            f"{row.address} {lacking.name}",
            found=f"{len(message.arguments)} arguments, the id included",
            expected=f"{lacking.name} ({lacking.tag}): {lacking.text}",
        )
    arguments = {
        field.name: _checked(field, value, row.address)
        for field, value in zip(row.arguments, values, strict=False)
    }
    options = _options(row, values[len(row.arguments) :])
    return Call(row.address, request_id, MappingProxyType(arguments), MappingProxyType(options))


def _checked_id(message: Message) -> Id:
    first = _whole(message.arguments[0]) if message.arguments else None
    if isinstance(first, str) and len(os.fsencode(first)) <= MAX_ID_BYTES:
        return first
    if _is_int32(first):
        return first
    found = f"{len(os.fsencode(first))} bytes" if isinstance(first, str) else _describe(first)
    raise BadRequest(
        f"{message.address} id",
        found=found if message.arguments else "no arguments",
        expected=f"an int32, or a string of up to {MAX_ID_BYTES} bytes",
        remedy="begin every request with an id",
    )


def _options(row: Request, values: tuple[Argument, ...]) -> dict[str, tuple[Argument, ...]]:
    known = {field.name: field for field in (*row.options, *COMMON_OPTIONS)}
    options: dict[str, tuple[Argument, ...]] = {}
    for i in range(0, len(values), 2):
        key = values[i]
        if not isinstance(key, str):
            raise BadRequest(f"{row.address} options", found=_describe(key), expected="a key, then its value")
        if key not in known:
            raise BadRequest(
                f"{row.address} option {key[:64]!r}",
                found="an unknown key",
                expected=nearest(key[:64], known),
            )
        if i + 1 == len(values):
            raise BadRequest(f"{row.address} option {key!r}", found="no value", expected=known[key].text)
        if key in options and not known[key].repeatable:
            raise BadRequest(f"{row.address} option {key!r}", found="given twice", expected="once")
        options[key] = (*options.get(key, ()), _checked(known[key], values[i + 1], row.address))
    _check_reply_port(options)
    return options


def _check_reply_port(options: dict[str, tuple[Argument, ...]]) -> None:
    (port,) = options.get("reply_port", (1,))
    if not is_port(port):
        raise BadRequest("option 'reply_port'", found=str(port), expected="1 to 65535")


def is_port(value: Argument) -> bool:
    """Whether a value is a port that a reply can be sent to."""
    return _is_int32(value) and 1 <= value <= 65_535


def _checked(field: Field, value: Argument, address: str) -> Argument:
    """`value` as the type of its field."""
    if field.type == "i":
        value = _whole(value)
        good = _is_int32(value)
    elif field.type == "f":
        if isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        good = isinstance(value, float)
    elif field.type == "b":
        good = isinstance(value, bytes)
    else:
        good = isinstance(value, str)
    if not good:
        raise BadRequest(
            f"{address} {field.name}", found=_describe(value), expected=f"{field.tag}: {field.text}"
        )
    if field.type == "path" and not os.path.isabs(value):
        raise BadRequest(
            f"{address} {field.name}",
            found=repr(value[:200]),
            expected="an absolute path",
            remedy="the daemon's working folder is not yours",
        )
    if field.name == "stem" and not 0 < len(os.fsencode(value)) <= MAX_STEM_BYTES:
        raise BadRequest(
            f"{address} stem",
            found=f"{len(os.fsencode(value))} bytes",
            expected=f"a name of 1 to {MAX_STEM_BYTES} bytes",
        )
    return value


def _whole(value: Argument) -> Argument:
    """A whole float as the int that it stands for, up to 2^24: Pd and touch surfaces know no other number."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= 1 << 24:
        return int(value)
    return value


def _is_int32(value: Argument) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -(1 << 31) <= value < 1 << 31


def _describe(value: Argument) -> str:
    if isinstance(value, Other):
        return f"a value of type {value.tag}"
    if isinstance(value, bytes):
        return f"a blob of {len(value)} bytes"
    if isinstance(value, str):
        return f"the string {value[:64]!r}"
    return f"the {type(value).__name__} {value}"
