"""Answers as files, for hosts that cannot receive OSC: answers/NAME.json and NAME.tsv in the state folder."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from encoders.artefacts import write_bytes
from encoders.errors import BadRequest, Refused, SamplefitError

COLUMNS = ("type", "rank", "score", "path", "name", "duration_s")
_PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")
_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def check_name(name: str) -> str:
    """`name`, if it is plain: letters, digits, dot, dash and underscore, at most 64, no dot in front.

    Raises:
        BadRequest: it is not; so no answer ever lands outside its folder.
    """
    if not _PLAIN.fullmatch(name):
        raise BadRequest("answer", found=repr(name)[:80], expected="a plain name of letters, digits, . - _")
    return name


def write_answer(state: Path, name: str, document: dict[str, Any]) -> None:
    """Writes the contract's JSON, and its hits as lines of tab-separated fields under a line of column names.

    In the .tsv a backslash, tab or line break within a field is escaped as in C, and paths are the file system's
    bytes. Each file is renamed into place whole, the .tsv last: who waits for it finds the .json too.

    Raises:
        Refused: the state folder takes no file: its disk is full, say.
    """
    lines = ["\t".join(COLUMNS)]
    lines += [
        "\t".join(str(hit[column]).translate(_ESCAPES) for column in COLUMNS) for hit in document["hits"]
    ]
    _write(state, name, document, lines)


def write_failure(state: Path, name: str, error: SamplefitError) -> None:
    """Writes why there is no answer: {"fail": {"code", "text"}}, and one line `fail`, code, text.

    Raises:
        Refused: the state folder takes no file.
    """
    fail = {"code": error.code, "text": error.text}
    _write(state, name, {"fail": fail}, ["\t".join(("fail", error.code, error.text.translate(_ESCAPES)))])


def _write(state: Path, name: str, document: dict[str, Any], lines: list[str]) -> None:
    folder = state / "answers"
    try:
        folder.mkdir(exist_ok=True)
        write_bytes(folder / f"{check_name(name)}.json", json.dumps(document).encode())
        write_bytes(folder / f"{name}.tsv", os.fsencode("".join(f"{line}\n" for line in lines)))
    except OSError as error:
        raise Refused(
            f"the answer file in {folder}",
            found=error.strerror or str(error),
            expected="a disk with room, and a folder that can be written",
            remedy="free some disk space, then press again",
        ) from None
