"""TOML into frozen dataclasses, refusing what it does not know: a misspelt key must never pass for a default."""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
import types
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from encoders.errors import BadRequest, NotFound

T = TypeVar("T")


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as a table.

    Raises:
        NotFound: no such file.
        BadRequest: not TOML, or not text.
    """
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise NotFound(str(path), found="no such file") from None
    except (OSError, ValueError) as error:
        raise BadRequest(str(path), found=str(error), expected="TOML") from None


def build(cls: type[T], table: dict[str, Any], where: str) -> T:
    """Makes a dataclass of a table; tables within become the dataclasses that the fields name.

    Args:
        where: what an error calls the table: its file.

    Raises:
        BadRequest: an unknown key (with the nearest known one), a wrong type, or a missing key without default.
    """
    return _build(cls, table, where, "")


def _build(cls: type[T], table: dict[str, Any], where: str, prefix: str) -> T:
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}  # type: ignore[arg-type]
    for key in table:
        if key not in fields:
            raise BadRequest(
                f"{where}: {prefix}{key}",
                found="an unknown key",
                expected=nearest(key, fields),
                remedy="correct the name",
            )
    values = {key: _value(hints[key], value, where, prefix + key) for key, value in table.items()}
    for name, field in fields.items():
        if (
            name not in values
            and field.default is dataclasses.MISSING
            and field.default_factory is dataclasses.MISSING
        ):
            raise BadRequest(f"{where}: {prefix}{name}", found="nothing", expected="a value")
    return cls(**values)


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word most like `word`, or all of them: for the `expected` part of an error."""
    known = list(known)
    close = difflib.get_close_matches(word, known, 1)
    return close[0] if close else ", ".join(known)


def _value(hint: Any, value: Any, where: str, key: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):  # X | None: TOML has no null, so a value is always an X
        return _value(next(part for part in arguments if part is not types.NoneType), value, where, key)
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return _build(hint, value, where, f"{key}.")  # type: ignore[arg-type]
    if origin is tuple and isinstance(value, list):
        return tuple(_value(arguments[0], item, where, key) for item in value)
    if origin is typing.Literal and value in arguments and type(value) is type(arguments[0]):  # True is no 1
        return value
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is hint:
        return value
    raise BadRequest(f"{where}: {key}", found=repr(value), expected=_expected(hint))


def _expected(hint: Any) -> str:
    if typing.get_origin(hint) is typing.Literal:
        return " or ".join(map(repr, typing.get_args(hint)))
    if dataclasses.is_dataclass(hint):
        return "a table"
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    return names.get(hint, "a list")
