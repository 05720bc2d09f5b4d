"""Batches of pairs: for each one-shot of the train split a mix of its song, a pair a row.

Each row of each batch has a random stream of its own, so neither the number of threads nor that of processes
changes what is drawn, and training can begin at any step.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encoders.drum_types import TYPES
from encoders.errors import BadRequest
from encoders.windows import WINDOW
from trainer.corpus import Corpus
from trainer.mixing import sparse_mix
from trainer.settings import Settings

AHEAD = 2
"""Batches that are mixed while one trains; one of 190 pairs weighs 268 MB."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Pairs, a row each, not yet augmented.

    Attributes:
        query, key: (B, 176400) float32 on the CPU: a mix, and a one-shot of a stem that is not in it.
        song: (B,) int64, the song's row in the corpus.
        content: (B,) int64, equal where two keys are one and the same sample: no negatives of each other.
        type: (B,) int64, the key's row in `TYPES`.
        query2, key2, content2: for QSInv, as above: a second one-shot of the same song (the same one where it has no
            other) and a mix for it; None without QSInv.
    """

    query: Tensor
    key: Tensor
    song: Tensor
    content: Tensor
    type: Tensor
    query2: Tensor | None = None
    key2: Tensor | None = None
    content2: Tensor | None = None


def batches(
    corpus: Corpus,
    settings: Settings,
    seed: int,
    *,
    first_step: int = 0,
    n_workers: int = 1,
    rank: int = 0,
    n_ranks: int = 1,
) -> Iterator[Batch]:
    """Batches without end, from step `first_step` on; an epoch takes each one-shot once, its last part is dropped.

    Args:
        settings: `data` says how, `loss.invariance` above 0 asks for second queries and keys.
        n_workers: threads that mix; the adding releases the interpreter lock, so they use as many cores.
        rank, n_ranks: this process among those that share each batch; it makes every n_ranks-th row.

    Raises:
        BadRequest: the corpus has fewer pairs than a batch, or the batch cannot be shared evenly.
    """
    rows = np.array(corpus.query_rows("train"))  # (N,)
    n_batch = settings.data.batch
    if len(rows) < n_batch:
        raise BadRequest(
            "data.batch",
            found=f"{n_batch} pairs",
            expected=f"at most {len(rows)}: so many one-shots of the train split have a mix",
            remedy="set a smaller batch or give more songs",
        )
    if n_batch % n_ranks:
        raise BadRequest(
            "data.batch", found=f"{n_batch} for {n_ranks} processes", expected="a multiple of them"
        )
    by_song: dict[int, list[int]] = {}
    for row in rows.tolist():
        by_song.setdefault(corpus.one_shots[row].song, []).append(row)
    deal = _Deal(corpus, rows, by_song, settings, seed)
    with ThreadPoolExecutor(n_workers, thread_name_prefix="mixing") as pool:
        waiting: deque[tuple[list[Future[None]], Batch]] = deque()
        step = first_step
        try:
            while True:
                while len(waiting) < AHEAD:
                    waiting.append(_submit(pool, deal, step, rank, n_ranks))
                    step += 1
                jobs, batch = waiting.popleft()
                for job in jobs:
                    job.result()
                yield batch
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True, eq=False)
class _Deal:
    """What is fixed for a whole training: rows (N,) of the pairs, the same by song, and the seed."""

    corpus: Corpus
    rows: NDArray[np.int64]
    by_song: dict[int, list[int]]
    settings: Settings
    seed: int

    def of_step(self, step: int) -> NDArray[np.int64]:
        """(B,) rows of the one-shots of one batch, no two alike."""
        n_batch = self.settings.data.batch
        rng = np.random.default_rng([self.seed, 0, step])
        if rng.random() < self.settings.data.one_type:
            return self._of_one_type(rng, n_batch)
        epoch, place = divmod(step, len(self.rows) // n_batch)
        order = np.random.default_rng([self.seed, 1, epoch]).permutation(self.rows)
        return order[place * n_batch : (place + 1) * n_batch]

    def _of_one_type(self, rng: np.random.Generator, n_batch: int) -> NDArray[np.int64]:
        """Rows of one type, drawn by how many it has; types with less than a batch are left to the mixed batches."""
        types = np.array([TYPES.index(self.corpus.one_shots[row].type) for row in self.rows])  # (N,)
        counts = np.bincount(types, minlength=len(TYPES))
        counts[counts < n_batch] = 0
        if not counts.any():
            raise BadRequest(
                "data.one_type",
                found=f"no type with {n_batch} one-shots",
                expected="one with a batch of them",
                remedy="set one_type = 0 or a smaller batch",
            )
        drawn = rng.choice(len(TYPES), p=counts / counts.sum())
        return rng.choice(self.rows[types == drawn], n_batch, replace=False)

    def second(self, row: int, rng: np.random.Generator) -> int:
        """Another one-shot of the same song, of other content; the same one where it has no other."""
        hits = self.corpus.one_shots
        first = hits[row]
        others = [other for other in self.by_song[first.song] if hits[other].content != first.content]
        return int(rng.choice(others)) if others else row


def _submit(
    pool: ThreadPoolExecutor, deal: _Deal, step: int, rank: int, n_ranks: int
) -> tuple[list[Future[None]], Batch]:
    """A batch whose rows are being filled, with the jobs that fill them."""
    hits = deal.corpus.one_shots
    places = range(rank, deal.settings.data.batch, n_ranks)
    chosen = [deal.of_step(step)[places]]
    if deal.settings.loss.invariance > 0:
        rngs = (np.random.default_rng([deal.seed, 2, step, place]) for place in places)
        chosen.append(np.array([deal.second(row, rng) for row, rng in zip(chosen[0], rngs, strict=True)]))
    audio = torch.empty(len(chosen), 2, len(places), WINDOW)
    content = [torch.tensor([hits[row].content for row in rows]) for rows in chosen]  # (B,) int64 each

    def fill(which: int, place: int) -> None:
        rng = np.random.default_rng([deal.seed, 3 + which, step, places[place]])
        query, key = audio[which, :, place].numpy()
        row = int(chosen[which][place])
        query[:] = sparse_mix(deal.corpus, row, rng, deal.settings.data.mix == "sparse")
        key[:] = hits[row].read()

    jobs = [pool.submit(fill, which, place) for which in range(len(chosen)) for place in range(len(places))]
    batch = Batch(
        *audio[0],
        song=torch.tensor([hits[row].song for row in chosen[0]]),
        content=content[0],
        type=torch.tensor([TYPES.index(hits[row].type) for row in chosen[0]]),
        **(dict(query2=audio[1, 0], key2=audio[1, 1], content2=content[1]) if len(chosen) == 2 else {}),
    )
    return jobs, batch
