"""Commands about DAWs: list, install, uninstall."""

from __future__ import annotations

import argparse
from typing import Any

from plugin_bridge.cli_common import add_json, print_json, print_table
from plugin_bridge.daw.daws import DAWS, find, this_machine
from plugin_bridge.daw.install import install, is_installed, uninstall
from plugin_bridge.settings import state_folder


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    """Adds the commands to the parser."""
    daw = commands.add_parser("daw", help="the scripts for DAWs").add_subparsers(
        dest="subcommand", required=True, metavar="list|install|uninstall"
    )
    text = "every DAW that samplefit has a script for, and where it was found"
    command = daw.add_parser("list", parents=[common], help=text, description=text)
    add_json(command)
    command.set_defaults(run=run_list)
    for name, run, text in (
        ("install", run_install, "put a DAW's script where that DAW looks for it"),
        ("uninstall", run_uninstall, "take it away; what was there before comes back"),
    ):
        command = daw.add_parser(name, parents=[common], help=text, description=text)
        command.add_argument("daw", metavar="NAME", help=", ".join(DAWS))
        command.set_defaults(run=run)


def run_list(arguments: argparse.Namespace) -> None:
    machine = this_machine(state_folder(arguments.state))
    rows = [
        {
            "name": daw.name,
            "title": daw.title,
            "found": [str(folder) for folder in daw.where(machine)],
            "installed": is_installed(daw, machine),
        }
        for daw in DAWS.values()
    ]
    if arguments.json:
        print_json(rows)
        return
    print_table(
        ("", "name", "found in"),
        [("*" if row["installed"] else "", row["name"], ", ".join(row["found"]) or "-") for row in rows],
    )


def run_install(arguments: argparse.Namespace) -> None:
    daw, machine = find(arguments.daw), this_machine(state_folder(arguments.state))
    for path in install(daw, machine):
        print(path)
    print(daw.then)


def run_uninstall(arguments: argparse.Namespace) -> None:
    daw, machine = find(arguments.daw), this_machine(state_folder(arguments.state))
    done, left = uninstall(daw, machine)
    for path in done:
        print(path)
    for path in left:
        print(f"left, because you changed it: {path}")
