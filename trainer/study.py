"""The listening test: is what the model puts first preferred to a random sample? (Lattner 2022, section 6.2)

From each song one drum is taken out. At the onsets of its stem a sample of the model's ten best is placed, and
one of ten random ones of that type; listeners hear both mixes blind and choose.
"""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy import stats

from encoders.artefacts import write_bytes
from encoders.audio import SAMPLE_RATE, FloatArray
from encoders.drum_types import SIX
from encoders.errors import BadRequest, NoSamples, NoSignal
from encoders.session import Encoder
from encoders.windows import cut
from trainer.corpus import Corpus
from trainer.hits import onsets
from trainer.ranks import bootstrap
from trainer.sones import lufs

TEMPLATE = Path(__file__).with_name("pages") / "study.html"
N_COMPARISONS = 12
N_BEST = 10
EXCERPT_S = 10.0
"""Length of what is heard: invented; the paper leaves it open."""

PEAK = 0.9
LEAST_ONSETS = 4
"""Hits of the replaced drum in an excerpt: invented; fewer are hard to judge."""

CHOICES = ("best", "random", "equal", "skip")
MIN_LISTENERS = 5
"""Listeners from which an interval over listeners means something: invented."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two mixes of one song that differ in one drum.

    Attributes:
        song: its name.
        best, random: (T,) float32, the mixes.
        best_name, random_name: where the two samples come from.
    """

    type: str
    song: str
    best: FloatArray
    random: FloatArray
    best_name: str
    random_name: str


@dataclass(frozen=True)
class Place:
    """A stem that can be replaced: the only one of its type in its song."""

    song: int
    stem: int
    type: str


def places(corpus: Corpus, split: str) -> tuple[Place, ...]:
    """Every stem of a split that is its song's only one of its type, one of the six, beside at least two others."""
    found = []
    for row, song in enumerate(corpus.songs):
        kinds = [stem.type for stem in song.stems]
        if song.split == split and len(kinds) >= 3:
            found += [
                Place(row, stem, kind)
                for stem, kind in enumerate(kinds)
                if kind in SIX and kinds.count(kind) == 1
            ]
    return tuple(found)


def build_session(
    corpus: Corpus,
    split: str,
    keys: FloatArray,
    encoder: Encoder,
    seed: int,
    progress: Progress = lambda done, total: None,
) -> tuple[Comparison, ...]:
    """Twelve comparisons, each type twice; a type that the corpus lacks gives its turn to the others.

    Args:
        keys: (N, D) float32: those of all of the corpus' one-shots.
        seed: draws songs, samples and order.

    Raises:
        NoSamples: no song in which a drum can be replaced.
    """
    rng = np.random.default_rng(seed)
    found = places(corpus, split)
    queues = (
        {kind: [p for p in rng.permutation(np.array(found, object)) if p.type == kind] for kind in SIX}
        if found
        else {}
    )
    comparisons: list[Comparison] = []
    while len(comparisons) < N_COMPARISONS and any(queues.values()):
        for kind in [name for name in SIX if queues[name]]:
            made = None
            while made is None and queues[kind]:
                made = compare(corpus, queues[kind].pop(), keys, encoder, rng)
            if made and len(comparisons) < N_COMPARISONS:
                comparisons.append(made)
                progress(len(comparisons), N_COMPARISONS)
    if not comparisons:
        raise NoSamples(
            "songs for a study",
            found=f"none of {sum(song.split == split for song in corpus.songs)} in which a drum can be replaced",
            expected="songs of three stems or more, one alone of its type, and other samples of that type",
        )
    return tuple(comparisons[row] for row in rng.permutation(len(comparisons)))


