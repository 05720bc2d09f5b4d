"""Training: batches in, a run folder out. Plain torch; torchrun adds processes, and nothing else changes."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn

from encoders.errors import BadRequest
from trainer import losses, mels
from trainer.augment import augment
from trainer.corpus import Corpus
from trainer.evaluate import evaluate
from trainer.loader import Batch
from trainer.loader import batches as waveform_batches
from trainer.model import Pair, build
from trainer.run_folder import Log, describe, load_weights, resume, save
from trainer.settings import Data, Loss, Optimiser, Settings
from trainer.spectrogram import PowerMel

LOG_EVERY = 20
"""Steps between two lines of metrics."""

Term = Callable[["Views"], Tensor]


@dataclass(frozen=True)
class Views:
    """A batch's embeddings before normalisation, over all processes.

    Attributes:
        query, key: (B, D).
        query2, key2: (B, D), of the same songs, or None without QSInv.
        exclude: (B, B) bool, pairs that are no fair negatives (`data.exclude`).
        exclude2: the same for keys against second keys.
    """

    query: Tensor
    key: Tensor
    query2: Tensor | None
    key2: Tensor | None
    exclude: Tensor
    exclude2: Tensor


def objective(loss: Loss) -> dict[str, tuple[float, Term]]:
    """Equation 7 (and QSInv) as named terms with their weights; a weight of 0 leaves its term out.

    V is the mean over both encoders, C their sum, N the mean over all embeddings.
    """

    def pull(one: str, other: str, exclude: str = "exclude") -> Term:
        return lambda v: losses.contrastive(
            getattr(v, one), getattr(v, other), loss.temperature, getattr(v, exclude)
        )

    terms: dict[str, tuple[float, Term]] = {
        "contrastive": (1.0, pull("query", "key")),
        "variance": (loss.variance, lambda v: (losses.variance(v.query) + losses.variance(v.key)) / 2),
        "covariance": (loss.covariance, lambda v: losses.covariance(v.query) + losses.covariance(v.key)),
        "norm": (loss.norm, lambda v: losses.norm_hinge(torch.cat([v.query, v.key]), loss.norm_limit)),
        "invariance_query": (loss.invariance, pull("query", "query2")),
        "invariance_key": (loss.invariance, pull("key", "key2", "exclude2")),
    }
    return {name: term for name, term in terms.items() if term[0]}


def train(
    settings: Settings,
    corpus_dir: Path,
    run: Path,
    *,
    start: Path | None = None,
    max_minutes: float | None = None,
    device: str | None = None,
    report: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
) -> dict[str, Any]:
    """Trains a preset on a prepared corpus, or goes on with a run that was interrupted.

    Args:
        run: the run's folder; one that holds a checkpoint is resumed.
        start: a safetensors file (a checkpoint, or a package's `weights.safetensors`) to begin from.
        max_minutes: stop after so long, with a last look and checkpoint; a later call goes on.
        device: "cpu", "cuda" or "cuda:N"; by default the GPU of this process, where there is one.
        report: is given a line of progress.

    Returns:
        The best look's line of metrics.

    Raises:
        BadRequest: a batch larger than the corpus, a run folder of other settings or of another corpus, a loss
            that is not a number.
        Refused: weights of another architecture.
    """
    corpus = Corpus.open(corpus_dir)
    with _process_group() as (rank, n_ranks):
        _check_size(settings, corpus, n_ranks)
        place = torch.device(device or _own_device(rank))
        torch.manual_seed(settings.run.seed)
        pair = build(settings.model) if not start else Pair(settings.model)
        if start:
            load_weights(pair, start, settings)
        pair = pair.to(place, memory_format=torch.channels_last)
        optimiser = _optimiser(pair, settings.optimiser)
        step, best = resume(run, pair, optimiser, settings, corpus)
        _check_step(step, run, n_ranks, place)
        if rank == 0:
            describe(run, settings, corpus, start, step)
        batches = pipeline(corpus, settings, step, rank, n_ranks, place, report)
        trained, terms = _shared(pair, n_ranks, place), objective(settings.loss)
        deadline = None if max_minutes is None else time.monotonic() + 60 * max_minutes
        with Log(run, step, settings, report) if rank == 0 else nullcontext() as log:
            if log and start and step == 0:
                log.before(look(pair, corpus, settings, judged_split(corpus)))
            while step < settings.run.steps:
                step += 1
                batch, *mixes_and_hits = next(batches)
                for group in optimiser.param_groups:
                    group["lr"] = learning_rate(settings, step)
                with torch.autocast(place.type, torch.bfloat16, enabled=settings.run.precision == "bfloat16"):
                    views = _views(trained, *mixes_and_hits)
                loss, values = _loss(terms, _gathered(views, batch, settings.data))
                if not torch.isfinite(loss):
                    raise _not_finite(step, loss.item(), batch, corpus)
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                optimiser.step()
                over = _agreed(deadline is not None and time.monotonic() > deadline, n_ranks, place)
                looks = step % settings.run.evaluate_every == 0 or step == settings.run.steps or over
                if log and (step % LOG_EVERY == 0 or looks):
                    log.step(step, loss.item(), {name: value.item() for name, value in values.items()})
                if log and looks:
                    best = log.look(step, look(pair, corpus, settings, judged_split(corpus)), best)
                    if best["step"] == step:
                        save(run / "best.safetensors", pair, None, step, best, settings, corpus)
                    save(run / "last.safetensors", pair, optimiser, step, best, settings, corpus)
                if looks and n_ranks > 1:
                    distributed.barrier()
                if over:
                    break
    return best


def pipeline(
    corpus: Corpus,
    settings: Settings,
    step: int,
    rank: int,
    n_ranks: int,
    place: torch.device,
    report: Callable,
) -> Iterator[tuple[Batch, Tensor, Tensor, Tensor | None, Tensor | None]]:
    """The preset's batches from a step on: (batch, query, key, second query, second key), power mels on the device."""
    return _PIPELINES[settings.data.pipeline](corpus, settings, step, rank, n_ranks, place, report)


def _from_waveforms(corpus, settings, step, rank, n_ranks, place, report):
    mel, seed = PowerMel().to(place), settings.run.seed
    n_workers = max(1, torch.get_num_threads() - 1)
    for batch in waveform_batches(
        corpus, settings, seed, first_step=step, n_workers=n_workers, rank=rank, n_ranks=n_ranks
    ):
        rng = torch.Generator(place).manual_seed(_seed(seed, step, rank))
        with torch.no_grad():
            views = [
                None if x is None else mel(augment(x.to(place), settings.augment, rng)) for x in _four(batch)
            ]
        step += 1
        yield batch, *views


def _from_mels(corpus, settings, step, rank, n_ranks, place, report):
    """Makes the spectrograms at once, so that no step is charged with them."""

    def told(done: int, total: int) -> None:
        if rank == 0 and done * 10 // total > (done - 1) * 10 // total:  # ten lines, however many songs
            report(f"spectrograms: {done} of {total} songs")

    return _mel_batches(mels.Mels.open(corpus, told), settings, step, rank, n_ranks, place)


def _mel_batches(stored, settings, step, rank, n_ranks, place):
    for batch in mels.batches(stored, settings, step, settings.data.batch // n_ranks, rank):
        rng = torch.Generator(place).manual_seed(_seed(settings.run.seed, step, rank))
        query, key, *second = (None if x is None else x.to(place) for x in _four(batch))
        with torch.no_grad():
            views = mels.augment(query, key, settings, rng)
            twins = (None, None) if second[0] is None else mels.augment(*second, settings, rng)
        step += 1
        yield batch, *views, *twins


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


_PIPELINES = {"waveform": _from_waveforms, "mel": _from_mels}


def _four(batch: Batch) -> tuple[Tensor | None, ...]:
    return batch.query, batch.key, batch.query2, batch.key2


def _views(
    trained: nn.Module, query: Tensor, key: Tensor, query2: Tensor | None, key2: Tensor | None
) -> list[Tensor]:
    """Embeddings of both views in one pass, so that batch norm sees them together: two or four of (B, D)."""
    if query2 is None:
        return [z.float() for z in trained(query, key)]
    queries, keys = trained(torch.cat([query, query2]), torch.cat([key, key2]))
    (query, query2), (key, key2) = queries.float().chunk(2), keys.float().chunk(2)
    return [query, key, query2, key2]


def _loss(terms: dict[str, tuple[float, Term]], views: Views) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum of the terms, and each by itself."""
    values = {name: term(views) for name, (_, term) in terms.items()}
    return sum(terms[name][0] * value for name, value in values.items()), values


def _gathered(views: list[Tensor], batch: Batch, data: Data) -> Views:
    """All processes' embeddings, with gradients, and the tables of unfair negatives."""
    place = views[0].device
    song, content = gather(batch.song.to(place)), gather(batch.content.to(place))  # (B,)
    other = content if batch.content2 is None else gather(batch.content2.to(place))
    unfair = (song[:, None] == song) & (data.exclude == "song")  # (B, B)
    query, key, *second = (gather(z) for z in views)
    return Views(
        *(query, key, *(second or (None, None))),
        exclude=unfair | (content[:, None] == content),
        exclude2=unfair | (content[:, None] == other),
    )


class _Gather(torch.autograd.Function):
    """All ranks' rows, in the order of ranks.

    Each rank computes the whole loss from all rows, so each has the whole gradient and takes its own rows of it,
    times the number of ranks, since the parameters' gradients are averaged over ranks afterwards.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.n_ranks, ctx.rank, ctx.n_rows = distributed.get_world_size(), distributed.get_rank(), len(rows)
        every = [torch.empty_like(rows) for _ in range(ctx.n_ranks)]
        distributed.all_gather(every, rows.contiguous())
        return torch.cat(every)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return slope[ctx.rank * ctx.n_rows :][: ctx.n_rows] * ctx.n_ranks


def gather(rows: Tensor) -> Tensor:
    """(B, ...) of each process → (n_ranks * B, ...) in all of them, with gradients; alone, the rows themselves."""
    return _Gather.apply(rows) if distributed.is_initialized() else rows


def learning_rate(settings: Settings, step: int) -> float:
    """The rate of a step, counted from 1."""
    chosen = settings.optimiser
    warm = min(1.0, step / chosen.warmup_steps) if chosen.warmup_steps else 1.0
    fall = 0.5 + 0.5 * np.cos(np.pi * step / settings.run.steps) if chosen.schedule == "cosine" else 1.0
    return float(chosen.learning_rate * warm * fall)


def judged_split(corpus: Corpus) -> str:
    """The split that picks the best checkpoint: "eval", or "train" for a corpus too small to have an eval song."""
    contents = {corpus.one_shots[row].content for row in corpus.rows("eval")}
    return "eval" if len(contents) > 1 and corpus.query_rows("eval") else "train"


def look(pair: Pair, corpus: Corpus, settings: Settings, split: str = "eval") -> dict[str, Any]:
    """The contract's figures of a split (section 6), by the encoders as they stand."""

    def encode(encoder: nn.Module) -> Callable[[np.ndarray], np.ndarray]:
        place = next(encoder.parameters()).device
        encoder = encoder.to(place).eval()

        def run(audio: np.ndarray) -> np.ndarray:
            with (
                torch.inference_mode(),
                torch.autocast(place.type, torch.bfloat16, enabled=settings.run.precision == "bfloat16"),
            ):
                z = encoder(torch.from_numpy(np.ascontiguousarray(audio)).to(place)).float()
            return nn.functional.normalize(z, dim=1).cpu().numpy()

        return run

    figures = evaluate(
        encode(pair.query), encode(pair.key), corpus, split, settings.run.n_queries, settings.run.seed
    )
    pair.train()
    return figures


def _optimiser(pair: Pair, chosen: Optimiser) -> torch.optim.Optimizer:
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[chosen.name]
    return kind(pair.parameters(), chosen.learning_rate, weight_decay=chosen.weight_decay)


def _check_size(settings: Settings, corpus: Corpus, n_ranks: int) -> None:
    n_pairs = len(corpus.query_rows("train"))
    if settings.data.batch > n_pairs:
        raise BadRequest(
            "data.batch",
            found=str(settings.data.batch),
            expected=f"at most {n_pairs}, the pairs of the training split",
            remedy="add songs, or make data.batch smaller",
        )
    if settings.data.batch % n_ranks:
        raise BadRequest(
            "data.batch", found=f"{settings.data.batch} for {n_ranks} processes", expected="a multiple"
        )


def _check_step(step: int, run: Path, n_ranks: int, place: torch.device) -> None:
    """Refuses to go on where processes found different checkpoints: on a host that does not share the folder."""
    if n_ranks == 1:
        return
    steps = gather(torch.tensor([step], device=place)).tolist()
    if len(set(steps)) > 1:
        raise BadRequest(
            str(run),
            found=f"checkpoints of the steps {', '.join(map(str, steps))}",
            expected="one checkpoint for all processes",
            remedy="put the run's folder where every host sees it",
        )


def _not_finite(step: int, loss: float, batch: Batch, corpus: Corpus) -> BadRequest:
    names = dict.fromkeys(corpus.songs[int(song)].name for song in batch.song)
    return BadRequest(
        f"step {step}",
        found=f"a loss of {loss}",
        expected="a number",
        remedy=f"lower optimiser.learning_rate; the last checkpoint stands; songs of the batch: {', '.join(names)}",
    )


@contextmanager
def _process_group() -> Iterator[tuple[int, int]]:
    """Rank and number of processes; joins torchrun's group where it started this process."""
    if "WORLD_SIZE" not in os.environ:
        yield 0, 1
        return
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield distributed.get_rank(), distributed.get_world_size()
    finally:
        distributed.destroy_process_group()


def _own_device(rank: int) -> str:
    return f"cuda:{int(os.environ.get('LOCAL_RANK', rank))}" if torch.cuda.is_available() else "cpu"


def _shared(pair: Pair, n_ranks: int, place: torch.device) -> nn.Module:
    """The pair as every process trains it: gradients averaged, batch norm over all of them where a GPU can."""
    if n_ranks == 1:
        return pair
    if place.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(pair)
    return nn.parallel.DistributedDataParallel(pair, [place] if place.type == "cuda" else None)


def _agreed(over: bool, n_ranks: int, place: torch.device) -> bool:
    """True in all processes as soon as it is in one, so that none waits for a step that another never takes."""
    if n_ranks == 1:
        return over
    flag = torch.tensor(float(over), device=place)
    distributed.all_reduce(flag, distributed.ReduceOp.MAX)
    return bool(flag)
