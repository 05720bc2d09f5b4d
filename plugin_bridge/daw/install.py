"""Puts a DAW's script where that DAW looks for it, and takes it away again; what was there before is kept aside."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from encoders.artefacts import write_bytes
from encoders.errors import BadRequest, NotFound
from plugin_bridge.daw.daws import Daw, Machine

BACKUP = ".before-samplefit"
FORMAT = 1


@dataclass(frozen=True)
class Written:
    """A file that was installed: its digest then, and whether another one was put aside for it."""

    path: str
    folder: str
    sha256: str
    backup: bool


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
