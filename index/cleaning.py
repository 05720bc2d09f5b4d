"""What is kept of models and sounds that are no longer in use, and when the disk gets it back."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from encoders.errors import Refused
from index.cache import FOLDER
from index.catalogue import Catalogue, set_model_in_use

SPARE = 50_000
"""Sounds without a file that are always kept: 60 MB a model, for folders that come back. Invented."""


def use_model(catalogue: Catalogue, state: Path, digest: str) -> None:
    """Notes whose keys are searched. The model in use before keeps its own, so that going back costs nothing; those
    of any other go, and their tables."""
    with catalogue.change() as db:
        row = db.execute("SELECT value FROM meta WHERE key = 'model'").fetchone()
        set_model_in_use(db, digest)
    if row is None or row[0] == digest:
        return
    with catalogue.quietly() as db:
        others = db.execute("SELECT id FROM models WHERE digest NOT IN (?, ?)", (digest, row[0])).fetchall()
        for table in ("vectors", "guesses", "queries"):
            db.executemany(f"DELETE FROM {table} WHERE model = ?", others)
        db.executemany("DELETE FROM meta WHERE key = 'labelled/' || ?", others)
        db.executemany("DELETE FROM models WHERE id = ?", others)
    for folder in (state / FOLDER).glob("*"):
        if folder.name not in (digest[:32], row[0][:32]):
            shutil.rmtree(folder, ignore_errors=True)
    _shrink(catalogue)


def forget_sounds(catalogue: Catalogue) -> None:
    """Drops what is known of sounds that no file has any more, once they outnumber those in use by `SPARE`.

    What the user did with them stays.
    """
    with catalogue.quietly() as db:
        n_used, n_unused = db.execute(
            f"SELECT count(*) FILTER (WHERE NOT {_UNUSED}), count(*) FILTER (WHERE {_UNUSED}) FROM contents"
        ).fetchone()
        if n_unused <= n_used + SPARE:
            return
        db.execute(f"DELETE FROM vectors WHERE id IN (SELECT id FROM vectors WHERE {_UNUSED})")
        db.execute(f"DELETE FROM guesses WHERE {_UNUSED}")
        db.execute(f"DELETE FROM contents WHERE {_UNUSED}")
    _shrink(catalogue)


def _shrink(catalogue: Catalogue) -> None:
    with contextlib.suppress(Refused):  # no room for the copy that it takes: another time
        catalogue.shrink()


_UNUSED = """content NOT IN (SELECT content FROM files WHERE content NOT NULL
    UNION SELECT content FROM cleaned WHERE content NOT NULL)"""
