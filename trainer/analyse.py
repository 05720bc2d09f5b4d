"""What goes with what: how drums sound that lie close in the learned space (Lattner 2022, section 6.3).

Keys of all types are clustered; a cluster holds what the model takes to fit the same mixes. Each feature's mean
over a cluster's snares is then one observation of it, to be correlated over clusters with those of the crashes.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn.cluster import KMeans

from encoders.audio import EXTENSIONS, FloatArray, read_one_shot
from encoders.drum_types import TYPES, guess_type
from encoders.errors import NoSamples, SamplefitError
from encoders.windows import pad
from trainer import workers
from trainer.corpus import Corpus
from trainer.features import FEATURES, describe
from trainer.sones import FloatArray64

N_CLUSTERS = 24
N_SEEDS = 10
"""Clusterings that a finding is held against: k-means depends on where it starts."""

LEAST_CLUSTERS = 5
"""Clusters that must hold both types: invented; a correlation of fewer points says nothing."""

LEVEL = 0.05
ELECTRONIC = "electronic"
COLUMNS = (*FEATURES, ELECTRONIC)

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Sounds:
    """One-shots to analyse.

    Attributes:
        names: what each is called.
        types: (N,) the drum.
        electronic: (N,) 1 from electronic songs, 0 from acoustic ones, NaN where nobody said.
        read: gives a one's (T,) float32 samples, by its row; can be pickled.
    """

    names: tuple[str, ...]
    types: NDArray[np.str_]
    electronic: FloatArray64
    read: Callable[[int], FloatArray]


@dataclass(frozen=True, eq=False)
class Pair:
    """The correlations of two types.

    Attributes:
        n_clusters: those that hold both.
        r: (F, F) Pearson, a row a feature of the first type; NaN where one of them does not vary.
        p: (F, F) its two-sided probability if there were none.
        q: (F, F) p after Benjamini and Hochberg over all cells of all pairs: expected share of false findings
            among those at least as clear.
        held: (F, F) share of the other clusterings in which r has the same sign and p < .05.
    """

    types: tuple[str, str]
    n_clusters: int
    r: FloatArray64
    p: FloatArray64
    q: FloatArray64
    held: FloatArray64


@dataclass(frozen=True)
class Finding:
    """A correlation that stands out, and how to say it."""

    text: str
    types: tuple[str, str]
    features: tuple[str, str]
    r: float
    p: float
    q: float
    held: float
    n_clusters: int


@dataclass(frozen=True)
class _FromCorpus:
    corpus: Corpus
    rows: tuple[int, ...]

    def __call__(self, row: int) -> FloatArray:
        hit = self.corpus.one_shots[self.rows[row]]
        return hit.read()[: hit.n_samples]


@dataclass(frozen=True)
class _FromFiles:
    paths: tuple[str, ...]

    def __call__(self, row: int) -> FloatArray:
        return read_one_shot(self.paths[row]).samples


def sounds_of_corpus(corpus: Corpus, most: int, seed: int = 0) -> Sounds:
    """A corpus' one-shots, each content once, at most `most` of a type, drawn by the seed."""
    hits = corpus.one_shots
    first = {hit.content: row for row, hit in reversed(list(enumerate(hits)))}
    rows = _draw(sorted(first.values()), [hits[row].type for row in sorted(first.values())], most, seed)
    songs = [corpus.songs[hits[row].song] for row in rows]
    known = {"electronic": 1.0, "acoustic": 0.0}
    return Sounds(
        tuple(
            f"{song.name}/{song.stems[hits[row].stem].name}" for row, song in zip(rows, songs, strict=True)
        ),
        np.array([hits[row].type for row in rows]),
        np.array([known.get(song.origin or "", np.nan) for song in songs]),
        _FromCorpus(corpus, tuple(rows)),
    )


def sounds_of_folder(folder: Path, most: int, seed: int = 0) -> tuple[Sounds, tuple[str, ...]]:
    """A sample folder's one-shots, typed by their names; and what was left out, with the reason.

    Raises:
        NoSamples: no readable one-shot whose name tells its type.
    """
    paths, types, skipped = [], [], []
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in EXTENSIONS):
        typed = guess_type(str(path.relative_to(folder)))
        if typed is not None and typed.type != "other":
            paths.append(str(path))
            types.append(typed.type)
    chosen = []
    for row in _draw(list(range(len(paths))), types, most, seed):
        try:
            read_one_shot(paths[row])
            chosen.append(row)
        except SamplefitError as error:
            skipped.append(error.text)
    if not chosen:
        raise NoSamples(
            str(folder), found="no one-shot whose name tells its type", expected="a sample folder"
        )
    return Sounds(
        tuple(os.path.relpath(paths[row], folder) for row in chosen),
        np.array([types[row] for row in chosen]),
        np.full(len(chosen), np.nan),
        _FromFiles(tuple(paths[row] for row in chosen)),
    ), tuple(skipped)


