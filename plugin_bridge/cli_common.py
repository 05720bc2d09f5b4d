"""What the commands share: printing, and opening the library with the model in use."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from encoders.errors import BadRequest, one_line
from encoders.package import open_package
from encoders.session import open_encoder
from index.library import Library
from plugin_bridge.progress import Progress
from plugin_bridge.settings import model_in_use


def program_version() -> str:
    """The installed version; "0" in a checkout that was never installed."""
    try:
        return version("samplefit")
    except PackageNotFoundError:
        return "0"


def print_json(value: Any) -> None:
    """One JSON document on stdout, ASCII alone: bytes that are not UTF-8 stand as PEP 383 escapes."""
    print(json.dumps(value, indent=1))


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Columns as wide as their widest cell; numbers to the right. A name's control characters are shown, not sent."""
    cells = [list(header), *([one_line(str(cell)) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    numeric = [
        bool(rows) and all(isinstance(row[column], int | float) for row in rows)
        for column in range(len(header))
    ]
    for row in cells:
        print(
            "  ".join(
                cell.rjust(width) if right else cell.ljust(width)
                for cell, width, right in zip(row, widths, numeric, strict=True)
            ).rstrip()
        )


def add_json(command: argparse.ArgumentParser) -> None:
    """The flag that turns output into one JSON document."""
    command.add_argument("--json", action="store_true", help="one JSON document on stdout")


def absolute(path: str) -> str:
    """A path as given on the command line, made absolute without resolving links."""
    return os.path.abspath(os.path.expanduser(path))


def host_and_port(text: str) -> tuple[str, int]:
    """ "127.0.0.1:7040", "[::1]:7040" → host and port.

    Raises:
        BadRequest: no such form, or a port out of range.
    """
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdecimal() or int(port) > 65_535:
        raise BadRequest(f"address {text!r}", found="no host and port", expected="HOST:PORT, port 0 to 65535")
    return host.removeprefix("[").removesuffix("]"), int(port)


@contextmanager
def library_of(state: Path, model: Path | None = None) -> Iterator[Library]:
    """The library of a state folder, opened in this process with a model: the one in use unless another is given.

    Raises:
        Busy: another process holds it.
        NoModel: the package cannot be used.
    """
    encoder = open_encoder(open_package(model or model_in_use(state)))
    with Library(state, encoder) as library:
        yield library


@contextmanager
def progress(what: str, unit: str = "files") -> Iterator[Progress]:
    """Progress on stderr while the block runs."""
    shown = Progress(one_line(what), unit)
    try:
        yield shown
    finally:
        shown.close()
