"""Commands of the trainer: corpus, train, export, evaluate. It needs torch, so it is imported when they run."""

from __future__ import annotations

import argparse
import hashlib
import itertools
import logging
import os
import sys
import tomllib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from encoders.errors import BadRequest, NotFound
from encoders.package import open_package
from encoders.session import DEVICES, open_encoder
from plugin_bridge.cli_common import absolute, add_json, print_json, print_table, progress
from plugin_bridge.extras import how_to_add, missing
from plugin_bridge.settings import find_model, model_in_use, preset_files, state_folder

SHARED = Path(__file__).resolve().parents[2] / "shared" / "corpus"
MMA = Path("/usr/share/mma/lib")
SOUNDFONTS = tuple(
    Path("/usr/share/sounds", name)
    for name in ("sf2/FluidR3_GM.sf2", "sf3/MuseScore_General_Full.sf3", "sf2/TimGM6mb.sf2")
)
"""Where Debian's packages mma, fluid-soundfont-gm, musescore-general-soundfont-lossless and timgm6mb-soundfont
put their files."""

LICENCE = "unstated: whoever trained it decides, and the stems' licences bind"

Run = Callable[[argparse.Namespace], int | None]


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    """Adds the commands to the parser."""
    corpus = commands.add_parser("corpus", help="what models are trained on").add_subparsers(
        dest="subcommand", required=True, metavar="prepare|starter"
    )
    text = "stems on disk become a corpus that training reads without decoding; interrupted, it goes on"
    command = corpus.add_parser("prepare", parents=[common], help=text, description=text)
    command.add_argument(
        "stems", metavar="STEMS", help="a folder a song, or MUSDB18, MedleyDB, MoisesDB, Slakh2100"
    )
    command.add_argument("--out", required=True, metavar="DIR")
    command.add_argument("--seed", type=int, default=0, help="draws the split (0)")
    command.add_argument(
        "--workers", type=int, default=os.cpu_count(), metavar="N", help="processes that decode"
    )
    add_json(command)
    command.set_defaults(run=needs_trainer(run_prepare))

    text = "renders the open songs that the starter model is trained on to stems; interrupted, it goes on"
    command = corpus.add_parser("starter", parents=[common], help=text, description=text)
    command.add_argument("--out", required=True, metavar="DIR")
    command.add_argument(
        "--sources", default=str(SHARED), metavar="DIR", help="holds midi/, lmms/, modules/ and one-shots/"
    )
    command.add_argument("--mma", metavar="DIR", help=f"MMA's grooves ({MMA}, where it is)")
    command.add_argument(
        "--soundfont", action="append", metavar="FILE", help="repeatable (Debian's, where they are)"
    )
    command.add_argument("--variants", type=int, default=3, metavar="N", help="arrangements of each song (3)")
    command.add_argument("--seed", type=int, default=1)
    command.add_argument("--workers", type=int, default=os.cpu_count(), metavar="N")
    add_json(command)
    command.set_defaults(run=needs_trainer(run_starter))

    text = "retrains the model in use on your stems, or trains one by another preset; interrupted, it goes on"
    command = commands.add_parser("train", parents=[common], help=text, description=text)
    add_source(command)
    command.add_argument(
        "--preset", default="finetune", metavar="NAME_OR_FILE", help="samplefit preset list (finetune)"
    )
    command.add_argument(
        "--out", metavar="RUN", help="the run's folder (else one below the state folder's runs/)"
    )
    command.add_argument(
        "--start",
        metavar="MODEL_OR_FILE",
        help="a model or checkpoint to go on from; finetune's is the model in use",
    )
    command.add_argument(
        "--max-minutes", type=float, metavar="N", help="stop then; the same command goes on later"
    )
    command.add_argument("--device", help="cpu, cuda or cuda:N (the GPU, where there is one)")
    add_set(command)
    command.add_argument(
        "--name", help="of the model package in the state folder's models/ (the run folder's)"
    )
    command.add_argument("--no-export", action="store_true", help="leave the run folder as it is")
    command.set_defaults(run=needs_trainer(run_train))

    text = (
        "a run's best checkpoint as a model package; of runs that differ by their seed alone, the mean of all"
    )
    command = commands.add_parser("export", parents=[common], help=text, description=text)
    command.add_argument("run_folder", metavar="RUN", nargs="+")
    command.add_argument("--out", metavar="DIR", help="the package's folder (the state folder's models/NAME)")
    command.add_argument("--name", help="the model's name (the run folder's)")
    command.add_argument("--licence", default=LICENCE)
    command.set_defaults(run=needs_trainer(run_export))

    text = "how early a song's own one-shots stand in the order that a mix of it gives"
    command = commands.add_parser("evaluate", parents=[common], help=text, description=text)
    command.add_argument("--model", metavar="M", help="a name or a package's folder (the one in use)")
    command.add_argument("--corpus", required=True, metavar="STEMS", help="stems, or a prepared corpus")
    add_split(command)
    command.add_argument(
        "--queries", type=int, default=50, metavar="N", help="mixes a song, full and sparse (50)"
    )
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--device", choices=DEVICES, default="auto")
    command.add_argument(
        "--picture", metavar="PNG", help="writes the keys' two main directions, as Figure 1 has them"
    )
    add_json(command)
    command.set_defaults(run=needs_trainer(run_evaluate))


