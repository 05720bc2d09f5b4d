"""Commands about models and presets."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from encoders.errors import BadRequest, SamplefitError
from encoders.package import open_package, read_card
from encoders.session import open_encoder
from encoders.tables import read_toml
from plugin_bridge import running
from plugin_bridge.cli_common import add_json, print_json, print_table
from plugin_bridge.settings import (
    find_model,
    load_preset,
    model_in_use,
    models,
    preset_files,
    state_folder,
    use_model,
)


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    """Adds the commands to the parser."""
    model = commands.add_parser("model", help="the models at hand").add_subparsers(
        dest="subcommand", required=True, metavar="list|info|use"
    )
    for name, run, text in (
        ("list", run_list, "every model at hand"),
        ("info", run_info, "the card of the model in use"),
    ):
        command = model.add_parser(name, parents=[common], help=text, description=text)
        add_json(command)
        command.set_defaults(run=run)
    text = "choose the model; the library is encoded anew for it, once"
    command = model.add_parser("use", parents=[common], help=text, description=text)
    command.add_argument("model", metavar="NAME_OR_DIR")
    command.set_defaults(run=run_use)

    preset = commands.add_parser("preset", help="named settings").add_subparsers(
        dest="subcommand", required=True, metavar="list|show"
    )
    text = "every preset, ours and yours"
    command = preset.add_parser("list", parents=[common], help=text, description=text)
    add_json(command)
    command.set_defaults(run=run_preset_list)
    text = "a preset's file"
    command = preset.add_parser("show", parents=[common], help=text, description=text)
    command.add_argument("preset", metavar="NAME")
    command.set_defaults(run=run_preset_show)


def run_list(arguments: argparse.Namespace) -> None:
    state = state_folder(arguments.state)
    in_use = model_in_use(state)
    rows = [
        {
            "name": model.name,
            "path": str(model.path),
            "digest": model.card.digest,
            "in_use": model.path == in_use,
        }
        for model in models(state)
    ]
    if arguments.json:
        print_json(rows)
    else:
        print_table(
            ("", "name", "path"), [("*" if row["in_use"] else "", row["name"], row["path"]) for row in rows]
        )


def run_info(arguments: argparse.Namespace) -> None:
    path = model_in_use(state_folder(arguments.state))
    card = read_card(path)
    document = {**card.raw, "digest": card.digest, "path": str(path)}
    if arguments.json:
        print_json(document)
        return
    for key in ("name", "path", "digest", "dim", "licence"):
        print(f"{key:8} {document[key]}")
    for key, value in card.training.items():
        print(f"training {key}: {value}")


def run_use(arguments: argparse.Namespace) -> None:
    state = state_folder(arguments.state)
    folder = find_model(state, arguments.model)
    open_encoder(
        open_package(folder), device="cpu", n_threads=1
    )  # refuse now what would refuse to serve later
    daemon = running.find(state)  # one that refuses us does so before anything is changed
    use_model(state, folder)
    print(f"{read_card(folder).name} is in use")
    if daemon:
        print("the running daemon answers with the old model until it has encoded the library for this one")


def run_preset_list(arguments: argparse.Namespace) -> None:
    state = state_folder(arguments.state)
    rows = []
    for kind in ("suggest", "train"):
        for name, path in preset_files(state, kind).items():
            try:
                rows.append({"name": name, "for": kind, "text": _text(kind, path, state)})
            except SamplefitError as error:  # one that is broken hides no other
                print(f"samplefit: left out: {error.text}", file=sys.stderr)
    if arguments.json:
        print_json(rows)
    else:
        print_table(("for", "name", "text"), [(row["for"], row["name"], row["text"]) for row in rows])


def run_preset_show(arguments: argparse.Namespace) -> None:
    state = state_folder(arguments.state)
    files = {**preset_files(state, "train"), **preset_files(state, "suggest")}
    if arguments.preset not in files:
        load_preset(state, arguments.preset)  # says which name is nearest
    path = files[arguments.preset]
    try:
        print(path.read_text("utf-8"), end="")
    except (OSError, ValueError) as error:
        raise BadRequest(
            str(path), found=str(error), expected="text in UTF-8", remedy="correct or delete the file"
        ) from None


def _text(kind: str, path: Path, state: Path) -> str:
    """What a preset says that it is for."""
    return load_preset(state, path.stem).text if kind == "suggest" else str(read_toml(path).get("why", ""))
