"""Each DAW that samplefit has a script for: where its folders are on each platform, and what goes into them."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from encoders.errors import NotFound
from encoders.tables import nearest
from plugin_bridge.daw.ardour_scripts import Action, with_actions, without_actions

HERE = Path(__file__).resolve().parent
OLDEST_ARDOUR = 7
"""The script speaks of time as Ardour 7 and later do."""


@dataclass(frozen=True)
class Machine:
    """Whose computer this is.

    Attributes:
        home: the user's folder.
        platform: as sys.platform.
        environment: of the process.
        state: samplefit's state folder, which the scripts are told.
        command: how the samplefit command is started.
    """

    home: Path
    platform: str
    environment: Mapping[str, str]
    state: Path
    command: str

    def folder(self, linux: str, macos: str, windows: str) -> Path:
        """The platform's own place: on Linux below XDG_CONFIG_HOME, on Windows below APPDATA."""
        if self.platform == "darwin":
            return self.home / macos
        if self.platform == "win32":
            return Path(self.environment.get("APPDATA", self.home / "AppData" / "Roaming")) / windows
        return Path(self.environment.get("XDG_CONFIG_HOME") or self.home / ".config") / linux


def this_machine(state: Path) -> Machine:
    """The computer that this runs on."""
    beside = Path(sys.executable).with_name("samplefit.exe" if sys.platform == "win32" else "samplefit")
    command = str(beside) if beside.exists() else "samplefit"
    return Machine(Path.home(), sys.platform, os.environ, state, command)


@dataclass(frozen=True)
class Daw:
    """A DAW that samplefit has a script for.

    Attributes:
        where: the folders of its installations that are present.
        files: what an installation gets, path and content; merged with what is there.
        take_out: a merged file without our part; a file that is ours alone has none.
        then: what the producer does next.
    """

    name: str
    title: str
    where: Callable[[Machine], list[Path]]
    files: Callable[[Machine, Path], dict[Path, bytes]]
    take_out: Callable[[Path, Path], bytes | None]
    then: str


def find(name: str) -> Daw:
    """The DAW of a name.

    Raises:
        NotFound: none of ours.
    """
    if name not in DAWS:
        raise NotFound(f"DAW {name!r}", found="no script for it", expected=nearest(name, DAWS))
    return DAWS[name]


def _filled(source: Path, machine: Machine, quote: Callable[[str], str]) -> bytes:
    """A script with its placeholders replaced by string literals of its language."""
    text = source.read_text("utf-8")
    for mark, value in (("@STATE@", str(machine.state)), ("@COMMAND@", machine.command)):
        text = text.replace(f'"{mark}"', quote(value))
    return text.encode("utf-8", "surrogateescape")


def _lua(text: str) -> str:
    return '"' + re.sub(r'[\\"]', lambda found: "\\" + found[0], text).replace("\n", "\\n") + '"'


def _only_ours(path: Path, folder: Path) -> None:
    return None


# Ardour: a Lua script in scripts/, and an entry of the toolbar for each of its actions.


def ardour_actions(state: Path) -> list[Action]:
    """The toolbar's entries, the press first."""
    does = {
        "Suggest Drums": "suggest",
        "Insert Suggestion next": "next",
        "Insert Suggestion previous": "previous",
    }
    does |= {f"Insert Suggestion {number}": str(number) for number in range(1, 9)}
    return [Action(name, {"do": do, "state": str(state), "replace": ""}) for name, do in does.items()]


def _ardour_where(machine: Machine) -> list[Path]:
    if machine.platform == "win32":
        parent = Path(machine.environment.get("LOCALAPPDATA", machine.home / "AppData" / "Local"))
    else:
        parent = machine.folder("ardour", "Library/Preferences/Ardour", "").parent
    found = []
    for folder in sorted(parent.iterdir()) if parent.is_dir() else []:
        version = re.fullmatch(r"ardour(\d+)", folder.name, re.IGNORECASE)
        if version and int(version[1]) >= OLDEST_ARDOUR and folder.is_dir():
            found.append(folder)
    return found


