"""How well each hit fits, as a share of the library that it fits better than."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from encoders.audio import FloatArray
from encoders.calibration import Calibration, standings
from index.search import Hit
from index.snapshot import Snapshot

N_HEARD = 1024
"""One-shots of a type, at least, whose scores tell where a hit stands: its standing is exact to 3 %, and a
million keys cost a press no more than ten thousand."""


def with_fits(
    hits: tuple[Hit, ...], snapshot: Snapshot, query: FloatArray, calibration: Calibration | None
) -> tuple[Hit, ...]:
    """The hits with their `fit` among all one-shots of their type, whatever limits the press has set.

    None without a calibration, and for a type with too few one-shots to stand out from.

    Args:
        query: (D,) float32, unit norm.
    """
    if calibration is None:
        return hits
    fits = np.empty(len(hits))
    types = np.array([hit.type for hit in hits])
    for type_ in np.unique(types):
        own = np.array([hit.score for hit in hits])[types == type_]
        fits[types == type_] = calibration.fit(standings(own, scores_of(snapshot, query, type_)))
    return tuple(
        replace(hit, fit=None if math.isnan(fit) else fit)
        for hit, fit in zip(hits, fits.tolist(), strict=True)
    )


def scores_of(snapshot: Snapshot, query: FloatArray, type_: str) -> FloatArray:
    """(N,) float32: cosines with the one-shots of a type, copies counted once; of many, an even sample of at least
    `N_HEARD` files."""
    blocks = [(table, table.rows.block(type_)) for table in snapshot.tables]
    step = max(1, sum(len(block) for _, block in blocks) // N_HEARD)
    scores, contents = [], []
    for table, block in blocks:
        rows, live = slice(block.start, block.stop, step), table.block_live(block)[::step]
        scores.append(np.vecdot(table.rows.vectors[rows], query)[live])
        contents.append(np.ascontiguousarray(table.rows.contents[rows]).view(np.uint64)[live, 0])
    _, first = np.unique(np.concatenate(contents), return_index=True)
    return np.concatenate(scores)[first]
