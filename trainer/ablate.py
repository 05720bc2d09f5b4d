"""Table 1: every variant of the paper trained alike and measured alike."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from encoders.artefacts import replacing, write_bytes
from encoders.errors import BadRequest
from trainer.corpus import Corpus
from trainer.evaluate import MODES, Encode, Ranks, encode_trial, rank_truths, set_trial, trial_loss
from trainer.loop import train
from trainer.model import Encoder, Pair
from trainer.ranks import neighbour_likelihood
from trainer.run_folder import load_weights
from trainer.settings import Settings, changed, load
from trainer.table1 import TABLE, Result, numbers, table

FORMAT = 1
Report = Callable[[str], None]


def variants(base: Settings) -> dict[str, Settings]:
    """Each row's settings: the base, with the one difference that the row makes to samplematch."""
    paper = _flat(load("samplematch"))
    found = {}
    for row in TABLE:
        own = _flat(load(row.preset))
        difference = {key: own[key] for key in own if own[key] != paper[key]}
        found[row.preset] = replace(changed(base, difference), name=row.preset)
    return found


def _flat(settings: Settings) -> dict[str, Any]:
    tables = {name: table for name, table in asdict(settings).items() if isinstance(table, dict)}
    return {f"{name}.{key}": value for name, table in tables.items() for key, value in table.items()}


def _same_as(chosen: dict[str, Settings]) -> dict[str, str]:
    """Rows that the base makes equal to an earlier one: they are trained once."""
    first: dict[str, str] = {}
    plain = {name: json.dumps(_flat(settings), sort_keys=True) for name, settings in chosen.items()}
    return {name: first.setdefault(text, name) for name, text in plain.items()}


def ablate(
    base: Settings,
    corpus_dir: Path,
    out: Path,
    *,
    rows: Sequence[str] = (),
    minutes: float | None = None,
    device: str | None = None,
    n_queries: int = 50,
    report: Report,
) -> str:
    """Trains and measures the rows of Table 1 at one budget; what was done before is taken up again.

    Args:
        base: what all rows share, "samplematch" or a smaller one; `run.steps` is the budget in steps.
        rows: presets; none means all nine.
        minutes: the budget in minutes, in place of steps; time spent before an interruption counts.

    Returns:
        The table as Markdown, which also stands in OUT/table.md, with the numbers in OUT/table.json.

    Raises:
        BadRequest: an unknown row, no test songs, or a folder of other settings or of another corpus.
    """
    chosen = variants(base)
    for name in rows:
        if name not in chosen:
            raise BadRequest(f"row {name}", found="no such row", expected=", ".join(chosen))
    chosen = {name: settings for name, settings in chosen.items() if name in (rows or chosen)}
    corpus = Corpus.open(corpus_dir)
    set_trial(corpus, "test", 1)  # a corpus without test songs is refused now, not after hours
    same = _same_as(chosen)
    out.mkdir(parents=True, exist_ok=True)
    results: dict[str, Result] = {}
    for name, settings in chosen.items():
        if same[name] == name:
            report(f"{name}: {list(chosen).index(name) + 1} of {len(chosen)} rows")
            results[name] = _row(settings, corpus, out / name, minutes, device, n_queries, report)
        else:
            results[name] = results[same[name]]
    facts = {
        "format": FORMAT,
        "corpus": corpus.digest,
        "base": base.name,
        "backbone": base.model.backbone,
        "batch": base.data.batch,
        "budget": f"{minutes:g} minutes" if minutes else f"{base.run.steps} steps",
        "n_songs": len({corpus.songs[corpus.one_shots[row].song].group for row in corpus.query_rows("test")}),
    }
    text = table(results, same, facts)
    write_bytes(out / "table.md", text.encode())
    write_bytes(out / "table.json", json.dumps({**facts, "rows": numbers(results)}, indent=1).encode())
    return text


def _row(
    settings: Settings,
    corpus: Corpus,
    run: Path,
    minutes: float | None,
    device: str | None,
    n_queries: int,
    report: Report,
) -> Result:
    """One row: trained up to its budget, then measured once; the ranks are kept beside the run."""
    left = None if minutes is None else minutes - spent_min(run, settings)
    done = run / "ranks.npz"
    if not done.is_file():
        if left is None or left > 0 or not (run / "best.safetensors").is_file():
            train(settings, corpus.path, run, max_minutes=left, device=device, report=report)
        _keep(done, _measure(settings, corpus, run, device, n_queries), corpus, settings)
    return _kept(done, corpus, settings)


def spent_min(run: Path, settings: Settings) -> float:
    """Minutes that a run has trained, by the pace of its metrics, which a kill leaves behind."""
    path = run / "metrics.jsonl"
    if not path.is_file():
        return 0.0
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.endswith("}")]
    paced = [line for line in lines if line.get("pairs_per_s")]
    steps = np.diff([0, *(line["step"] for line in paced)])
    seconds = [n * settings.data.batch / line["pairs_per_s"] for n, line in zip(steps, paced, strict=True)]
    return sum(seconds) / 60


def _measure(settings: Settings, corpus: Corpus, run: Path, device: str | None, n_queries: int) -> Result:
    pair = Pair(settings.model)
    load_weights(pair, run / "best.safetensors", settings)
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    trial = set_trial(corpus, "test", n_queries, settings.run.seed)
    keys, queries = encode_trial(trial, unit_rows(pair.query, place), unit_rows(pair.key, place))
    ranks: dict[str, Ranks] = {mode: rank_truths(trial, queries[mode] @ keys.T) for mode in MODES}
    of_keys = trial.origins(corpus.one_shots[row].song for row in trial.candidates)
    of_queries = trial.origins(question.song for question in trial.questions)
    figures = {
        mode: {
            "loss": trial_loss(trial, queries[mode], keys),
            "query_likelihood": neighbour_likelihood(queries[mode], of_queries),
            "key_likelihood": neighbour_likelihood(keys, of_keys),
        }
        for mode in MODES
    }
    last = [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
    return Result({mode: ranks[mode].over_all for mode in MODES}, ranks["full"].groups, figures, max(last))


def unit_rows(encoder: Encoder, place: torch.device) -> Encode:
    """An encoder as a function of arrays: (B, 176400) float32 → (B, D) float32, unit rows."""
    encoder = encoder.to(place).eval()

    def encode(audio: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            z = encoder(torch.from_numpy(np.ascontiguousarray(audio)).to(place)).float()
        return torch.nn.functional.normalize(z, dim=1).cpu().numpy()

    return encode


def _keep(path: Path, result: Result, corpus: Corpus, settings: Settings) -> None:
    facts = {
        "format": FORMAT,
        "corpus": corpus.digest,
        "settings": _flat(settings),
        "figures": result.figures,
        "steps": result.steps,
    }
    with replacing(path) as file:
        np.savez(file, facts=json.dumps(facts), groups=result.groups, **result.ranks)


def _kept(path: Path, corpus: Corpus, settings: Settings) -> Result:
    with np.load(path) as file:
        facts = json.loads(str(file["facts"]))
        for key, expected in (("corpus", corpus.digest), ("settings", _flat(settings))):
            if facts[key] != expected:
                raise BadRequest(
                    f"{path}: {key}",
                    found="another",
                    expected="that of this ablation",
                    remedy="name another folder with --out",
                )
        ranks = {mode: file[mode] for mode in MODES}
        return Result(ranks, file["groups"], facts["figures"], facts["steps"])
