"""Runs of several seeds as one model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from encoders.errors import BadRequest
from encoders.package import open_package
from encoders.session import open_encoder
from trainer.loop import train
from trainer.members import merge
from trainer.model import Pair
from trainer.retrain import begin_from, export_run, read_run
from trainer.run_folder import load_weights
from trainer.settings import changed, load

SMALL = load("small")
TINY = replace(
    SMALL,
    model=replace(SMALL.model, width=4, dim=8),
    data=replace(SMALL.data, batch=6),
    run=replace(SMALL.run, steps=2, evaluate_every=1, n_queries=2, precision="float32"),
)


@pytest.fixture(scope="module")
def runs(small_corpus, tmp_path_factory) -> list[Path]:
    folders = [tmp_path_factory.mktemp(f"seed-{seed}") for seed in (0, 1)]
    for seed, run in enumerate(folders):
        settings = changed(TINY, {"run.seed": seed})
        train(settings, small_corpus.path, run, device="cpu", report=lambda line: None)
    return folders


@pytest.fixture(scope="module")
def merged(runs, tmp_path_factory) -> Path:
    return merge(runs, tmp_path_factory.mktemp("merged"))


def encoders(run: Path) -> Pair:
    _, settings = read_run(run)
    pair = Pair(settings.model)
    load_weights(pair, run / "best.safetensors", settings)
    return pair.eval()


def test_a_score_is_the_mean_of_the_members_scores(runs, merged):
    audio = torch.randn(4, 176400, generator=torch.Generator().manual_seed(0)) * 0.1
    scores = []
    for run in (merged, *runs):
        pair = encoders(run)
        with torch.inference_mode():
            query, key = (F.normalize(one(audio), dim=1) for one in (pair.query, pair.key))
        scores.append(query @ key.T)
    whole, one, other = scores
    torch.testing.assert_close(whole, (one + other) / 2, atol=1e-5, rtol=0)
    assert (one - other).abs().max() > 1e-3


def test_the_merged_run_is_exported_as_any_other_and_can_be_gone_on_from(merged, tmp_path):
    export_run(merged, tmp_path, name="both", licence="CC0-1.0")
    card = open_package(tmp_path).card
    assert card.training["metrics"]["eval"]["rank"] >= 0
    assert card.dim == 16 and json.loads((merged / "run.json").read_bytes())["members"] == [0, 1]
    opened = open_encoder(open_package(tmp_path), device="cpu", n_threads=1)
    audio = np.random.default_rng(0).normal(0, 0.1, (1, 176400)).astype(np.float32)
    with torch.inference_mode():
        expected = F.normalize(encoders(merged).query(torch.from_numpy(audio)), dim=1).numpy()
    np.testing.assert_allclose(opened.queries(audio), expected, atol=2e-3)
    settings, _ = begin_from(TINY, tmp_path)
    assert (settings.model.members, settings.model.dim) == (2, 16)


def test_runs_of_other_settings_are_refused(runs, small_corpus, tmp_path):
    settings = changed(TINY, {"loss.temperature": 0.3})
    train(settings, small_corpus.path, tmp_path / "other", device="cpu", report=lambda line: None)
    with pytest.raises(BadRequest, match="other settings"):
        merge([runs[0], tmp_path / "other"], tmp_path / "merged")
    assert not (tmp_path / "merged").exists()
