"""Approximate search: judged by exact search, and never believed when its file is damaged."""

from __future__ import annotations

import random
from contextlib import closing

import numpy as np
import pytest

from encoders.drum_types import TYPES
from index import vectors
from index.cache import FOLDER, Cache
from index.catalogue import Catalogue, set_model_in_use
from index.report import read_status
from index.rows import Row, Rows, build_rows
from index.search import Want, search
from index.snapshot import Snapshot, Table
from index.vectors import RECALL, K, annoy_works, build_forest, forests_of, load_forest, start_building

DIM = 24
N_KEYS = 3000


def clustered(rng: np.random.Generator, n: int) -> np.ndarray:
    """(n, DIM) float32, unit rows in 60 clusters."""
    centres = rng.standard_normal((60, DIM))
    keys = centres[rng.integers(60, size=n)] + 0.4 * rng.standard_normal((n, DIM))
    return (keys / np.linalg.norm(keys, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def table() -> Rows:
    """Kicks alone."""
    rng = np.random.default_rng(0)
    keys = clustered(rng, N_KEYS)
    rows = [
        Row(b"/%06d.wav" % number, "kick", number.to_bytes(16, "big"), 0.5, False) for number in range(N_KEYS)
    ]
    return build_rows(rows, [(row.content, key.tobytes()) for row, key in zip(rows, keys, strict=True)], DIM)


@pytest.fixture
def built(table, tmp_path, monkeypatch):
    """A forest of the kicks, however fast this machine finds exact search."""
    monkeypatch.setattr(vectors, "WORTH_S", -1.0)
    queries = clustered(np.random.default_rng(1), 50)
    file = build_forest(table, table.block("kick"), queries, tmp_path / "forest.ann")
    assert file is not None
    return tmp_path, file, queries


def test_annoy_agrees_with_exact_search_here():
    assert annoy_works()


def test_a_forest_finds_what_it_was_tuned_to_find(built, table):
    folder, file, queries = built
    forest = load_forest(folder, file, DIM)
    found = [set(forest.nearest(query, K, K).tolist()) for query in queries]
    truth = [set(np.argsort(-(table.vectors @ query))[:K].tolist()) for query in queries]
    assert np.mean([len(a & b) / K for a, b in zip(found, truth, strict=True)]) >= RECALL
    assert file.recall >= RECALL and file.n_keys == N_KEYS


def test_a_damaged_forest_is_never_mapped(built):
    folder, file, _ = built
    path = folder / file.name
    good = path.read_bytes()
    draw = random.Random(0)
    node = file.size // (file.size // (4 * DIM + 12))
    for number in range(200):
        data = bytearray(good)
        if number % 3 == 0:
            del data[node * draw.randrange(len(data) // node) :]
        elif number % 3 == 1:
            data[draw.randrange(len(data))] ^= 0x40
        else:
            del data[draw.randrange(len(data)) :]
        path.write_bytes(data)
        assert load_forest(folder, file, DIM) is None
    path.unlink()
    assert load_forest(folder, file, DIM) is None


def test_search_by_forest_never_shows_what_is_gone_and_plain_stays_exact(built, table):
    folder, file, queries = built
    forest = load_forest(folder, file, DIM)
    live = np.random.default_rng(2).random(N_KEYS) < 0.7
    exact = Snapshot((Table(table, live),), 1, 1, "m")
    quick = Snapshot((Table(table, live, {"kick": forest}),), 1, 1, "m")
    dead = {f"/{number:06}.wav" for number in np.flatnonzero(~live)}
    n_same = 0
    for query in queries:
        assert search(quick, query, Want()) == search(exact, query, Want())
        found = search(quick, query, Want(diversity=0.3))
        assert len(found) == 10 and not dead & {hit.path for hit in found}
        n_same += found[0] == search(exact, query, Want(diversity=0.3))[0]
    assert n_same >= 0.95 * len(queries)


def test_the_process_that_builds_answers_with_what_the_manifest_takes(table, tmp_path):
    cache = Cache(tmp_path / "model")
    saved = cache.save(table, 1, "mine")
    queries = clustered(np.random.default_rng(1), 20)
    files = forests_of(start_building(cache.folder, saved.name, ["kick"]), queries)
    assert files is not None and all(file.type in TYPES and file.recall >= RECALL for file in files)
    forests = cache.add_forests(saved.name, files, DIM)
    assert forests.keys() == {file.type for file in files}
    assert cache.load("mine", DIM, 0, 1).forests.keys() == forests.keys()


def test_a_building_that_is_killed_leaves_nothing_behind(table, tmp_path):
    cache = Cache(tmp_path / "model")
    saved = cache.save(table, 1, "mine")
    process = start_building(cache.folder, saved.name, ["kick"])
    process.kill()
    assert forests_of(process, clustered(np.random.default_rng(1), 20)) is None
    assert cache.load("mine", DIM, 0, 1).forests == {}


def test_status_tells_how_a_forest_is_tuned(built, table, tmp_path):
    _, file, _ = built
    state = tmp_path / "state"
    state.mkdir()
    with closing(Catalogue(state)) as catalogue:
        digest = "d" * 64
        with catalogue.change() as db:
            set_model_in_use(db, digest)
        assert read_status(state).forests == {}
        cache = Cache(state / FOLDER / digest[:32])
        cache.add_forests(cache.save(table, 1, "mine").name, [file], DIM)
        assert read_status(state).forests == {"kick": {"recall": file.recall, "search_k": file.search_k}}
