"""The analysis as pictures like the paper's Figure 3, and as one page that needs nothing beside it."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from encoders.artefacts import write_bytes
from trainer.analyse import COLUMNS, LEVEL, Pair, document, findings

TEMPLATE = Path(__file__).with_name("pages") / "analysis.html"
N_SENTENCES = 40
"""Sentences on the page; the rest stand in analysis.json."""


def write_analysis(folder: Path, pairs: Sequence[Pair], facts: dict[str, Any]) -> None:
    """Writes analysis.json, SNARE-CRASH.png for every two types, and index.html.

    Args:
        facts: what was analysed, by which model; strings and numbers.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {"-".join(pair.types): draw_pair(pair) for pair in pairs}
    for name, picture in pictures.items():
        write_bytes(folder / f"{name}.png", picture)
    write_bytes(folder / "analysis.json", json.dumps(document(pairs, facts), indent=1).encode())
    write_bytes(folder / "index.html", page(pairs, facts, pictures).encode())


def draw_pair(pair: Pair) -> bytes:
    """A PNG: rows are the first type's features, columns the second's; what is clear (q < .05) is framed."""
    known = np.isfinite(pair.r)
    rows, columns = known.any(axis=1).nonzero()[0], known.any(axis=0).nonzero()[0]
    r, clear = pair.r[np.ix_(rows, columns)], pair.q[np.ix_(rows, columns)] < LEVEL
    figure = Figure(figsize=(10.5, 9.5), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(r, cmap="RdBu_r", vmin=-1, vmax=1)
    for row, column in np.argwhere(np.isfinite(r)):
        marked = bool(clear[row, column])
        axes.text(
            column,
            row,
            f"{round(r[row, column], 1) + 0.0:.1f}".replace("0.", "."),
            ha="center",
            va="center",
            fontsize=10 if marked else 8,
            fontweight="bold" if marked else "normal",
            color="white" if abs(r[row, column]) > 0.6 else "black",
        )
        if marked:
            axes.add_patch(Rectangle((column - 0.46, row - 0.46), 0.92, 0.92, fill=False, linewidth=2))
    axes.set_xticks(
        range(len(columns)), [COLUMNS[c] for c in columns], rotation=45, ha="right", rotation_mode="anchor"
    )
    axes.set_yticks(range(len(rows)), [COLUMNS[row] for row in rows])
    axes.set_xlabel(pair.types[1], fontsize=14)
    axes.set_ylabel(pair.types[0], fontsize=14)
    axes.set_title(
        f"{pair.types[0]} and {pair.types[1]} over {pair.n_clusters} clusters; framed: clear (q < {LEVEL})"
    )
    figure.colorbar(image, label="Pearson's r", shrink=0.8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def page(pairs: Sequence[Pair], facts: dict[str, Any], pictures: dict[str, bytes]) -> str:
    """The whole page as text, pictures within."""
    found = findings(pairs)
    sentences = "".join(f"<li>{html.escape(finding.text)}</li>" for finding in found[:N_SENTENCES])
    if len(found) > N_SENTENCES:
        sentences += f"<li>and {len(found) - N_SENTENCES} more in analysis.json</li>"
    figures = "".join(
        f'<figure id="{name}"><img alt="Correlations of {name.replace("-", " and ")}" '
        f'src="data:image/png;base64,{base64.b64encode(picture).decode()}"></figure>'
        for name, picture in pictures.items()
    )
    links = " ".join(f'<a href="#{name}">{name.replace("-", " – ")}</a>' for name in pictures)
    rows = "".join(
        f"<tr><th>{html.escape(k)}</th><td>{html.escape(str(v))}</td></tr>" for k, v in facts.items()
    )
    n_tests = sum(int(np.isfinite(pair.p).sum()) for pair in pairs)
    parts = {
        "FACTS": rows,
        "SENTENCES": sentences or "<li>None: no correlation is clear enough to be put into words.</li>",
        "N_TESTS": f"{n_tests:,}",
        "N_FINDINGS": f"{len(found):,}",
        "LINKS": links,
        "FIGURES": figures,
    }
    text = TEMPLATE.read_text("utf-8")
    for name, value in parts.items():
        text = text.replace(f"<!--{name}-->", value)
    return text
