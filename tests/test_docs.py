"""The docs keep up with the code: each command, preset, address and failure code stands in them."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from plugin_bridge.addresses import CODES, REPLIES, TABLE
from plugin_bridge.cli import parser
from plugin_bridge.settings import preset_files

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")
OSC = (ROOT / "docs" / "osc.md").read_text("utf-8")


def commands(of: argparse.ArgumentParser, path: str = "") -> Iterator[str]:
    """ "add", "model list"...: every command that runs something."""
    choices = [action for action in of._actions if isinstance(action, argparse._SubParsersAction)]
    if not choices:
        yield path
    for action in choices:
        for name, command in action.choices.items():
            yield from commands(command, f"{path} {name}".strip())


@pytest.mark.parametrize("command", list(commands(parser())))
def test_every_command_stands_in_the_readme(command):
    assert re.search(rf"`(samplefit )?{command}\b", README)


@pytest.mark.parametrize("name", list(preset_files(ROOT, "suggest")))
def test_every_press_preset_stands_in_the_readme(name):
    assert f"| `{name}` |" in README


@pytest.mark.parametrize("row", [*TABLE, *REPLIES], ids=lambda row: row.address)
def test_every_address_stands_in_the_osc_page(row):
    assert f"`{row.address}`" in OSC


@pytest.mark.parametrize("code", list(CODES))
def test_every_failure_code_stands_in_the_osc_page(code):
    assert f"| `{code}` |" in OSC


def test_the_two_commands_come_first():
    assert README.index("make demo") < README.index("make test") < README.index("## ")


def test_links_between_documents_lead_somewhere():
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text("utf-8")):
            if "://" not in link:
                assert (page.parent / link).exists(), f"{page.name}: {link}"
