"""Ardour's ui_scripts: the Lua actions of its toolbar, as base64 of Lua statements in XML. Pure functions on bytes."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from encoders.errors import BadRequest

N_SLOTS = 32
"""Actions that Ardour has room for (its MAX_LUA_ACTION_SCRIPTS)."""

_EMPTY = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<UIScripts>\n  <ActionScript lua="Lua 5.3"/>\n'
    b"  <ActionHooks/>\n</UIScripts>\n"
)
_FACTORY = """\
local factory, action_params, icon, ardour = nil, nil, nil, function () end
{source}
return factory (...)
"""
_STATEMENT = re.compile(
    rb"""\s*scripts(?:\[(?P<slot>\d+)\](?:\["(?:[^"\\]|\\.)*"\])*)?\s*=\s*   # scripts[7]["a"]["key"] =
         (?:\{\s*\}|true|false|nil|-?[\d.]+|"(?:[^"\\]|\\.)*")\s*;?""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\\n", "\r": "\\r", "\0": "\\0"}


@dataclass(frozen=True)
class Action:
    """One entry of the toolbar: its name, and what its script is called with."""

    name: str
    parameters: Mapping[str, str]


def with_actions(text: bytes | None, source: str, origin: str, actions: Sequence[Action]) -> bytes:
    """ui_scripts with these actions in free slots; the user's own keep theirs, and ours of before are replaced.

    Args:
        text: the file as it is, or None where there is none.
        source: the script, whose `factory` is called with an action's parameters.
        origin: where the script lies; by it Ardour and we know whose an action is.

    Raises:
        BadRequest: the file cannot be understood, or too few slots are free.
    """
    tree, statements = _read(text or _EMPTY)
    ours = _slots_from(statements, origin)
    statements = [statement for statement in statements if _slot(statement) not in ours]
    taken = {_slot(statement) for statement in statements}
    free = [slot for slot in range(1, N_SLOTS + 1) if slot not in taken]
    if len(free) < len(actions):
        raise BadRequest(
            "Ardour's action scripts",
            found=f"{len(free)} free slots",
            expected=f"{len(actions)}",
            remedy="remove some in Ardour: Edit > Lua Scripts > Script Manager",
        )
    for slot, action in zip(free, actions, strict=False):
        statements += _statements(slot, action, source, origin)
    return _write(tree, statements)


def without_actions(text: bytes, origin: str) -> bytes:
    """ui_scripts without the actions of the script at `origin`."""
    tree, statements = _read(text)
    ours = _slots_from(statements, origin)
    if not ours:
        return text
    return _write(tree, [statement for statement in statements if _slot(statement) not in ours])


def slots(text: bytes, origin: str) -> tuple[int, ...]:
    """The slots that hold actions of the script at `origin`."""
    return tuple(sorted(slot for slot in _slots_from(_read(text)[1], origin) if slot is not None))


def _read(text: bytes) -> tuple[ElementTree.Element, list[bytes]]:
    """The XML, and the Lua statements in it, one assignment each."""
    try:
        tree = ElementTree.fromstring(text)
        lua = base64.b64decode(tree.find("ActionScript").text or "", validate=True)  # type: ignore[union-attr]
    except (ElementTree.ParseError, AttributeError, ValueError):
        raise _not_understood() from None
    statements, at = [], 0
    while lua[at:].strip():
        found = _STATEMENT.match(lua, at)
        if not found:
            raise _not_understood()
        statements.append(found[0].strip())
        at = found.end()
    return tree, statements


def _write(tree: ElementTree.Element, statements: list[bytes]) -> bytes:
    table = [] if any(_slot(statement) is None for statement in statements) else [b"scripts = {}"]
    lua = b" ".join([*table, *statements])
    tree.find("ActionScript").text = base64.b64encode(lua).decode("ascii")  # type: ignore[union-attr]
    return ElementTree.tostring(tree, encoding="UTF-8", xml_declaration=True) + b"\n"


def _statements(slot: int, action: Action, source: str, origin: str) -> list[bytes]:
    fields = {"n": action.name, "s": source, "f": _FACTORY.format(source=source)}
    here = f"scripts[{slot}]"
    lines = [f"{here} = {{}}", *(f'{here}["{key}"] = {_quote(value)}' for key, value in fields.items())]
    lines += [f'{here}["c"] = true', f'{here}["a"] = {{}}']
    parameters = {"x-script-origin": origin, **action.parameters}
    lines += [f'{here}["a"][{_quote(key)}] = {_quote(value)}' for key, value in parameters.items()]
    return [line.encode("utf-8", "surrogateescape") for line in lines]


def _quote(text: str) -> str:
    """As Lua's %q."""
    return '"' + "".join(_ESCAPES.get(character, character) for character in text) + '"'


def _slot(statement: bytes) -> int | None:
    slot = _STATEMENT.match(statement)["slot"]  # type: ignore[index]
    return int(slot) if slot else None


def _slots_from(statements: list[bytes], origin: str) -> set[int | None]:
    end = f'["x-script-origin"] = {_quote(origin)}'.encode("utf-8", "surrogateescape")
    return {_slot(statement) for statement in statements if statement.endswith(end)}


def _not_understood() -> BadRequest:
    return BadRequest(
        "Ardour's ui_scripts",
        found="something else",
        expected="action scripts as Ardour 6 to 8 saves them",
        remedy="move the file away; Ardour then begins with no scripts",
    )
