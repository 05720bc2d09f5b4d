"""Commands about the daemon and the installation: serve, demo, doctor."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from encoders.errors import SamplefitError
from encoders.package import open_package
from encoders.session import open_encoder
from index.library import Library
from plugin_bridge import announce, running
from plugin_bridge.cli_common import absolute, add_json, host_and_port, print_json, program_version
from plugin_bridge.cli_panel import serve_panel
from plugin_bridge.daemon import set_by_signals
from plugin_bridge.demo import run_demo
from plugin_bridge.doctor import examine
from plugin_bridge.server import DEFAULT_PORT, OscServer
from plugin_bridge.settings import find_model, model_in_use, state_folder
from plugin_bridge.switching import Switch

log = logging.getLogger(__name__)

ENROL_LIMIT_S = 2.0
"""How long a `--folder` keeps the daemon from being ready: one on a drive that hangs is enrolled once it answers."""

TIDY_EVERY_S = 1.0
"""Short, because Windows hands over signals only between two waits."""


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    """Adds the commands to the parser."""
    text = "the daemon: answers presses over OSC and follows the sample folders"
    command = commands.add_parser("serve", parents=[common], help=text, description=text)
    command.add_argument(
        "--osc", default=f"127.0.0.1:{DEFAULT_PORT}", metavar="HOST:PORT", help="port 0: a free one"
    )
    command.add_argument(
        "--web", metavar="HOST:PORT", help="the panel (else 127.0.0.1:7041, or a free port); off: none"
    )
    command.add_argument(
        "--folder", action="append", default=[], metavar="DIR", help="follow this folder, too"
    )
    command.add_argument("--model", metavar="NAME_OR_DIR", help="instead of the one in use")
    command.add_argument(
        "--announce",
        action="store_true",
        default=os.environ.get("SAMPLEFIT_ANNOUNCE") == "1",
        help="tell programs nearby where it listens, by mDNS (or set SAMPLEFIT_ANNOUNCE=1)",
    )
    command.set_defaults(run=run_serve)

    text = "from nothing to an answer: makes a library and a mix, runs the daemon, presses, prints the hits"
    command = commands.add_parser("demo", help=text, description=text)
    command.set_defaults(run=lambda _: run_demo())

    text = "what is wrong with this installation, and the remedy"
    command = commands.add_parser("doctor", parents=[common], help=text, description=text)
    add_json(command)
    command.set_defaults(run=run_doctor)


def run_serve(arguments: argparse.Namespace) -> None:
    """Serves until a signal; the first line on stdout says, as JSON, that it is ready and where."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    stop = set_by_signals()
    host, port = host_and_port(arguments.osc)
    if arguments.announce:
        announce.check_installed()
    state = state_folder(arguments.state)
    model = find_model(state, arguments.model) if arguments.model else model_in_use(state)
    version = program_version()
    encoder = open_encoder(open_package(model))
    with (
        Library(state, encoder, watch=True) as library,
        serve_panel(arguments.web, state, library, version) as (daemon, web, invitation),
        OscServer(daemon, host, port, token=os.environ.get(running.TOKEN_VARIABLE)) as server,
        ExitStack() as while_ready,
    ):
        here = running.Running(
            os.getpid(), host, server.port, *web, os.fspath(model), encoder.device, version
        )
        switch = Switch(state, library, model)
        told: running.Running | None = None  # what daemon.json says

        def keep_up() -> None:
            nonlocal told
            daemon.tidy()
            if not arguments.model:
                switch.look()
            now = replace(
                here,
                model=os.fspath(switch.serving),
                device=library.encoder.device,
                n_noise=server.counters.n_noise,
            )
            if now != told:
                running.announce(state, now)
                told = now

        trouble = _tried(keep_up, "")
        for is_enrolled in [_follow(library, absolute(folder)) for folder in arguments.folder]:
            is_enrolled.wait(ENROL_LIMIT_S)
        try:
            ready = {
                "ready": True,
                "osc_port": server.port,
                "web_port": here.web_port,
                "pid": here.pid,
                "version": version,
            }
            print(json.dumps(ready), flush=True)
            if invitation:
                print(f"panel: {invitation}", file=sys.stderr, flush=True)
            if arguments.announce:
                while_ready.enter_context(announce.announced(host, server.port))
            while not stop.wait(TIDY_EVERY_S):
                trouble = _tried(keep_up, trouble)
        finally:
            running.withdraw(state)


def _tried(keep_up: Callable[[], None], trouble: str) -> str:
    """Has the state folder kept up, and returns why it could not be: a full disk, say. Presses are answered all the same.

    Args:
        trouble: what it was last time, and is in the log by now.
    """
    try:
        keep_up()
    except (OSError, SamplefitError) as error:
        if str(error) != trouble:
            log.warning("the state folder cannot be kept up: %s", error)
        return str(error)
    return ""


def _follow(library: Library, folder: str) -> threading.Event:
    """Adds a folder while the daemon already answers; one that cannot be followed is told in the log.

    Returns:
        Set once a sync would read the folder, too, or it is given up.
    """
    is_enrolled = threading.Event()

    def add() -> None:
        try:
            library.enrol(folder)
            is_enrolled.set()
            library.sync()
        except SamplefitError as error:
            log.warning("--folder %s", error.text)
        finally:
            is_enrolled.set()

    threading.Thread(target=add, daemon=True).start()
    return is_enrolled


def run_doctor(arguments: argparse.Namespace) -> int:
    findings = examine(state_folder(arguments.state))
    if arguments.json:
        print_json([vars(finding) for finding in findings])
    else:
        for finding in findings:
            print(f"{'ok  ' if finding.ok else 'BAD '} {finding.check}: {finding.text}")
            if finding.remedy:
                print(f"     remedy: {finding.remedy}")
    return 0 if all(finding.ok for finding in findings) else 2
