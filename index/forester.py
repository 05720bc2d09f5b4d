"""The process that builds forests: Annoy's memory, its crashes and its hours stay out of the daemon."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np

from index.cache import Cache, map_rows
from index.vectors import annoy_works, build_forest


def main() -> None:
    """Builds what `vectors.start_building` asks for; prints the manifest's rows as JSON."""
    if hasattr(os, "nice"):
        os.nice(15)
    folder, name, types = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    (generation,) = (row for row in Cache(folder).generations() if row.name == name)
    rows = map_rows(folder / name, generation)
    if rows is None or not annoy_works():
        sys.exit(1)
    queries = np.frombuffer(sys.stdin.buffer.read(), "<f4").reshape(-1, rows.vectors.shape[1])
    built = []
    for type_ in types:
        path = folder / name.replace("rows-", "forest-").replace(".bin", f"-{type_}.ann")
        built.append(build_forest(rows, rows.block(type_), queries, path))
    print(json.dumps([vars(forest) for forest in built if forest is not None]))
