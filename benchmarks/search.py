"""How fast and how right is the search, beside the well-known libraries? Clustered keys, queries that lie elsewhere.

    python benchmarks/search.py --n 63000
    python benchmarks/search.py --n 1000000 --only-type

Contenders take turns query by query. "exact" is what the preset plain gets, "forest" what a press with some
diversity gets (exact where a forest would not pay). The peers search one type's keys, and all keys for "any",
there without those of `SLOW_TO_BUILD`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from benchmarks.measure import machine, write
from encoders.drum_types import SIX
from index.rows import Row, Rows, build_rows
from index.search import Want, search
from index.snapshot import Snapshot, Table
from index.vectors import build_forest, load_forest, substitute_queries

DIM, K, N_CLUSTERS = 256, 10, 400
Find = Callable[[np.ndarray], list[int]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=63_000, help="keys, a sixth of each type")
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument(
        "--only-type", action="store_true", help="leave out the search over all types together"
    )
    options = parser.parse_args()
    about = machine()
    rows = library(options.n)
    queries = substitute_queries(rows.vectors, options.queries + 100)
    result: dict[str, Any] = {"n_keys": options.n, "dim": DIM, "k": K, "n_queries": options.queries}
    with tempfile.TemporaryDirectory() as folder:
        result["kick"] = compare(rows, "kick", queries, Path(folder))
        if not options.only_type:
            result["any"] = compare(rows, "any", queries, Path(folder))
    write(f"search-{options.n}", result, about)


def library(n: int) -> Rows:
    """Rows whose keys crowd around `N_CLUSTERS` centres."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((N_CLUSTERS, DIM)).astype(np.float32)
    keys = centres[rng.integers(N_CLUSTERS, size=n)] + 0.5 * rng.standard_normal((n, DIM), np.float32)
    keys /= np.linalg.norm(keys, axis=1, keepdims=True)
    rows = [
        Row(b"/lib/%07d.wav" % number, SIX[number % 6], number.to_bytes(16, "big"), 0.5, False)
        for number in range(n)
    ]
    return build_rows(rows, ((row.content, key.tobytes()) for row, key in zip(rows, keys, strict=True)), DIM)


def compare(rows: Rows, type_: str, queries: np.ndarray, folder: Path) -> dict[str, Any]:
    """Every contender on the same keys and queries: p50 and p99 in ms, recall@10, seconds to build, file size."""
    block = range(len(rows)) if type_ == "any" else rows.block(type_)
    keys = rows.vectors[block.start : block.stop]
    tuning, asked = queries[:100], queries[100:]
    found: dict[str, dict[str, Any]] = {}
    contenders: dict[str, Find] = {}
    for name, build in BUILDERS.items():
        if type_ == "any" and name in SLOW_TO_BUILD:
            continue
        began = time.perf_counter()
        contender = build(rows, keys, type_, tuning, folder)
        if contender is not None:
            contenders[name], size = contender
            print(f"{type_}: {name} built", file=sys.stderr)
            found[name] = {"build_s": round(time.perf_counter() - began, 2), "index_mb": round(size / 1e6, 1)}
    truth = [set(np.argsort(-(keys @ query))[:K].tolist()) for query in asked]
    times: dict[str, list[float]] = {name: [] for name in contenders}
    hits: dict[str, list[float]] = {name: [] for name in contenders}
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
    return {"n_keys": len(keys)} | found


def ours(rows: Rows, type_: str, want: Want, forests: dict[str, Any]) -> Find:
    """Our search, from the query to finished hits; their rows within the block."""
    snapshot = Snapshot((Table(rows, None, forests),), 1, 1, "benchmark")
    place = {
        rows.path(row): row - (0 if type_ == "any" else rows.block(type_).start) for row in range(len(rows))
    }
    return lambda query: [place[hit.path.encode()] for hit in search(snapshot, query, want)]


def exact(rows: Rows, keys: np.ndarray, type_: str, tuning: np.ndarray, folder: Path) -> tuple[Find, int]:
    return ours(rows, type_, Want(types=(type_,), k=K), {}), 0


def forest(
    rows: Rows, keys: np.ndarray, type_: str, tuning: np.ndarray, folder: Path
) -> tuple[Find, int] | None:
    """Diversity close to 0 keeps the order of the score, so that the recall is that of the candidates."""
    forests = {}
    for name in SIX if type_ == "any" else (type_,):
        block = rows.block(name)
        path = folder / f"{type_}-{name}.ann"
        file = build_forest(rows.vectors[block.start : block.stop], tuning, path, name)
        if file is not None:
            forests[name] = load_forest(folder, file, DIM)
    if not forests:
        return None
    size = sum(one.file.size for one in forests.values())
    return ours(rows, type_, Want(types=(type_,), k=K, diversity=1e-9), forests), size


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

SLOW_TO_BUILD = frozenset({"usearch", "voyager"})
"""Minutes for all types together on a busy machine; by type they stand in the table."""

if __name__ == "__main__":
    main()
