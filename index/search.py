"""From a query to hits, by type, over one snapshot: exact, or by a forest where the press leaves room for a miss."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoders.audio import FloatArray
from encoders.drum_types import SIX, TYPES
from encoders.errors import BadRequest, NoSamples
from index.exact import SLACK, nearest
from index.snapshot import Snapshot, Table
from index.taste import Taste

K_MAX = 1000

ANOTHER_TAKE = 0.9
"""Likeness, from 0 at the mean of the candidates to 1 for equal keys, beyond which two one-shots are takes of one
sound. Invented."""


FITTING = 5
"""One in so many of the one-shots asked for is near enough for diversity to choose among them. Invented."""


@dataclass(frozen=True)
class Want:
    """What a press asks for.

    Attributes:
        types: which types, or ("any",) for all together; () for each of the six.
        k: hits for each type, 1 to 1000.
        diversity: 0 is the pure order of the score; towards 1, one-shots that sound like a better hit give way.
        shortest_s, longest_s: limits on the one-shot's duration, both allowed themselves.
        folders: only what lies below one of these; () for everything.
        learned: the order leans towards what the user's marks tell.
    """

    types: tuple[str, ...] = ()
    k: int = 10
    diversity: float = 0.0
    shortest_s: float | None = None
    longest_s: float | None = None
    folders: tuple[bytes, ...] = ()
    learned: bool = False


@dataclass(frozen=True)
class Hit:
    """One suggested one-shot.

    Attributes:
        rank: 1 is best.
        of: how many hits this type has in the answer.
        score: cosine of query and key, -1..1.
        path: absolute; bytes that are not UTF-8 are PEP 383 escapes.
        name: the file's own.
        guessed: the type came from the sound, not from the name.
        fit: share of the library's one-shots of that type that it fits better than, where a model is calibrated.
    """

    type: str
    rank: int
    of: int
    score: float
    path: str
    name: str
    duration_s: float
    guessed: bool
    fit: float | None = None


@dataclass(frozen=True)
class _Candidate:
    score: float
    path: bytes
    table: Table
    row: int

    @property
    def content(self) -> bytes:
        return self.table.rows.content(self.row)

    @property
    def vector(self) -> FloatArray:
        """(D,) float32."""
        return self.table.rows.vectors[self.row]


def search(snapshot: Snapshot, query: FloatArray, want: Want, taste: Taste | None = None) -> tuple[Hit, ...]:
    """The one-shots that fit a query best.

    Equal scores go by path; equal files appear once, under the first. With diversity 0 the order is that of the
    cosine, computed in float64, whatever the library's size; else a large type is searched by its forest.

    Args:
        query: (D,) float32, unit norm.
        taste: of the snapshot's model; leans the order of the candidates for each place, never the scores.

    Returns:
        By type in the order of `TYPES`, then by rank; for "any" by rank alone.

    Raises:
        BadRequest: an unknown type, k or diversity out of range.
        NoSamples: nothing in the library answers to what is wanted.
    """
    _check(want)
    groups = (
        [TYPES] if want.types == ("any",) else [(type_,) for type_ in TYPES if type_ in (want.types or SIX)]
    )
    hits: list[Hit] = []
    taken: set[bytes] = set()
    for group in groups:
        chosen = _best(snapshot, query, want, group, taken, taste)
        taken |= {candidate.content for candidate in chosen}
        hits += [_hit(candidate, rank, len(chosen)) for rank, candidate in enumerate(chosen, 1)]
    if not hits:
        raise _no_samples(snapshot, want)
    return tuple(hits)


def _check(want: Want) -> None:
    if not 1 <= want.k <= K_MAX:
        raise BadRequest("k", found=str(want.k), expected=f"1 to {K_MAX}")
    if not 0 <= want.diversity <= 1:
        raise BadRequest("diversity", found=str(want.diversity), expected="0 to 1")
    for type_ in want.types:
        if type_ not in TYPES and want.types != ("any",):
            expected = "any on its own" if type_ == "any" else ", ".join((*TYPES, "any"))
            raise BadRequest("type", found=repr(type_), expected=expected)


def _best(
    snapshot: Snapshot,
    query: FloatArray,
    want: Want,
    types: tuple[str, ...],
    taken: set[bytes],
    taste: Taste | None,
) -> list[_Candidate]:
    """The best `want.k` one-shots of some types together, without the contents already taken."""
    n_pool = want.k if want.diversity == 0 and taste is None else max(100, 10 * want.k)
    n_files = n_pool
    while True:
        found = _candidates(snapshot, query, want, types, n_files)
        distinct: dict[bytes, _Candidate] = {}
        for candidate in found:
            if candidate.content not in taken:
                distinct.setdefault(candidate.content, candidate)
        if len(distinct) >= n_pool or len(found) < n_files:
            break
        n_files *= 2  # copies of equal files filled the places
    pool = list(distinct.values())
    if taste is not None and pool:
        scores = np.array([candidate.score for candidate in pool])
        pool = [pool[place] for place in taste.order(scores, np.stack([each.vector for each in pool]))]
    if want.diversity == 0:
        return pool[: want.k]
    n_wanted = sum(
        _count(table, block, want) for table in snapshot.tables for block in _blocks(table, types, want)
    )
    return _diverse(pool, want.k, want.diversity, max(want.k, min(n_pool, n_wanted // FITTING)))


def _candidates(
    snapshot: Snapshot, query: FloatArray, want: Want, types: tuple[str, ...], n: int
) -> list[_Candidate]:
    """At least the `n` best files, in the order of their exact scores; fewer where there are no more."""
    blocks = [
        (table, *_near(table, block, query, want, n))
        for table in snapshot.tables
        for block in _blocks(table, types, want)
    ]
    scores = np.concatenate([scores for _, _, scores in blocks])
    if not len(scores):
        return []
    last = np.partition(scores, len(scores) - n)[len(scores) - n] if n < len(scores) else scores.min()
    exact_query = query.astype(np.float64)
    found = []
    for table, rows, scores in blocks:
        rows = rows[scores >= last - SLACK]
        exact = np.vecdot(
            table.rows.vectors[rows].astype(np.float64), exact_query
        )  # equal keys, equal scores
        found += [
            _Candidate(score, table.rows.path(row), table, row)
            for row, score in zip(rows.tolist(), exact.tolist(), strict=True)
        ]
    return sorted(found, key=lambda candidate: (-candidate.score, candidate.path))


def _blocks(table: Table, types: tuple[str, ...], want: Want) -> list[range]:
    """The blocks of a table to search: all types as one where no forest and no order of paths is by type."""
    if types == TYPES and not table.forests and not want.folders:
        return [range(len(table.rows))]
    return [table.rows.block(type_) for type_ in types]


def _near(
    table: Table, block: range, query: FloatArray, want: Want, n: int
) -> tuple[NDArray[np.int64], FloatArray]:
    """Rows of a block with their scores, the best `n` that are live and within the limits among them: certainly, or
    as a forest finds them, where the press leaves room for a miss."""
    kept = table.live[block.start : block.stop] if table.live is not None else None
    limits = list(_limits(table, block, want))
    vectors = table.rows.vectors[block.start : block.stop]
    forest = table.forests.get(table.rows.type(block.start)) if len(block) else None
    if forest is not None and want.diversity > 0 and not limits:
        near = forest.nearest(query, 2 * n, want.k)
        near = near if kept is None else near[kept[near]]
        if len(near) >= n:
            return near + block.start, np.vecdot(vectors[near], query)
    for limit in limits:
        kept = limit if kept is None else kept & limit
    near, scores = nearest(vectors, table.rows.heads_of(block), query, n, kept)
    return near + block.start, scores


def _count(table: Table, block: range, want: Want) -> int:
    limits = list(_limits(table, block, want))
    return int(np.logical_and.reduce(limits).sum()) if limits else len(block)


def _limits(table: Table, block: range, want: Want) -> Iterator[NDArray[np.bool_]]:
    duration_s = table.rows.durations_s[block.start : block.stop]
    if want.shortest_s is not None:
        yield duration_s >= want.shortest_s
    if want.longest_s is not None:
        yield duration_s <= want.longest_s
    if want.folders:
        yield table.rows.below(want.folders, block)


def _diverse(pool: list[_Candidate], k: int, diversity: float, n_near: int) -> list[_Candidate]:
    """Chooses one after another: near to the query, far from what was chosen (maximal marginal relevance).

    Neither side keeps its cosines, whose scale differs from model to model: nearness is the place in the pool, 1 for
    the first and 0 after `n_near` places, and likeness begins at the pool's mean. So ten takes of one kick count as
    alike, ten kicks do not; and another take comes after everything else, however small the diversity.

    Args:
        pool: by falling score.
        n_near: places; a fifth of a small library, so that being different never brings up what does not fit.

    Source: Carbonell and Goldstein 1998, equation 1, with those two changes.
    """
    if not pool:
        return []
    keys = np.stack([candidate.vector for candidate in pool])  # (P, D)
    nearness = 1 - np.arange(len(pool)) / n_near
    usual = min(float((keys @ keys.mean(axis=0)).mean()), 1 - 1e-6)  # mean cosine of all pairs
    likeness = np.zeros(len(pool))  # to the nearest of those chosen, 0..1
    chosen: list[int] = []
    while len(chosen) < min(k, len(pool)):
        value = (1 - diversity) * nearness - diversity * likeness - len(pool) * (likeness > ANOTHER_TAKE)
        value[chosen] = -np.inf
        best = int(value.argmax())
        chosen.append(best)
        likeness = np.maximum(likeness, (keys @ keys[best] - usual) / (1 - usual))
    return [pool[place] for place in chosen]


def _hit(candidate: _Candidate, rank: int, of: int) -> Hit:
    rows = candidate.table.rows
    path = os.fsdecode(candidate.path)
    return Hit(
        rows.type(candidate.row),
        rank,
        of,
        min(1.0, max(-1.0, candidate.score)),
        path,
        os.path.basename(path),
        float(rows.durations_s[candidate.row]),
        bool(rows.guessed[candidate.row]),
    )


def _no_samples(snapshot: Snapshot, want: Want) -> NoSamples:
    if not len(snapshot):
        if snapshot.offline:
            return NoSamples(
                "the library",
                found=f"no one-shots; offline: {', '.join(map(os.fsdecode, snapshot.offline))}",
                expected="a folder of drum samples that is online",
                remedy="connect its drive",
            )
        return NoSamples(
            "the library",
            found="no one-shots",
            expected="a folder of drum samples",
            remedy="`samplefit add DIR`, then `samplefit sync`",
        )
    counts = ", ".join(f"{n} {type_}" for type_, n in snapshot.by_type().items() if n)
    return NoSamples(
        f"the library ({counts})",
        found="no one-shot of this type within the limits given",
        expected="at least one",
        remedy="ask for other types, or widen folder and duration",
    )
