"""Training in the power-mel domain, for two CPU cores: every stem's spectrogram once, then sums and curves.

Power adds where sounds do not cancel, so the mel spectrogram of a mix is nearly the sum of its stems' (embeddings of
the two agree at a cosine of .98), and gain, equalisers, rooms and noise are products and sums in it. A step then
costs no Fourier transform, no decoding and no time stretch.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from encoders.artefacts import replacing
from encoders.audio import SAMPLE_RATE, SILENCE_DBFS
from encoders.drum_types import TYPES
from encoders.errors import Refused
from trainer.corpus import Corpus, OneShot, Song
from trainer.loader import Batch
from trainer.settings import Augment, Settings, Treatment
from trainer.spectrogram import HOP, N_FRAMES, N_MELS, PowerMel

FRAME_S = HOP / SAMPLE_RATE
BLOCK_FRAMES = 4096
"""Frames transformed at once: 48 s."""

SILENT_POWER = 36 * 10 ** (SILENCE_DBFS / 10)
"""Mean mel power of white noise at the level that counts as silence: 36 is a Hann window's energy (768) times the
sum of a Slaney filter (1 / 21.5 Hz)."""

N_REDRAWS = 20
"""Tries to find a window that sounds: invented; a song whose every window is silent passes as it is."""


@dataclass(frozen=True)
class Mels:
    """The power mels of a corpus, memory-mapped.

        CORPUS/mels/ID.bf16     one song's stems, then its one-shots; a frame is 128 bfloat16

    bfloat16 keeps the range of float32 and is right to .02 dB.

    Attributes:
        corpus: what they were made from.
        stems: per song, per stem: (F, 128) bfloat16, F = n_samples // 512 + 1.
        one_shots: per one-shot: (345, 128) bfloat16, of the padded hit.
    """

    corpus: Corpus
    stems: tuple[tuple[Tensor, ...], ...]
    one_shots: tuple[Tensor, ...]

    @classmethod
    def open(cls, corpus: Corpus, progress: Callable[[int, int], None] = lambda done, total: None) -> Mels:
        """Opens the spectrograms that lie in the corpus folder, and makes those that are missing.

        A run that is killed goes on where it stopped, and a corpus that grew needs its new songs alone.

        Args:
            progress: is told songs done and songs in all, where some had to be made.

        Raises:
            Refused: some are missing, and the corpus folder is full or cannot be written.
        """
        mel, stems, one_shots = PowerMel(), [], []
        hits_of: dict[int, list[OneShot]] = {}
        for hit in corpus.one_shots:
            hits_of.setdefault(hit.song, []).append(hit)
        for row, song in enumerate(corpus.songs):
            hits = hits_of.get(row, [])
            cuts = str([(hit.stem, hit.start, hit.n_samples) for hit in hits]).encode()
            path = corpus.path / "mels" / f"{song.id}-{zlib.crc32(cuts):08x}.bf16"
            if not path.exists():
                _write(path, song, hits, mel)
                progress(row + 1, len(corpus.songs))
            n_frames = [stem.n_samples // HOP + 1 for stem in song.stems]
            # Copy on write: torch wants writable memory, and nobody writes.
            whole = torch.from_numpy(np.memmap(path, np.int16, "c")).view(torch.bfloat16).view(-1, N_MELS)
            parts = whole.split([*n_frames, *[N_FRAMES] * len(hits)])
            stems.append(parts[: len(song.stems)])
            one_shots += parts[len(song.stems) :]
        return cls(corpus, tuple(stems), tuple(one_shots))

    @cached_property
    def by_song(self) -> dict[str, dict[int, list[int]]]:
        """Rows of the training split's pairs by type, then by song; "any" holds all types."""
        table: dict[str, dict[int, list[int]]] = {}
        for row in self.corpus.query_rows("train"):
            hit = self.corpus.one_shots[row]
            for kind in ("any", hit.type):
                table.setdefault(kind, {}).setdefault(hit.song, []).append(row)
        return table


