"""docs/osc.md says what the table says, and its examples are what they claim."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest

from plugin_bridge.addresses import CODES, REPLIES, TABLE, parse
from plugin_bridge.osc import Message
from plugin_bridge.osc_docs import page, requests_table

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "osc.md").read_text("utf-8")
ROWS = {row.address: row for row in TABLE}


def test_the_page_is_up_to_date() -> None:
    assert page() == PAGE, "run: python docs/make_osc.py"


def test_everything_stands_in_it() -> None:
    names = [row.address for row in (*TABLE, *REPLIES)] + list(CODES)
    names += [field.name for row in TABLE for field in (*row.arguments, *row.options)]
    assert [name for name in names if f"`{name}`" not in PAGE] == []


def test_readme_table_has_a_line_a_request() -> None:
    assert [line.split("`")[1] for line in requests_table().splitlines()[2:]] == list(ROWS)


@pytest.mark.parametrize("line", re.findall(r"^oscsend +(.*)$", PAGE, re.M))
def test_oscsend_examples_are_requests(line: str) -> None:
    command, _, _, address, tags, *words = shlex.split(line)
    kinds = {"i": int, "f": float, "s": str}
    values = tuple(kinds[tag](word) for tag, word in zip(tags, words, strict=True))
    assert command == "oscsend"
    assert parse(Message(address, values)) == parse(Message(address, ROWS[address].example))


@pytest.mark.parametrize("line", re.findall(r"^python-osc +client\.send_message\((.*)\)$", PAGE, re.M))
def test_python_osc_examples_are_requests(line: str) -> None:
    address, values = ast.literal_eval(f"({line})")
    assert tuple(values) == ROWS[address].example


@pytest.mark.parametrize("path", re.findall(r"\]\(([^)]+)\)", PAGE))
def test_links_lead_somewhere(path: str) -> None:
    assert (DOCS / path).is_file()
