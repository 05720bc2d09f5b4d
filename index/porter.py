"""Between catalogue and drives: keys that a drive brings are taken in, those that it lacks are put there."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading

import numpy as np
from numpy.typing import NDArray

from index.catalogue import Catalogue, revision_of
from index.files import Folder, folder_rows
from index.folders import volume_of
from index.portable import Model, Records, record_of, write_keys

log = logging.getLogger(__name__)


class Porter:
    """Remembers what each drive holds. It writes from a thread of its own, which a drive that hangs may keep for good."""

    def __init__(self, truth: Catalogue) -> None:
        self._truth = truth
        self._there: dict[tuple[bytes, str], NDArray[np.void]] = {}  # contents, by folder and model
        self._revision = -1  # at which no drive lacked anything
        self._thread = threading.Thread()

    def wants(self, folder: Folder, model: Model) -> Model | None:
        """The model, where the drive of a folder has to be read for it yet."""
        return model if folder.portable and (folder.path, model.digest) not in self._there else None

    def take_in(self, db: sqlite3.Connection, folder: bytes, model: Model, carried: Records) -> None:
        """Writes down what a drive brought: whatever is found to have one of these contents needs no encoding."""
        self._there[folder, model.digest] = carried["content"]
        self._revision = -1
        contents = [content.tobytes() for content in carried["content"]]
        db.executemany(
            "INSERT OR IGNORE INTO contents VALUES (?, ?, NULL, NULL)",
            zip(contents, carried["duration_s"].tolist(), strict=True),
        )
        db.executemany(
            "INSERT OR IGNORE INTO vectors (model, content, vector) VALUES (?, ?, ?)",
            [(model.number, *row) for row in zip(contents, map(bytes, carried["vector"]), strict=True)],
        )

    def forget(self, folder: bytes) -> None:
        """A drive went away: what it holds when it comes back has to be read."""
        self._there = {key: there for key, there in self._there.items() if key[0] != folder}

    def carry_out(self, model: Model, patience_s: float) -> None:
        """Puts on the drives of portable folders what they lack; what takes longer goes on by itself."""
        with self._truth.reading() as db:
            revision = revision_of(db)
            if revision == self._revision:
                return
            folders = [row for row in folder_rows(db) if row.portable and row.state == "online"]
        for folder in folders:
            if self.is_busy(patience_s):
                return
            self._put(folder, model)
        if not self.is_busy(patience_s):
            self._revision = revision

    def is_busy(self, patience_s: float) -> bool:
        """Whether a drive still takes its time, after so long."""
        if self._thread.is_alive():
            self._thread.join(patience_s)
        return self._thread.is_alive()

    def _put(self, folder: Folder, model: Model) -> None:
        there = self._there.get((folder.path, model.digest))
        if there is None:  # not read yet: it comes with the next whole look
            return
        values = {"folder": folder.number, "model": model.number}
        with self._truth.reading() as db:
            contents = np.array([row[0] for row in db.execute(_CONTENTS, values)], "V16")
            lacking = {content.tobytes() for content in contents[~np.isin(contents, there)]}
            rows = [row for row in db.execute(_RECORDS, values) if row[0] in lacking] if lacking else []
        if not rows:
            return
        new = np.empty(len(rows), record_of(model.dim))
        new["content"] = [content for content, _, _ in rows]
        new["duration_s"] = [duration_s for _, duration_s, _ in rows]
        new["vector"] = [np.frombuffer(vector, "<f4") for _, _, vector in rows]

        def write() -> None:
            if volume_of(folder.path) != folder.volume:  # the drive has just gone
                return
            try:
                write_keys(folder.path, model, new, contents)
            except OSError as error:
                log.info("%s keeps no index of its own: %s", os.fsdecode(folder.path), error)

        self._there[folder.path, model.digest] = (
            contents  # one that cannot be written is not tried again and again
        )
        self._thread = threading.Thread(target=write, name="porter", daemon=True)
        self._thread.start()


_RECORDS = """
    SELECT DISTINCT files.content, contents.duration_s, vectors.vector FROM files
    JOIN contents ON contents.content = files.content AND contents.code IS NULL
    JOIN vectors ON vectors.content = files.content AND vectors.model = :model
    WHERE files.folder = :folder AND files.code IS NULL
"""
_CONTENTS = _RECORDS.replace(", contents.duration_s, vectors.vector", "")