def _write(path: Path, song: Song, hits: list[OneShot], mel: PowerMel) -> None:
    try:
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as file, torch.inference_mode():
            for stem in song.stems:
                n_frames = stem.n_samples // HOP + 1
                for first in range(0, n_frames, BLOCK_FRAMES):
                    n = min(BLOCK_FRAMES, n_frames - first)
                    # Two frames more on each side keep the reflected edges out of what is kept.
                    audio = torch.from_numpy(stem.read((first - 2) * HOP, (n + 3) * HOP))
                    file.write(_bytes(mel(audio[None])[0, :, 2 : 2 + n]))
            for hit in hits:
                file.write(_bytes(mel(torch.from_numpy(hit.read())[None])[0]))
    except OSError as error:
        raise Refused(
            str(path),
            found=error.strerror or str(error),
            expected="a corpus folder that can be written, with 3 MB of room a minute of stem",
            remedy="make room, or copy the corpus to another disk; what is done is kept",
        ) from None


def _bytes(power: Tensor) -> bytes:
    """(128, F) float32 → F rows of 128 bfloat16."""
    return power.T.to(torch.bfloat16).contiguous().view(torch.int16).numpy().tobytes()


def batches(
    mels: Mels, settings: Settings, first_step: int = 0, n_pairs: int | None = None, rank: int = 0
) -> Iterator[Batch]:
    """Endless training batches as power mels; a step's batch depends on seed, step and rank alone.

    Args:
        first_step: where to begin.
        n_pairs: rows of this process's share, by default `data.batch`.

    Yields:
        Batches whose queries and keys are (B, 128, 345) float32 power, untreated.
    """
    n_pairs = n_pairs or settings.data.batch
    step = first_step
    while True:
        rng = np.random.default_rng([settings.run.seed, step, rank])
        rows = _rows(mels, settings, n_pairs, rng)
        again = [_sibling(mels, row, rng) for row in rows] if settings.loss.invariance else None
        yield _batch(mels, rows, again, settings, rng)
        step += 1


def _rows(mels: Mels, settings: Settings, n_pairs: int, rng: np.random.Generator) -> list[int]:
    """One-shots of as many different songs as there are, all of one type in a share of the batches."""
    table = mels.by_song
    kinds = sorted(kind for kind in table if kind != "any" and len(table[kind]) >= min(n_pairs, 16))
    one_type = kinds and rng.random() < settings.data.one_type
    sizes = np.array([len(table[kind]) for kind in kinds], float)
    rows_of = table[rng.choice(kinds, p=sizes / sizes.sum()) if one_type else "any"]
    songs = sorted(rows_of)
    rounds = [rng.permutation(songs) for _ in range(math.ceil(n_pairs / len(songs)))]
    return [int(rng.choice(rows_of[song])) for song in np.concatenate(rounds)[:n_pairs]]


def _sibling(mels: Mels, row: int, rng: np.random.Generator) -> int:
    """Any one-shot of the same song, for the second view of QSInv."""
    return int(rng.choice(mels.by_song["any"][mels.corpus.one_shots[row].song]))


def _batch(
    mels: Mels, rows: list[int], again: list[int] | None, settings: Settings, rng: np.random.Generator
) -> Batch:
    hits = [mels.corpus.one_shots[row] for row in rows]

    def views(chosen: list[int]) -> tuple[Tensor, Tensor]:
        queries = torch.stack([_mix(mels, row, settings, rng) for row in chosen])
        keys = torch.stack([mels.one_shots[row] for row in chosen]).float()
        return queries.transpose(1, 2), keys.transpose(1, 2)

    query, key = views(rows)
    query2, key2 = views(again) if again is not None else (None, None)
    return Batch(
        query=query,
        key=key,
        song=torch.tensor([hit.song for hit in hits]),
        content=torch.tensor([hit.content for hit in hits]),
        type=torch.tensor([TYPES.index(hit.type) for hit in hits]),
        query2=query2,
        key2=key2,
        content2=None
        if again is None
        else torch.tensor([mels.corpus.one_shots[row].content for row in again]),
    )


