"""What ranks are worth without learning: orders that ignore the query, likeness of sound, and a linear map.

A model that does not beat these has learned nothing that the corpus does not give away.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch

from encoders.audio import FloatArray
from encoders.errors import BadRequest
from trainer.corpus import Corpus
from trainer.evaluate import MODES, Ranks, Trial, encode_trial, rank_truths, set_trial
from trainer.mixing import sparse_mix
from trainer.spectrogram import PowerMel

FLOOR = 1e-8
MAX_TRAIN_PAIRS = 4_000
"""Pairs that the linear map is fitted to: invented; its 2 * 256 inputs ask for no more."""

N_INPUTS, N_OUTPUTS = 48, 16
"""Principal components on each side, and canonical directions kept: invented."""


def baselines(
    corpus: Corpus, split: str = "test", n_queries: int = 50, seed: int = 0
) -> dict[str, dict[str, Ranks]]:
    """Ranks of the same trial that a model is put to: by name, then by mode ("full", "sparse").

    chance: random scores. most used first: the samples that the most songs of the split use, whatever is asked; it
    sees the answers' popularity, which no ignorant order could, and so bounds them all. mean log-mel: cosine of mean
    spectra. linear CCA: canonical directions of mel statistics, fitted to the train split; left out where that
    has too few pairs.
    """
    trial = set_trial(corpus, split, n_queries, seed)
    shape = (len(trial.questions), len(trial.candidates))
    rng = np.random.default_rng([seed, 4])
    used = np.broadcast_to(popularity(trial), shape)
    found = {
        "chance": {mode: rank_truths(trial, rng.random(shape, np.float32)) for mode in MODES},
        "most used first": dict.fromkeys(MODES, rank_truths(trial, used)),
    }
    keys, queries = encode_trial(trial, mel_statistics, mel_statistics)
    half = keys.shape[1] // 2
    found["mean log-mel"] = _cosines(
        trial, _unit(keys[:, :half]), {m: _unit(q[:, :half]) for m, q in queries.items()}
    )
    if len(corpus.query_rows("train")) >= 4 * N_OUTPUTS:
        cca = fit_cca(*training_statistics(corpus, seed))
        mapped = {mode: _unit(cca.query(rows)) for mode, rows in queries.items()}
        found["linear CCA"] = _cosines(trial, _unit(cca.key(keys)), mapped)
    return found


def popularity(trial: Trial) -> FloatArray:
    """(N,) float32: how many songs each candidate's sample serves."""
    hits = trial.corpus.one_shots
    songs = Counter(content for content, _ in {(hit.content, hit.song) for hit in hits})
    return np.array([songs[hits[row].content] for row in trial.candidates], np.float32)


def mel_statistics(windows: FloatArray) -> FloatArray:
    """Mean and deviation of each mel bin's log power over the frames that sound: (B, 176400) → (B, 256) float32."""
    with torch.inference_mode():
        power = _mel(torch.from_numpy(np.ascontiguousarray(windows)))  # (B, 128, F)
    log = torch.log((power / power.amax((1, 2), keepdim=True).clamp_min(1e-9)).clamp_min(FLOOR))
    loud = (power.sum(1, keepdim=True) > FLOOR * power.sum(1, keepdim=True).amax(2, keepdim=True)).float()
    n_frames = loud.sum(2).clamp_min(1)  # (B, 1)
    mean = (log * loud).sum(2) / n_frames  # (B, 128)
    deviation = ((log - mean[..., None]).square() * loud).sum(2).div(n_frames).sqrt()
    return torch.cat([mean, deviation], dim=1).numpy()


_mel = PowerMel()


@dataclass(frozen=True, eq=False)
class Cca:
    """Two linear maps onto canonical directions: (mean (D,), map (D, K)) of queries and of keys."""

    of_query: tuple[FloatArray, FloatArray]
    of_key: tuple[FloatArray, FloatArray]

    def query(self, rows: FloatArray) -> FloatArray:
        """(B, D) → (B, K) float32."""
        return (rows - self.of_query[0]) @ self.of_query[1]

    def key(self, rows: FloatArray) -> FloatArray:
        """(B, D) → (B, K) float32."""
        return (rows - self.of_key[0]) @ self.of_key[1]


def fit_cca(queries: FloatArray, keys: FloatArray) -> Cca:
    """Canonical correlation of whitened principal components: the singular vectors of their cross-covariance.

    Args:
        queries, keys: (B, D) float32, a pair a row.
    """
    (mean_q, white_q), (mean_k, white_k) = _whitening(queries), _whitening(keys)
    cross = ((queries - mean_q) @ white_q).T @ ((keys - mean_k) @ white_k) / len(keys)  # (P, P)
    left, strength, right = np.linalg.svd(cross)
    n = min(N_OUTPUTS, len(strength))
    weight = np.sqrt(strength[:n])
    return Cca((mean_q, white_q @ (left[:, :n] * weight)), (mean_k, white_k @ (right[:n].T * weight)))


def training_statistics(corpus: Corpus, seed: int) -> tuple[FloatArray, FloatArray]:
    """Mel statistics of train pairs, (B, 256) of sparse mixes and of their one-shots."""
    rng = np.random.default_rng([seed, 5])
    rows = rng.permutation(corpus.query_rows("train"))[:MAX_TRAIN_PAIRS]
    if not len(rows):
        raise BadRequest("the train split", found="no pairs", expected="songs with 3 stems")
    pairs = [
        (
            mel_statistics(sparse_mix(corpus, row, rng)[None])[0],
            mel_statistics(corpus.one_shots[row].read()[None])[0],
        )
        for row in rows
    ]
    queries, keys = zip(*pairs, strict=True)
    return np.stack(queries), np.stack(keys)


def _whitening(rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The mean (D,) and the map (D, P) onto principal components of variance 1."""
    mean = rows.mean(axis=0)
    _, strength, directions = np.linalg.svd(rows - mean, full_matrices=False)
    n = min(N_INPUTS, int((strength > 1e-3 * strength[0]).sum()))
    return mean, directions[:n].T / (strength[:n] / np.sqrt(len(rows)))


def _cosines(trial: Trial, keys: FloatArray, queries: dict[str, FloatArray]) -> dict[str, Ranks]:
    return {mode: rank_truths(trial, rows @ keys.T) for mode, rows in queries.items()}


def _unit(rows: FloatArray) -> FloatArray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
