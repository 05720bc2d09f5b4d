"""It learns: where kit and song share a hidden trait it finds the kit, and where they share none it does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from trainer import mels
from trainer.corpus import Corpus
from trainer.evaluate import MODES
from trainer.loop import look, train
from trainer.model import Pair
from trainer.prepare import prepare
from trainer.run_folder import load_weights
from trainer.settings import Settings, Treatment, load

RATE, N_SAMPLES = 44_100, 5 * 44_100
DRUMS = ("kick", "snare")
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
        for name in (*DRUMS, "bass", "pad"):
            drum = name in DRUMS
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


def within_type(settings: Settings, corpus: Corpus, run: Path, split: str) -> dict[str, dict]:
    """Trains, and gives the figures of kick and snare within their types, by mode and drum."""
    train(settings, corpus.path, run, device="cpu", report=lambda line: None)
    pair = Pair(settings.model)
    load_weights(pair, run / "best.safetensors", settings)
    figures = look(pair, corpus, settings, split)
    return {f"{mode} {drum}": figures[mode]["within_type"][drum] for mode in MODES for drum in DRUMS}


def test_it_learns_what_kit_and_song_share(corpus, tmp_path):
    within = within_type(QUICK, corpus, tmp_path, "test")
    assert np.mean([within[f"sparse {drum}"]["median_normalised_rank"] for drum in DRUMS]) < 0.15


def test_it_learns_nothing_from_shuffled_pairs(corpus, tmp_path, monkeypatch):
    """Judged on the songs that it trained on, which are many: what was never paired cannot have been learned.

    The mean over 60 songs has a standard error of .037; three short runs, each with weights and a shuffle of its
    own, bring it down to about .02.
    """
    rng = torch.Generator().manual_seed(0)
    straight = mels.batches

    def shuffled(*arguments):
        for batch in straight(*arguments):
            yield replace(batch, key=batch.key[torch.randperm(len(batch.key), generator=rng)])

    monkeypatch.setattr(mels, "batches", shuffled)
    means = []
    for seed in range(3):
        short = replace(QUICK, run=replace(QUICK.run, steps=40, n_queries=1, seed=seed))
        within = within_type(short, corpus, tmp_path / str(seed), "train")
        means += [figures["mean_normalised_rank"] for figures in within.values()]
    assert np.mean(means) == pytest.approx(0.5, abs=0.05), means
