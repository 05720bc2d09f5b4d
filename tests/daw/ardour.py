"""A real Ardour 7 under Xvfb with the Dummy backend, in a home of its own; Lua is run in it, and keys are pressed."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from xml.etree import ElementTree

from plugin_bridge.daw.ardour_scripts import Action, slots, with_actions
from plugin_bridge.osc import Message, decode, encode

PROGRAMS = ("ardour", "ardour7-lua", "Xvfb", "openbox", "xdotool", "wmctrl")
OSC_PORT = 3819
PATIENCE_S = 120.0
SAMPLE_RATE = 48_000
PRESS_AGAIN_S = 3.0
"""A press that comes while Ardour opens a session may be lost."""

_CONFIG = """\
<?xml version="1.0" encoding="UTF-8"?>
<Ardour>
  <Config>
    <Option name="hide-dummy-backend" value="0"/>
    <Option name="try-autostart-engine" value="1"/>
    <Option name="discover-plugins-on-start" value="0"/>
  </Config>
  <Extra><AudioMIDISetup><EngineStates>
    <State backend="None (Dummy)" driver="Normal Speed" device="Silence" input-device="" output-device=""
      sample-rate="48000" buffer-size="1024" n-periods="0" input-latency="0" output-latency="0"
      input-channels="0" output-channels="0" active="1" use-buffered-io="0" midi-option="" lcr="0"/>
  </EngineStates></AudioMIDISetup></Extra>
</Ardour>
"""
_RUNNER = """\
ardour { ["type"] = "EditorAction", name = "Run", license = "", author = "", description = "" }
function action_params () return {} end
function factory (params) return function ()
	local taken = params["file"] .. ".taken"
	if not os.rename (params["file"], taken) then return end
	local text = io.open (taken):read ("a")
	local ok, value = pcall (function () return assert (load (text)) () end)
	ARDOUR.LuaOSC.Address (params["uri"]):send (
		"/ran", "iis", tonumber (text:match ("%d+")), ok and 1 or 0, tostring (value))
