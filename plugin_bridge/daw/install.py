"""Puts a DAW's script where that DAW looks for it, and takes it away again; what was there before is kept aside."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from encoders.artefacts import write_bytes
from encoders.errors import BadRequest, NotFound
from encoders.tables import nearest
from plugin_bridge.daw.ardour_scripts import Action, with_actions, without_actions

HERE = Path(__file__).resolve().parent
BACKUP = ".before-samplefit"
FORMAT = 1
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


@dataclass(frozen=True)
class Written:
    """A file that was installed: its digest then, and whether another one was put aside for it."""

    path: str
    folder: str
    sha256: str
    backup: bool


def find(name: str) -> Daw:
    """The DAW of a name.

    Raises:
        NotFound: none of ours.
    """
    if name not in DAWS:
        raise NotFound(f"DAW {name!r}", found="no script for it", expected=nearest(name, DAWS))
    return DAWS[name]


def is_installed(daw: Daw, machine: Machine) -> bool:
    """Whether the scripts were installed, and are there."""
    written = _recorded(daw, machine)
    return bool(written) and all(Path(entry.path).exists() for entry in written)


def install(daw: Daw, machine: Machine) -> list[Path]:
    """Writes a DAW's files into every installation present. A second time it brings them up to date.

    Raises:
        NotFound: the DAW is not on this computer, or has never been started.
        BadRequest: a file to be merged cannot be understood.
    """
    folders = daw.where(machine)
    if not folders:
        raise NotFound(
            daw.title,
            found="no folder of its settings",
            expected="one in the place where it keeps them",
            remedy=f"start {daw.title} once, then try again",
        )
    before = {entry.path: entry for entry in _recorded(daw, machine)}
    planned = [
        (folder, path, data) for folder in folders for path, data in daw.files(machine, folder).items()
    ]
    written = []
    for folder, path, data in planned:
        known, now = before.get(str(path)), _digest(path)
        backup = known.backup if known and now == known.sha256 else _put_aside(daw, path, folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, data)
        written.append(Written(str(path), str(folder), hashlib.sha256(data).hexdigest(), backup))
    _record(daw, machine, written)
    return [path for _, path, _ in planned]


def uninstall(daw: Daw, machine: Machine) -> tuple[list[Path], list[Path]]:
    """Takes the files away; one that was there before comes back.

    Returns:
        Files restored or removed, and files left because they were changed since.

    Raises:
        NotFound: nothing was installed.
    """
    written = _recorded(daw, machine)
    if not written:
        raise NotFound(
            f"scripts for {daw.title}", found="none installed", expected="samplefit daw install first"
        )
    done, left = [], []
    for entry in written:
        path, backup = Path(entry.path), Path(entry.path + BACKUP)
        merged = daw.take_out(path, Path(entry.folder)) if path.exists() else None
        if _digest(path) in (None, entry.sha256):
            if entry.backup and backup.exists():
                backup.replace(path)
            else:
                path.unlink(missing_ok=True)
        elif merged is not None:  # the DAW has saved it since: our part goes, the rest stays
            write_bytes(path, merged)
            backup.unlink(missing_ok=True)
        else:
            left.append(path)
            continue
        done.append(path)
    _manifest(daw, machine).unlink()
    return done, left


def _put_aside(daw: Daw, path: Path, folder: Path) -> bool:
    """Keeps a copy, without our part, of a file that is about to be written over; whether there was one."""
    if not path.exists():
        return False
    merged = daw.take_out(path, folder)
    write_bytes(Path(str(path) + BACKUP), path.read_bytes() if merged is None else merged)
    return True


def _digest(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None


def _manifest(daw: Daw, machine: Machine) -> Path:
    return machine.state / "daw" / f"{daw.name}.json"


def _record(daw: Daw, machine: Machine, written: list[Written]) -> None:
    path = _manifest(daw, machine)
    path.parent.mkdir(exist_ok=True)
    document = {"format": FORMAT, "files": [asdict(entry) for entry in written]}
    write_bytes(path, json.dumps(document, indent=1).encode())


def _recorded(daw: Daw, machine: Machine) -> list[Written]:
    path = _manifest(daw, machine)
    try:
        document = json.loads(path.read_text("utf-8"))
        return [Written(**entry) for entry in document["files"]] if document["format"] == FORMAT else []
    except FileNotFoundError:
        return []
    except (ValueError, TypeError, KeyError):
        raise BadRequest(str(path), found="something else", expected=f"format {FORMAT}") from None


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
