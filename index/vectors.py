"""Nearest neighbours by Annoy: built aside, tuned against exact search, kept only where that is slower."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.artefacts import sha256_of
from encoders.audio import FloatArray
from index.exact import nearest
from index.rows import Rows

N_TREES = 50
K = 10
RECALL = 0.99
"""Share of the true first `K` that a forest has to find, over the queries that it is tuned on."""

WORTH_S = 0.001
"""What a forest has to save of a press to be kept; one is tried where exact search takes twice that. Invented: a press
takes some 40 ms, and a forest costs a miss in a hundred and more disk than the keys."""

N_QUERIES = 128
_ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class ForestFile:
    """A forest on disk, as the manifest names it.

    Attributes:
        type: whose keys it holds; its rows count from the beginning of that type's block.
        search_k: nodes to look at, tuned at build time.
        recall: share of the true first `K` that it found with that.
    """

    type: str
    name: str
    size: int
    sha256: str
    n_keys: int
    search_k: int
    recall: float


@dataclass(frozen=True, eq=False)
class Forest:
    """An Annoy index over one type's block, mapped after its size and digest were checked."""

    file: ForestFile
    _trees: Any

    def nearest(self, query: FloatArray, n: int, k: int) -> NDArray[np.int64]:
        """(m,) rows of the block near to a query (D,), m <= n, the nearest first; a few may be missed.

        Args:
            k: how many of them have to be right as often as the first `K` are.
        """
        search_k = max(n, self.file.search_k * -(-k // K))
        return np.array(self._trees.get_nns_by_vector(query, n, search_k), np.int64)


def load_forest(folder: Path, file: ForestFile, dim: int) -> Forest | None:
    """Maps a forest; None where the file is not the one that was written. Annoy itself would crash on it."""
    from annoy import AnnoyIndex

    path = folder / file.name
    try:
        if path.stat().st_size != file.size or sha256_of(path) != file.sha256:
            return None
        trees = AnnoyIndex(dim, "angular")
        trees.load(str(path))
    except OSError:
        return None
    return Forest(file, trees) if trees.get_n_items() == file.n_keys else None


def exact_s(rows: Rows, block: range, queries: FloatArray, n: int = 20) -> float:
    """Seconds that exact search takes over a block on this machine: the least of `n` tries, for other work only ever
    lengthens them."""
    return min(_timed(_exactly, rows, block, query)[0] for query in queries[:n])


def build_forest(rows: Rows, block: range, queries: FloatArray, path: Path) -> ForestFile | None:
    """Builds and tunes the forest of one type's block; None, and no file, where exact search serves as well.

    Args:
        queries: (Q, D) float32, unit rows, of real presses: keys lie elsewhere and would flatter it.
    """
    from annoy import AnnoyIndex

    trees = AnnoyIndex(rows.vectors.shape[1], "angular")
    trees.set_seed(1)
    for place, row in enumerate(block):
        trees.add_item(place, rows.vectors[row])
    trees.build(N_TREES, 1)
    exact = exact_s(rows, block, queries)
    truth = [set(_exactly(rows, block, query).tolist()) for query in queries]
    search_k = 2 * N_TREES * K
    while True:
        timed = [_timed(trees.get_nns_by_vector, query, K, search_k) for query in queries]
        if exact - min(took for took, _ in timed) < WORTH_S:
            return None
        recall = float(
            np.mean(
                [len(true.intersection(found)) / K for true, (_, found) in zip(truth, timed, strict=True)]
            )
        )
        if recall >= RECALL:
            break
        search_k *= 2
    path.unlink(missing_ok=True)
    trees.save(str(path))
    with path.open("rb+") as file:
        os.fsync(file.fileno())
    return ForestFile(
        rows.type(block.start),
        path.name,
        path.stat().st_size,
        sha256_of(path),
        len(block),
        search_k,
        round(recall, 4),
    )


def _exactly(rows: Rows, block: range, query: FloatArray) -> NDArray[np.int64]:
    """(K,) the best rows of a block, counted from its beginning."""
    found, scores = nearest(rows.vectors[block.start : block.stop], rows.heads_of(block), query, K)
    return found[np.argsort(-scores)[:K]]


def _timed(work: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    began = time.perf_counter()
    result = work(*arguments)
    return time.perf_counter() - began, result


def start_building(folder: Path, generation: str, types: Sequence[str]) -> subprocess.Popen[bytes]:
    """Starts a process of low priority that builds the forests of a generation, for some types.

    Returns:
        The process, for `forests_of`.
    """
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen(
        [
            sys.executable,
            *("-P", "-c", "from index.forester import main; main()"),
            *(str(folder), generation, *types),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OPENBLAS_NUM_THREADS": "1"},
    )


def forests_of(process: subprocess.Popen[bytes], queries: FloatArray) -> list[ForestFile] | None:
    """Waits for a building process; None where it failed or was killed.

    Args:
        queries: (Q, D) float32, to tune on.
    """
    text, _ = process.communicate(np.ascontiguousarray(queries, "<f4").tobytes())
    return [ForestFile(**row) for row in json.loads(text)] if process.returncode == 0 else None


def substitute_queries(keys: FloatArray, n: int = N_QUERIES) -> FloatArray:
    """(n, D) float32, unit rows: what to tune on before there were presses.

    Means of four keys drawn anywhere, halfway to noise: further from every key than keys are from one another, as
    the queries of another encoder are. Invented.
    """
    rng = np.random.default_rng(0)
    mixed = keys[rng.integers(len(keys), size=(n, 4))].mean(axis=1)
    mixed /= np.linalg.norm(mixed, axis=1, keepdims=True)
    noise = rng.standard_normal(mixed.shape)
    mixed = mixed + 0.5 * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    return (mixed / np.linalg.norm(mixed, axis=1, keepdims=True)).astype(np.float32)


def annoy_works() -> bool:
    """Whether this machine's Annoy finds what exact search finds.

    Its compiler flags may not suit the machine it runs on; then it has been seen to answer wrongly without a word.
    """
    from annoy import AnnoyIndex

    rng = np.random.default_rng(0)
    keys = rng.standard_normal((200, 32)).astype(np.float32)
    keys /= np.linalg.norm(keys, axis=1, keepdims=True)
    trees = AnnoyIndex(32, "angular")
    trees.set_seed(1)
    for row, key in enumerate(keys):
        trees.add_item(row, key)
    trees.build(10, 1)
    return all(
        trees.get_nns_by_vector(query, 5, 100_000) == np.argsort(-(keys @ query))[:5].tolist()
        for query in keys[:5]
    )
