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


def fill(state: Path, folder: Path, n: int, digest: str, dim: int, seed: int = 0) -> None:
    """Writes `n` files of a few bytes below `folder`, and a catalogue that has read them and holds their keys.

    Keys are drawn around `N_CLUSTERS` centres a type: real keys crowd, and uniform ones are the easy case of no one.
    """
    rng = np.random.default_rng(seed)
    state.mkdir(parents=True, exist_ok=True)
    catalogue = Catalogue(state)
    files, contents, vectors = [], [], []
    centres = rng.standard_normal((N_CLUSTERS, dim)).astype(np.float32)
    for number in range(n):
        drum_type = SIX[number % len(SIX)]
        name = f"{drum_type}/{number // 5000:03d}/{drum_type} {number:07d}.wav"
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(number.to_bytes(8, "big"))
        about = path.stat()
        content = hashlib.blake2b(number.to_bytes(8, "big"), digest_size=16).digest()
        key = centres[rng.integers(N_CLUSTERS)] + 0.5 * rng.standard_normal(dim).astype(np.float32)
        files.append(
            (os.fsencode(name), about.st_size, about.st_mtime_ns, about.st_ctime_ns, drum_type, content)
        )
        contents.append((content, 0.5))
        vectors.append((content, (key / np.linalg.norm(key)).astype("<f4").tobytes()))
    with catalogue.change() as db:
        model = model_id(db, digest)
        root = os.fsencode(folder)
        db.execute(
            "INSERT INTO folders (path, volume, state) VALUES (?, ?, 'online')", (root, volume_of(root))
        )
        number = db.execute("SELECT id FROM folders").fetchone()[0]
        db.executemany(
            f"INSERT INTO files (folder, path, size, mtime_ns, ctime_ns, type, content) VALUES ({number}, ?, ?, ?, ?, ?, ?)",
            files,
        )
        db.executemany("INSERT INTO contents (content, duration_s) VALUES (?, ?)", contents)
        db.executemany(f"INSERT INTO vectors (model, content, vector) VALUES ({model}, ?, ?)", vectors)
    catalogue.close()
