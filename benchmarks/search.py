"""How fast and how right is the search, beside the well-known libraries?

    python benchmarks/search.py --n 63000                       # clustered keys, queries that lie elsewhere
    python benchmarks/search.py --n 63000 --keys keys.npz       # of real sounds and mixes: benchmarks/real_keys.py

Contenders take turns query by query, on one thread. "exact" is what the preset plain gets and what every preset gets
where a forest would not save a millisecond; "forest" is Annoy tuned to its recall, pays or not. The peers search the
kicks' keys, and all keys for "any", there without the graphs. More keys than the file has are takes of
those it has: each moved as takes of one sound differ from one another.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # a press has the DAW beside it

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from benchmarks.measure import machine, resident_mb, write
from encoders.drum_types import SIX, TYPES
from index import vectors
from index.exact import heads_of
from index.rows import Row, Rows, build_rows
from index.search import Want, _candidates, search
from index.snapshot import Snapshot, Table
from index.vectors import build_forest, load_forest, substitute_queries

DIM, K, N_CLUSTERS = 256, 10, 400
N_TUNING = 100
Find = Callable[[np.ndarray], list[int]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=63_000, help="keys")
    parser.add_argument("--keys", type=Path, help="what benchmarks/real_keys.py made, instead of clusters")
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument(
        "--without", nargs="*", default=[], choices=sorted(BUILDERS), help="contenders to leave out"
    )
    options = parser.parse_args()
    about = machine()
    keys, types, queries = (
        real(options.keys, options.n) if options.keys else clustered(options.n, options.queries + N_TUNING)
    )
    rows = library(keys, types)
    del keys
    queries = queries[: options.queries + N_TUNING]
    what = "real" if options.keys else "clustered"
    result: dict[str, Any] = {"keys": what, "n_keys": options.n, "dim": DIM, "k": K}
    result |= {"n_queries": len(queries) - N_TUNING, "n_axes": rows.axes.shape[1]}
    with tempfile.TemporaryDirectory() as folder:
        for type_ in ("kick", "any"):
            result[type_] = compare(rows, type_, queries, Path(folder), options.without)
    write(f"search-{what}-{options.n}", result, about)


def clustered(n: int, n_queries: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n, D) keys that crowd around `N_CLUSTERS` centres in all directions alike, their types, and queries."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((N_CLUSTERS, DIM)).astype(np.float32)
    keys = centres[rng.integers(N_CLUSTERS, size=n)] + 0.5 * rng.standard_normal((n, DIM), np.float32)
    keys /= np.linalg.norm(keys, axis=1, keepdims=True)
    return keys, np.array(SIX)[np.arange(n) % len(SIX)], substitute_queries(keys, n_queries)


def real(file: Path, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n, D) keys of real sounds, their types, and queries of real mixes."""
    rng = np.random.default_rng(0)
    with np.load(file) as data:
        keys, types, origins, queries = (data[name] for name in ("keys", "types", "origins", "queries"))
    _, of = np.unique(origins, return_inverse=True)
    means = np.zeros((of.max() + 1, keys.shape[1]), np.float32)
    np.add.at(means, of, keys)
    apart = keys - (means / np.bincount(of)[:, None])[of]  # how a take lies about its sound
    whose = np.concatenate(
        [np.arange(min(n, len(keys))), rng.integers(len(keys), size=max(0, n - len(keys)))]
    )
    grown = keys[whose]
    grown[len(keys) :] += apart[rng.integers(len(keys), size=max(0, n - len(keys)))]
    grown /= np.linalg.norm(grown, axis=1, keepdims=True)
    return grown, types[whose], queries


def library(keys: np.ndarray, types: np.ndarray) -> Rows:
    """A table of one-shots with these keys."""
    rows = [
        Row(b"/lib/%07d.wav" % number, str(type_), number.to_bytes(16, "big"), 0.5, False)
        for number, type_ in enumerate(types)
    ]
    return build_rows(rows, ((row.content, key.tobytes()) for row, key in zip(rows, keys, strict=True)), DIM)


