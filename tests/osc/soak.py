"""The long attack: python -m tests.osc.soak [n_packets] [n_streams] prints what it cost a server, as JSON.

A million packets and ten thousand streams by default, which takes some minutes; the tests do a small part of it.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path

from plugin_bridge.client import Client, Failed
from plugin_bridge.server import OscServer
from tests.osc.packets import hostile_packets, hostile_streams
from tests.osc.service import Service, tcp, udp

IN_STEP = 64
"""Packets between two honest requests, few enough for the smallest receive buffer."""


def serve(pipe: Connection, log: str) -> None:
    """The server's process: answers with its figures whenever it is asked."""
    logging.basicConfig(filename=log, level=logging.INFO)
    service = Service()
    service.may_sync.set()
    with OscServer(service, port=0) as server:
        pipe.send(server.port)
        while pipe.recv():
            service.calls.clear()
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            pipe.send(
                {
                    "resident_mb": round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1),
                    "threads": threading.active_count(),
                    "held_mb": round(service.store.expire() / 2**20, 1),
                    **vars(server.counters),
                }
            )


def main(n_packets: int = 1_000_000, n_streams: int = 10_000) -> None:
    here, there = multiprocessing.Pipe()
    with tempfile.TemporaryDirectory() as folder:
        log = os.path.join(folder, "server.log")
        process = multiprocessing.Process(target=serve, args=(there, log), daemon=True)
        process.start()
        port = here.recv()

        def figures() -> dict[str, float]:
            here.send(True)
            return here.recv()

        class Where:
            host = "127.0.0.1"

        Where.port = port
        report = {"n_packets": n_packets, "n_streams": n_streams, "before": figures()}
        began = time.perf_counter()
        slowest_ms = 0.0
        with udp(Where) as attacker, udp(Where) as client:
            for n, packet in enumerate(islice(hostile_packets(11), n_packets)):
                attacker.send_bytes(packet[:60_000])
                if n % IN_STEP == 0:
                    asked = time.perf_counter()
                    assert client.ask("/samplefit/status", n).arguments[0] == n
                    slowest_ms = max(slowest_ms, 1000 * (time.perf_counter() - asked))
        report["after packets"] = figures()
        report["seconds, packets"] = round(time.perf_counter() - began, 1)
        report["slowest answer among packets, ms"] = round(slowest_ms, 1)

        began = time.perf_counter()
        slowest_ms = 0.0
        left_open = []
        for n, stream in enumerate(islice(hostile_streams(12), n_streams)):
            with tcp(Where) as attacker:
                attacker.settimeout(0.0)
                try:
                    attacker.send(stream)
                except OSError:
                    continue
                left_open = [*left_open[-100:], attacker.dup()]
            if n % IN_STEP == 0:
                asked = time.perf_counter()
                with Client("127.0.0.1", port) as client:
                    try:
                        client.ask("/samplefit/status")
                    except Failed as failed:  # an answer too: thousands of requests wait
                        assert failed.code == "busy"
                        report["busy"] = report.get("busy", 0) + 1
                slowest_ms = max(slowest_ms, 1000 * (time.perf_counter() - asked))
        report["after streams"] = figures()
        report["seconds, streams"] = round(time.perf_counter() - began, 1)
        report["slowest answer among streams, ms"] = round(slowest_ms, 1)
        report["log_bytes"] = os.path.getsize(log)
        here.send(False)
        process.join(30)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