def needs_trainer(run: Run) -> Run:
    """The command, which first says in one line how to get what it lacks."""

    def checked(arguments: argparse.Namespace) -> int | None:
        if absent := missing("train"):
            raise NotFound(
                "the trainer",
                found=f"no {absent}",
                expected="the `train` extra",
                remedy=how_to_add("train"),
            )
        return run(arguments)

    return checked


def add_source(command: argparse.ArgumentParser) -> None:
    """Stems or a corpus as the command's argument."""
    command.add_argument("stems", metavar="STEMS", help="stems (prepared first, once), or a prepared corpus")


def add_split(command: argparse.ArgumentParser) -> None:
    """Which songs are asked about."""
    command.add_argument(
        "--split",
        choices=("test", "eval", "train", "held-out", "all"),
        help="which songs (test for a model trained on this corpus, all for any other)",
    )


def add_set(command: argparse.ArgumentParser) -> None:
    """Single values over those of the preset."""
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="TABLE.KEY=VALUE",
        help="over the preset's, as data.batch=64",
    )


def corpus_folder(state: Path, given: str) -> Path:
    """The prepared corpus that was given, or that of the stems that were given: it lies in the state folder's
    corpora/, and only songs that are new or changed since are decoded.

    Raises:
        NotFound: no such folder, no songs in it. Others as `trainer.prepare.prepare`.
    """
    from trainer.prepare import prepare

    path = Path(absolute(given))
    if (path / "corpus.json").is_file():
        return path
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:  # each process would prepare it
        raise BadRequest(given, found="stems", expected="a prepared corpus, when several processes train")
    folder = state / "corpora" / f"{path.name}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:8]}"
    folder.parent.mkdir(exist_ok=True)
    with progress(f"preparing {path}", "songs") as shown:
        report = prepare(path, folder, n_workers=os.cpu_count() or 1, progress=shown)
    say(report.text)
    return folder


def say(line: str) -> None:
    """A line of talk, on stderr."""
    print(line, file=sys.stderr, flush=True)


def settings_of(state: Path, preset: str, changes: list[str]) -> Any:
    """The training preset, ours or the user's, with the values that --set gives."""
    from trainer.settings import changed, load

    chosen = load(str(preset_files(state, "train").get(preset, preset)))
    return changed(chosen, dict(_change(text) for text in changes))


def _change(text: str) -> tuple[str, Any]:
    """ "data.batch=64" → ("data.batch", 64); a value that is not TOML is text."""
    key, equals, value = text.partition("=")
    if not equals:
        raise BadRequest(f"--set {text}", found="no =", expected="TABLE.KEY=VALUE")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()


def run_prepare(arguments: argparse.Namespace) -> None:
    from trainer.prepare import prepare

    with progress("preparing", "songs") as shown:
        report = prepare(
            Path(absolute(arguments.stems)),
            Path(absolute(arguments.out)),
            seed=arguments.seed,
            n_workers=arguments.workers,
            progress=shown,
        )
    if arguments.json:
        print_json(asdict(report))
    else:
        print(report.text)


def run_starter(arguments: argparse.Namespace) -> None:
    from trainer.starter import Sources, render_starter

    folder = Path(absolute(arguments.sources))
    if not folder.is_dir():
        raise NotFound(
            str(folder), found="no such folder", expected="midi/, lmms/, modules/ and one-shots/ in it"
        )
    kinds = {
        name: folder / name if (folder / name).is_dir() else None for name in ("midi", "lmms", "modules")
    }
    mma = Path(arguments.mma) if arguments.mma else MMA if MMA.is_dir() else None
    fonts = arguments.soundfont or [path for path in SOUNDFONTS if path.is_file()]
    sources = Sources(**kinds, mma=mma, one_shots=folder / "one-shots", soundfonts=tuple(map(Path, fonts)))
    with progress("rendering", "arrangements") as shown:
        report = render_starter(
            Path(absolute(arguments.out)),
            sources,
            arguments.seed,
            arguments.workers,
            lambda at: shown(at.n_done, at.n_total),
            arguments.variants,
        )
    if arguments.json:
        print_json(asdict(report))
        return
    for name, reason in report.dropped:
        say(f"{name}: {reason}")
    print(
        f"{report.n_variants} arrangements of {report.n_songs} songs, {report.n_stems} stems, "
        f"{report.n_kits} kits, {report.hours:.1f} h of stems"
    )