def compare(rows: Rows, type_: str, queries: np.ndarray, folder: Path, without: list[str]) -> dict[str, Any]:
    """Every contender on the same keys and queries: p50 and p99 in ms, recall@10, seconds to build, file and memory."""
    block = range(len(rows)) if type_ == "any" else rows.block(type_)
    keys = rows.vectors[block.start : block.stop]
    tuning, asked = queries[:N_TUNING], queries[N_TUNING:]
    found: dict[str, dict[str, Any]] = {}
    contenders: dict[str, Find] = {}
    for name, build in BUILDERS.items():
        if name in without or (type_ == "any" and name in (SLOW_BEYOND if len(keys) > BEYOND else GRAPHS)):
            continue
        before_mb, began = resident_mb(os.getpid()), time.perf_counter()
        contender = build(rows, keys, type_, tuning, folder)
        if contender is not None:
            contenders[name], size = contender
            print(f"{type_}: {name} built", file=sys.stderr, flush=True)
            found[name] = {
                "build_s": round(time.perf_counter() - began, 2),
                "index_mb": round(size / 1e6, 1),
                "memory_mb": round(resident_mb(os.getpid()) - before_mb, 1),
            }
    truth = [set(np.argsort(-(keys @ query))[:K].tolist()) for query in asked]
    times: dict[str, list[float]] = {name: [] for name in contenders}
    hits: dict[str, list[float]] = {name: [] for name in contenders}
    print(f"{type_}: asking", file=sys.stderr, flush=True)
    for query, true in zip(asked, truth, strict=True):
        for name, find in contenders.items():
            began = time.perf_counter()
            answer = find(query)
            times[name].append(1000 * (time.perf_counter() - began))
            hits[name].append(len(true.intersection(answer)) / K)
    for name in contenders:
        found[name] |= {
            "p50_ms": round(float(np.percentile(times[name], 50)), 3),
            "p99_ms": round(float(np.percentile(times[name], 99)), 3),
            "recall": round(float(np.mean(hits[name])), 4),
        }
    print(f"{type_}: {found}", file=sys.stderr, flush=True)
    return {"n_keys": len(keys)} | found


def snapshot_of(rows: Rows, forests: dict[str, Any]) -> Snapshot:
    return Snapshot((Table(rows, None, forests),), 1, 1, "benchmark")


def ours(rows: Rows, type_: str, want: Want) -> Find:
    """Our search, from the query to finished hits; their rows within the block."""
    snapshot = snapshot_of(rows, {})
    block = range(len(rows)) if type_ == "any" else rows.block(type_)
    place = {rows.path(row): row - block.start for row in block}
    return lambda query: [place[hit.path.encode()] for hit in search(snapshot, query, want)]


def exact(rows: Rows, keys: np.ndarray, type_: str, tuning: np.ndarray, folder: Path) -> tuple[Find, int]:
    heads = heads_of(keys)
    return ours(rows, type_, Want(types=(type_,), k=K)), heads.heads.nbytes + heads.rests.nbytes


def forest(
    rows: Rows, keys: np.ndarray, type_: str, tuning: np.ndarray, folder: Path
) -> tuple[Find, int] | None:
    """The candidates that a press chooses from, before it sorts out takes of one sound."""
    vectors.WORTH_S = -1.0
    forests = {}
    large = [name for name in TYPES if len(rows.block(name)) > N_TUNING]
    for name in large if type_ == "any" else [type_]:
        file = build_forest(rows, rows.block(name), tuning, folder / f"{type_}-{name}.ann")
        assert file is not None
        print(
            f"{type_}: forest of {name}: search_k {file.search_k}, recall {file.recall}",
            file=sys.stderr,
            flush=True,
        )
        forests[name] = load_forest(folder, file, DIM)
    size = sum(one.file.size for one in forests.values())
    snapshot, block = snapshot_of(rows, forests), range(len(rows)) if type_ == "any" else rows.block(type_)
    want, types = Want(k=K, diversity=0.3), TYPES if type_ == "any" else (type_,)

    def find(query: np.ndarray) -> list[int]:
        return [found.row - block.start for found in _candidates(snapshot, query, want, types, 10 * K)[:K]]

    return find, size


def numpy_matmul(rows: Rows, keys: np.ndarray, *_: Any) -> tuple[Find, int]:
    def find(query: np.ndarray) -> list[int]:
        scores = keys @ query
        best = np.argpartition(-scores, K)[:K]
        return best[np.argsort(-scores[best])].tolist()

    return find, 0


