"""Commands about the library: add, remove, folders, sync, status, skipped. They work with and without a daemon."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from encoders.errors import NotFound, one_line
from encoders.package import read_card
from index.library import FolderState, LibraryStatus, read_folders, read_skipped, read_status
from plugin_bridge import running
from plugin_bridge.cli_common import (
    absolute,
    add_json,
    library_of,
    print_json,
    print_table,
    program_version,
    progress,
)
from plugin_bridge.settings import model_in_use, state_folder


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    """Adds the commands to the parser."""
    for name, run, text in (
        ("add", run_add, "follow sample folders"),
        ("remove", run_remove, "stop following sample folders (their files stay as they are)"),
        ("restore", run_restore, "know again what emptied folders held before they were cleaned"),
    ):
        command = commands.add_parser(name, parents=[common], help=text, description=text)
        command.add_argument("folders", nargs="+", metavar="DIR")
        command.set_defaults(run=run)
        if name == "add":
            command.add_argument(
                "--portable",
                action=argparse.BooleanOptionalAction,
                help="keep what was computed on the folder's own drive, too, for the next machine that follows it",
            )
    for name, run, text in (
        ("folders", run_folders, "which sample folders are followed"),
        ("status", run_status, "what is indexed, by which model, on which device"),
        ("skipped", run_skipped, "each file left out, and why"),
    ):
        command = commands.add_parser(name, parents=[common], help=text, description=text)
        add_json(command)
        command.set_defaults(run=run)
    text = "scan now; returns when every change made before is searchable"
    command = commands.add_parser("sync", parents=[common], help=text, description=text)
    command.set_defaults(run=run_sync)
    text = "forget what was learned from the marks made so far; the marks stay on the list"
    command = commands.add_parser("unlearn", parents=[common], help=text, description=text)
    command.set_defaults(run=run_unlearn)


def run_add(arguments: argparse.Namespace) -> None:
    state = state_folder(arguments.state)
    folders = [absolute(folder) for folder in arguments.folders]
    daemon = running.find(state)
    for folder in folders:
        with progress(f"indexing {folder}") as shown:
            if daemon:
                options = () if arguments.portable is None else ("portable", int(arguments.portable))
                with daemon.connected() as client:
                    client.ask("/samplefit/folder/add", folder, *options, progress=shown)
            else:
                with library_of(state) as library:
                    library.add(folder, shown, arguments.portable)
    _print_folders([row for row in read_folders(state) if row.path in folders])


def run_remove(arguments: argparse.Namespace) -> None:
    state = state_folder(arguments.state)
    followed = {row.path for row in read_folders(state)}
    folders = [absolute(folder) for folder in arguments.folders]
    for folder in folders:
        if folder not in followed:
            raise NotFound(
                folder, found="not followed", expected=", ".join(sorted(followed)) or "a folder added before"
            )
    daemon = running.find(state)
    for folder in folders:
        if daemon:
            with daemon.connected() as client:
                client.ask("/samplefit/folder/remove", folder)
        else:
            with library_of(state) as library:
                library.remove(folder)


def run_restore(arguments: argparse.Namespace) -> None:
    state = state_folder(arguments.state)
    daemon = running.find(state)
    for folder in map(absolute, arguments.folders):
        if daemon:
            with daemon.connected() as client:
                client.ask("/samplefit/folder/restore", folder)
        else:
            with library_of(state) as library:
                library.restore(folder)


def run_folders(arguments: argparse.Namespace) -> None:
    rows = read_folders(state_folder(arguments.state))
    if arguments.json:
        print_json([_folder(row) for row in rows])
    else:
        _print_folders(rows)


def run_sync(arguments: argparse.Namespace) -> None:
    state = state_folder(arguments.state)
    daemon = running.find(state)
    with progress("indexing") as shown:
        if daemon:
            with daemon.connected() as client:
                revision = client.ask("/samplefit/sync", progress=shown)[-1].arguments[1]
        else:
            with library_of(state) as library:
                revision = library.sync(shown)
    print(f"in sync at revision {revision}")


def run_unlearn(arguments: argparse.Namespace) -> None:
    state = state_folder(arguments.state)
    daemon = running.find(state)
    if daemon:
        with daemon.connected() as client:
            n_marks = client.ask("/samplefit/unlearn")[-1].arguments[2]
    else:
        with library_of(state) as library:
            n_marks = library.marks.unlearn()
    print(f"{n_marks} marks count no longer")


def run_status(arguments: argparse.Namespace) -> None:
    state = state_folder(arguments.state)
    status, daemon = read_status(state), running.find(state)
    model = Path(daemon.model) if daemon else model_in_use(state)
    document = status_document(status, model, daemon)
    if arguments.json:
        print_json(document)
        return
    print(
        f"samplefit {document['version']}, model {document['model']['name']}, device {document['device'] or 'none (no daemon)'}"
    )
    counts = ", ".join(f"{n:,} {name}" for name, n in document["by_type"].items() if n)
    print(
        f"{document['one_shots']:,} one-shots ({counts or 'none'}), {document['pending']:,} pending, {document['skipped']:,} skipped"
    )
    by_annoy = [
        f"{name} (recall {forest['recall']:.3f}, search_k {forest['search_k']})"
        for name, forest in document["forests"].items()
    ]
    print(f"search: exact{', except by Annoy for ' if by_annoy else ''}{', '.join(by_annoy)}")
    for text in document["trouble"]:
        print(f"TROUBLE: {text}")
    _print_folders(status.folders)


def run_skipped(arguments: argparse.Namespace) -> None:
    rows = read_skipped(state_folder(arguments.state))
    if arguments.json:
        print_json([{"path": row.path, "code": row.code, "text": row.text} for row in rows])
        return
    for row in rows:
        name = one_line(row.path)
        print(f"{row.code}\t{row.text if row.text.startswith(name) else f'{name}: {row.text}'}")


def status_document(status: LibraryStatus, model: Path, daemon: running.Running | None) -> dict[str, Any]:
    """The contract's JSON; device is null without a daemon, which is what computes."""
    card = read_card(model)
    return {
        "version": program_version(),
        "model": {"name": card.name, "digest": card.digest},
        "device": daemon.device if daemon else None,
        "one_shots": status.one_shots,
        "by_type": status.by_type,
        "pending": status.pending,
        "skipped": status.skipped,
        "revision": status.revision,
        "watching": status.watching,
        "forests": status.forests,
        "noise": daemon.n_noise if daemon else 0,
        "trouble": list(daemon.trouble) if daemon else [],
        "folders": [_folder(row) for row in status.folders],
    }


def _folder(row: FolderState) -> dict[str, Any]:
    return asdict(row)


def _print_folders(rows: Sequence[FolderState]) -> None:
    if rows:
        print_table(
            ("state", "one-shots", "skipped", "folder"),
            [
                (row.state if row.emptied_at is None else "emptied", row.one_shots, row.skipped, row.path)
                for row in rows
            ],
        )
    else:
        print("no folders: samplefit add FOLDER_OF_SAMPLES")
