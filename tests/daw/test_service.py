"""What each system is told; the systemd unit is checked by systemd itself where it is here."""

from __future__ import annotations

import argparse
import plistlib
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from encoders.errors import Refused
from plugin_bridge import cli_service
from plugin_bridge.service import Service, install, is_running, service_for, uninstall

AWKWARD = 'a "b" 100% $HOME \\ é'


def test_the_unit_starts_the_daemon_with_its_state(tmp_path: Path) -> None:
    service = service_for("linux", tmp_path, tmp_path / AWKWARD, ("/usr/bin/samplefit",))
    assert service.path == tmp_path / ".config/systemd/user/samplefit.service"
    (line,) = [line for line in service.content.decode().splitlines() if line.startswith("ExecStart=")]
    assert line.startswith('ExecStart="/usr/bin/samplefit" "serve" "--state" ')
    assert line.endswith(r'a \"b\" 100%% $$HOME \\ é"')


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    service = service_for("linux", tmp_path, tmp_path / AWKWARD, (sys.executable,))
    unit = tmp_path / "samplefit.service"
    unit.write_bytes(service.content)
    done = subprocess.run(["systemd-analyze", "verify", "--user", unit], capture_output=True, text=True)
    assert "samplefit.service" not in done.stderr, done.stderr


def test_the_launch_agent(tmp_path: Path) -> None:
    service = service_for("darwin", tmp_path, tmp_path / AWKWARD, ("/usr/local/bin/samplefit",))
    agent = plistlib.loads(service.content)
    assert agent["ProgramArguments"] == [
        "/usr/local/bin/samplefit",
        "serve",
        "--state",
        str(tmp_path / AWKWARD),
    ]
    assert agent["RunAtLoad"] and service.path.parent == tmp_path / "Library/LaunchAgents"


def test_the_task(tmp_path: Path) -> None:
    command = (r"C:\Program Files\samplefit & co\samplefit.exe",)
    service = service_for("win32", tmp_path, tmp_path / AWKWARD, command)
    action = ElementTree.fromstring(service.content).find(".//{*}Exec")
    assert action.findtext("{*}Command") == command[0]
    assert action.findtext("{*}Arguments").startswith("serve --state ")
    assert service.start[0][-1] == str(service.path)


def _service(tmp_path: Path, start: str) -> Service:
    """One whose commands are real programs of this machine."""
    words = (sys.executable, "-c")
    return Service(tmp_path / "a" / "file", b"text", ((*words, start),), ((*words, "1"),), (*words, "1"))


def test_install_writes_starts_and_uninstall_removes(tmp_path: Path) -> None:
    mark = tmp_path / "started"
    service = _service(tmp_path, f"open({str(mark)!r}, 'w')")
    assert not is_running(service) and not uninstall(service)
    install(service)
    assert mark.exists() and service.path.read_bytes() == b"text" and is_running(service)
    assert uninstall(service)
    assert not service.path.exists()


@pytest.mark.parametrize("start", ["raise SystemExit('no bus')", None])
def test_a_system_that_refuses_is_told_in_its_words(tmp_path: Path, start: str | None) -> None:
    service = _service(tmp_path, start or "")
    if start is None:
        service = Service(service.path, b"", (("no-such-program",),), (), ())
    with pytest.raises(Refused, match="no bus" if start else "not installed here"):
        install(service)


def test_status_of_what_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    top = argparse.ArgumentParser()
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--state")
    cli_service.register(top.add_subparsers(), common)
    for words in (["status"], ["status", "--json"], ["uninstall"]):
        chosen = top.parse_args(["service", *words, "--state", str(tmp_path / "state")])
        chosen.run(chosen)
    out = capsys.readouterr().out
    assert "not installed: samplefit service install" in out and '"installed": false' in out