def hnswlib_(
    rows: Rows, keys: np.ndarray, type_: str, tuning: np.ndarray, folder: Path
) -> tuple[Find, int] | None:
    try:
        import hnswlib
    except ImportError:
        return None
    made = hnswlib.Index("ip", DIM)
    made.init_index(len(keys), M=16, ef_construction=200)
    made.add_items(keys)
    made.set_num_threads(1)
    tune(lambda ef: made.set_ef(ef), lambda query: made.knn_query(query, K)[0][0].tolist(), keys, tuning)
    made.save_index(str(folder / "hnsw"))
    return lambda query: made.knn_query(query, K)[0][0].tolist(), (folder / "hnsw").stat().st_size


def usearch_(
    rows: Rows, keys: np.ndarray, type_: str, tuning: np.ndarray, folder: Path
) -> tuple[Find, int] | None:
    try:
        from usearch.index import Index
    except ImportError:
        return None
    made = Index(ndim=DIM, metric="ip", dtype="f32", connectivity=16)
    made.add(np.arange(len(keys)), keys)
    tune(
        lambda ef: setattr(made, "expansion_search", ef),
        lambda query: made.search(query, K).keys.tolist(),
        keys,
        tuning,
    )
    made.save(str(folder / "usearch"))
    return lambda query: made.search(query, K).keys.tolist(), (folder / "usearch").stat().st_size


def faiss_(
    rows: Rows, keys: np.ndarray, type_: str, tuning: np.ndarray, folder: Path
) -> tuple[Find, int] | None:
    try:
        import faiss
    except ImportError:
        return None
    faiss.omp_set_num_threads(1)
    n_lists = int(4 * np.sqrt(len(keys)))
    made = faiss.IndexIVFFlat(faiss.IndexFlatIP(DIM), DIM, n_lists, faiss.METRIC_INNER_PRODUCT)
    made.train(keys)
    made.add(keys)
    tune(
        lambda n: setattr(made, "nprobe", n),
        lambda query: made.search(query[None], K)[1][0].tolist(),
        keys,
        tuning,
        1,
    )
    faiss.write_index(made, str(folder / "faiss"))
    return lambda query: made.search(query[None], K)[1][0].tolist(), (folder / "faiss").stat().st_size


def voyager_(
    rows: Rows, keys: np.ndarray, type_: str, tuning: np.ndarray, folder: Path
) -> tuple[Find, int] | None:
    try:
        import voyager
    except ImportError:
        return None
    made = voyager.Index(voyager.Space.InnerProduct, DIM, M=16, ef_construction=200)
    made.add_items(keys)
    ef = [K]
    tune(
        lambda n: ef.__setitem__(0, n),
        lambda query: made.query(query, K, query_ef=ef[0])[0].tolist(),
        keys,
        tuning,
    )
    made.save(str(folder / "voyager"))
    return lambda query: made.query(query, K, query_ef=ef[0])[0].tolist(), (folder / "voyager").stat().st_size


def tune(
    setting: Callable[[int], Any], find: Find, keys: np.ndarray, tuning: np.ndarray, first: int = K
) -> None:
    """Doubles a contender's effort until it finds .99 of the true ten, as our forests do."""
    truth = [set(np.argpartition(-(keys @ query), K)[:K].tolist()) for query in tuning]
    effort = first
    while effort < len(keys):
        setting(effort)
        if (
            np.mean(
                [len(true.intersection(find(query))) / K for true, query in zip(truth, tuning, strict=True)]
            )
            >= 0.99
        ):
            return
        effort *= 2


BUILDERS: dict[str, Callable[..., tuple[Find, int] | None]] = {
    "exact": exact,
    "forest": forest,
    "numpy": numpy_matmul,
    "hnswlib": hnswlib_,
    "usearch": usearch_,
    "faiss-ivf": faiss_,
    "voyager": voyager_,
}

GRAPHS = frozenset({"hnswlib", "usearch", "voyager"})
"""Minutes to build for all types together; by type they stand in the table."""

BEYOND = 250_000
SLOW_BEYOND = GRAPHS | {"faiss-ivf"}
"""Its lists take the better part of an hour to train on one core."""

if __name__ == "__main__":
    main()
