"""Figure 1 of the paper: where keys of electronic and of acoustic songs lie."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from encoders.artefacts import write_bytes
from encoders.audio import FloatArray
from encoders.errors import BadRequest

COLOURS = {"electronic": "tab:red", "acoustic": "tab:blue", None: "0.7"}


def principal_components(rows: FloatArray, n: int = 2) -> FloatArray:
    """(N, D) float32 → (N, n): the rows along the directions in which they differ most, about their mean.

    The sign of each direction is that of its largest part, so that a picture does not flip between runs.
    """
    centred = rows - rows.mean(axis=0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    directions = directions[:n]  # (n, D)
    largest = directions[np.arange(len(directions)), np.abs(directions).argmax(axis=1)]
    return centred @ (directions * np.sign(largest)[:, None]).T


def draw_keys(path: Path, keys: FloatArray, origins: Sequence[str | None]) -> None:
    """Writes the first two principal components of keys as a PNG, coloured by origin.

    Args:
        keys: (N, D) float32, N >= 3.
        origins: (N,) "electronic", "acoustic" or None.

    Source: Lattner 2022, Figure 1.
    """
    if len(keys) < 3:
        raise BadRequest("keys to draw", found=str(len(keys)), expected="at least 3")
    points = principal_components(keys)  # (N, 2)
    figure = Figure(figsize=(6, 6), layout="constrained")
    axes = figure.subplots()
    for origin, colour in COLOURS.items():
        rows = np.array([name == origin for name in origins])
        if rows.any():
            label = f"{origin or 'origin unknown'} ({rows.sum()})"
            axes.scatter(*points[rows].T, s=6, c=colour, alpha=0.6, linewidths=0, label=label)
    axes.set(xlabel="first principal component", ylabel="second principal component", aspect="equal")
    axes.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    write_bytes(path, buffer.getvalue())
