"""docs/osc.md and README's table of addresses, written from the address table; a test keeps them equal."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from index.files import MAX_PATH_BYTES
from plugin_bridge.addresses import (
    CODES,
    COMMON_OPTIONS,
    MAX_ID_BYTES,
    REPLIES,
    TABLE,
    Field,
    Reply,
    Request,
)
from plugin_bridge.clients import Limits
from plugin_bridge.framing import MAX_PACKET_BYTES
from plugin_bridge.osc import MAX_ARGUMENTS, MAX_DEPTH, Argument
from plugin_bridge.replies import MAX_LABEL_BYTES
from plugin_bridge.server import DEFAULT_PORT
from plugin_bridge.stems import IDLE_S, MAX_HELD_BYTES

_HEAD = f"""\
# samplefit over OSC

<!-- Written from plugin_bridge/addresses.py by docs/make_osc.py; change it there. -->

The daemon (`samplefit serve`) listens on UDP and TCP, port {DEFAULT_PORT}, on this machine alone. Every request
begins with an `id` of your choice (an int32, or a string of up to {MAX_ID_BYTES} bytes), which each reply repeats;
then come its arguments, then options as key, value pairs. It is answered, or refused by `/samplefit/fail`.

```
→ /samplefit/suggest/file  1 "/music/bounce.wav" "k" 2 "type" "kick"
← /samplefit/hit           1 1 2 "kick" 0.71 "/samples/Kick 808.wav" "Kick 808" 0.42
← /samplefit/hit           1 2 2 "kick" 0.66 "/samples/BD04.wav" "BD04" 0.35
← /samplefit/done          1 "/samplefit/suggest/file" 2 48.1
```

A whole client in forty lines of Python: [examples/press.py](examples/press.py).
"""

_RULES = f"""\
## How it travels
- **UDP**: a packet a datagram. Replies go to the port that the request came from, or to `reply_port` of the same
  host. The system drops what nobody reads in time: ask for more than about 200 hits over TCP.
- **TCP**: recognised by its first byte. `0xC0` begins SLIP (OSC 1.1), a zero begins a big-endian int32 length before
  each packet (OSC 1.0, liblo); anything else is hung up on. Packets of up to {MAX_PACKET_BYTES >> 20} MiB; a
  longer one, or one that takes more than {Limits.patience_s:.0f} s to arrive, ends the connection. Replies come down the same
  connection, in its framing. At most {Limits.max_connections} connections; one more, and the one that was silent longest is ended.
- Addresses match exactly: a pattern character (`? * [ ] {{ }}`) is `refused`.
- Replies carry only `i f s b`. In requests `h` and `d` pass as numbers, and a whole float where an `i` is due, the
  id included (Pd knows no other number). At most {MAX_ARGUMENTS} arguments.
- Bundles are unpacked, {MAX_DEPTH} deep at most. Time tags are ignored: everything is due now.
- Strings are the file system's bytes, whatever their encoding. Paths are absolute.
- Every reply is below 1 kB. What is only for display is cut to fit (a `name` to {MAX_LABEL_BYTES} bytes); a path
  never is. A file whose path has more than {MAX_PATH_BYTES} bytes is skipped, and `samplefit skipped` names it.
- Requests under one id are answered in order of arrival, those under different ids side by side, those of different
  clients by turns. UDP and TCP have room for {Limits.max_jobs // 2} waiting requests each, of which a client (a UDP port, a
  connection) may take as much as is left. Beyond that a UDP client's request is `busy`; a connection is read no
  further until there is room. So a client that floods the daemon keeps only itself waiting; but UDP's receive buffer
  is everyone's, and the system drops what does not fit: ask again, or over TCP.
- After a million hostile datagrams, ten thousand hostile TCP streams and a flood at full speed the daemon had its 16
  threads, 39 MB more than before and an empty log ([benchmarks/attack.py](../benchmarks/attack.py)).
- What is no OSC, or addressed to nobody here, is counted in `samplefit status` and not answered.
- Beyond this machine the daemon listens only when it was given a token, which each request then carries as its
  option `token`. One without is `refused`, over UDP in silence where the refusal would be longer than the request.

## Discovery
`samplefit serve --announce` (or `SAMPLEFIT_ANNOUNCE=1` in its environment) tells programs nearby where it listens, as
the services `_osc._udp` and `_osc._tcp` named "samplefit on HOST:PORT", by multicast DNS; it is withdrawn when the daemon
ends. It is off otherwise, and needs the `announce` extra (`pip install '.[announce]'` in a checkout). Only addresses at which
the daemon really listens are told, and only where they lead: a daemon on this machine alone is found by programs on
this machine alone, one on `0.0.0.0` by every machine of its networks (which need the token all the same).

