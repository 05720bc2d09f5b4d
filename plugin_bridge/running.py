"""How a shell command finds the daemon of its state folder: daemon.json, believed only when the daemon answers."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from encoders.artefacts import write_bytes
from encoders.errors import SamplefitError
from plugin_bridge.client import Client


@dataclass(frozen=True)
class Running:
    """Where a daemon listens, and on what it computes.

    Attributes:
        web_host, web_port: where its panel is; None without one.
        model: the folder of its model package.
    """

    pid: int
    osc_host: str
    osc_port: int
    web_host: str | None
    web_port: int | None
    model: str
    device: str
    version: str

    def connected(self) -> Client:
        """A connection to it."""
        return Client(self.osc_host, self.osc_port)


def announce(state: Path, running: Running) -> None:
    """Writes daemon.json: the daemon's last step before it says that it is ready."""
    write_bytes(_file(state), json.dumps(asdict(running)).encode())


def withdraw(state: Path) -> None:
    """Removes daemon.json: the daemon's first step when it ends."""
    _file(state).unlink(missing_ok=True)


def find(state: Path) -> Running | None:
    """The daemon of this state folder, or None: no file, a stale one, or nobody who answers there."""
    try:
        running = Running(**json.loads(_file(state).read_text("utf-8")))
        with running.connected() as client:
            client.ask("/samplefit/status")
    except (OSError, ValueError, TypeError, SamplefitError):
        return None
    return running


def _file(state: Path) -> Path:
    return state / "daemon.json"
