"""A large library in no time: real files that are never decoded, because the catalogue knows them already."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np

from encoders.drum_types import SIX
from index.catalogue import Catalogue, model_id
from index.folders import volume_of

N_CLUSTERS = 400
FALLOFF = 16.4
"""Directions over which a key's size falls by e: 98 % of its squared length then lies in 32, as with the starter."""

_CHUNK = 20_000


def fill(state: Path, folder: Path, n: int, digest: str, dim: int, seed: int = 0) -> None:
    """Makes `n` empty files below `folder`, and a catalogue that has read them as something and holds their keys.

    Keys are drawn around `N_CLUSTERS` centres, in few directions: real keys crowd, and uniform ones are the easy case
    of no one.
    """
    rng = np.random.default_rng(seed)
    state.mkdir(parents=True, exist_ok=True)
    widths = np.exp(-np.arange(dim) / FALLOFF).astype(np.float32)
    centres = rng.standard_normal((N_CLUSTERS, dim), np.float32)
    root = os.fsencode(folder)
    folder.mkdir(parents=True, exist_ok=True)
    catalogue = Catalogue(state)
    with catalogue.change() as db:
        model = model_id(db, digest)
        db.execute(
            "INSERT INTO folders (path, volume, state) VALUES (?, ?, 'online')", (root, volume_of(root))
        )
        root_id = db.execute("SELECT id FROM folders").fetchone()[0]
    for first in range(0, n, _CHUNK):
        numbers = range(first, min(n, first + _CHUNK))
        keys = centres[rng.integers(N_CLUSTERS, size=len(numbers))]
        keys = (keys + 0.5 * rng.standard_normal(keys.shape, np.float32)) * widths
        keys /= np.linalg.norm(keys, axis=1, keepdims=True)
        files, contents = [], []
        for number in numbers:
            drum_type = SIX[number % len(SIX)]
            name = f"{drum_type}/{number // 5000:03d}/{drum_type} {number:07d}.wav"
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            about = path.stat()
            content = hashlib.blake2b(number.to_bytes(8, "big"), digest_size=16).digest()
            stamp = (about.st_size, about.st_mtime_ns, about.st_ctime_ns)
            files.append((root_id, os.fsencode(name), *stamp, drum_type, content))
            contents.append(content)
        with catalogue.change() as db:
            db.executemany(
                """INSERT INTO files (folder, path, size, mtime_ns, ctime_ns, type, content)
                   VALUES (?, ?, ?, ?, ?, ?, ?)""",
                files,
            )
            db.executemany("INSERT INTO contents (content, duration_s) VALUES (?, 0.5)", zip(contents))
            db.executemany(
                f"INSERT INTO vectors (model, content, vector) VALUES ({model}, ?, ?)",
                zip(contents, (key.astype("<f4").tobytes() for key in keys), strict=True),
            )
    catalogue.close()