end end
"""
_RUNNER_ORIGIN = "runner.lua"


def missing() -> list[str]:
    """The programs that are not here."""
    return [program for program in PROGRAMS if not shutil.which(program)]


class Ardour:
    """Runs from `__enter__` to `__exit__`.

    Args:
        folder: of the home and everything else.
        session: its folder, made where it is not there; its name is Song, wherever it lies.
    """

    def __init__(self, folder: Path, session: Path) -> None:
        self.home, self.session = folder / "home", session
        self.config = self.home / ".config" / "ardour7"
        self._log = folder / "log.txt"
        self._command = folder / "command.lua"
        self._environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("XDG_")},
            "HOME": str(self.home),
        }
        self._serials = itertools.count(1)
        self._replies = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._replies.bind(("127.0.0.1", 0))
        self.config.mkdir(parents=True, exist_ok=True)
        (self.config / ".a7").touch()
        (self.config / "config").write_text(_CONFIG)

    def prepare(self, keys: Mapping[str, int]) -> None:
        """Makes the session where there is none, and a script that runs Lua for the tests.

        Args:
            keys: chords, in Ardour's words, and the slots of the scripts that they press.
        """
        if not self.session.exists():
            self._make_session()
        scripts = self.config / "ui_scripts"
        text = scripts.read_bytes() if scripts.exists() else None
        port = self._replies.getsockname()[1]
        parameters = {"file": str(self._command), "uri": f"osc.udp://127.0.0.1:{port}"}
        scripts.write_bytes(with_actions(text, _RUNNER, _RUNNER_ORIGIN, [Action("Run", parameters)]))
        bindings = "".join(
            f'<Binding key="{key}" action="LuaAction/script-{slot}" group="Lua"/>'
            for key, slot in keys.items()
        )
        plain = Path("/etc/ardour7/ardour.keys").read_text()
        (self.config / "test.keys").write_text(plain.replace("<Press>", f"<Press>{bindings}", 1))
        (self.runner,) = slots(scripts.read_bytes(), _RUNNER_ORIGIN)

    def _make_session(self) -> None:
        """An empty session with the OSC surface on."""
        self.session.parent.mkdir(exist_ok=True)
        script = self._command.with_name("make.lua")
        script.write_text(f'create_session ("{self.session}", "Song", {SAMPLE_RATE}):save_state ("")')
        subprocess.run(
            ["ardour7-lua", script],
            env=self._environment,
            check=True,
            capture_output=True,
            timeout=PATIENCE_S,
        )
        tree = ElementTree.parse(self.session / "Song.ardour")
        surfaces = tree.getroot().find("ControlProtocols")
        if surfaces is None:
            surfaces = ElementTree.SubElement(tree.getroot(), "ControlProtocols")
        for surface in [found for found in surfaces if found.get("name") == "Open Sound Control (OSC)"]:
            surfaces.remove(surface)
        ElementTree.SubElement(surfaces, "Protocol", name="Open Sound Control (OSC)", active="1")
        tree.write(self.session / "Song.ardour")

    def __enter__(self) -> Ardour:
        with ExitStack() as stack:
            stack.callback(self._replies.close)
            display = self._start(
                stack, "Xvfb", "-displayfd", "1", "-screen", "0", "1600x1000x24", "-nolisten", "tcp"
            )
            self._environment["DISPLAY"] = f":{int(display.stdout.readline())}"
            self._start(stack, "openbox")
            keys = str(self.config / "test.keys")
            self._start(stack, "ardour", "-n", "-a", "-k", keys, str(self.session))
            self._wait_until_it_answers()
            self._open = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._open.close()

    def press(self, slot: int) -> None:
        """Presses a script's action by OSC."""
        message = Message("/access_action", (f"LuaAction/script-{slot}",))
        self._replies.sendto(encode(message), ("127.0.0.1", OSC_PORT))

    def run(self, lua: str, timeout_s: float = PATIENCE_S) -> str:
        """Runs Lua in Ardour and returns what it returns, as text. Waits for every action pressed before."""
        serial = next(self._serials)
        whole = self._command.with_suffix(".new")
        whole.write_text(f"-- {serial}\n{lua}")
        whole.replace(self._command)  # a press of before may run at any moment, and takes what is there
        self._replies.settimeout(PRESS_AGAIN_S)
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            self.press(self.runner)  # the runner takes each command once, however often it is pressed
            with suppress(TimeoutError):
                ran, ok, text = decode(self._replies.recv(65_536)).arguments
                if ran == serial:
                    assert ok == 1, text
                    return text
        raise AssertionError(f"Ardour does not answer; windows: {self.x('wmctrl', '-l')}")

    def log(self) -> str:
        """What Ardour has said."""
        return self._log.read_text(errors="replace")

    def x(self, *command: str) -> str:
        """A program of the X display, as xdotool; its output."""
        return subprocess.run(
            command, env=self._environment, check=True, capture_output=True, text=True, timeout=PATIENCE_S
        ).stdout

    def _start(self, stack: ExitStack, *command: str) -> subprocess.Popen[bytes]:
        """Starts a program in a process group of its own, which ends with the stack."""
        log = stack.enter_context(self._log.open("ab"))
        out = subprocess.PIPE if "-displayfd" in command else log
        program = stack.enter_context(
            subprocess.Popen(command, env=self._environment, stdout=out, stderr=log, start_new_session=True)
        )
        stack.callback(_end, program)
        return program

    def _wait_until_it_answers(self) -> None:
        """Until Ardour has opened the session and runs actions."""
        self._command.write_text("-- 0")
        self._replies.settimeout(0.5)
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            self.press(self.runner)
            with suppress(TimeoutError):
                self._replies.recv(65_536)
                return
        raise AssertionError(f"Ardour does not answer: {self.log()[-4000:]}")


def _end(program: subprocess.Popen[bytes]) -> None:
    """Ends a program and what it started."""
    with suppress(ProcessLookupError):
        os.killpg(program.pid, signal.SIGTERM)
    try:
        program.wait(PATIENCE_S / 3)
    except subprocess.TimeoutExpired:
        os.killpg(program.pid, signal.SIGKILL)
        program.wait()