def _draw(rows: list[int], types: Sequence[str], most: int, seed: int) -> list[int]:
    """At most `most` rows of each type."""
    rng = np.random.default_rng(seed)
    chosen: list[int] = []
    for name in TYPES:
        own = [row for row, kind in zip(rows, types, strict=True) if kind == name]
        chosen += own if len(own) <= most else list(rng.choice(own, most, replace=False))
    return sorted(map(int, chosen))


def keys_of_sounds(
    sounds: Sounds, encode: Callable[[FloatArray], FloatArray], progress: Progress
) -> FloatArray:
    """(N, D) float32: the keys of the regular 4 s windows."""
    parts = []
    for first in range(0, len(sounds.names), 16):
        rows = range(first, min(first + 16, len(sounds.names)))
        parts.append(encode(np.stack([pad(sounds.read(row)) for row in rows])))
        progress(rows[-1] + 1, len(sounds.names))
    return np.concatenate(parts)


def features_of_sounds(sounds: Sounds, n_workers: int, progress: Progress) -> FloatArray64:
    """(N, F) float64: `FEATURES`, then "electronic"; described in `n_workers` processes."""
    jobs = [(sounds.read, row) for row in range(len(sounds.names))]
    rows = []
    for row in _mapped(jobs, n_workers):
        rows.append(row)
        progress(len(rows), len(jobs))
    return np.column_stack([np.array(rows), sounds.electronic])


def _mapped(jobs: list[tuple[Callable[[int], FloatArray], int]], n_workers: int) -> Iterator[FloatArray64]:
    if n_workers <= 1:
        yield from map(_describe, jobs)
        return
    with workers.pool(n_workers) as pool:
        yield from pool.map(_describe, jobs, chunksize=8)


def _describe(job: tuple[Callable[[int], FloatArray], int]) -> FloatArray64:
    read, row = job
    return describe(read(row))


def correlate(
    keys: FloatArray,
    types: NDArray[np.str_],
    features: FloatArray64,
    n_clusters: int = N_CLUSTERS,
    seed: int = 0,
) -> tuple[Pair, ...]:
    """The correlations of every two types.

    Args:
        keys: (N, D) float32, unit rows. types: (N,). features: (N, F), NaN where unknown.

    Raises:
        NoSamples: fewer one-shots than clusters, or no two types that share enough clusters.
    """
    if len(keys) < n_clusters:
        raise NoSamples(
            "one-shots to cluster", found=str(len(keys)), expected=f"at least {n_clusters}, one a cluster"
        )
    present = [name for name in TYPES if (types == name).any()]
    runs = [_means(keys, types, features, present, n_clusters, seed + run) for run in range(N_SEEDS)]
    found = []
    for a, b in itertools.combinations(present, 2):
        r, p, n = _pearson(runs[0][a], runs[0][b])
        if n >= LEAST_CLUSTERS:
            others = [_pearson(run[a], run[b]) for run in runs[1:]]
            same = [(np.sign(other) == np.sign(r)) & (p_other < LEVEL) for other, p_other, _ in others]
            found.append(((a, b), n, r, p, np.mean(same, axis=0)))
    if not found:
        raise NoSamples(
            "types that lie in the same clusters",
            found=f"{', '.join(present)}, no two in {LEAST_CLUSTERS} clusters together",
            expected="more one-shots, of at least two types",
        )
    flat = np.concatenate([p.ravel() for _, _, _, p, _ in found])
    q = np.split(adjusted(flat), np.cumsum([p.size for _, _, _, p, _ in found])[:-1])
    return tuple(
        Pair(names, n, r, p, own.reshape(p.shape), held)
        for (names, n, r, p, held), own in zip(found, q, strict=True)
    )


