"""Training: runs that stop and go on, processes that share a batch, and what is refused."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch

from encoders.errors import BadRequest, NotFound, Refused
from trainer import loop
from trainer.loader import Batch
from trainer.loop import learning_rate, objective, train
from trainer.retrain import best_look, rank_before
from trainer.run_folder import picked
from trainer.settings import load

ROOT = Path(__file__).resolve().parents[2]
SMALL = load("small")
TINY = replace(
    SMALL,
    model=replace(SMALL.model, width=4, dim=16),
    data=replace(SMALL.data, batch=6),
    run=replace(SMALL.run, steps=6, evaluate_every=2, n_queries=2, precision="float32"),
)


def quiet(line: str) -> None:
    pass


def curve(run: Path) -> list[tuple[int, float]]:
    """Steps and losses of a run's metrics."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line["loss"]) for line in lines if "loss" in line]


@pytest.fixture(scope="module")
def whole_run(small_corpus, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("run")
    train(TINY, small_corpus.path, run, device="cpu", report=quiet)
    return run


def test_a_run_folder_tells_all(small_corpus, whole_run):
    facts = json.loads((whole_run / "run.json").read_text())
    assert facts["corpus"]["digest"] == small_corpus.digest and facts["seed"] == 0
    assert load(str(whole_run / "settings.toml")).model == TINY.model
    assert [step for step, _ in curve(whole_run)] == [2, 4, 6]
    assert any((whole_run / "tensorboard").iterdir())
    looks = [
        json.loads(line) for line in (whole_run / "metrics.jsonl").read_text().splitlines() if "rank" in line
    ]
    assert [row["step"] for row in looks] == [2, 4, 6] and {"full", "sparse"} <= set(looks[0]["eval"])


_CHILD = """
import os, signal, sys
from pathlib import Path
from trainer import loop
from trainer.settings import load
look, seen = loop.look, []
def killed_at_the_second_look(*arguments, **options):
    seen.append(1)
    if len(seen) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return look(*arguments, **options)
loop.look = killed_at_the_second_look
loop.train(load(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), device="cpu")
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
def test_killed_and_resumed_it_goes_on_along_the_same_curve(small_corpus, whole_run, tmp_path):
    preset, run = whole_run / "settings.toml", tmp_path / "run"
    child = subprocess.run(
        [sys.executable, "-c", _CHILD, preset, small_corpus.path, run],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    assert child.returncode == -signal.SIGKILL
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')  # what a kill in the midst of a write leaves
    train(load(str(preset)), small_corpus.path, run, device="cpu", report=quiet)
    assert curve(run) == curve(whole_run)


def test_max_minutes_stops_with_a_checkpoint(small_corpus, whole_run, tmp_path):
    train(TINY, small_corpus.path, tmp_path, max_minutes=0, device="cpu", report=quiet)
    assert [step for step, _ in curve(tmp_path)] == [1]
    train(TINY, small_corpus.path, tmp_path, device="cpu", report=quiet)
    assert [row for row in curve(tmp_path) if row[0] > 1] == curve(whole_run)


def test_a_finished_run_does_nothing_more(small_corpus, whole_run):
    before = (whole_run / "last.safetensors").read_bytes()
    best = train(TINY, small_corpus.path, whole_run, device="cpu", report=quiet)
    assert best["rank"] <= 1 and (whole_run / "last.safetensors").read_bytes() == before


def test_a_run_of_other_settings_is_refused_with_both_values(small_corpus, whole_run):
    other = replace(TINY, optimiser=replace(TINY.optimiser, learning_rate=0.5))
    with pytest.raises(
        BadRequest, match=r"found optimiser.learning_rate = 0.002; expected optimiser.learning_rate = 0.5"
    ):
        train(other, small_corpus.path, whole_run, device="cpu", report=quiet)


def test_a_checkpoint_from_before_a_setting_was_there_goes_on(small_corpus, whole_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(whole_run, run)
    with loop_file(run / "last.safetensors") as file:
        facts, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    facts["settings"] = facts["settings"].replace('exclude = "song"\n', "")
    safetensors.torch.save_file(tensors, run / "last.safetensors", facts)
    longer = replace(TINY, run=replace(TINY.run, seed=1))
    with pytest.raises(BadRequest, match=r"found run.seed = 0; expected run.seed = 1"):
        train(longer, small_corpus.path, run, device="cpu", report=quiet)
    assert train(TINY, small_corpus.path, run, device="cpu", report=quiet)["rank"] <= 1


def test_processes_that_found_different_checkpoints_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "gather", lambda step: torch.cat([step, torch.tensor([0])]))
    loop._check_step(0, tmp_path, 2, torch.device("cpu"))
    with pytest.raises(BadRequest, match=r"steps 40, 0; .*every host"):
        loop._check_step(40, tmp_path, 2, torch.device("cpu"))


def test_weights_of_another_architecture_are_refused_with_both_values(small_corpus, whole_run, tmp_path):
    wider = replace(TINY, model=replace(TINY.model, width=5))
    with pytest.raises(Refused, match=r'found .*"width": 4.*expected .*"width": 5'):
        train(
            wider,
            small_corpus.path,
            tmp_path,
            start=whole_run / "best.safetensors",
            device="cpu",
            report=quiet,
        )
    with pytest.raises(NotFound):
        train(
            TINY, small_corpus.path, tmp_path, start=tmp_path / "none.safetensors", device="cpu", report=quiet
        )


def test_a_start_begins_where_the_other_ended(small_corpus, whole_run, tmp_path):
    frozen = replace(
        TINY, optimiser=replace(TINY.optimiser, learning_rate=0.0), run=replace(TINY.run, steps=1)
    )
    start = whole_run / "last.safetensors"
    train(frozen, small_corpus.path, tmp_path, start=start, device="cpu", report=quiet)
    head = "bodies.0.head.weight"
    with loop_file(start) as before, loop_file(tmp_path / "last.safetensors") as after:
        assert torch.equal(before.get_tensor(head), after.get_tensor(head))


def test_what_a_run_goes_on_from_is_judged_first_and_is_never_its_own_best(small_corpus, whole_run, tmp_path):
    *_, last = map(json.loads, (whole_run / "metrics.jsonl").read_text().splitlines())
    assert last["step"] == 6 and rank_before(whole_run) is None
    start = whole_run / "last.safetensors"
    best = train(TINY, small_corpus.path, tmp_path, start=start, device="cpu", report=quiet)
    assert rank_before(tmp_path) == pytest.approx(last["rank"])
    assert best["step"] > 0 and best_look(tmp_path) == best


def loop_file(path: Path):
    return safetensors.safe_open(path, "pt")


def test_a_batch_larger_than_the_corpus_is_refused(small_corpus, tmp_path):
    with pytest.raises(BadRequest, match=r"data.batch: found 9999; expected at most \d+, the pairs"):
        train(replace(TINY, data=replace(TINY.data, batch=9999)), small_corpus.path, tmp_path, report=quiet)


def test_a_full_disk_is_told_and_the_last_checkpoint_stands(small_corpus, whole_run, tmp_path):
    resource = pytest.importorskip("resource", reason="Windows has no limit on the size of files")
    run = tmp_path / "run"
    shutil.copytree(whole_run, run)
    (run / "last.safetensors").write_bytes((run / "best.safetensors").read_bytes())
    before = (run / "last.safetensors").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))  # as a disk with so much room
    try:
        with pytest.raises(Refused, match=r"best.safetensors|last.safetensors|run: .*make room"):
            train(TINY, small_corpus.path, tmp_path / "other", device="cpu", report=quiet)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (
        not list(tmp_path.glob("other/*.safetensors")) and (run / "last.safetensors").read_bytes() == before
    )


def test_a_loss_that_is_no_number_names_the_batch(small_corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(loop.losses, "contrastive", lambda query, *_: query.sum() * math.nan)
    with pytest.raises(BadRequest, match=r"step 1: found a loss of nan.*songs of the batch: song\d"):
        train(TINY, small_corpus.path, tmp_path, device="cpu", report=quiet)


def test_waveforms_train_too(small_corpus, tmp_path):
    settings = replace(
        TINY, data=replace(TINY.data, pipeline="waveform", one_type=0.0), loss=load("qsinv").loss
    )
    settings = replace(settings, run=replace(settings.run, steps=2))
    train(settings, small_corpus.path, tmp_path, device="cpu", report=quiet)
    line = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[0])
    terms = {"contrastive", "variance", "covariance", "norm", "invariance_query", "invariance_key"}
    assert terms <= set(line)
    weights = {name: weight for name, (weight, _) in objective(settings.loss).items()}
    assert line["loss"] == pytest.approx(sum(weights[name] * line[name] for name in terms), rel=1e-4)


def test_what_is_no_negative_is_the_presets_choice():
    """Rows 0 and 1 are hits of one song, rows 1 and 2 the same sample in two songs."""
    z, song, content = torch.eye(4), torch.tensor([0, 0, 1, 2]), torch.tensor([5, 6, 6, 7])
    batch = Batch(z, z, song=song, content=content, type=song, query2=z, key2=z, content2=content.roll(1))
    paper, small = (loop._gathered([z, z, z, z], batch, load(name).data) for name in ("samplematch", "small"))
    pairs = [{tuple(pair) for pair in table.nonzero().tolist()} for table in (paper.exclude, small.exclude)]
    own = {(row, row) for row in range(4)}
    assert pairs == [own | {(1, 2), (2, 1)}, own | {(1, 2), (2, 1), (0, 1), (1, 0)}]
    assert paper.exclude2.nonzero().tolist() == [[0, 1], [1, 2], [1, 3], [2, 2], [2, 3], [3, 0]]


def test_a_weight_of_nothing_leaves_the_term_out():
    assert set(objective(load("no-vcreg").loss)) == {"contrastive", "norm"}
    assert set(objective(load("qsinv").loss)) >= {"invariance_query", "invariance_key"}


def test_the_learning_rate_warms_up_and_falls():
    cosine = replace(
        TINY, optimiser=replace(TINY.optimiser, warmup_steps=10), run=replace(TINY.run, steps=100)
    )
    rates = [learning_rate(cosine, step) for step in (1, 10, 55, 100)]
    assert rates[0] < rates[2] < rates[1] < cosine.optimiser.learning_rate and rates[3] == pytest.approx(0)
    assert {learning_rate(load("samplematch"), step) for step in (1, 169_200)} == {3e-4}


def test_the_best_is_picked_by_the_presets_figure():
    kick, tom = ({"mean_normalised_rank": rank, "n_queries": n} for rank, n in ((0.2, 30), (0.6, 10)))
    lone = {"mean_normalised_rank": None, "n_queries": 0}
    figures = {
        "sparse": {"mean_normalised_rank": 0.1, "within_type": {"kick": kick, "tom": tom, "ride": lone}}
    }
    assert picked(figures, "all") == 0.1
    assert picked(figures, "within_type") == pytest.approx(0.3)


_RANK = """
import sys, torch
from torch import nn, distributed
from trainer.loader import Batch
from trainer.loop import _gathered, _process_group, _shared, objective
from trainer.settings import load
class Linear(nn.Module):
    def __init__(self):
        super().__init__()
        self.bodies = nn.ModuleList(nn.Linear(5, 3) for _ in range(2))
    def forward(self, query, key):
        return self.bodies[0](query), self.bodies[1](key)
def main():  # what holds the group must be gone before the interpreter ends, or its threads abort it
    with _process_group() as (rank, n_ranks):
        torch.manual_seed(0)
        pair, data = Linear(), torch.randn(2, 8, 5)
        ids = torch.tensor([0, 1, 2, 3, 3, 4, 5, 6])
        mine = slice(rank * 8 // n_ranks, (rank + 1) * 8 // n_ranks)
        trained = _shared(pair, n_ranks, torch.device("cpu"))
        batch = Batch(data[0, mine], data[1, mine], song=ids[mine], content=ids[mine], type=ids[mine])
        paper = load("samplematch")
        views = _gathered(list(trained(batch.query, batch.key)), batch, paper.data)
        loss = sum(weight * term(views) for weight, term in objective(paper.loss).values())
        loss.backward()
        if rank == 0:
            torch.save([loss.detach()] + [p.grad for p in pair.parameters()], sys.argv[1])
main()
"""


def test_two_processes_give_the_loss_and_the_gradients_of_one(tmp_path):
    """Batch norm aside, which sees its own process's share on a CPU: hence a linear pair."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    common = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "CUDA_VISIBLE_DEVICES": ""}
    alone = [{name: value for name, value in common.items() if name != "WORLD_SIZE"}]
    two = [{**common, "WORLD_SIZE": "2", "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(2)]
    results = []
    for name, environments in (("one", alone), ("two", two)):
        command = [sys.executable, "-c", _RANK, str(tmp_path / name)]
        children = [subprocess.Popen(command, cwd=ROOT, env=environment) for environment in environments]
        assert [child.wait(timeout=120) for child in children] == [0] * len(children)
        results.append(torch.load(tmp_path / name, weights_only=True))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    assert results[0][1].abs().max() > 1e-3