def _mix(mels: Mels, row: int, settings: Settings, rng: np.random.Generator) -> Tensor:
    """A window of the song without the one-shot's stem: the sum of two to all of the others (section 5).

    Returns:
        (345, 128) float32 power.
    """
    hit = mels.corpus.one_shots[row]
    others = [stem for place, stem in enumerate(mels.stems[hit.song]) if place != hit.stem]
    n_stems = len(others) if settings.data.mix == "full" else int(rng.integers(2, len(others) + 1))
    chosen = [others[place] for place in rng.permutation(len(others))[:n_stems]]
    last = max(0, max(map(len, chosen)) - N_FRAMES)
    curves = _stem_curves(n_stems, settings.treatment, rng)  # (n, 128)
    for _ in range(N_REDRAWS):
        start = int(rng.integers(0, last + 1))
        total = torch.zeros(N_FRAMES, N_MELS)
        for stem, curve in zip(chosen, curves, strict=True):
            part = stem[start : start + N_FRAMES]
            total[: len(part)].addcmul_(part.float(), curve)
        if total.mean() > SILENT_POWER:
            break
    return total


def _stem_curves(n_stems: int, treatment: Treatment, rng: np.random.Generator) -> Tensor:
    """Each stem's own gain and equaliser, as factors of power: (n, 128)."""
    gain_db = treatment.stem_gain_db * rng.standard_normal((n_stems, 1))
    weights = treatment.stem_eq_db * rng.standard_normal((n_stems, len(_BASIS)))
    return torch.from_numpy(10 ** ((gain_db + weights @ _BASIS.numpy()) / 10)).float()


_MEL = torch.arange(N_MELS) / (N_MELS - 1)
_ORDERS = torch.arange(1, 6)
_BASIS = torch.cos(math.pi * _ORDERS[:, None] * _MEL) / _ORDERS[:, None]
"""(5, 128): a tilt and its first overtones, the rougher the weaker: a smooth equaliser curve is a sum of them."""


