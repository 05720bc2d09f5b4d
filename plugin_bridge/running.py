"""How a shell command finds the daemon of its state folder: daemon.json, believed only when the daemon answers."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from encoders.artefacts import write_bytes
from encoders.errors import Refused, SamplefitError
from index.lock import is_held
from plugin_bridge.addresses import TROUBLE
from plugin_bridge.client import Client, Failed

TOKEN_VARIABLE = "SAMPLEFIT_TOKEN"
"""What every request must carry, where the daemon listens beyond this machine; read by daemon and shell alike."""

FIND_TIMEOUT_S = 20.0
"""A status takes milliseconds; one that takes longer than this comes from a daemon that hangs, however busy the machine."""


@dataclass(frozen=True)
class Running:
    """Where a daemon listens, and on what it computes.

    Attributes:
        web_host, web_port: where its panel is; None without one.
        model: the folder of its model package.
        n_noise: packets so far that were no OSC, or not for it.
        trouble: what kept its library from being brought up to the disk when it was found.
    """

    pid: int
    osc_host: str
    osc_port: int
    web_host: str | None
    web_port: int | None
    model: str
    device: str
    version: str
    n_noise: int = 0
    trouble: tuple[str, ...] = ()

    def connected(self, timeout_s: float = 30.0) -> Client:
        """A connection to it; see `Client`."""
        host = "127.0.0.1" if self.osc_host == "0.0.0.0" else self.osc_host
        return Client(host, self.osc_port, timeout_s=timeout_s, token=os.environ.get(TOKEN_VARIABLE))


def announce(state: Path, running: Running) -> None:
    """Writes daemon.json: the daemon's last step before it says that it is ready."""
    write_bytes(_file(state), json.dumps(asdict(running)).encode())


def withdraw(state: Path) -> None:
    """Removes daemon.json: the daemon's first step when it ends."""
    _file(state).unlink(missing_ok=True)


def find(state: Path) -> Running | None:
    """The daemon of this state folder, or None: no file, a stale one, or nobody who answers there.

    A killed daemon's port may be another's by now, of another state folder; only ours holds this one's lock.

    Raises:
        Refused: it wants a token, and another than ours.
    """
    if not is_held(state):
        return None
    try:
        running = Running(**json.loads(_file(state).read_text("utf-8")))
        with running.connected(FIND_TIMEOUT_S) as client:
            replies = client.ask("/samplefit/status")
    except Failed as error:
        if error.code != Refused.code:
            return None
        raise Refused(
            f"the daemon at {running.osc_host}:{running.osc_port}",
            found=f"{'another' if os.environ.get(TOKEN_VARIABLE) else 'no'} token in {TOKEN_VARIABLE} here",
            expected="the one that it was started with",
            remedy=f"set {TOKEN_VARIABLE} to it",
        ) from None
    except (OSError, ValueError, TypeError, SamplefitError):
        return None
    return replace(running, trouble=tuple(str(row.arguments[1]) for row in replies if row.address == TROUBLE))


def _file(state: Path) -> Path:
    return state / "daemon.json"
