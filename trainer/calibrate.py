"""What a model's scores are worth: its calibration, from presses on songs that it was not trained on.

python -m trainer.calibrate PACKAGE CORPUS [--split eval] [--check test]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from encoders.artefacts import write_bytes
from encoders.audio import SAMPLE_RATE, FloatArray
from encoders.calibration import Calibration, FloatArray64, standings
from encoders.errors import NoSignal
from encoders.package import open_package
from encoders.session import Encoder, open_encoder
from encoders.windows import cut
from trainer.corpus import Corpus
from trainer.evaluate import Question, Trial, set_trial
from trainer.mixing import sparse_mix
from trainer.unseen import keys_of

PRESS_S = 16.0
"""Length of a press: eight bars at 120 BPM. Invented."""

N_PRESSES = 8
"""Presses on a song, full and sparse mixes by chance: more tell little new of the same song. Invented."""

MIN_SONGS = 8
"""Fewer songs make no calibration: chance would write the curve. Invented."""

EDGES = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0)
"""Of the rows of a reliability table."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """How songs' own one-shots and strangers of their type stood in presses on these songs.

    Attributes:
        standings: (E,) as `encoders.calibration.standings`.
        own: (E,) bool: one of the stem that the press lacks; else one of another song.
        weights: (E,): a song has one vote on each side, shared among its presses, types and one-shots.
    """

    standings: FloatArray64
    own: NDArray[np.bool_]
    weights: FloatArray64
    n_songs: int
    n_presses: int


@dataclass(frozen=True)
class Reliability:
    """A row of a reliability table: what was stated of one-shots, and how often they were the song's own in fact."""

    stated: float
    observed: float
    n_own: int


def calibrate(encoder: Encoder, corpus: Corpus, split: str = "eval") -> Calibration | None:
    """A model's calibration; None where fewer than `MIN_SONGS` songs of the split make a press, or too few share a
    type for one-shots to stand out from strangers."""
    if len({corpus.one_shots[row].song for row in corpus.query_rows(split)}) < MIN_SONGS:
        return None
    evidence = gather(encoder, corpus, split)
    return fit_curve(evidence, corpus.digest, split) if evidence.n_songs >= MIN_SONGS else None


def gather(encoder: Encoder, corpus: Corpus, split: str, seed: int = 0) -> Evidence:
    """Presses `N_PRESSES` times on each song, each time without the stem that its one-shots are asked for.

    A true one-shot stands among strangers alone, as in a library that the song's other takes are no part of.

    Raises:
        RankError, BadRequest: as `trainer.evaluate.set_trial`.
    """
    trial = set_trial(corpus, split, N_PRESSES, seed)
    keys = keys_of(encoder.keys, [corpus.one_shots[row] for row in trial.candidates])
    songs = np.array([corpus.one_shots[row].song for row in trial.candidates])
    found: dict[int, list[tuple[FloatArray64, FloatArray64]]] = {}
    n_presses = 0
    for question in trial.questions:
        try:
            query = encoder.query(cut(_press(trial, question)))
        except NoSignal:
            continue
        n_presses += 1
        found.setdefault(question.song, []).extend(_stood(trial, question, keys @ query, songs))
    votes = [
        (values, own, 1 / (len(stood) * len(values)))
        for stood in found.values()
        for sides in stood
        for own, values in zip((True, False), sides, strict=True)
    ]
    return Evidence(
        np.concatenate([np.zeros(0), *(values for values, _, _ in votes)]),
        np.concatenate([np.zeros(0, bool), *(np.full(len(values), own) for values, own, _ in votes)]),
        np.concatenate([np.zeros(0), *(np.full(len(values), weight) for values, _, weight in votes)]),
        sum(map(bool, found.values())),
        n_presses,
    )


