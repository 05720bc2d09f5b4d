"""How early a song's own one-shots stand in the order that a mix of it gives (Lattner 2022, section 6.1)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from encoders.audio import FloatArray
from encoders.drum_types import TYPES
from encoders.errors import BadRequest
from trainer.corpus import Corpus
from trainer.losses import contrastive
from trainer.mixing import sparse_mix
from trainer.ranks import (
    FloatArray64,
    RankError,
    bootstrap,
    neighbour_likelihood,
    normalised_ranks,
    top_rate,
)

Encode = Callable[[FloatArray], FloatArray]
"""(B, 176400) float32 → (B, D) float32, unit rows."""

Progress = Callable[[int, int], None]

N_ENCODED = 16
"""Windows that are mixed and encoded at once."""

LOSS_TEMPERATURE, LOSS_BATCH = 0.2, 190
"""The paper's, so that losses of one corpus compare whatever a model was trained with."""

MODES = {"full": False, "sparse": True}


@dataclass(frozen=True)
class Question:
    """A query and its right answers.

    Attributes:
        row: a one-shot of the stem that is left out of the mix.
        truths: rows among the candidates of all one-shots of that stem.
        song: row of the song.
        number: which of the song's queries it is; draws the mix.
    """

    row: int
    truths: tuple[int, ...]
    song: int
    number: int


@dataclass(frozen=True, eq=False)
class Trial:
    """What is asked of a model: the candidates of a split, and the questions, both fixed by corpus and seed.

    Attributes:
        candidates: rows of the split's one-shots, each content once.
        types: (N,) their types.
    """

    corpus: Corpus
    seed: int
    candidates: tuple[int, ...]
    types: NDArray[np.str_]
    questions: tuple[Question, ...]

    @property
    def n_songs(self) -> int:
        """Songs with candidates."""
        return len({self.corpus.one_shots[row].song for row in self.candidates})

    def window(self, question: Question, sparse: bool) -> FloatArray:
        """(176400,) float32: the mix that is the query."""
        rng = np.random.default_rng([self.seed, int(sparse), question.song, question.number])
        return sparse_mix(self.corpus, question.row, rng, sparse)

    def origins(self, songs: Iterator[int] | Sequence[int]) -> list[str | None]:
        """The origin of each song."""
        return [self.corpus.songs[song].origin for song in songs]


@dataclass(frozen=True, eq=False)
class Ranks:
    """One rank for each pair of a query and a true one-shot.

    Attributes:
        over_all: (Q,) normalised rank among all candidates.
        within: (Q,) among those of its own type; NaN where it is the only one.
        n_within: (Q,) candidates of its type.
        types: (Q,) its type.
        groups: (Q,) the group of its song, for intervals.
        n_candidates: of all types.
    """

    over_all: FloatArray64
    within: FloatArray64
    n_within: NDArray[np.int64]
    types: NDArray[np.str_]
    groups: NDArray[np.int64]
    n_candidates: int

    def interval(self, seed: int = 0) -> tuple[float, float]:
        """95 % interval of the mean normalised rank, over songs."""
        return bootstrap(self.over_all, self.groups, seed)

    def interval_within(self, seed: int = 0) -> tuple[float, float]:
        """The same within the type. Raises RankError where no type has two candidates."""
        ranked = np.isfinite(self.within)
        if not ranked.any():
            raise RankError("candidates of one type", found="1 of each", expected="at least 2 to rank")
        return bootstrap(self.within[ranked], self.groups[ranked], seed)

    @property
    def top10(self) -> float:
        """Share of the ranks among the first ten of all candidates."""
        return top_rate(self.over_all, self.n_candidates)

    @property
    def top10_within(self) -> float | None:
        """Share of the ranks among the first ten of the type, or None where no type has two candidates."""
        ranked = np.isfinite(self.within)
        return top_rate(self.within[ranked], self.n_within[ranked]) if ranked.any() else None

    def figures(self) -> dict[str, Any]:
        """The contract's figures that ranks alone give, `within_type` included."""
        by_type = {name: self.types == name for name in TYPES if (self.types == name).any()}
        return {
            **_means(self.over_all),
            "within_type": {name: _means(self.within[rows]) for name, rows in by_type.items()},
        }


def set_trial(corpus: Corpus, split: str = "test", n_queries: int = 50, seed: int = 0) -> Trial:
    """Draws the questions: `n_queries` a song, its percussion stems left out in turn, in an order of its own.

    The right answers of a query are the one-shots of the stem that it lacks: what a producer who lacks that drum
    asks for. Those of the other stems may be heard in the mix and count as wrong ones, as any other candidate.

    Raises:
        RankError: fewer than two candidates. BadRequest: no such split, or no song in it that makes a query.
    """
    hits = corpus.one_shots
    first = {hits[row].content: row for row in reversed(corpus.rows(split))}  # each content's first row
    candidates = tuple(sorted(first.values()))
    if len(candidates) < 2:
        raise RankError(
            f"the {split} split", found=f"{len(candidates)} one-shots", expected="at least 2 to rank"
        )
    place = {hits[row].content: at for at, row in enumerate(candidates)}
    by_stem: dict[tuple[int, int], list[int]] = {}
    for row in corpus.query_rows(split):
        by_stem.setdefault((hits[row].song, hits[row].stem), []).append(row)
    if not by_stem:
        raise BadRequest(
            f"the {split} split", found="no song with 3 stems", expected="one at least: a mix takes two stems"
        )
    questions = []
    for song in sorted({song for song, _ in by_stem}):
        stems = [rows for (owner, _), rows in by_stem.items() if owner == song]
        order = np.random.default_rng([seed, 2, song]).permutation(len(stems))
        for number in range(n_queries):
            rows = stems[order[number % len(stems)]]
            truths = tuple(dict.fromkeys(place[hits[row].content] for row in rows))
            questions.append(Question(rows[0], truths, song, number))
    types = np.array([hits[row].type for row in candidates])
    return Trial(corpus, seed, candidates, types, tuple(questions))


