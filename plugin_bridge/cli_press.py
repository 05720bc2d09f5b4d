"""`samplefit suggest`: a press from the shell, answered by the running daemon or in this process."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from encoders.errors import SamplefitError
from encoders.package import open_package
from encoders.session import open_encoder
from index.library import Library, read_folders
from plugin_bridge import running
from plugin_bridge.cli_common import absolute, add_json, print_json, print_table, progress
from plugin_bridge.press import Engine, Press, Stem, answer, check_tempo, document
from plugin_bridge.settings import find_model, load_preset, model_in_use, state_folder, wanted

PROBE_S = 0.1
"""What is read of each stem before a library is scanned: a file that is no audio is told at once."""


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    """Adds the command to the parser."""
    text = "the one-shots of your library that fit these stems, best first"
    command = commands.add_parser("suggest", parents=[common], help=text, description=text)
    command.add_argument("audio", nargs="+", metavar="AUDIO", help="a stem of the bounce; several are mixed")
    command.add_argument("-k", type=int, help="hits of each type")
    command.add_argument(
        "--type", action="append", default=[], metavar="T", help="a drum type (repeatable), or any"
    )
    command.add_argument("--preset", default="default", metavar="P", help="see samplefit preset list")
    command.add_argument(
        "--model", metavar="M", help="another model than the one in use: a name or a package's folder"
    )
    command.add_argument(
        "--folder", metavar="DIR", help="only one-shots below this folder; followed from now on if it was not"
    )
    command.add_argument(
        "--tempo", type=float, metavar="BPM", help="of the song: the panel previews hits in it"
    )
    add_json(command)
    command.set_defaults(run=run_suggest)


def run_suggest(arguments: argparse.Namespace) -> None:
    state = state_folder(arguments.state)
    check_tempo(arguments.tempo)
    daemon = None if arguments.model else running.find(state)
    found = _ask(daemon, state, arguments) if daemon else _answer_here(state, arguments)
    if arguments.json:
        print_json(found)
    else:
        _print_hits(found)


def _ask(daemon: running.Running, state: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """The daemon's answer, by way of its answer file, which holds what OSC's hits leave out."""
    name = f"shell-{secrets.token_hex(8)}"
    options: list[Any] = ["preset", arguments.preset, "answer", name]
    if arguments.k is not None:
        options += ["k", arguments.k]
    for drum_type in arguments.type:
        options += ["type", drum_type]
    if arguments.tempo is not None:
        options += ["tempo", arguments.tempo]
    if arguments.folder:
        folder = absolute(arguments.folder)
        options += ["folder", folder]
        if not _follows(state, folder):
            with daemon.connected() as connection, progress(f"indexing {folder}") as shown:
                connection.ask("/samplefit/folder/add", folder, progress=shown)
    files = [state / "answers" / f"{name}{ending}" for ending in (".json", ".tsv")]
    stems = [f"stem {number}" for number in range(len(arguments.audio))]
    with daemon.connected() as connection:
        try:
            for stem, path in zip(stems, arguments.audio, strict=True):
                connection.ask("/samplefit/stem/file", stem, absolute(path), id=name)
            connection.ask("/samplefit/suggest", *options, id=name)
            return json.loads(files[0].read_text("utf-8"))
        finally:
            with suppress(SamplefitError):  # of a daemon that has gone nothing is left to drop
                for stem in stems:
                    connection.ask("/samplefit/stem/drop", stem, id=name)
            for file in files:
                file.unlink(missing_ok=True)


def _answer_here(state: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """The answer of a library opened in this process; another model than the one in use has a catalogue of its own,
    so that a look at it costs the user's library nothing."""
    began = time.perf_counter()
    preset = load_preset(state, arguments.preset)
    folder = absolute(arguments.folder) if arguments.folder else None
    want = wanted(preset, arguments.k, tuple(arguments.type), folder)
    package = open_package(find_model(state, arguments.model) if arguments.model else model_in_use(state))
    stems = tuple(Stem(absolute(path)) for path in arguments.audio)
    for stem in stems:
        stem.read(until_s=PROBE_S)
    encoder = open_encoder(package)
    aside = state / "aside" / package.card.digest[:16] if arguments.model else state
    aside.mkdir(parents=True, exist_ok=True)
    with Library(aside, encoder) as library, progress("indexing") as shown:
        followed = {row.path for row in read_folders(aside)}
        wished = {row.path for row in read_folders(state)} | (
            {folder} if folder and not _follows(state, folder) else set()
        )
        for path in sorted(followed - wished):  # of a folder that was wished for once, or is followed no more
            library.remove(path)
        for path in sorted(wished - followed):
            library.add(path, shown)
        library.sync(shown)
        engine = Engine(encoder, library.snapshot, library.marks.taste)
        press = Press(0, stems, want, preset.n_windows)
        return document(answer(press, engine), engine, 1000 * (time.perf_counter() - began))


def _follows(state: Path, folder: str) -> bool:
    """Whether a folder is followed, itself or by one above it."""
    return any(Path(folder).is_relative_to(row.path) for row in read_folders(state))


def _print_hits(found: dict[str, Any]) -> None:
    """A short table for eyes: per type the hits with their scores and folders."""
    query, library = found["query"], found["library"]
    print(
        f"{query['seconds']:g} s of {query['stems']} stem{'s'[: query['stems'] > 1]} against {library['one_shots']:,} "
        f"one-shots, {found['timings_ms']['total']:.0f} ms, model {found['model']['name']}"
        + (f", order learned from {found['learned']} marks" if found["learned"] else "")
    )
    rows = [
        (
            hit["rank"],
            f"{hit['score']:.3f}",
            "-" if hit["fit"] is None else f"{int(100 * hit['fit'])} %",
            hit["name"] + (" (by its sound)" if hit["guessed"] else ""),
            os.path.dirname(hit["path"]),
        )
        for hit in found["hits"]
    ]
    for drum_type in dict.fromkeys(hit["type"] for hit in found["hits"]):
        print(f"\n{drum_type}")
        print_table(
            ("", "score", "fits better than", "name", "folder"),
            [row for row, hit in zip(rows, found["hits"], strict=True) if hit["type"] == drum_type],
        )
