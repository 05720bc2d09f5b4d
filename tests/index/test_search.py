"""Exact search: order, ties, copies, filters, diversity, over one table and over a table with a delta."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encoders.drum_types import SIX, TYPES
from encoders.errors import BadRequest, NoSamples
from index import rows as columns
from index.search import Want, search
from index.snapshot import Snapshot, Table

DIM = 16


@dataclasses.dataclass(frozen=True)
class Row(columns.Row):
    """A row with its key."""

    vector: bytes


def build_rows(rows: list[Row], dim: int) -> columns.Rows:
    """The table of rows that carry their keys."""
    return columns.build_rows(rows, {row.content: row.vector for row in rows}.items(), dim)


def unit(rng: np.random.Generator, n: int) -> np.ndarray:
    """(n, DIM) float32, unit rows."""
    rows = rng.standard_normal((n, DIM)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def random_rows(seed: int, n: int, n_contents: int | None = None) -> list[Row]:
    """Files of all types; where there are fewer contents than files, some are copies."""
    rng = np.random.default_rng(seed)
    keys = unit(rng, n_contents or n)
    rows = []
    for number in range(n):
        content = int(rng.integers(len(keys))) if n_contents else number
        rows.append(
            Row(
                f"/lib{number % 3}/{rng.integers(1 << 30):x}-{number}.wav".encode(),
                TYPES[content % len(TYPES)],
                content.to_bytes(16, "little"),
                0.1 * (1 + content % 30),
                False,
                keys[content].tobytes(),
            )
        )
    return rows


def snapshot_of(rows: list[Row], dead: int = 0, delta: int = 0) -> Snapshot:
    """The rows as one table, or the last `delta` in a second one, beside `dead` rows that are no longer true."""
    fake = [dataclasses.replace(row, path=row.path + b".old") for row in rows[:dead]]
    base = build_rows(rows[: len(rows) - delta] + fake, DIM)
    live = np.array([not base.path(row).endswith(b".old") for row in range(len(base))], bool)
    tables = (Table(base, live if dead else None), Table(build_rows(rows[len(rows) - delta :], DIM)))
    return Snapshot(tables if delta else tables[:1], 1, 1, "model")


def plain(rows: list[Row], query: np.ndarray, types: tuple[str, ...], k: int, taken: set[bytes]) -> list[str]:
    """The definition, slowly: by score, then path, each content once."""

    def score(row: Row) -> float:
        return float(np.frombuffer(row.vector, np.float32).astype(np.float64) @ query.astype(np.float64))

    found: list[str] = []
    for row in sorted((row for row in rows if row.type in types), key=lambda row: (-score(row), row.path)):
        if row.content not in taken and len(found) < k:
            taken.add(row.content)
            found.append(row.path.decode())
    return found


@settings(max_examples=60)
@given(
    seed=st.integers(0, 1 << 30),
    n=st.integers(1, 120),
    n_contents=st.one_of(st.none(), st.integers(1, 40)),
    k=st.integers(1, 30),
    dead=st.integers(0, 20),
    delta=st.integers(0, 50),
)
def test_plain_order_is_that_of_the_cosine(seed, n, n_contents, k, dead, delta):
    rows = random_rows(seed, n, n_contents)
    snapshot = snapshot_of(rows, min(dead, n), min(delta, n))
    query = unit(np.random.default_rng(seed + 1), 1)[0]
    for want, groups in ((Want(k=k), [(t,) for t in SIX]), (Want(types=("any",), k=k), [TYPES])):
        taken: set[bytes] = set()
        expected = [path for group in groups for path in plain(rows, query, group, k, taken)]
        if expected:
            assert [hit.path for hit in search(snapshot, query, want)] == expected
        else:
            with pytest.raises(NoSamples):
                search(snapshot, query, want)


def test_hits_come_by_type_and_rank():
    rows = random_rows(1, 300)
    query = unit(np.random.default_rng(2), 1)[0]
    hits = search(snapshot_of(rows), query, Want(types=("tom", "kick"), k=4))
    assert [(hit.type, hit.rank, hit.of) for hit in hits] == [
        (type_, rank, 4) for type_ in ("kick", "tom") for rank in range(1, 5)
    ]
    assert all(hit.path.endswith(hit.name) and "/" not in hit.name for hit in hits)


def test_filters_are_exact_over_their_subset():
    rows = random_rows(3, 400)
    query = unit(np.random.default_rng(4), 1)[0]
    want = Want(types=("snare",), k=1000, shortest_s=0.5, longest_s=2.0, folders=(b"/lib1", b"/lib2/"))
    hits = search(snapshot_of(rows, delta=100), query, want)
    inside = [
        row
        for row in rows
        if np.float32(0.5) <= np.float32(row.duration_s) <= np.float32(2.0)
        and not row.path.startswith(b"/lib0")
    ]
    assert [hit.path for hit in hits] == plain(inside, query, ("snare",), 1000, set())
    with pytest.raises(NoSamples):
        search(
            snapshot_of(rows), query, Want(folders=(b"/lib",))
        )  # a name is no folder's because it begins alike


def test_equal_scores_go_by_path_even_across_tables():
    key = unit(np.random.default_rng(0), 1)[0]
    rows = [
        Row(f"/{name}.wav".encode(), "kick", bytes([number] * 16), 1.0, False, key.tobytes())
        for number, name in enumerate("hcgadbfe")
    ]
    hits = search(snapshot_of(rows, delta=4), key, Want(k=8))
    assert [hit.name for hit in hits] == [f"{name}.wav" for name in "abcdefgh"]
    assert {hit.score for hit in hits} == {hits[0].score} and hits[0].score <= 1


def test_diversity_gives_way_to_other_sounds():
    rng = np.random.default_rng(5)
    query = unit(rng, 1)[0]
    takes = query + 0.01 * unit(rng, 20)  # twenty takes of one kick, the best of all
    others = query + 1.5 * unit(rng, 20)
    rows = []
    for number, key in enumerate((*takes, *others)):
        key = (key / np.linalg.norm(key)).astype(np.float32)
        rows.append(
            Row(f"/{number:02}.wav".encode(), "kick", bytes([number] * 16), 1.0, False, key.tobytes())
        )
    snapshot = snapshot_of(rows)
    plain_hits = search(snapshot, query, Want(k=10))
    diverse = search(snapshot, query, Want(k=10, diversity=0.3))
    assert all(int(hit.name[:2]) < 20 for hit in plain_hits)
    assert diverse[0] == plain_hits[0]
    assert sum(int(hit.name[:2]) < 20 for hit in diverse) == 1
    assert diverse == search(snapshot, query, Want(k=10, diversity=0.3))


def test_diversity_brings_up_nothing_that_does_not_fit():
    rng = np.random.default_rng(6)
    axes = unit(rng, 5)  # few directions: many are somewhat alike, as rides are
    query, *keys = ((weights @ axes).astype(np.float32) for weights in rng.normal(size=(61, 5)))
    query /= np.linalg.norm(query)
    rows = [
        Row(
            f"/{number:03}.wav".encode(),
            "ride",
            bytes([number] * 16),
            1.0,
            False,
            (key / np.linalg.norm(key)).tobytes(),
        )
        for number, key in enumerate(keys)
    ]
    snapshot = snapshot_of(rows)
    places = {hit.path: hit.rank for hit in search(snapshot, query, Want(("ride",), k=60))}
    for diversity in (0.3, 0.7):
        diverse = search(snapshot, query, Want(("ride",), k=10, diversity=diversity))
        assert max(places[hit.path] for hit in diverse) <= 24


@pytest.mark.parametrize(
    "want",
    [
        Want(k=0),
        Want(k=-1),
        Want(k=1001),
        Want(k=10_000),
        Want(types=("cowbell",)),
        Want(types=("any", "kick")),
        Want(diversity=1.5),
        Want(diversity=float("nan")),
    ],
)
def test_bad_wants_are_refused(want):
    with pytest.raises(BadRequest):
        search(snapshot_of(random_rows(0, 10)), np.ones(DIM, np.float32), want)


def test_an_empty_library_says_what_to_do():
    with pytest.raises(NoSamples, match="samplefit add"):
        search(snapshot_of([]), np.ones(DIM, np.float32), Want())