def _ardour_files(machine: Machine, folder: Path) -> dict[Path, bytes]:
    source, scripts = (HERE / "ardour" / "samplefit.lua").read_text("utf-8"), folder / "ui_scripts"
    origin = folder / "scripts" / "samplefit.lua"
    text = scripts.read_bytes() if scripts.exists() else None
    merged = with_actions(text, source, str(origin), ardour_actions(machine.state))
    return {origin: source.encode(), scripts: merged}


def _ardour_take_out(path: Path, folder: Path) -> bytes | None:
    if path.name != "ui_scripts":
        return None
    return without_actions(path.read_bytes(), str(folder / "scripts" / "samplefit.lua"))


# Pure Data and plugdata: one patch.


def _pd_where(machine: Machine) -> list[Path]:
    documents = machine.home / "Documents"
    places = (documents / "plugdata" / "Patches", documents / "Pd", machine.home / ".local" / "lib" / "pd")
    return [place for place in places if place.is_dir()]


def _pd_files(machine: Machine, folder: Path) -> dict[Path, bytes]:
    return {folder / "samplefit" / "samplefit.pd": (HERE / "pd" / "samplefit.pd").read_bytes()}


# REAPER: one Lua script.


def _reaper_where(machine: Machine) -> list[Path]:
    folder = machine.folder("REAPER", "Library/Application Support/REAPER", "REAPER")
    return [folder] if folder.is_dir() else []


def _reaper_files(machine: Machine, folder: Path) -> dict[Path, bytes]:
    script = _filled(HERE / "reaper" / "samplefit.lua", machine, _lua)
    return {folder / "Scripts" / "samplefit" / "samplefit.lua": script}


# Ableton Live: a Remote Script, a Python package.


def _ableton_where(machine: Machine) -> list[Path]:
    music = machine.home / ("Music" if machine.platform == "darwin" else "Documents")
    folder = music / "Ableton" / "User Library"
    return [folder] if folder.is_dir() else []


def _ableton_files(machine: Machine, folder: Path) -> dict[Path, bytes]:
    script = _filled(HERE / "ableton" / "samplefit.py", machine, repr)
    return {folder / "Remote Scripts" / "samplefit" / "__init__.py": script}


# Bitwig Studio: a controller script.


def _bitwig_where(machine: Machine) -> list[Path]:
    base = machine.home if machine.platform.startswith("linux") else machine.home / "Documents"
    folder = base / "Bitwig Studio" / "Controller Scripts"
    return [folder] if folder.is_dir() else []


def _bitwig_files(machine: Machine, folder: Path) -> dict[Path, bytes]:
    script = _filled(HERE / "bitwig" / "samplefit.control.js", machine, json.dumps)
    return {folder / "samplefit" / "samplefit.control.js": script}


DAWS = {
    daw.name: daw
    for daw in (
        Daw(
            "ardour",
            "Ardour",
            _ardour_where,
            _ardour_files,
            _ardour_take_out,
            "Quit Ardour before installing: it saves its scripts when it ends. Then: Edit > Lua Scripts > Suggest "
            "Drums. For a key: Window > Key Bindings, tab Lua, choose the action and press the key.",
        ),
        Daw(
            "pd",
            "Pure Data and plugdata",
            _pd_where,
            _pd_files,
            _only_ours,
            "Open samplefit.pd; in plugdata: Patches > samplefit.",
        ),
        Daw(
            "reaper",
            "REAPER",
            _reaper_where,
            _reaper_files,
            _only_ours,
            "Actions > Show action list > New action > Load ReaScript: Scripts/samplefit/samplefit.lua. Give it a key.",
        ),
        Daw(
            "ableton",
            "Ableton Live",
            _ableton_where,
            _ableton_files,
            _only_ours,
            "Restart Live; Settings > Link, Tempo & MIDI > Control Surface: samplefit.",
        ),
        Daw(
            "bitwig",
            "Bitwig Studio",
            _bitwig_where,
            _bitwig_files,
            _only_ours,
            "Settings > Controllers > Add controller > samplefit.",
        ),
    )
}
