"""Start at login: a systemd user unit, a LaunchAgent, or a task of the Task Scheduler. Text first, then one command."""

from __future__ import annotations

import os
import plistlib
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from encoders.artefacts import write_bytes
from encoders.errors import Refused

NAME = "samplefit"
LABEL = "org.samplefit.daemon"


@dataclass(frozen=True)
class Service:
    """How one platform starts the daemon at login.

    Attributes:
        path: the file that says so.
        content: its bytes.
        start, stop, ask: commands after writing it, before removing it, and to see whether it runs.
    """

    path: Path
    content: bytes
    start: tuple[tuple[str, ...], ...]
    stop: tuple[tuple[str, ...], ...]
    ask: tuple[str, ...]


def service_for(platform: str, home: Path, state: Path, command: Sequence[str]) -> Service:
    """The service of a platform.

    Args:
        platform: as sys.platform.
        command: what starts samplefit, one word each; `serve --state STATE` is added.
    """
    words = (*command, "serve", "--state", str(state))
    if platform == "darwin":
        path = home / "Library" / "LaunchAgents" / f"{LABEL}.plist"
        agent = {
            "Label": LABEL,
            "ProgramArguments": list(words),
            "RunAtLoad": True,
            "KeepAlive": {"SuccessfulExit": False},
            "ProcessType": "Interactive",
            "StandardErrorPath": str(state / "daemon.log"),
        }
        loaded = ("launchctl", "load", "-w", str(path))
        unloaded = ("launchctl", "unload", "-w", str(path))
        return Service(path, plistlib.dumps(agent), (loaded,), (unloaded,), ("launchctl", "list", LABEL))
    if platform == "win32":
        path = state / "service.xml"
        made = ("schtasks", "/Create", "/F", "/TN", NAME, "/XML", str(path))
        started = ("schtasks", "/Run", "/TN", NAME)
        removed = (("schtasks", "/End", "/TN", NAME), ("schtasks", "/Delete", "/F", "/TN", NAME))
        return Service(path, _task(words), (made, started), removed, ("schtasks", "/Query", "/TN", NAME))
    path = home / ".config" / "systemd" / "user" / f"{NAME}.service"
    systemctl = ("systemctl", "--user")
    return Service(
        path,
        _unit(words),
        ((*systemctl, "daemon-reload"), (*systemctl, "enable", "--now", NAME)),
        ((*systemctl, "disable", "--now", NAME),),
        (*systemctl, "is-active", NAME),
    )


def install(service: Service) -> None:
    """Writes the file and starts the daemon.

    Raises:
        Refused: the system's own command refuses; says which, and in its words.
    """
    service.path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(service.path, service.content)
    for command in service.start:
        done = _run(command)
        if done.returncode:
            raise Refused(
                " ".join(command),
                found=(done.stderr or done.stdout).strip()[:300],
                expected="a daemon that starts at login",
                remedy=f"{service.path} is written; samplefit serve starts the daemon by hand",
            )


def uninstall(service: Service) -> bool:
    """Stops the daemon and removes the file; whether there was one."""
    if not service.path.exists():
        return False
    for command in service.stop:
        _run(command)  # one that is not loaded cannot be stopped: removing the file is what counts
    service.path.unlink()
    return True


def is_running(service: Service) -> bool:
    """Whether the system says that it runs."""
    return service.path.exists() and _run(service.ask).returncode == 0


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace")
    except FileNotFoundError:
        return subprocess.CompletedProcess(command, 127, "", f"{command[0]} is not installed here")


def _unit(words: Sequence[str]) -> bytes:
    line = " ".join(_quoted_for_systemd(word) for word in words)
    return os.fsencode(
        f"""\
[Unit]
Description=samplefit: the drum one-shots that fit this mix

[Service]
ExecStart={line}
Restart=on-failure
Nice=5

[Install]
WantedBy=default.target
"""
    )


def _quoted_for_systemd(word: str) -> str:
    """In quotes; `%` and `$` would otherwise stand for something else."""
    for found, instead in (("\\", "\\\\"), ('"', '\\"'), ("%", "%%"), ("$", "$$")):
        word = word.replace(found, instead)
    return f'"{word}"'


def _task(words: Sequence[str]) -> bytes:
    program, arguments = escape(words[0]), escape(subprocess.list2cmdline(words[1:]))
    return f"""\
<?xml version="1.0" encoding="UTF-16"?>
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <Triggers><LogonTrigger><Enabled>true</Enabled></LogonTrigger></Triggers>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <RestartOnFailure><Interval>PT1M</Interval><Count>3</Count></RestartOnFailure>
  </Settings>
  <Actions><Exec><Command>{program}</Command><Arguments>{arguments}</Arguments></Exec></Actions>
</Task>
""".encode("utf-16")
