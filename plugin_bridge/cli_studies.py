"""Commands that ask what a model learned: ablate, analyse, study; they need the `train` extra, too."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from encoders.errors import NotFound
from encoders.package import open_package
from encoders.session import DEVICES, Encoder, open_encoder
from plugin_bridge.cli_common import absolute, add_json, print_json, print_table, progress
from plugin_bridge.cli_trainer import (
    add_set,
    add_source,
    add_split,
    corpus_folder,
    needs_trainer,
    say,
    settings_of,
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

    text = "trains and measures the nine rows of the paper's Table 1 at one budget; interrupted, it goes on"
    command = commands.add_parser("ablate", parents=[common], help=text, description=text)
    add_source(command)
    command.add_argument(
        "--out", required=True, metavar="DIR", help="gets a run folder a row, table.md and table.json"
    )
    command.add_argument(
        "--base",
        default="samplematch",
        metavar="NAME_OR_FILE",
        help="what all rows share (samplematch); ablation-small fits a CPU",
    )
    command.add_argument(
        "--row", action="append", default=[], metavar="PRESET", help="this row alone (repeatable)"
    )
    budget = command.add_mutually_exclusive_group()
    budget.add_argument("--minutes", type=float, metavar="N", help="of training a row")
    budget.add_argument("--steps", type=int, metavar="N", help="of training a row (the base preset's)")
    command.add_argument("--queries", type=int, default=50, metavar="N", help="mixes a test song (50)")
    command.add_argument("--device", help="cpu, cuda or cuda:N (the GPU, where there is one)")
    add_set(command)
    command.set_defaults(run=needs_trainer(run_ablate))

    study = commands.add_parser("study", help="a blind listening test").add_subparsers(
        dest="subcommand", required=True, metavar="build|report"
    )
    text = (
        "pages of twelve blind comparisons: a drum replaced by one of the model's best samples, or at random"
    )
    command = study.add_parser("build", parents=[common], help=text, description=text)
    add_source(command)
    _add_model(command)
    add_split(command)
    command.add_argument("--out", required=True, metavar="DIR", help="gets a page a session")
    command.add_argument(
        "--sessions", type=int, default=1, metavar="N", help="the paper asked each listener for at most 4"
    )
    command.add_argument("--seed", type=int, default=0)
    command.set_defaults(run=needs_trainer(run_study_build))
    text = "what the listeners chose, by type, with intervals"
    command = study.add_parser("report", parents=[common], help=text, description=text)
    command.add_argument("answers", nargs="+", metavar="CSV", help="files that the pages saved")
    add_json(command)
    command.set_defaults(run=needs_trainer(run_study_report))


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


def run_ablate(arguments: argparse.Namespace) -> None:
    from trainer.ablate import ablate
    from trainer.settings import changed

    state = state_folder(arguments.state)
    base = settings_of(state, arguments.base, arguments.set)
    if arguments.steps:
        every = min(base.run.evaluate_every, max(1, arguments.steps // 10))
        base = changed(base, {"run.steps": arguments.steps, "run.evaluate_every": every})
    text = ablate(
        base,
        corpus_folder(state, arguments.stems),
        Path(absolute(arguments.out)),
        rows=arguments.row,
        minutes=arguments.minutes,
        device=arguments.device,
        n_queries=arguments.queries,
        report=say,
    )
    print(text, end="")


def run_study_build(arguments: argparse.Namespace) -> None:
    from trainer.corpus import Corpus
    from trainer.study import N_COMPARISONS, build_session, write_page
    from trainer.unseen import keys_of, of_split, split_to_judge

    state = state_folder(arguments.state)
    encoder = _encoder(state, arguments)
    corpus = Corpus.open(corpus_folder(state, arguments.stems))
    corpus, split = of_split(corpus, arguments.split or split_to_judge(corpus, encoder.card))
    with progress("encoding", "one-shots") as shown:
        keys = keys_of(encoder.keys, corpus.one_shots, shown)
    out = Path(absolute(arguments.out))
    out.mkdir(parents=True, exist_ok=True)
    for number in range(1, arguments.sessions + 1):
        seed = arguments.seed + number - 1
        with progress(f"session {number}", "comparisons") as shown:
            comparisons = build_session(corpus, split, keys, encoder, seed, shown)
        if len(comparisons) < N_COMPARISONS:
            say(f"session {number}: {len(comparisons)} of {N_COMPARISONS} comparisons; there are no more")
        path = out / f"session-{number:02}.html"
        write_page(path, f"{encoder.card.name}-{encoder.card.digest[:8]}-{seed:04}", comparisons, seed)
        print(path)


def run_study_report(arguments: argparse.Namespace) -> None:
    from trainer.study import read_ratings, report

    found = report(read_ratings([Path(absolute(path)) for path in arguments.answers]))
    if arguments.json:
        print_json(found)
        return
    print(f"{found['n_ratings']} ratings of {found['n_listeners']} listeners, {found['n_skipped']} skipped")
    rows = [(name, *_shares(row)) for name, row in (("all", found["all"]), *found["by_type"].items())]
    print_table(("", "best preferred", "random preferred", "equal", "p", "ratings"), rows)


def _shares(row: dict[str, Any]) -> tuple[object, ...]:
    cells = []
    for choice in ("best", "random", "equal"):
        share, interval = row[choice]["share"], row[choice]["interval"]
        cells.append("-" if share is None else f"{share:.1%} [{interval[0]:.1%}, {interval[1]:.1%}]")
    return (*cells, "-" if row["p"] is None else f"{row['p']:.3g}", row["n"])
