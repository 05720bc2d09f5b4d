"""Sparse mixing: a query is the sum of some of a song's stems, never of the one that its one-shot was cut from."""

from __future__ import annotations

import numpy as np

from encoders.audio import SILENCE_DBFS, FloatArray
from encoders.windows import WINDOW
from trainer.corpus import Corpus, Song

LEAST = 2
"""Stems in a sparse mix, at least (Lattner 2022, section 5)."""

MAX_TRIES = 20
"""Draws before a window is placed where something is known to sound: invented."""


def sparse_mix(
    corpus: Corpus, row: int, rng: np.random.Generator, sparse: bool = True, n_samples: int = WINDOW
) -> FloatArray:
    """A query for a one-shot: a part from a random place of a mix of its song, without the stem that it was cut from.

    `sparse` draws how many of the remaining stems are mixed, uniformly from 2 to all, and which. Without it all
    that remain are mixed. The paper says "all stems of a song" there, yet the removal is the first step of section
    5 and the choice of stems, which the ablation leaves out, the second; and a mix that holds the one-shot's own
    stem would turn the question what fits into the question what is heard. So the stem is always removed. Windows
    below -60 dBFS are drawn again, stems and place.

    Args:
        row: of the one-shot in `corpus.one_shots`; its song has at least three stems (`Corpus.query_rows`).
        n_samples: length of the part; a window.

    Returns:
        (n_samples,) float32, at the level of the mixer; zero-padded where the song is shorter.

    Source: Lattner 2022, section 5; the silence rule is ours.
    """
    hit = corpus.one_shots[row]
    song = corpus.songs[hit.song]
    others = np.array([stem for stem in range(len(song.stems)) if stem != hit.stem])  # (S,)
    for _ in range(MAX_TRIES):
        n_stems = int(rng.integers(LEAST, len(others) + 1)) if sparse else len(others)
        chosen = np.sort(rng.choice(others, n_stems, replace=False)) if sparse else others
        start = int(rng.integers(max(0, song.n_samples - n_samples) + 1))
        window = mix_stems(song, chosen, start, n_samples)
        if _rms(window) >= 10 ** (SILENCE_DBFS / 20):
            return window
    stem = song.stems[int(rng.choice(others))]
    loudest = int(np.abs(stem.audio).argmax())
    start = min(max(0, loudest - n_samples // 2), max(0, song.n_samples - n_samples))
    return mix_stems(song, others, start, n_samples)


def mix_stems(song: Song, stems: np.ndarray, start: int, n_samples: int = WINDOW) -> FloatArray:
    """(n_samples,) float32: the sum of the stems of these rows from sample `start` on."""
    window = np.zeros(n_samples, np.float32)
    for stem in stems:
        window += song.stems[stem].read(start, n_samples)
    return window


def _rms(window: FloatArray) -> float:
    return float(np.sqrt(np.dot(window, window) / len(window)))
