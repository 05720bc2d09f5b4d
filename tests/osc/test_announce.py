"""The daemon by multicast DNS: found with the port and address that it listens on, gone when it ends, silent unasked."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue

import pytest
from daemon import ENVIRONMENT, PATIENCE_S, serving
from packages import make_package

from plugin_bridge import announce
from plugin_bridge.cli import parser

zeroconf = pytest.importorskip("zeroconf", reason="no zeroconf here (the extra announce)")

Seen = Queue[tuple[str, str, str]]


@contextmanager
def browsing() -> Iterator[tuple[zeroconf.Zeroconf, Seen]]:
    """A browser on the loopback network, and what it sees: (Added or Removed, type, name)."""
    seen: Seen = Queue()

    def see(
        zeroconf: object, service_type: str, name: str, state_change: zeroconf.ServiceStateChange
    ) -> None:
        if name.startswith("samplefit on "):
            seen.put((state_change.name, service_type, name))

    with zeroconf.Zeroconf(interfaces=["127.0.0.1"]) as network:
        zeroconf.ServiceBrowser(network, list(announce.TYPES), handlers=[see])
        yield network, seen


def two(seen: Seen, change: str) -> dict[str, str]:
    """The names of both services, by type, once both have come or gone."""
    found: dict[str, str] = {}
    while found.keys() != set(announce.TYPES):
        happened, service_type, name = seen.get(timeout=PATIENCE_S)
        if happened == change:
            found[service_type] = name
    return found


def test_a_browser_finds_the_daemon_while_it_runs(tmp_path: Path) -> None:
    options = ("--web", "off", "--model", make_package(tmp_path / "model"), "--announce")
    with browsing() as (network, seen), serving(tmp_path / "state", *options) as daemon:
        names = two(seen, "Added")
        for service_type, name in names.items():
            service = network.get_service_info(service_type, name, 1000 * PATIENCE_S)
            assert (service.port, service.parsed_addresses()) == (daemon.port, ["127.0.0.1"])
        daemon.process.terminate()
        assert two(seen, "Removed") == names
        assert daemon.process.wait(PATIENCE_S) == 0


@pytest.mark.parametrize(("value", "is_on"), [("1", True), ("", False), ("0", False), (None, False)])
def test_the_environment_can_ask_for_it(
    value: str | None, is_on: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SAMPLEFIT_ANNOUNCE", raising=False)
    if value is not None:
        monkeypatch.setenv("SAMPLEFIT_ANNOUNCE", value)
    assert parser().parse_args(["serve"]).announce is is_on


def test_two_daemons_have_two_names() -> None:
    with browsing() as (network, seen), announce.announced("127.0.0.1", 7041):
        first = two(seen, "Added")
        with announce.announced("localhost", 7042):
            second = two(seen, "Added")
            for names, port in ((first, 7041), (second, 7042)):
                assert {
                    network.get_service_info(*item, 1000 * PATIENCE_S).port for item in names.items()
                } == {port}


def test_only_addresses_that_are_listened_on() -> None:
    assert announce.addresses_of("127.0.0.1") == announce.addresses_of("localhost") == ["127.0.0.1"]
    assert announce.addresses_of("192.0.2.7") == ["192.0.2.7"], "one card, though the machine may have more"
    everywhere = announce.addresses_of("0.0.0.0")
    assert "127.0.0.1" not in everywhere, "no other machine could follow it"
    assert not any(":" in address for address in everywhere)


def test_a_machine_in_no_network_serves_all_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(announce, "addresses_of", lambda host: [])
    with announce.announced("0.0.0.0", 7040):
        assert "port 7040 of 0.0.0.0 is not announced" in caplog.text


def test_without_the_extra_it_says_how_to_get_it(tmp_path: Path) -> None:
    code = "import sys; sys.modules['zeroconf'] = None; from plugin_bridge.cli import main; sys.exit(main())"
    ran = subprocess.run(
        [
            sys.executable,
            "-c",
            code,
            "serve",
            "--announce",
            "--osc",
            "127.0.0.1:0",
            "--state",
            os.fspath(tmp_path),
        ],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=PATIENCE_S,
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.count("\n") == 1 and '-m pip install "zeroconf' in ran.stderr
