"""Keeps the large table of the snapshots on disk, and has forests grown from it aside."""

from __future__ import annotations

import logging
import subprocess
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from encoders.audio import FloatArray
from encoders.drum_types import TYPES
from encoders.package import Card
from index.cache import FOLDER, Cache, oldest_revision
from index.catalogue import Catalogue, identity_of, read_only, revision_of, touched_after
from index.cleaning import forget_sounds
from index.snapshot import Snapshot, Table, advanced, rebuilt
from index.vectors import N_QUERIES, WORTH_S, K, exact_s, forests_of, start_building, substitute_queries

log = logging.getLogger(__name__)

CACHE_MIN = 2000
"""Smaller tables are read from the catalogue as fast as from a file of their own."""


class Keeper:
    """The cache of one model, and the process that grows its forests, one at a time."""

    def __init__(self, state: Path, catalogue: Catalogue, model: int, card: Card) -> None:
        self._state, self._catalogue, self._model, self._card = state, catalogue, model, card
        self._cache = Cache(state / FOLDER / card.digest[:32])
        self._manifest = threading.Lock()
        self._kept: tuple[str, int] | None = None  # the newest generation: its name and its revision
        self._grown = ""  # the generation whose forests were asked for
        self._growing: tuple[subprocess.Popen[bytes], threading.Thread] | None = None

    def load(self) -> Snapshot:
        """The snapshot of now: from the newest good generation and what was touched since, else read whole."""
        card = self._card
        with read_only(self._state) as db:
            revision = revision_of(db)
            found = self._cache.load(identity_of(db), card.dim, touched_after(db), revision)
            if found is None:
                return rebuilt(db, self._model, card.digest, card.dim, revision)
            self._kept = found.name, found.revision
            self._grown = found.name if found.forests else ""
            base = Table(found.rows, forests=found.forests)
            old = Snapshot((base,), found.revision, found.revision, card.digest)
            return advanced(old, db, self._model, card.dim, revision)

    def keep(self, snapshot: Snapshot, take: Callable[[Table, Table], None]) -> Snapshot:
        """Writes the large table as a generation where it is new and large enough to be worth it.

        Args:
            take: called from another thread with the table and, grown from it, the same with forests.

        Returns:
            The same snapshot, its large table mapped.
        """
        base = snapshot.tables[0]
        if len(base.rows) < CACHE_MIN:
            return snapshot
        if self._kept is None or self._kept[1] != snapshot.base_revision:
            with read_only(self._state) as db:
                identity = identity_of(db)
            try:
                with self._manifest:
                    saved = self._cache.save(base.rows, snapshot.base_revision, identity)
            except OSError as error:
                log.warning("no new generation of the index, it stays in memory: %s", error)
                return snapshot
            self._kept = saved.name, saved.revision
            base = replace(base, rows=saved.rows)
            snapshot = replace(snapshot, tables=(base, *snapshot.tables[1:]))
            self._catalogue.forget_touched(oldest_revision(self._state / FOLDER))
            forget_sounds(self._catalogue)
        if self._grown != self._kept[0]:
            self._grow(self._kept[0], base, take)
        return snapshot

    def close(self) -> None:
        """Ends a growing that is under way; it begins anew another time."""
        if self._growing:
            process, thread = self._growing
            process.kill()
            thread.join()

    def _grow(self, name: str, base: Table, take: Callable[[Table, Table], None]) -> None:
        """Has forests built of the types that exact search is slow for."""
        if self._growing:
            self._growing[0].kill()  # its table is out of date
        self._grown = name
        queries = self._queries(base.rows.vectors)
        blocks = {type_: base.rows.block(type_) for type_ in TYPES}
        slow = [
            type_
            for type_, block in blocks.items()
            if len(block) > K and exact_s(base.rows, block, queries) > 2 * WORTH_S
        ]
        if not slow:
            return
        process = start_building(self._cache.folder, name, slow)

        def wait() -> None:
            files = forests_of(process, queries)
            if not files:
                return
            try:
                with self._manifest:
                    forests = self._cache.add_forests(name, files, self._card.dim)
            except OSError as error:
                log.warning("the forests cannot be noted, search stays exact: %s", error)
                return
            take(base, replace(base, forests=forests))

        self._growing = process, threading.Thread(target=wait, name="forester", daemon=True)
        self._growing[1].start()

    def _queries(self, keys: FloatArray) -> FloatArray:
        """(Q, D) float32: those of recent presses, or a substitute while there were too few."""
        with self._catalogue.reading() as db:
            rows = db.execute("SELECT vector FROM queries WHERE model = ?", (self._model,)).fetchall()
        if len(rows) < N_QUERIES:
            return substitute_queries(keys)
        return np.frombuffer(b"".join(vector for (vector,) in rows), "<f4").reshape(-1, self._card.dim)