def compare(
    corpus: Corpus, place: Place, keys: FloatArray, encoder: Encoder, rng: np.random.Generator
) -> Comparison | None:
    """One comparison, or None where onsets are few, the rest is silent or no two samples are to be had.

    The song's own samples are no candidates: the question is what fits, not what was there.
    """
    song = corpus.songs[place.song]
    removed = song.stems[place.stem].read(0, song.n_samples)  # (T,)
    rest = sum(
        stem.read(0, song.n_samples) for row, stem in enumerate(song.stems) if row != place.stem
    )  # (T,)
    at = onsets(removed)  # (N,)
    start, n_samples = _excerpt(at, song.n_samples)
    at = at[(at >= start) & (at < start + n_samples)]
    own = {hit.content for hit in corpus.one_shots if hit.song == place.song}
    rows = _candidates(corpus, place.type, own)  # (K,)
    if len(at) < LEAST_ONSETS or len(rows) < 2:
        return None
    try:
        query = encoder.query(cut(rest))  # (D,)
    except NoSignal:
        return None
    ranked = rows[np.argsort(-(keys[rows] @ query), kind="stable")]
    best = int(rng.choice(ranked[: min(N_BEST, len(ranked) // 2)]))
    others = rows[rows != best]
    random = int(rng.choice(rng.choice(others, min(N_BEST, len(others)), replace=False)))
    part, away = rest[start : start + n_samples], removed[start : start + n_samples]
    mixes = [part + replaced(away, at - start, corpus.one_shots[row].read()) for row in (best, random)]
    gain = PEAK / max(np.abs(mix).max() for mix in mixes)
    names = [_name(corpus, row) for row in (best, random)]
    return Comparison(place.type, song.name, *(np.float32(gain) * mix for mix in mixes), *names)


def replaced(stem: FloatArray, at: NDArray[np.int64], hit: FloatArray) -> FloatArray:
    """The stem played anew by another sample, as loud as before and with its accents.

    The paper says nothing of levels; unequal ones would decide every comparison, so the new stem is brought to
    the loudness of the old one (BS.1770, loudest 400 ms).

    Args:
        stem: (T,) float32. at: (N,) onsets in samples. hit: (S,) float32.

    Returns:
        (T,) float32.
    """
    ends = np.append(at[1:], len(stem))
    peaks = np.array([np.abs(stem[a:b]).max(initial=0.0) for a, b in zip(at, ends, strict=True)])
    new = np.zeros(len(stem) + len(hit), np.float32)
    for start, peak in zip(at, peaks / max(peaks.max(), 1e-9), strict=True):
        new[start : start + len(hit)] += np.float32(peak) * hit
    new = new[: len(stem)]
    gain = 10 ** ((lufs(stem) - lufs(new)) / 20)
    return np.float32(gain) * new


def _excerpt(at: NDArray[np.int64], n_samples: int) -> tuple[int, int]:
    """Where the excerpt with the most onsets begins, and its length."""
    length = min(round(EXCERPT_S * SAMPLE_RATE), n_samples)
    if not len(at):
        return 0, length
    starts = np.minimum(np.maximum(at - SAMPLE_RATE // 10, 0), n_samples - length)
    counts = [((at >= start) & (at < start + length)).sum() for start in starts]
    return int(starts[int(np.argmax(counts))]), length


def _candidates(corpus: Corpus, kind: str, own: set[int]) -> NDArray[np.int64]:
    """Rows of the one-shots of a type, each content once, without the song's own."""
    first = {hit.content: row for row, hit in reversed(list(enumerate(corpus.one_shots))) if hit.type == kind}
    return np.array(sorted(row for content, row in first.items() if content not in own), np.int64)


def _name(corpus: Corpus, row: int) -> str:
    hit = corpus.one_shots[row]
    song = corpus.songs[hit.song]
    return f"{song.name}/{song.stems[hit.stem].name}"


def write_page(path: Path, name: str, comparisons: Sequence[Comparison], seed: int) -> None:
    """Writes a session as one page with its sounds in it; which side is the best one is drawn by the seed."""
    rng = np.random.default_rng([seed, 1])
    entries = []
    for comparison in comparisons:
        sounds = [_flac(comparison.best), _flac(comparison.random)]
        side = int(rng.integers(2))
        secret = {
            "best": "AB"[side],
            "best_name": comparison.best_name,
            "random_name": comparison.random_name,
        }
        entries.append(
            {
                "type": comparison.type,
                "song": comparison.song,
                "a": sounds[side],
                "b": sounds[1 - side],
                "secret": base64.b64encode(json.dumps(secret).encode()).decode(),
            }
        )
    data = json.dumps({"id": name, "comparisons": entries}).replace("<", "\\u003c")  # no name ends the script
    write_bytes(path, TEMPLATE.read_text("utf-8").replace("<!--DATA-->", data).encode())


def _flac(samples: FloatArray) -> str:
    """(T,) float32 as base64 of a 16-bit FLAC: nothing is lost that a listener might judge by."""
    file = io.BytesIO()
    soundfile.write(file, samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return base64.b64encode(file.getvalue()).decode()


@dataclass(frozen=True)
class Rating:
    """One row of a listener's file."""

    listener: str
    type: str
    song: str
    choice: str


def read_ratings(paths: Sequence[Path]) -> tuple[Rating, ...]:
    """The ratings of several files.

    Raises:
        BadRequest: a file that is not one of the page's, or the same session of the same listener twice.
    """
    ratings, seen = [], {}
    for path in paths:
        for row in _rows(path):
            session = (row["study"], row["listener"], row["number"])
            if row["listener"] and seen.setdefault(session, path) != path:
                raise BadRequest(
                    str(path), found=f"the same answers as in {seen[session]}", remedy="leave one out"
                )
            ratings.append(Rating(row["listener"] or str(path), row["type"], row["song"], row["choice"]))
    return tuple(ratings)


def _rows(path: Path) -> Iterator[dict[str, str]]:
    try:
        rows = list(csv.DictReader(path.read_text("utf-8-sig").splitlines()))
    except (OSError, ValueError, csv.Error) as error:
        raise BadRequest(str(path), found=str(error), expected="a file that the page saved") from None
    needed = {"study", "listener", "number", "type", "song", "choice"}
    if not rows or not needed <= rows[0].keys():
        found = ", ".join(rows[0]) if rows else "no rows"
        raise BadRequest(str(path), found=found, expected=f"the columns {', '.join(sorted(needed))}")
    for row in rows:
        if row["choice"] not in CHOICES:
            raise BadRequest(
                f"{path}, row {row['number']}", found=str(row["choice"]), expected=", ".join(CHOICES)
            )
        yield row


def report(ratings: Sequence[Rating]) -> dict[str, Any]:
    """Shares of the choices, skipped ones left out, over all and by type.

    Intervals (95 %) are Wilson's, each rating standing for itself; from five listeners on, the wider of that and
    of a bootstrap over listeners. `p`: of so many "best" among the decided ones, if people tossed a coin.
    """
    kinds = [name for name in SIX if any(rating.type == name for rating in ratings)]
    return {
        "n_ratings": len(ratings),
        "n_skipped": sum(rating.choice == "skip" for rating in ratings),
        "n_listeners": len({rating.listener for rating in ratings}),
        "all": _shares(ratings),
        "by_type": {name: _shares([rating for rating in ratings if rating.type == name]) for name in kinds},
    }


def _shares(ratings: Sequence[Rating]) -> dict[str, Any]:
    counted = [rating for rating in ratings if rating.choice != "skip"]
    n = len(counted)
    counts = {name: sum(rating.choice == name for rating in counted) for name in CHOICES[:3]}
    decided = counts["best"] + counts["random"]
    return {
        "n": n,
        **{
            name: {"share": count / n, "interval": _interval(counted, name)}
            if n
            else {"share": None, "interval": None}
            for name, count in counts.items()
        },
        "p": float(stats.binomtest(counts["best"], decided).pvalue) if decided else None,
    }


def _interval(ratings: Sequence[Rating], choice: str) -> list[float]:
    values = [float(rating.choice == choice) for rating in ratings]
    wilson = stats.binomtest(int(sum(values)), len(values)).proportion_ci(method="wilson")
    low, high = float(wilson.low), float(wilson.high)
    listeners = {name: row for row, name in enumerate(dict.fromkeys(rating.listener for rating in ratings))}
    if len(listeners) >= MIN_LISTENERS:
        drawn = bootstrap(values, [listeners[rating.listener] for rating in ratings], seed=0)
        low, high = min(low, drawn[0]), max(high, drawn[1])
    return [low, high]
