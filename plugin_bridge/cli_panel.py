"""The panel from the command line: served beside the daemon, and opened in the browser."""

from __future__ import annotations

import argparse
import sys
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from encoders.errors import NotFound
from index.library import Library
from plugin_bridge import running
from plugin_bridge.cli_common import host_and_port
from plugin_bridge.daemon import Daemon
from plugin_bridge.extras import how_to_add, missing
from plugin_bridge.settings import state_folder


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    """Adds the command to the parser."""
    text = "opens the panel of the running daemon in the browser"
    command = commands.add_parser("panel", parents=[common], help=text, description=text)
    command.add_argument("--print", action="store_true", help="print the address, good for a minute, instead")
    command.set_defaults(run=run_panel)


def run_panel(arguments: argparse.Namespace) -> None:
    """Opens the panel with a token of its own."""
    state = state_folder(arguments.state)
    daemon = running.find(state)
    if daemon is None:
        raise NotFound("the panel", found="no running daemon", remedy="start one with `samplefit serve`")
    if daemon.web_host is None or daemon.web_port is None:
        raise NotFound(
            "the panel",
            found="a daemon without one",
            remedy=f"{how_to_add('panel')}, then start the daemon again",
        )
    from plugin_bridge.panel.access import make_token, read_key
    from plugin_bridge.panel.server import address

    where = address(daemon.web_host, daemon.web_port, make_token(read_key(state)))
    if arguments.print or not webbrowser.open(where):
        print(where)


@contextmanager
def serve_panel(
    web: str | None, state: Path, library: Library, version: str
) -> Iterator[tuple[Daemon, tuple[str, int] | tuple[None, None], str | None]]:
    """A daemon and, while the block runs, its panel.

    Args:
        web: HOST:PORT; "off" for no panel; None for one at the usual place, if it is installed.

    Yields:
        The daemon; the panel's host and port, and its address with a token for one use: None without a panel.

    Raises:
        NotFound: a place was given and the extra is missing.
        What `PanelServer` raises.
    """
    absent = missing("panel")
    if absent and web not in (None, "off"):
        raise NotFound("the panel", found=f"no {absent}", remedy=how_to_add("panel"))
    if absent and web is None:
        print(f"no panel, for there is no {absent}: {how_to_add('panel')}", file=sys.stderr)
    if absent or web == "off":
        yield Daemon(state, library, version), (None, None), None
        return
    from plugin_bridge.panel.access import read_key
    from plugin_bridge.panel.panel import Watcher, open_panel
    from plugin_bridge.panel.server import PanelServer

    watcher = Watcher(read_key(state))
    daemon = Daemon(state, library, version, on_press=watcher)
    panel = open_panel(state, version, library, daemon.press, watcher)
    with PanelServer(panel, *(host_and_port(web) if web else ())) as server:
        yield daemon, (server.host, server.port), server.invitation()
