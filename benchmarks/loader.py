"""Pairs that a core mixes in a second: does a machine of 16 cores feed a device that eats 1,000 pairs a second?

The corpus is made for the purpose: songs of 10 stems and two minutes, as real ones are, read from the page cache. The
contenders take turns in one process. What counts is pairs for each second of processor time, which other programs on
the machine disturb least. Augmentation runs on the training device and is timed apart, here on one core.

Run: python benchmarks/loader.py [--corpus DIR] [--rounds 5]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

import numpy as np
import soundfile
import torch
from measure import machine, spread, write

from encoders.audio import SAMPLE_RATE
from trainer.augment import augment
from trainer.corpus import Corpus
from trainer.loader import batches
from trainer.prepare import prepare
from trainer.settings import Augment, Data, Settings

N_SONGS, N_STEMS, SONG_S = 8, 10, 120
DRUMS = ("kick", "snare", "hihat", "crash")
BATCH, N_BATCHES = 20, 5
GOAL_PAIRS, GOAL_CORES = 1000, 16


@dataclass(frozen=True)
class Contender:
    """One way of running the loader."""

    name: str
    mix: str
    n_workers: int


CONTENDERS = (
    Contender("sparse, 1 thread", "sparse", 1),
    Contender("sparse, 2 threads", "sparse", 2),
    Contender("full, 1 thread", "full", 1),
)


def make_corpus(folder: Path) -> Corpus:
    """Songs of noise with a hit every second in the drum stems, all on the train side."""
    rng = np.random.default_rng(0)
    envelope = np.exp(-np.arange(SAMPLE_RATE) / 3000)
    for song in range(N_SONGS):
        place = folder / "stems" / f"{song}"
        place.mkdir(parents=True)
        (place / "song.toml").write_text('side = "train"\n')
        for stem in range(N_STEMS):
            noise = 0.1 * rng.standard_normal(SONG_S * SAMPLE_RATE)
            hits = stem < len(DRUMS)
            name = DRUMS[stem] if hits else f"part {stem}"
            sound = noise.reshape(SONG_S, -1) * envelope if hits else noise
            soundfile.write(place / f"{name}.wav", sound.ravel(), SAMPLE_RATE)
    prepare(folder / "stems", folder / "corpus")
    return Corpus.open(folder / "corpus")


def one_round(corpus: Corpus, contender: Contender, seed: int) -> tuple[float, float]:
    """Pairs a second by the clock, and for each second of processor time."""
    settings = Settings(data=Data(batch=BATCH, mix=contender.mix))
    made = batches(corpus, settings, seed, n_workers=contender.n_workers)
    next(made)
    wall, used = time.perf_counter(), time.process_time()
    n_pairs = sum(len(batch.query) for batch in islice(made, N_BATCHES))
    wall, used = time.perf_counter() - wall, time.process_time() - used
    made.close()
    return n_pairs / wall, n_pairs / used


def augment_ms(corpus: Corpus, seed: int) -> float:
    """Milliseconds of processor time for one row, query or key."""
    made = batches(corpus, Settings(data=Data(batch=BATCH)), seed)
    audio = next(made).query
    made.close()
    used = time.process_time()
    augment(audio, Augment(), torch.Generator().manual_seed(seed))
    return 1000 * (time.process_time() - used) / len(audio)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, help="a prepared corpus instead of the made one")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    about = machine()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        corpus = Corpus.open(options.corpus) if options.corpus else make_corpus(Path(folder))
        rounds: dict[str, list[tuple[float, float]]] = {contender.name: [] for contender in CONTENDERS}
        for seed in range(options.rounds):
            for contender in CONTENDERS:
                rounds[contender.name].append(one_round(corpus, contender, seed))
        augmenting = [augment_ms(corpus, seed) for seed in range(options.rounds)]
    per_core = float(np.median([used for _, used in rounds[CONTENDERS[0].name]]))
    result = {
        "corpus": {
            "n_songs": len(corpus.songs),
            "stems_a_song": round(float(np.mean([len(song.stems) for song in corpus.songs])), 1),
            "one_shots": len(corpus.one_shots),
        },
        "contenders": {
            name: {
                "pairs_a_second": spread([wall for wall, _ in taken]),
                "pairs_a_core_second": spread([used for _, used in taken]),
            }
            for name, taken in rounds.items()
        },
        "augment_ms_a_row_on_one_core": spread(augmenting),
        "goal": {
            "pairs_a_second": GOAL_PAIRS,
            "cores": GOAL_CORES,
            "cores_of_processor_time_that_it_takes": round(GOAL_PAIRS / per_core, 1),
        },
    }
    write("loader", result, about)


if __name__ == "__main__":
    main()
