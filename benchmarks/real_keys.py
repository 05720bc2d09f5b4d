"""Keys of real one-shots and queries of real mixes, by a model: what benchmarks/search.py searches beside clusters.

    python benchmarks/real_keys.py CORPUS --n 63000 --out keys.npz     # CORPUS: from `samplefit corpus prepare`

A corpus has fewer one-shots than a collector's library, so each comes back as takes: tuned by up to a quarter of an
octave, shortened, its tone tilted. Queries are sparse mixes, some of a song's stems, up to four windows each.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import soxr

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from encoders.package import STARTER, open_package
from encoders.session import open_encoder
from encoders.windows import WINDOW, is_silent, pad, starts
from trainer.corpus import Corpus, Song

N_WINDOWS = 4


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--n", type=int, default=63_000, help="keys")
    parser.add_argument("--queries", type=int, default=400)
    parser.add_argument("--model", type=Path, default=STARTER)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    corpus = Corpus.open(given.corpus)
    encoder = open_encoder(open_package(given.model), "cpu", 1)
    rng = np.random.default_rng(0)
    queries: list[np.ndarray] = []
    while len(queries) < given.queries:
        windows = sparse_mix(corpus.songs[int(rng.integers(len(corpus.songs)))], rng)
        if len(windows):
            queries.append(encoder.query(windows))
    keys, types, origins = [], [], []
    n_takes = -(-given.n // len(corpus.one_shots))
    for origin in rng.permutation(len(corpus.one_shots))[: -(-given.n // n_takes)]:
        one_shot = corpus.one_shots[origin]
        for number in range(n_takes):
            sound = one_shot.read()[: one_shot.n_samples]
            keys.append(encoder.keys(pad(take(sound, rng) if number else sound)[None])[0])
            types.append(one_shot.type)
            origins.append(origin)
    np.savez(
        given.out,
        keys=np.stack(keys)[: given.n],
        types=np.array(types)[: given.n],
        origins=np.array(origins)[: given.n],
        queries=np.stack(queries),
    )


def take(sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(T,) → (T',) float32: the same hit as another sample pack might have it."""
    tuned = soxr.resample(sound, 1.0, 2 ** rng.uniform(-0.3, 0.3))
    decay = np.exp(-np.arange(len(tuned)) / (len(tuned) * rng.uniform(0.15, 3)))
    tilt = rng.uniform(-0.6, 0.6)
    return ((tuned - tilt * np.concatenate(([0], tuned[:-1]))) * decay).astype(np.float32)


def sparse_mix(song: Song, rng: np.random.Generator) -> np.ndarray:
    """(W, 176400) float32: the sum of all but two of a song's stems, silent windows left out."""
    stems = rng.permutation(len(song.stems))[: max(1, len(song.stems) - 2)]
    windows = [
        sum(song.stems[stem].read(int(start), WINDOW) for stem in stems)
        for start in starts(song.n_samples, N_WINDOWS)
    ]
    return np.array([window for window in windows if not is_silent(window)])


if __name__ == "__main__":
    main()