def _press(trial: Trial, question: Question) -> FloatArray:
    """(T,) float32: a full or a sparse mix of the song without the stem in question, `PRESS_S` at most."""
    rng = np.random.default_rng([trial.seed, 6, question.song, question.number])
    sparse = bool(rng.random() < 0.5)
    n_samples = min(round(PRESS_S * SAMPLE_RATE), trial.corpus.songs[question.song].n_samples)
    return sparse_mix(trial.corpus, question.row, rng, sparse, n_samples)


def _stood(
    trial: Trial, question: Question, scores: FloatArray, songs: NDArray[np.int64]
) -> Iterator[tuple[FloatArray64, FloatArray64]]:
    """For each type of the true one-shots, their standings and those of the strangers.

    Args:
        scores: (N,) cosines with the trial's candidates.
        songs: (N,) their songs.
    """
    truths = np.array(question.truths)
    for type_ in np.unique(trial.types[truths]):
        strangers = scores[(trial.types == type_) & (songs != question.song)]
        stood = standings(strangers, strangers)
        if np.isfinite(stood).all() and len(stood):
            own = scores[truths[trial.types[truths] == type_]]
            yield np.concatenate([standings([score], np.append(strangers, score)) for score in own]), stood


def fit_curve(evidence: Evidence, corpus: str, split: str) -> Calibration:
    """The logistic curve that states of each standing how often it is the song's own, with equal prior odds.

    A weak prior (the slope's deviation is 1) keeps few songs from a wall of a curve, and a slope below 0, which
    says that the model knows nothing, becomes 0. The curve ends where the highest twentieth of the own one-shots
    begins.
    """
    model = LogisticRegression(C=1.0).fit(evidence.standings[:, None], evidence.own, evidence.weights)
    slope = float(model.coef_[0, 0])
    offset = float(model.intercept_[0]) if slope > 0 else 0.0
    own, votes = evidence.standings[evidence.own], evidence.weights[evidence.own]
    order = np.argsort(own)
    most = own[order][np.searchsorted(np.cumsum(votes[order]), 0.95 * votes.sum())]
    return Calibration(
        offset, max(0.0, slope), float(most), corpus, split, evidence.n_songs, evidence.n_presses
    )


def reliability(calibration: Calibration, evidence: Evidence) -> tuple[Reliability, ...]:
    """For one-shots of about one fit: the mean of what was stated, and the share that were the song's own, as
    against as many strangers. A table to trust only from songs that the curve was not fitted to."""
    fit = calibration.fit(evidence.standings)
    places = np.digitize(fit, EDGES[1:-1])
    rows = []
    for place in np.unique(places):
        here = places == place
        own, weights = evidence.own[here], evidence.weights[here]
        stated, observed = (float(np.average(values, weights=weights)) for values in (fit[here], own))
        rows.append(Reliability(stated, observed, int(own.sum())))
    return tuple(rows)


def calibrate_package(folder: Path, corpus: Corpus, split: str = "eval") -> Calibration | None:
    """Calibrates a package and writes it on its card, in the place of what it said before."""
    calibration = calibrate(open_encoder(open_package(folder)), corpus, split)
    path = folder / "model.json"
    card = json.loads(path.read_bytes())
    card["calibration"] = asdict(calibration) if calibration else None
    write_bytes(path, json.dumps(card, indent=1).encode())
    return calibration


def main() -> None:
    """Calibrates a package; `--check` measures it on songs that were not used."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("package", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--split", default="eval")
    parser.add_argument("--check", metavar="SPLIT", help="print a reliability table of these songs")
    given = parser.parse_args()
    corpus = Corpus.open(given.corpus)
    calibration = calibrate_package(given.package, corpus, given.split)
    print(calibration or f"fewer than {MIN_SONGS} songs: not calibrated")
    if calibration and given.check:
        print("stated observed own one-shots")
        for row in reliability(
            calibration, gather(open_encoder(open_package(given.package)), corpus, given.check)
        ):
            print(f"{row.stated:6.3f} {row.observed:8.3f} {row.n_own:13}")


if __name__ == "__main__":
    main()