## Stems
Stems are held under the id alone, whoever sent them, so choose one that nobody else will, such as a UUID. Those of an
id that was idle for {IDLE_S / 60:.0f} minutes are dropped. Stems are held decoded while they fit into {MAX_HELD_BYTES >> 20} MiB
together, some 50 minutes of mono. A file beyond is held by its path and read again at each press, so leave it as it is until then;
one that changed or went away is `not-found`, to be sent again. A stem in pieces beyond is `too-big`: room for it, as sent
or as float32 mono at 44.1 kHz, whichever is more, is taken when it begins. A press while one is unfinished is refused.
A stem that is begun again is replaced at once.
"""


def page() -> str:
    """docs/osc.md."""
    parts = [
        _HEAD,
        "## Requests\n" + requests_table(),
        "Options that every request takes:\n\n" + _fields(COMMON_OPTIONS),
        "## Replies\n" + _replies_table(),
        "## Failures\n" + _table(("code", "meaning"), ((f"`{code}`", text) for code, text in CODES.items())),
        _RULES,
        "## Each request\n",
        *map(_section, TABLE),
    ]
    return "\n".join(parts)


def requests_table() -> str:
    """README's table: a line a request."""
    rows = (
        (f"`{row.address}`", _signature(row), row.text, " or ".join(f"`{address}`" for address in row.ends))
        for row in TABLE
    )
    return _table(("request", "arguments", "does", "ends with"), rows)


def _replies_table() -> str:
    rows = ((f"`{row.address}`", _arguments(row), row.text) for row in REPLIES)
    return _table(("reply", "arguments", "says"), rows)


def _section(row: Request) -> str:
    parts = [f"### {row.address}\n{row.text}\n"]
    if row.arguments:
        parts.append(_fields(row.arguments))
    if row.options:
        parts.append("Options:\n\n" + _fields(row.options))
    ends = " or ".join(f"`{address}`" for address in row.ends)
    replies = ", then ".join([*(f"`{address}`..." for address in row.replies), *([ends] if ends else [])])
    parts.append(f"Replies: {replies or 'none'}; `/samplefit/fail` where it goes wrong.\n")
    parts.append("```\n" + "\n".join(_examples(row)) + "\n```\n")
    return "\n".join(parts)


def _examples(row: Request) -> list[str]:
    tags = "".join(_tag(argument) for argument in row.example)
    examples = [
        f"python-osc     client.send_message({row.address!r}, {list(row.example)!r})",
        f"SuperCollider  NetAddr(\"127.0.0.1\", {DEFAULT_PORT}).sendMsg('{row.address}', "
        + ", ".join(map(_in_supercollider, row.example))
        + ");",
    ]
    if "b" in tags:  # neither oscsend nor a message box of Pd has blobs
        return examples
    words = " ".join(shlex.quote(str(argument)) for argument in row.example)
    examples.insert(0, f"oscsend        oscsend localhost {DEFAULT_PORT} {row.address} {tags} {words}")
    if any(isinstance(argument, int) and abs(argument) > 1 << 24 for argument in row.example):
        return examples  # Pd's numbers are float32: a checksum does not fit
    return [
        *examples,
        f"Pd             [list {' '.join(map(_in_pd, row.example))}( → [oscformat -f {tags} {row.address}] → "
        f"[list prepend send] → [list trim] → [netsend -u -b]",
    ]


def _in_supercollider(argument: Argument) -> str:
    if isinstance(argument, bytes):
        return f"Int8Array{list(argument)}"
    return f'"{argument}"' if isinstance(argument, str) else str(argument)


def _in_pd(argument: Argument) -> str:
    return str(argument).replace(" ", r"\ ")


def _tag(argument: Argument) -> str:
    return {int: "i", float: "f", str: "s", bytes: "b"}[type(argument)]


def _signature(row: Request) -> str:
    names = ", ".join(["id", *(field.name for field in row.arguments)])
    return f"{names}, [key, value]..." if row.options else names


def _arguments(row: Reply) -> str:
    return ", ".join(f"{field.name} {field.tag}" for field in row.arguments)


def _fields(fields: Iterable[Field]) -> str:
    rows = (
        (f"`{field.name}`", field.tag, field.text + ("; repeatable" if field.repeatable else ""))
        for field in fields
    )
    return _table(("name", "type", "is"), rows)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
