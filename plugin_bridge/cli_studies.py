"""Commands that ask what a model learned: ablate, analyse, study. They need the `train` extra, as cli_trainer's do."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from encoders.errors import NotFound
from encoders.package import open_package
from encoders.session import DEVICES, Encoder, open_encoder
from plugin_bridge.cli_common import absolute, add_json, print_json, progress
from plugin_bridge.cli_trainer import (
    needs_trainer,
    say,
)
from plugin_bridge.settings import find_model, model_in_use, state_folder


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    """Adds the commands to the parser."""
    text = "how drums sound that fit the same mixes, as correlations, pictures and plain sentences"
    command = commands.add_parser("analyse", parents=[common], help=text, description=text)
    command.add_argument(
        "source", metavar="CORPUS_OR_FOLDER", help="a prepared corpus, or a folder of samples"
    )
    _add_model(command)
    command.add_argument(
        "--out", required=True, metavar="DIR", help="gets index.html, the pictures and analysis.json"
    )
    command.add_argument("--most", type=int, default=500, metavar="N", help="one-shots of each type (500)")
    command.add_argument("--clusters", type=int, default=24, metavar="K", help="of k-means (24)")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--workers", type=int, default=os.cpu_count(), metavar="N")
    add_json(command)
    command.set_defaults(run=needs_trainer(run_analyse))


def _add_model(command: argparse.ArgumentParser) -> None:
    command.add_argument("--model", metavar="M", help="a name or a package's folder (the one in use)")
    command.add_argument("--device", choices=DEVICES, default="auto")


def _encoder(state: Path, arguments: argparse.Namespace) -> Encoder:
    folder = find_model(state, arguments.model) if arguments.model else model_in_use(state)
    return open_encoder(open_package(folder), device=arguments.device)


def run_analyse(arguments: argparse.Namespace) -> None:
    from trainer.analyse import (
        correlate,
        document,
        features_of_sounds,
        findings,
        keys_of_sounds,
        sounds_of_corpus,
        sounds_of_folder,
    )
    from trainer.corpus import Corpus
    from trainer.heatmaps import write_analysis

    encoder = _encoder(state_folder(arguments.state), arguments)
    source = Path(absolute(arguments.source))
    if (source / "corpus.json").is_file():
        sounds = sounds_of_corpus(Corpus.open(source), arguments.most, arguments.seed)
    elif source.is_dir():
        sounds, skipped = sounds_of_folder(source, arguments.most, arguments.seed)
        for line in skipped:
            say(f"left out: {line}")
    else:
        raise NotFound(
            str(source), found="no such folder", expected="a prepared corpus or a folder of samples"
        )
    with progress("encoding", "one-shots") as shown:
        keys = keys_of_sounds(sounds, encoder.keys, shown)
    with progress("describing", "one-shots") as shown:
        features = features_of_sounds(sounds, arguments.workers, shown)
    pairs = correlate(keys, sounds.types, features, arguments.clusters, arguments.seed)
    facts = {
        "model": encoder.card.name,
        "model_digest": encoder.card.digest,
        "source": source.name,
        "n_one_shots": len(sounds.names),
        "n_clusters": arguments.clusters,
        "seed": arguments.seed,
    }
    out = Path(absolute(arguments.out))
    write_analysis(out, pairs, facts)
    if arguments.json:
        print_json(document(pairs, facts))
        return
    for finding in findings(pairs):
        print(finding.text)
    say(f"{len(findings(pairs))} clear correlations; {out / 'index.html'}")
