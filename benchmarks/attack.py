"""What does an attack leave behind? python benchmarks/attack.py [n_packets] [n_streams]; some minutes on an idle machine.

The real daemon with its starter model is sent hostile datagrams (in step with honest requests, so that they arrive),
hostile TCP streams, and last a flood at full speed. Real presses are timed among them and right after each.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import measure

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[1] / "tests")]

from daemon import Daemon, log_of, serving

from plugin_bridge.demo_sounds import write_library, write_stems
from tests.osc.flooder import flooding
from tests.osc.packets import hostile_packets, hostile_streams
from tests.osc.service import tcp, udp

IN_STEP = 64
"""Packets between two honest requests, few enough for the smallest receive buffer."""

N_PRESSES = 20
"""Presses before, during the flood, and after each attack."""

N_LEFT_OPEN = 100
"""Streams that the attacker does not close."""


def main(n_packets: int = 1_000_000, n_streams: int = 10_000) -> None:
    about = measure.machine()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_library(folder / "samples")
        bounce = write_stems(folder / "stems")[0]
        with serving(folder / "state", "--web", "off") as daemon:
            daemon.ask("/samplefit/folder/add", str(folder / "samples"))

            def press() -> None:
                daemon.ask("/samplefit/suggest/file", str(bounce))

            times(press, N_PRESSES)
            result: dict[str, Any] = {
                "before": {"press_ms": measure.spread(times(press, N_PRESSES)), **figures(daemon)}
            }
            attacks = {
                "packets": lambda: packets(daemon, n_packets),
                "streams": lambda: streams(daemon, n_streams),
                "flood": lambda: flood(daemon, press),
            }
            for attack, run in attacks.items():
                began = time.perf_counter()
                told = run()
                seconds = time.perf_counter() - began
                after = times(press, N_PRESSES)
                result[attack] = {
                    "seconds": round(seconds, 1),
                    **told,
                    "next_press_ms": round(after[0], 1),
                    "press_after_ms": measure.spread(after),
                    **figures(daemon),
                }
                print(attack, json.dumps(result[attack]), file=sys.stderr, flush=True)
    measure.write("attack", {"n_packets": n_packets, "n_streams": n_streams, **result}, about)


def packets(daemon: Daemon, n: int) -> dict[str, Any]:
    """Sends hostile datagrams. Returns how long status took among them."""
    answered_ms = []
    with udp(daemon) as attacker, udp(daemon) as client:
        for sent, packet in enumerate(islice(hostile_packets(11), n)):
            attacker.send_bytes(packet[:60_000])
            if sent % IN_STEP == 0:
                began = time.perf_counter()
                assert client.ask("/samplefit/status", sent).arguments[0] == sent
                answered_ms.append(1000 * (time.perf_counter() - began))
    return {"status_ms": measure.spread(answered_ms)}


def streams(daemon: Daemon, n: int) -> dict[str, Any]:
    """Opens hostile TCP connections, some of them left open. Returns how long status took among them."""
    answered_ms, left_open = [], []
    for sent, stream in enumerate(islice(hostile_streams(12), n)):
        with tcp(daemon) as attacker:
            attacker.settimeout(0.0)  # never waits: an attacker does not care
            try:
                attacker.send(stream)
            except OSError:
                continue
            left_open = [*left_open[-N_LEFT_OPEN:], attacker.dup()]
        if sent % IN_STEP == 0:
            answered_ms += times(lambda: daemon.ask("/samplefit/status"), 1)
    return {"status_ms": measure.spread(answered_ms)}


def flood(daemon: Daemon, press: Callable[[], object]) -> dict[str, Any]:
    """Presses while one client sends as fast as it can. Returns how long they took."""
    with flooding(daemon.port):
        return {"press_ms": measure.spread(times(press, N_PRESSES))}


def times(work: Callable[[], object], n: int) -> list[float]:
    """How long each of n runs took, in milliseconds."""
    taken = []
    for _ in range(n):
        began = time.perf_counter()
        work()
        taken.append(1000 * (time.perf_counter() - began))
    return taken


def figures(daemon: Daemon) -> dict[str, float]:
    """What the daemon holds and has written (Linux)."""
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{daemon.process.pid}/status").read_text().splitlines()
    )
    return {
        "resident_mb": measure.resident_mb(daemon.process.pid),
        "threads": int(status["Threads"]),
        "files_open": len(list(Path(f"/proc/{daemon.process.pid}/fd").iterdir())),
        "log_bytes": log_of(daemon.state).stat().st_size,
        "n_noise": json.loads((daemon.state / "daemon.json").read_text())["n_noise"],
    }


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
