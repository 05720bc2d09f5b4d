"""Commands about starting at login: install, uninstall, status."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from plugin_bridge.cli_common import add_json, print_json
from plugin_bridge.daw.daws import this_machine
from plugin_bridge.service import Service, install, is_running, service_for, uninstall
from plugin_bridge.settings import state_folder


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    """Adds the commands to the parser."""
    service = commands.add_parser("service", help="start the daemon at login").add_subparsers(
        dest="subcommand", required=True, metavar="install|uninstall|status"
    )
    for name, run, text in (
        ("install", run_install, "start the daemon now and at every login"),
        ("uninstall", run_uninstall, "no longer"),
        ("status", run_status, "whether it is installed, and whether it runs"),
    ):
        command = service.add_parser(name, parents=[common], help=text, description=text)
        command.set_defaults(run=run)
        if name == "status":
            add_json(command)


def run_install(arguments: argparse.Namespace) -> None:
    service = _service(arguments)
    install(service)
    print(f"{service.path}: the daemon runs, now and after every login")


def run_uninstall(arguments: argparse.Namespace) -> None:
    service = _service(arguments)
    print(f"{service.path}: {'removed' if uninstall(service) else 'was not installed'}")


def run_status(arguments: argparse.Namespace) -> None:
    service = _service(arguments)
    found = {
        "path": str(service.path),
        "installed": service.path.exists(),
        "running": is_running(service),
    }
    if arguments.json:
        print_json(found)
    elif not found["installed"]:
        print("not installed: samplefit service install")
    else:
        print(f"{service.path}: {'running' if found['running'] else 'not running'}")


def _service(arguments: argparse.Namespace) -> Service:
    state = state_folder(arguments.state)
    return service_for(sys.platform, Path.home(), state, (this_machine(state).command,))
