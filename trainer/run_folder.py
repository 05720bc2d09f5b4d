"""The folder of a training run: all that tells what was done, and what it takes to go on.

RUN/settings.toml        the resolved preset
RUN/run.json             commit, seed, corpus digest, versions
RUN/metrics.jsonl        one line a look: step, loss and its terms, pairs a second, the eval split's figures; first, where
                         it goes on from other weights, theirs as rank_before
RUN/last.safetensors     weights, optimiser state and step, renamed into place at each look
RUN/best.safetensors     weights of the look with the best figure
RUN/tensorboard/         the same figures as curves
"""

from __future__ import annotations

import json
import subprocess
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from encoders.artefacts import replacing, write_bytes
from encoders.errors import BadRequest, NotFound, Refused
from trainer.corpus import Corpus
from trainer.model import Pair
from trainer.settings import Model, Settings, to_toml

FORMAT = 1


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns what a disk refuses into an error that a user can mend. Raises Refused."""
    try:
        yield
    except OSError as error:
        raise Refused(
            str(path),
            found=error.strerror or str(error),
            expected="a run folder that can be written",
            remedy="make room; the same command goes on from the last checkpoint",
        ) from None


def load_weights(pair: Pair, path: Path, settings: Settings) -> None:
    """Loads the weights of a checkpoint or package into a pair of the same architecture.

    Raises:
        NotFound: no such file, or not safetensors.
        Refused: made for another architecture.
    """
    try:
        with safetensors.safe_open(path, "pt") as file:
            facts = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys() if name.startswith("bodies.")}  # noqa: SIM118
    except (OSError, safetensors.SafetensorError) as error:
        raise NotFound(str(path), found=str(error), expected="a checkpoint") from None
    found, expected = json.loads(facts.get("model", "{}")), _architecture(settings.model)
    if not found or {**_architecture(Model()), **found} != expected:
        raise Refused(
            str(path),
            found=json.dumps(found) if found else "nothing of its architecture",
            expected=json.dumps(expected),
            remedy="train with a preset of the same [model] table",
        )
    pair.load_state_dict(
        {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    )


def _architecture(model: Model) -> dict[str, Any]:
    """What must be equal for weights to fit; a checkpoint of an older version lacks what then had one value alone."""
    return {key: value for key, value in asdict(model).items() if key != "weights"}


def save(
    path: Path,
    pair: Pair,
    optimiser: torch.optim.Optimizer | None,
    step: int,
    best: dict,
    settings: Settings,
    corpus: Corpus,
) -> None:
    tensors = {name: value.contiguous() for name, value in pair.state_dict().items()}
    if optimiser:
        for place, state in optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{place}.{name}": value.contiguous() for name, value in state.items()}
    facts = {
        "format": str(FORMAT),
        "step": str(step),
        "best": json.dumps(best),
        "model": json.dumps(_architecture(settings.model)),
        "settings": to_toml(settings),
        "corpus": corpus.digest,
    }
    with writing(path):
        write_bytes(path, safetensors.torch.save(tensors, facts))


def resume(
    run: Path, pair: Pair, optimiser: torch.optim.Optimizer, settings: Settings, corpus: Corpus
) -> tuple[int, dict[str, Any]]:
    """Brings a run's last checkpoint back: its step and its best look; (0, {}) for a new run."""
    path = run / "last.safetensors"
    if not path.exists():
        return 0, {}
    load_weights(pair, path, settings)
    with safetensors.safe_open(path, "pt") as file:
        facts = file.metadata()
        states: dict[int, dict[str, Tensor]] = {}
        for name in file.keys():  # noqa: SIM118
            if name.startswith("optimiser."):
                _, place, key = name.split(".", 2)
                states.setdefault(int(place), {})[key] = file.get_tensor(name)
    _same(path, "corpus", facts["corpus"], corpus.digest)
    _same_settings(path, facts["settings"], settings)
    optimiser.load_state_dict({**optimiser.state_dict(), "state": states})
    return int(facts["step"]), json.loads(facts["best"])


def _same_settings(path: Path, text: str, settings: Settings) -> None:
    """Refuses another value of anything that the checkpoint names; what it does not know came later than it."""
    tables = tomllib.loads(text)
    for table, values in asdict(settings).items():
        for key, value in values.items() if isinstance(values, dict) else ():
            found = tables.get(table, {}).get(key, value)
            _same(path, "settings", f"{table}.{key} = {found}", f"{table}.{key} = {value}")


