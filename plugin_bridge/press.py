"""The main job: bounce → windows → query → hits → answer. Each step is a function of the previous value."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from encoders.audio import SAMPLE_RATE, FloatArray, mix, mix_frames, read_audio, read_frames, to_mono
from encoders.errors import BadRequest, NoSignal, NotFound
from encoders.session import Encoder
from encoders.windows import cut
from index.search import Hit, Want, search
from index.snapshot import Snapshot
from index.taste import Taste
from plugin_bridge.fits import with_fits

SLOWEST_BPM, FASTEST_BPM = 5.0, 1000.0
"""Tempi that hosts allow, about."""


@dataclass(frozen=True, eq=False)
class Stem:
    """One track of a bounce: a sound file, or samples that came over OSC.

    Attributes:
        path: the file, or None.
        samples: (T,) or (T, C) float32 at 44.1 kHz; None where the file is to be read.
        gain: what the file's samples are multiplied by.
        stamp: `stamp_of` the file when it was given; None where any file at that path will do.
    """

    path: str | None = None
    samples: FloatArray | None = None
    gain: float = 1.0
    stamp: tuple[int, int] | None = None

    def read(self, until_s: float | None = None) -> FloatArray:
        """(T,) float32 mono at 44.1 kHz. Raises what `read_audio` raises, and NotFound for another file than was given."""
        if self.samples is None:
            return self._from_file(read_audio, until_s)
        return self.samples if self.samples.ndim == 1 else to_mono(self.samples)

    def frames(self, until_s: float | None = None) -> FloatArray:
        """(T, C) float32 at 44.1 kHz: with its channels, where it was given with them. Raises what `read` raises."""
        if self.samples is None:
            return self._from_file(read_frames, until_s)
        return self.samples if self.samples.ndim == 2 else self.samples[:, None]

    def _from_file(self, reader: Callable[..., FloatArray], until_s: float | None) -> FloatArray:
        if self.stamp is not None and stamp_of(self.path) != self.stamp:
            raise NotFound(
                self.path,
                found="another file than was given as a stem, or none",
                expected="the same until the press is answered",
                remedy="give it again",
            )
        samples = reader(self.path, until_s=until_s)
        return samples if self.gain == 1 else samples * np.float32(self.gain)


def stamp_of(path: str) -> tuple[int, int] | None:
    """What tells whether a file was written since: its size in bytes and its time of change in ns; None without one."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_size, found.st_mtime_ns


@dataclass(frozen=True)
class Press:
    """One "suggest drums" request.

    Attributes:
        id: the request's, repeated in every reply.
        stems: what is mixed into the bounce; they begin together.
        want: which hits.
        n_windows: excerpts that make the query, at most.
        start_s, length_s: the part of the bounce that counts; length None is the rest.
        replaced: the track that a hit is to take the place of; no part of the bounce.
        answer_name: of the answer file that its host reads, if it reads one.
        tempo_bpm: of the song, where the host knows it.
    """

    id: int | str
    stems: tuple[Stem, ...]
    want: Want
    n_windows: int = 10
    start_s: float = 0.0
    length_s: float | None = None
    replaced: Stem | None = None
    answer_name: str | None = None
    tempo_bpm: float | None = None


@dataclass(frozen=True)
class Engine:
    """What a press needs, bound for its whole life: one encoder and one snapshot of the same model, and what the
    user's marks tell."""

    encoder: Encoder
    snapshot: Snapshot
    taste: Taste

    def taste_for(self, want: Want) -> Taste | None:
        """What the order of the hits leans towards; None where nothing was learned, or none of it is wanted.

        A taste holds within a type: it does not weigh a kick against a snare.
        """
        acts = self.taste.n_marks > 0 and self.taste.model == self.snapshot.model
        return self.taste if acts and want.learned and want.types != ("any",) else None


@dataclass(frozen=True)
class Timings:
    """Where the time of a press went, in milliseconds."""

    load_ms: float
    encode_ms: float
    search_ms: float


@dataclass(frozen=True, eq=False)
class Answer:
    """What a press gets.

    Attributes:
        n_windows, seconds: what of the bounce was heard.
        bounce: (T,) float32, that part of it.
        query: (D,) float32, unit norm, its encoding.
        n_learned: marks that the order of the hits was learned from; 0 where it leans towards nothing.
    """

    id: int | str
    hits: tuple[Hit, ...]
    n_stems: int
    n_windows: int
    seconds: float
    timings: Timings
    bounce: FloatArray
    query: FloatArray
    n_learned: int


