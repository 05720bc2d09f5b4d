"""Retraining: from a model package to a new one, by way of a run folder."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from encoders.errors import BadRequest, NoModel, NotFound
from encoders.package import read_card
from trainer.calibrate import MIN_SONGS, calibrate_package
from trainer.corpus import Corpus
from trainer.export import export
from trainer.loop import look
from trainer.model import Pair
from trainer.run_folder import load_weights
from trainer.settings import Model, Settings, load

WEIGHTS = "weights.safetensors"


def begin_from(settings: Settings, start: Path) -> tuple[Settings, Path]:
    """Where training begins when it goes on from something: the preset, and the file of weights.

    Args:
        start: a model package, whose architecture then takes the place of the preset's, or a checkpoint.

    Raises:
        NoModel: a package without weights to go on from, or that says nothing of its architecture.
        NotFound: neither a folder nor a file.
    """
    if start.is_file():
        return settings, start
    if not start.is_dir():
        raise NotFound(str(start), found="nothing there", expected="a model package or a checkpoint")
    card = read_card(start)
    if not (start / WEIGHTS).is_file() or "settings" not in card.training:
        raise NoModel(
            f"{card.name} ({start})",
            found=f"no {WEIGHTS} or no training settings",
            expected="a package that samplefit exported",
            remedy="train from scratch, with --preset small",
        )
    return replace(settings, model=_architecture(card.training["settings"], start)), start / WEIGHTS


def _architecture(text: str, start: Path) -> Model:
    """The [model] table of a card's settings."""
    try:
        table = tomllib.loads(text)["model"]
        known = {field.name for field in fields(Model)}
        return Model(**{**{key: table[key] for key in table.keys() & known}, "weights": ""})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NoModel(f"{start / 'model.json'}: training.settings", found=str(error)) from None


def export_run(
    run: Path, folder: Path, *, name: str, licence: str, report: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """A run's best checkpoint as a model package, its figures on the test songs and its calibration, by the eval
    songs, written on the card.

    Returns:
        The metrics on the card: the best look at "eval", and "test", None where no test song has a mix.

    Raises:
        NotFound: no finished look in the folder, or its corpus has gone.
        BadRequest: the corpus was prepared anew and is another one now.
        NoModel, Refused: as `trainer.export.export`.
    """
    facts, settings = read_run(run)
    corpus = Corpus.open(facts["corpus"]["path"])
    if corpus.digest != facts["corpus"]["digest"]:
        raise BadRequest(
            str(corpus.path),
            found=f"corpus {corpus.digest[:16]}…",
            expected=f"{facts['corpus']['digest'][:16]}…, which the run was trained on",
            remedy="train again on the corpus as it is now",
        )
    report("measuring on the test songs")
    metrics = {"eval": best_look(run), "test": _figures(run / "best.safetensors", settings, corpus)}
    report("exporting, and comparing the graphs with torch")
    export(run / "best.safetensors", settings, corpus, folder, name=name, licence=licence, metrics=metrics)
    report("calibrating on the eval songs")
    if calibrate_package(folder, corpus) is None:
        report(f"fewer than {MIN_SONGS} eval songs: not calibrated, so no hit has a fit")
    return metrics


def read_run(run: Path) -> tuple[dict[str, Any], Settings]:
    """What run.json says, and the settings. Raises NotFound where no checkpoint was written yet."""
    for name in ("run.json", "settings.toml", "best.safetensors"):
        if not (run / name).is_file():
            raise NotFound(str(run), found=f"no {name}", expected="the folder of a run that looked once")
    facts = json.loads((run / "run.json").read_bytes())
    return facts, replace(load(str(run / "settings.toml")), name=facts["preset"])


def best_look(run: Path) -> dict[str, Any] | None:
    """The look at the eval split that the best checkpoint was kept for; None where none is told of."""
    return min(_lines_with("rank", run), key=lambda line: line["rank"], default=None)


def rank_before(run: Path) -> float | None:
    """The rank of the weights that the run went on from; None for one from scratch."""
    return next((line["rank_before"] for line in _lines_with("rank_before", run)), None)


def _lines_with(key: str, run: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
    return [line for line in lines if line.get(key) is not None]


def _figures(checkpoint: Path, settings: Settings, corpus: Corpus) -> dict[str, Any] | None:
    pair = Pair(settings.model)
    load_weights(pair, checkpoint, settings)
    try:
        return look(pair, corpus, settings, "test")
    except BadRequest:  # too few songs for a test split with mixes
        return None