def _same(path: Path, what: str, found: str, expected: str) -> None:
    if found != expected:
        raise BadRequest(f"{path}: {what}", found=found, expected=expected, remedy="name another run folder")


def describe(run: Path, settings: Settings, corpus: Corpus, start: Path | None, step: int) -> None:
    facts = {
        "format": FORMAT,
        "preset": settings.name,
        "commit": _commit(),
        "seed": settings.run.seed,
        "corpus": {"path": str(corpus.path), "digest": corpus.digest, "songs": len(corpus.songs)},
        "start": str(start) if start else None,
        "resumed_at": step,
        "torch": torch.__version__,
    }
    with writing(run):
        run.mkdir(parents=True, exist_ok=True)
        write_bytes(run / "settings.toml", to_toml(settings).encode())
        write_bytes(run / "run.json", json.dumps(facts, indent=1).encode())


def _commit() -> str | None:
    """The commit of the code, or None where it is no checkout."""
    here = Path(__file__).resolve().parent
    found = subprocess.run(
        ["git", "-C", here, "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    return found.stdout.strip() or None


class Log:
    """The run's figures: a line of JSON, TensorBoard's curves, a line of progress."""

    def __init__(self, run: Path, step: int, settings: Settings, report: Callable[[str], None]) -> None:
        self._path, self._settings, self._report = run / "metrics.jsonl", settings, report
        with writing(run):
            if self._path.exists():  # steps after the last checkpoint are done again
                lines = [line for line in self._path.read_text().splitlines() if _step_of(line) <= step]
                with replacing(self._path) as file:
                    file.writelines(f"{line}\n".encode() for line in lines)
            self._board = SummaryWriter(str(run / "tensorboard"), purge_step=step + 1)
        self._since, self._from, self._first = time.monotonic(), step, step

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_: object) -> None:
        with writing(self._path):
            self._board.close()

    def step(self, step: int, loss: float, terms: dict[str, float]) -> None:
        seconds = time.monotonic() - self._since
        rate = (step - self._from) * self._settings.data.batch / max(seconds, 1e-9)
        left_min = (self._settings.run.steps - step) * self._settings.data.batch / max(rate, 1e-9) / 60
        self._since, self._from = time.monotonic(), step
        self._write({"step": step, "loss": loss, **terms, "pairs_per_s": round(rate, 1)})
        self._report(f"step {step}: loss {loss:.3f}, {rate:.0f} pairs/s, {left_min:.0f} min left")

    def before(self, figures: dict[str, Any]) -> None:
        """Notes a look at what the run goes on from: no checkpoint of its own, so never its best."""
        rank = picked(figures, self._settings.run.best_by)
        self._write({"step": 0, "rank_before": rank, "eval": figures})
        self._report(f"before: rank {rank:.4f}")
        self._since = time.monotonic()

    def look(self, step: int, figures: dict[str, Any], best: dict[str, Any]) -> dict[str, Any]:
        """Notes a look at the eval split and says which look is the best so far."""
        rank = picked(figures, self._settings.run.best_by)
        self._write({"step": step, "rank": rank, "eval": figures})
        self._report(f"step {step}: rank {rank:.4f} (best {min(rank, best.get('rank', 1.0)):.4f})")
        self._since = time.monotonic()
        return {"step": step, "rank": rank, "eval": figures} if rank < best.get("rank", np.inf) else best

    def _write(self, line: dict[str, Any]) -> None:
        with writing(self._path):
            with self._path.open("a") as file:
                file.write(json.dumps(line) + "\n")
            for name, value in line.items():
                if isinstance(value, float):
                    self._board.add_scalar(name, value, line["step"])


def _step_of(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError):  # the half line of a process that was killed
        return np.inf


def picked(figures: dict[str, Any], by: str) -> float:
    """The figure that checkpoints compete by: sparse mixes' mean normalised rank, over all one-shots or within types.

    A small corpus whose eval split has one one-shot of each type is judged over all of them.
    """
    sparse = figures["sparse"]
    by_type = [row for row in sparse["within_type"].values() if row["n_queries"]]
    if by == "all" or not by_type:
        return sparse["mean_normalised_rank"]
    n_queries = sum(row["n_queries"] for row in by_type)
    return sum(row["mean_normalised_rank"] * row["n_queries"] for row in by_type) / n_queries