def answer(press: Press, engine: Engine, clock: Callable[[], float] = time.perf_counter) -> Answer:
    """Answers a press: the one-shots of the snapshot that fit the bounce, best first.

    Raises:
        NotFound, Refused, UnreadableAudio, TooLong: a stem's file.
        NoSignal: nothing sounds in the part asked for.
        NoSamples: nothing in the library is of the types, folders and durations wanted.
    """
    began = clock()
    audio = bounce(press)
    loaded = clock()
    windows = cut(audio, press.n_windows)
    query = engine.encoder.query(windows)
    encoded = clock()
    taste = engine.taste_for(press.want)
    hits = search(engine.snapshot, query, press.want, taste)
    hits = with_fits(hits, engine.snapshot, query, engine.encoder.card.calibration)
    found = clock()
    timings = Timings(*(1000 * (b - a) for a, b in ((began, loaded), (loaded, encoded), (encoded, found))))
    seconds = len(audio) / SAMPLE_RATE
    n_learned = taste.n_marks if taste else 0
    return Answer(press.id, hits, len(press.stems), len(windows), seconds, timings, audio, query, n_learned)


def check_tempo(bpm: float | None) -> float | None:
    """`bpm`, if it is a tempo or None.

    Raises:
        BadRequest: it is not.
    """
    if bpm is not None and not SLOWEST_BPM <= bpm <= FASTEST_BPM:
        raise BadRequest(
            "tempo", found=f"{bpm:g}", expected=f"{SLOWEST_BPM:g} to {FASTEST_BPM:g} beats a minute"
        )
    return bpm


def bounce(press: Press) -> FloatArray:
    """The sum of the stems over the part asked for: (T,) float32 mono at 44.1 kHz, T >= 1.

    Raises:
        BadRequest: no stem, or a part that is no part.
        NoSignal: the stems end before the part begins.
        What `read_audio` raises.
    """
    if not press.stems:
        raise BadRequest("press", found="no stems", expected="at least one", remedy="send a stem first")
    if not 0 <= press.start_s < 1e6 or not (press.length_s is None or 0 < press.length_s < 1e6):
        raise BadRequest(
            "part of the bounce",
            found=f"start {press.start_s}, length {press.length_s}",
            expected="start from 0, length above 0, in seconds",
        )
    until_s = None if press.length_s is None else press.start_s + press.length_s
    whole = mix(stem.read(until_s) for stem in press.stems)
    part = _part(whole, press)
    if not len(part):
        raise NoSignal(
            "the bounce",
            found=f"an end at {len(whole) / SAMPLE_RATE:.3f} s",
            expected=f"sound from {press.start_s:g} s",
        )
    return part


def _part(whole: FloatArray, press: Press) -> FloatArray:
    """(T,) float32 → (T',) float32: the part of it that the press asks for."""
    until_s = None if press.length_s is None else press.start_s + press.length_s
    return whole[
        round(press.start_s * SAMPLE_RATE) : None if until_s is None else round(until_s * SAMPLE_RATE)
    ]


def to_keep(press: Press, answer: Answer) -> Press:
    """The press as whoever keeps it should: stems whose samples it holds become their sum, in mono where one of them is.

    What is read from its file again, and a single stem with its channels, stays as it was.
    """
    held = [stem.samples for stem in press.stems if stem.samples is not None]
    if not held:
        return press
    if any(samples.ndim == 1 for samples in held):
        music = answer.bounce
    elif len(held) == len(press.stems) > 1:
        music = _part(mix_frames(held), press)
    else:
        return press
    replaced = None if press.replaced is None else Stem(samples=_part(press.replaced.frames(), press))
    return replace(press, stems=(Stem(samples=music),), replaced=replaced, start_s=0.0, length_s=None)


def document(answer: Answer, engine: Engine, total_ms: float, pending: int = 0) -> dict[str, Any]:
    """The answer as the contract's JSON.

    Args:
        pending: files still to be indexed.
    """
    timings, card, snapshot = answer.timings, engine.encoder.card, engine.snapshot
    return {
        "model": {"name": card.name, "digest": card.digest},
        "library": {"one_shots": len(snapshot), "revision": snapshot.revision, "pending": pending},
        "query": {
            "stems": answer.n_stems,
            "windows": answer.n_windows,
            "seconds": round(answer.seconds, 3),
        },
        "timings_ms": {
            "load": round(timings.load_ms, 3),
            "encode": round(timings.encode_ms, 3),
            "search": round(timings.search_ms, 3),
            "total": round(total_ms, 3),
        },
        "learned": answer.n_learned,
        "hits": [
            {
                "type": hit.type,
                "rank": hit.rank,
                "score": hit.score,
                "path": hit.path,
                "name": hit.name,
                "duration_s": round(hit.duration_s, 4),
                "guessed": hit.guessed,
                "fit": None if hit.fit is None else round(hit.fit, 4),
            }
            for hit in answer.hits
        ],
    }