def augment(query: Tensor, key: Tensor, settings: Settings, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Section 5's four augmentations, each view for itself, after a treatment that a pair shares.

    Args:
        query, key: (B, 128, F) float32 power, on any device; left as they are.
        rng: draws everything; on the device of the views.

    Returns:
        The same shapes.
    """
    views = [view.transpose(1, 2).contiguous() for view in (query, key)]  # (B, F, 128)
    if settings.treatment.probability > 0:
        views = _treat(views, settings.treatment, rng)
    if settings.augment.probability > 0:
        views = [_alter(view, settings.augment, rng) for view in views]
    return views[0].transpose(1, 2), views[1].transpose(1, 2)


def _alter(x: Tensor, augment: Augment, rng: torch.Generator) -> Tensor:
    """Stretch, shift, gain and noise of (B, F, 128), each with `augment.probability`."""
    n, device = len(x), x.device

    def uniform(low: float, high: float, otherwise: float) -> Tensor:
        value = low + (high - low) * torch.rand(n, 1, generator=rng, device=device)
        chosen = torch.rand(n, 1, generator=rng, device=device) < augment.probability
        return torch.where(chosen, value, otherwise)  # (B, 1)

    stretch = uniform(augment.stretch_min, augment.stretch_max, 1.0)
    shift_s = uniform(-augment.shift_left_ms / 1000, augment.shift_right_ms / 1000, 0.0)
    time = torch.arange(x.shape[1], device=device)
    x = _moved(x, (time - shift_s / FRAME_S) * stretch)
    gain_db = uniform(augment.gain_min_db, 0.0, 0.0)
    # "up to -12 dB" leaves the lower end open; 40 dB below that nothing is heard any more.
    noise_db = uniform(augment.noise_db - 40, augment.noise_db, -200.0)
    noise = x.mean((1, 2))[:, None] * 10 ** (noise_db / 10)
    return _noisy(x, noise[:, :, None], rng) * (10 ** (gain_db / 10))[:, :, None]


def _treat(views: list[Tensor], treatment: Treatment, rng: torch.Generator) -> list[Tensor]:
    """One production for a pair: what it draws is shared, but for a part `treatment.own` that each view adds.

    Args:
        views: queries and keys, each (B, F, 128).
    """
    n, device = len(views[0]), views[0].device
    mel, basis = _MEL.to(device), _BASIS.to(device)

    def normal(width: int) -> list[Tensor]:
        shared, *own = (torch.randn(n, width, generator=rng, device=device) for _ in range(3))
        return [(shared + treatment.own * each) / math.hypot(1, treatment.own) for each in own]

    treated = torch.rand(n, 1, 1, generator=rng, device=device) < treatment.probability
    banded = torch.rand(n, 1, generator=rng, device=device) < treatment.cut
    edge = 0.45 + 0.55 * torch.rand(n, 1, generator=rng, device=device)  # of the mel axis: 2.3 kHz and up
    room_s = treatment.room_s * torch.rand(n, 1, generator=rng, device=device)
    results = []
    draws = zip(views, normal(len(basis)), normal(2), normal(1), normal(1), normal(1), strict=True)
    for x, bell, shelf, press, hiss, pitch in draws:
        send_db = treatment.room_db - 20 * torch.rand(
            n, 1, generator=rng, device=device
        )  # one room, own sends
        low, high = shelf.split(1, 1)
        curve_db = treatment.eq_db * bell @ basis + treatment.shelf_db * (
            low * torch.sigmoid((0.2 - mel) * 30) + high * torch.sigmoid((mel - 0.7) * 30)
        )
        curve_db = curve_db - torch.where(banded, 60 * torch.sigmoid((mel - edge) * 100), 0.0)  # (B, 128)
        y = _tuned(x, treatment.pitch * pitch[:, :, None]) if treatment.pitch else x
        y = _room(y, room_s, send_db) if treatment.room_s else y
        y = y * (10 ** (curve_db / 10))[:, None]
        y = (
            _compressed(y, 1 + (treatment.ratio - 1) * torch.special.ndtr(press))
            if treatment.ratio > 1
            else y
        )
        floor_db = treatment.floor_db - 40 * torch.special.ndtr(hiss)
        y = _noisy(y, (y.amax((1, 2))[:, None] * 10 ** (floor_db / 10))[:, :, None], rng)
        results.append(torch.where(treated, y, x))
    return results


def _moved(x: Tensor, frame: Tensor) -> Tensor:
    """Reads (B, F, 128) at other frames (B, F), to the nearest; nothing beyond its ends."""
    place = frame.round().long()
    inside = (place >= 0) & (place < x.shape[1])
    row = torch.arange(len(x), device=x.device)[:, None]
    return x[row, place.clamp(0, x.shape[1] - 1)] * inside[:, :, None]


def _tuned(x: Tensor, n_bins: Tensor) -> Tensor:
    """Shifts (B, F, 128) up by a fraction of bins (B, 1, 1), as a product with a band of two diagonals."""
    bins = torch.arange(N_MELS, device=x.device)
    table = (1 - (bins - bins[:, None] - n_bins).abs()).clamp_min(0)  # (B, 128, 128), from a bin to a bin
    return x @ table


def _room(x: Tensor, room_s: Tensor, send_db: Tensor) -> Tensor:
    """Adds a tail that falls exponentially along time, the highs twice as fast: (B, F, 128).

    Args:
        room_s: (B, 1) time to fall by 60 dB, in seconds.
        send_db: (B, 1) energy of the tail against the sound's.
    """
    fall_s = room_s.clamp_min(0.01) * (1 - 0.5 * _MEL.to(x.device))  # (B, 128)
    decay = 10 ** (-6 * FRAME_S / fall_s)
    fed = x * (10 ** (send_db / 10) * (1 - decay))[:, None]
    tail = torch.zeros_like(x[:, 0])
    wet = torch.empty_like(x)
    for frame in range(x.shape[1]):
        torch.mul(tail, decay, out=tail).add_(fed[:, frame])
        torch.add(x[:, frame], tail, out=wet[:, frame])
    return wet


def _compressed(x: Tensor, ratio: Tensor) -> Tensor:
    """Turns the frames above the mean level down by `ratio` (B, 1): (B, F, 128)."""
    level = x.sum(2)  # (B, F)
    over = (level / level.mean(1, keepdim=True).clamp_min(1e-12)).clamp_min(1)
    return x * (over ** (1 / ratio - 1))[:, :, None]


def _noisy(x: Tensor, level: Tensor, rng: torch.Generator) -> Tensor:
    """Adds noise of a mean power (B, 1, 1), with some of the fluctuation that a mel bin's noise has."""
    return x + level * (0.5 + torch.rand(x.shape, generator=rng, device=x.device))
