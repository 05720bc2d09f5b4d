"""Runs of several seeds as one model: their encoders side by side, so that a score is the mean of theirs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from encoders.artefacts import write_bytes
from encoders.errors import BadRequest
from trainer.corpus import Corpus
from trainer.loop import judged_split, look
from trainer.model import Members, Pair
from trainer.retrain import read_run
from trainer.run_folder import Log, describe, load_weights, save
from trainer.settings import Settings, changed


def merge(runs: Sequence[Path], folder: Path) -> Path:
    """Lays the best checkpoints of several runs side by side in a run folder, as one checkpoint of `model.members`.

    Nothing is trained: what the encoders gain is what averaging the errors of several seeds gives.

    Args:
        runs: at least two, of the same settings but for `run.seed`, on the same corpus.
        folder: the new run folder; `samplefit export` and `evaluate` take it as any other.

    Returns:
        `folder`.

    Raises:
        BadRequest: settings or corpora differ. NotFound: a run that never looked.
    """
    found = [read_run(run) for run in runs]
    (facts, first), *others = found
    for run, (other_facts, other) in zip(runs[1:], others, strict=True):
        _check_alike(run, first, other)
        if other_facts["corpus"]["digest"] != facts["corpus"]["digest"]:
            raise BadRequest(str(run), found="another corpus", expected=f"that of {runs[0]}")
    corpus = Corpus.open(facts["corpus"]["path"])
    n_members = len(runs)
    settings = changed(
        first, {"model.members": n_members * first.model.members, "model.dim": n_members * first.model.dim}
    )
    pair = Pair(settings.model)
    for place, (run, (_, own)) in enumerate(zip(runs, found, strict=True)):
        one = Pair(own.model)
        load_weights(one, run / "best.safetensors", own)
        for whole, part in zip(pair.bodies, one.bodies, strict=True):
            members = part.members if isinstance(part, Members) else [part]
            for number, member in enumerate(members, place * len(members)):
                whole.members[number].load_state_dict(member.state_dict())
    describe(folder, settings, corpus, None, 0)
    with Log(folder, -1, settings, lambda line: None) as log:
        best = log.look(0, look(pair, corpus, settings, judged_split(corpus)), {})
    save(folder / "best.safetensors", pair, None, 0, best, settings, corpus)
    told = json.loads((folder / "run.json").read_bytes()) | {"members": [own.run.seed for _, own in found]}
    write_bytes(folder / "run.json", json.dumps(told, indent=1).encode())
    return folder


def _check_alike(run: Path, first: Settings, other: Settings) -> None:
    if replace(other, name=first.name, run=replace(other.run, seed=first.run.seed)) != first:
        raise BadRequest(str(run), found="other settings", expected="the first run's, but for run.seed")