def rank_truths(trial: Trial, scores: FloatArray) -> Ranks:
    """Ranks of every question's true one-shots. `scores`: (W, N), a row a question, a column a candidate."""
    over_all, within, n_within, types, groups = [], [], [], [], []
    members = {name: np.flatnonzero(trial.types == name) for name in np.unique(trial.types)}
    for row, question in zip(scores, trial.questions, strict=True):
        truths = np.array(question.truths)
        over_all.append(normalised_ranks(row, truths))
        for truth in question.truths:
            name = trial.types[truth]
            same = members[name]
            lone = len(same) < 2
            rank = np.nan if lone else normalised_ranks(row[same], np.searchsorted(same, [truth]))[0]
            within.append(rank)
            n_within.append(len(same))
            types.append(name)
            groups.append(trial.corpus.songs[question.song].group)
    return Ranks(
        np.concatenate(over_all),
        np.array(within),
        np.array(n_within),
        np.array(types),
        np.array(groups),
        len(trial.candidates),
    )


def evaluate(
    encode_query: Encode,
    encode_key: Encode,
    corpus: Corpus,
    split: str = "test",
    n_queries: int = 50,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """The contract's figures, for full and for sparse mixes; None where the corpus cannot give one.

    `n_queries` in the answer counts ranks: pairs of a query and a true one-shot.

    Args:
        n_queries: windows a song and mode.
        progress: is told (sounds encoded, sounds in all).

    Raises:
        RankError, BadRequest: as `set_trial`, and for embeddings that are not numbers.
    """
    trial = set_trial(corpus, split, n_queries, seed)
    keys, queries = encode_trial(trial, encode_query, encode_key, progress)
    key_likelihood = neighbour_likelihood(
        keys, trial.origins(corpus.one_shots[row].song for row in trial.candidates)
    )
    return {
        "n_songs": trial.n_songs,
        "n_one_shots": len(trial.candidates),
        "seed": seed,
        **{
            mode: {
                "loss": trial_loss(trial, rows, keys),
                **(figures := rank_truths(trial, rows @ keys.T).figures()),
                "query_likelihood": neighbour_likelihood(
                    rows, trial.origins(q.song for q in trial.questions)
                ),
                "key_likelihood": key_likelihood,
                "within_type": figures["within_type"],
            }
            for mode, rows in queries.items()
        },
    }


def encode_trial(
    trial: Trial, encode_query: Encode, encode_key: Encode, progress: Progress | None = None
) -> tuple[FloatArray, dict[str, FloatArray]]:
    """Every candidate and every query of a trial, encoded once: (N, D) keys, and (W, D) queries by mode."""
    hits, n_keys, n_questions = trial.corpus.one_shots, len(trial.candidates), len(trial.questions)
    total = n_keys + len(MODES) * n_questions
    done = 0

    def encode(encoder: Encode, windows: Iterator[FloatArray], n_rows: int) -> FloatArray:
        nonlocal done
        parts = []
        for _ in range(0, n_rows, N_ENCODED):
            part = np.stack(list(itertools.islice(windows, N_ENCODED)))  # (b, 176400)
            parts.append(np.asarray(encoder(part), np.float32))
            done += len(part)
            if progress:
                progress(done, total)
        rows = np.concatenate(parts)
        if not np.isfinite(rows).all():
            raise BadRequest("embeddings", found="NaN or infinity", expected="numbers", remedy="train anew")
        return rows

    keys = encode(encode_key, (hits[row].read() for row in trial.candidates), n_keys)
    queries = {
        mode: encode(
            encode_query, (trial.window(question, sparse) for question in trial.questions), n_questions
        )
        for mode, sparse in MODES.items()
    }
    return keys, queries


def trial_loss(trial: Trial, queries: FloatArray, keys: FloatArray) -> float:
    """Mean contrastive loss over seeded batches of the paper's size, or one of all queries where there are fewer.

    Args:
        queries: (W, D), keys: (N, D), float32.
    """
    order = np.random.default_rng([trial.seed, 3]).permutation(len(trial.questions))
    chosen = [question.truths[question.number % len(question.truths)] for question in trial.questions]
    truths = np.array(chosen)  # (W,)
    n_batches = max(1, len(order) // LOSS_BATCH)
    losses = []
    for rows in np.array_split(order[: max(LOSS_BATCH, n_batches * LOSS_BATCH)], n_batches):
        same = torch.from_numpy(truths[rows, None] == truths[rows])  # (b, b)
        query, key = torch.from_numpy(queries[rows]), torch.from_numpy(keys[truths[rows]])
        losses.append(float(contrastive(query, key, LOSS_TEMPERATURE, exclude=same)))
    return float(np.mean(losses))


def _means(ranks: FloatArray64) -> dict[str, Any]:
    """Mean, median and number of the ranks (Q,) that are there."""
    ranks = ranks[np.isfinite(ranks)]
    return {
        "mean_normalised_rank": float(ranks.mean()) if len(ranks) else None,
        "median_normalised_rank": float(np.median(ranks)) if len(ranks) else None,
        "n_queries": len(ranks),
    }