def run_train(arguments: argparse.Namespace) -> None:
    from trainer.loop import train
    from trainer.retrain import begin_from, rank_before

    state = state_folder(arguments.state)
    settings = settings_of(state, arguments.preset, arguments.set)
    start = model_in_use(state) if settings.name == "finetune" else None
    if arguments.start:
        given = Path(absolute(arguments.start))
        start = given if given.is_file() else find_model(state, arguments.start)
    weights = None
    if start:
        settings, weights = begin_from(settings, start)
    corpus = corpus_folder(state, arguments.stems)
    run = Path(absolute(arguments.out)) if arguments.out else _free_run(state, settings.name, arguments.stems)
    best = train(
        settings,
        corpus,
        run,
        start=weights,
        max_minutes=arguments.max_minutes,
        device=arguments.device,
        report=say,
    )
    if int(os.environ.get("RANK", 0)):
        return
    before = rank_before(run)
    since = "" if before is None else f", before {before:.3f}"
    print(f"{run}: best at step {best['step']}, normalised rank {best['rank']:.3f} on the eval songs{since}")
    if before is not None and best["rank"] >= before:
        say("nothing was gained on them: stay with the model that it went on from, or train on more songs")
    if not arguments.no_export:
        _export(state, run, None, arguments.name or run.name, LICENCE)


def _free_run(state: Path, preset: str, stems: str) -> Path:
    """The run folder of a preset and stems: that of a run that is not exported yet, else a new one."""
    base = f"{preset}-{Path(absolute(stems)).name}"
    names = itertools.chain([base], (f"{base}-{number}" for number in itertools.count(2)))
    return next(state / "runs" / name for name in names if not (state / "models" / name).exists())


def run_export(arguments: argparse.Namespace) -> None:
    from trainer.members import merge

    run, *others = (Path(absolute(folder)) for folder in arguments.run_folder)
    state, out = state_folder(arguments.state), Path(absolute(arguments.out)) if arguments.out else None
    with TemporaryDirectory() as together:
        whole = merge([run, *others], Path(together)) if others else run
        _export(state, whole, out, arguments.name or run.name, arguments.licence)


def _export(state: Path, run: Path, out: Path | None, name: str, licence: str) -> None:
    from trainer.retrain import export_run

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it tells of operators that no encoder here has
    folder = out or state / "models" / name
    export_run(run, folder, name=name, licence=licence, report=say)
    print(f"exported to {folder}; to use it:")
    print(f"samplefit model use {name if out is None else folder}")


def run_evaluate(arguments: argparse.Namespace) -> None:
    from trainer.corpus import Corpus
    from trainer.evaluate import evaluate
    from trainer.pictures import draw_keys
    from trainer.unseen import keys_of, of_split, split_to_judge

    state = state_folder(arguments.state)
    encoder = open_encoder(
        open_package(find_model(state, arguments.model) if arguments.model else model_in_use(state)),
        device=arguments.device,
    )
    corpus = Corpus.open(corpus_folder(state, arguments.corpus))
    split = arguments.split or split_to_judge(corpus, encoder.card)
    say(f"{encoder.card.name} on {'all' if split == 'all' else f'the {split}'} songs of {corpus.path}")
    corpus, split = of_split(corpus, split)
    with progress("encoding", "sounds") as shown:
        figures = evaluate(
            encoder.queries, encoder.keys, corpus, split, arguments.queries, arguments.seed, progress=shown
        )
    if arguments.picture:
        hits = [corpus.one_shots[row] for row in corpus.rows(split)]
        origins = [corpus.songs[hit.song].origin for hit in hits]
        draw_keys(Path(absolute(arguments.picture)), keys_of(encoder.keys, hits), origins)
    if arguments.json:
        print_json(figures)
    else:
        _print_figures(figures)


def _print_figures(figures: dict[str, Any]) -> None:
    """The figures as a table for eyes; chance is .5, smaller is better."""
    print(f"{figures['n_songs']} songs, {figures['n_one_shots']} one-shots; normalised rank, chance .5")
    full, sparse = figures["full"], figures["sparse"]
    rows = [("all", full, sparse)]
    rows += [(name, full["within_type"].get(name), row) for name, row in sparse["within_type"].items()]
    cells = [
        (name, *(_rank(mode, key) for mode in modes for key in ("mean", "median")), modes[1]["n_queries"])
        for name, *modes in rows
    ]
    print_table(("within", "full mean", "median", "sparse mean", "median", "queries"), cells)
    for mode in (full, sparse):
        likelihoods = (mode["query_likelihood"], mode["key_likelihood"])
        print(
            f"{'full' if mode is full else 'sparse':6} loss {mode['loss']:.3f}, likelihood of origin by "
            + " and ".join(
                f"{side} {'null' if value is None else f'{value:.3f}'}"
                for side, value in zip(("queries", "keys"), likelihoods, strict=True)
            )
        )


def _rank(mode: dict[str, Any] | None, key: str) -> str:
    value = mode and mode[f"{key}_normalised_rank"]
    return "-" if value is None else f"{value:.3f}"