def _means(
    keys: FloatArray,
    types: NDArray[np.str_],
    features: FloatArray64,
    present: list[str],
    n_clusters: int,
    seed: int,
) -> dict[str, FloatArray64]:
    """For each type the means of its features by cluster: (K, F), NaN where a cluster has none of it."""
    cluster = KMeans(n_clusters, n_init=4, random_state=seed).fit_predict(keys)  # (N,)
    tables = {}
    for name in present:
        table = np.full((n_clusters, features.shape[1]), np.nan)
        for row in range(n_clusters):
            own = features[(cluster == row) & (types == name)]  # (n, F)
            if len(own):
                table[row] = own.mean(axis=0)
        tables[name] = table
    return tables


def _pearson(a: FloatArray64, b: FloatArray64) -> tuple[FloatArray64, FloatArray64, int]:
    """Correlations over the clusters that hold both types: (F, F) r, (F, F) p, and how many clusters do."""
    rows = np.isfinite(a[:, 0]) & np.isfinite(b[:, 0])
    n = int(rows.sum())
    if n < 3:
        nothing = np.full((a.shape[1], b.shape[1]), np.nan)
        return nothing, nothing, n
    a, b = a[rows] - a[rows].mean(axis=0), b[rows] - b[rows].mean(axis=0)  # (n, F)
    size = np.sqrt((a**2).sum(axis=0)[:, None] * (b**2).sum(axis=0))  # (F, F)
    with np.errstate(invalid="ignore"):
        r = np.where(size > 1e-12, a.T @ b / np.maximum(size, 1e-12), np.nan).clip(-1, 1)
    t = r * np.sqrt((n - 2) / np.maximum(1 - r**2, 1e-12))
    return r, 2 * stats.t.sf(np.abs(t), n - 2), n


def adjusted(p: FloatArray64) -> FloatArray64:
    """Benjamini and Hochberg's step-up values of (M,) probabilities; NaN stays NaN and counts for nothing."""
    q = np.full(len(p), np.nan)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known])]
    steps = p[order] * len(order) / np.arange(1, len(order) + 1)
    q[order] = np.minimum.accumulate(steps[::-1])[::-1].clip(max=1)
    return q


ADJECTIVES = dict(
    zip(
        COLUMNS,
        (
            "boomy", "bright", "deep", "hard", "rough", "warm", "loud", "sharp", "slow to rise",
            "high in its spectral centroid", "broad in its spectrum", "rich in spectral contrast", "noisy",
            "high in its spectral rolloff", "electronic",
        ),
        strict=True,
    )
)  # fmt: skip


def findings(pairs: Sequence[Pair]) -> tuple[Finding, ...]:
    """The correlations with q below .05 that are the same in at least 9 of 10 clusterings; the clearest first."""
    found = []
    for pair in pairs:
        clear = (pair.q < LEVEL) & (pair.held >= 8 / 9 - 1e-9)
        for a, b in zip(*np.nonzero(clear), strict=True):
            names = (COLUMNS[a], COLUMNS[b])
            facts = [float(table[a, b]) for table in (pair.r, pair.p, pair.q, pair.held)]
            found.append(
                Finding(_sentence(pair, names, *facts[:3]), pair.types, names, *facts, pair.n_clusters)
            )
    return tuple(sorted(found, key=lambda finding: -abs(finding.r)))


def _sentence(pair: Pair, names: tuple[str, str], r: float, p: float, q: float) -> str:
    word = "seldom" if r < 0 else "often"
    (a, b), (first, second) = pair.types, (ADJECTIVES[name] for name in names)
    return (
        f"Where the {a} is {first}, the {b} is {word} {second}: "
        f"r = {r:.2f}, {pair.n_clusters} clusters, p = {p:.1g}, q = {q:.1g}."
    )


def document(pairs: Sequence[Pair], facts: dict[str, Any]) -> dict[str, Any]:
    """analysis.json: everything that the pictures show, as numbers; null for what does not vary."""

    def rows(table: FloatArray64) -> list[list[float | None]]:
        return [[round(float(v), 6) if np.isfinite(v) else None for v in row] for row in table]

    return {
        "format": 1,
        **facts,
        "features": list(COLUMNS),
        "pairs": [
            {
                "types": list(pair.types),
                "n_clusters": pair.n_clusters,
                **{name: rows(getattr(pair, name)) for name in ("r", "p", "q", "held")},
            }
            for pair in pairs
        ],
        "findings": [vars(finding) for finding in findings(pairs)],
    }
