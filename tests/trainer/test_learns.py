"""It learns: where kit and song share a hidden trait it finds the kit, and where they share none it does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from trainer import mels
from trainer.corpus import Corpus
from trainer.loop import look, train
from trainer.model import Pair
from trainer.prepare import prepare
from trainer.run_folder import load_weights
from trainer.settings import Treatment, load

RATE, N_SAMPLES = 44_100, 5 * 44_100
SMALL = load("small")
QUICK = replace(
    SMALL,
    model=replace(SMALL.model, width=8, dim=64),
    data=replace(SMALL.data, batch=32),
    treatment=Treatment(),
    optimiser=replace(SMALL.optimiser, warmup_steps=10),
    run=replace(SMALL.run, steps=120, evaluate_every=60, n_queries=4),
)


def make_corpus(folder: Path, songs, n_songs: int = 70) -> Corpus:
    """Songs of noise through a band-pass whose centre is the trait that a song's kit and its other stems share.

    Loudness, onsets and noise differ from stem to stem and song to song, so the trait alone tells.
    """
    rng = np.random.default_rng(0)
    frequency_hz = np.fft.rfftfreq(N_SAMPLES, 1 / RATE)
    for row in range(n_songs):
        centre_hz = 200 * 60 ** rng.uniform(0, 1)
        for name in ("kick", "snare", "bass", "pad"):
            drum = name in ("kick", "snare")
            envelope = np.zeros(N_SAMPLES) if drum else np.ones(N_SAMPLES)
            for onset in (rng.uniform(0.05, 0.8, 3) * N_SAMPLES).astype(int) if drum else ():
                envelope[onset : onset + 8000] = np.exp(-np.arange(8000) / 2000)
            octaves = np.log(np.maximum(frequency_hz, 1) / centre_hz)
            spectrum = np.fft.rfft(rng.standard_normal(N_SAMPLES) * envelope)
            sound = np.fft.irfft(spectrum * (0.05 + np.exp(-((octaves / 0.35) ** 2))), N_SAMPLES)
            path = folder / "stems" / f"song{row:02}" / f"{name}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            songs.write(path, rng.uniform(0.1, 0.8) * sound / np.abs(sound).max())
    prepare(folder / "stems", folder / "corpus")
    return Corpus.open(folder / "corpus")


@pytest.fixture(scope="module")
def corpus(songs, tmp_path_factory) -> Corpus:
    return make_corpus(tmp_path_factory.mktemp("traits"), songs)


def ranks(corpus: Corpus, run: Path, split: str) -> list[dict]:
    """Trains, and gives the within-type figures of sparse mixes for kick and snare."""
    train(QUICK, corpus.path, run, device="cpu", report=lambda line: None)
    pair = Pair(QUICK.model)
    load_weights(pair, run / "best.safetensors", QUICK)
    within = look(pair, corpus, QUICK, split)["sparse"]["within_type"]
    return [within["kick"], within["snare"]]


def test_it_learns_what_kit_and_song_share(corpus, tmp_path):
    kick, snare = ranks(corpus, tmp_path, "test")
    assert (kick["median_normalised_rank"] + snare["median_normalised_rank"]) / 2 < 0.15


def test_it_learns_nothing_from_shuffled_pairs(corpus, tmp_path, monkeypatch):
    """Judged on the songs that it trained on, which are many: what was never paired cannot have been learned."""
    rng = torch.Generator().manual_seed(0)
    straight = mels.batches

    def shuffled(*arguments):
        for batch in straight(*arguments):
            yield replace(batch, key=batch.key[torch.randperm(len(batch.key), generator=rng)])

    monkeypatch.setattr(mels, "batches", shuffled)
    kick, snare = ranks(corpus, tmp_path, "train")
    mean = (kick["mean_normalised_rank"] + snare["mean_normalised_rank"]) / 2
    assert mean == pytest.approx(0.5, abs=0.08)  # two standard errors of 60 songs
