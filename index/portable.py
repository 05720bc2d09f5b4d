"""Keys that travel with a drive: `.samplefit/` in a followed folder, for the next machine that follows it.

Each file holds the keys of one model by content, and its digest. A machine adds a file with what is not there yet; smaller
ones melt into it, so that each key is written a few times over the drive's life. What is damaged is left out.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders.artefacts import replacing

FOLDER = ".samplefit"
FORMAT = 1
MAX_BYTES = 1 << 32
"""Largest file that is believed: four million keys."""

MELTS = 2
"""A file melts into a new one unless it is more than so many times as large."""

_HEAD_BYTES = 512

Records = NDArray[np.void]
"""(N,) of content (16 bytes), duration_s, vector ((D,) float32)."""


def record_of(dim: int) -> np.dtype[np.void]:
    """What a file holds of one content."""
    return np.dtype([("content", "V16"), ("duration_s", "<f4"), ("vector", "<f4", (dim,))])


@dataclass(frozen=True)
class Model:
    """Whose keys are meant.

    Attributes:
        number: in this machine's catalogue.
        digest: of the package.
        dim: floats a key.
    """

    number: int
    digest: str
    dim: int


def read_keys(folder: bytes, model: Model, beat: Callable[[], None] = lambda: None) -> Records:
    """Every key that lies on a drive for a model; none where there is no index.

    Args:
        beat: called between two files, so that another thread sees the reading alive.
    """
    found = [np.empty(0, record_of(model.dim))]
    for path in _files(folder, model):
        beat()
        found.append(_read(path, model))
    return np.concatenate(found)


def write_keys(folder: bytes, model: Model, new: Records, contents: NDArray[np.void]) -> None:
    """Adds keys to a drive's index.

    Args:
        contents: those that lie in the folder now; what melts is kept for them alone.

    Raises:
        OSError: the drive is read-only, full or gone; what was there before is whole.
    """
    home = _home(folder)
    if home.is_symlink():
        raise OSError("it is a link")
    home.mkdir(exist_ok=True)
    for path in home.glob(".*.new"):  # half a file, from a drive that was pulled
        path.unlink(missing_ok=True)
    melted = []
    for path in sorted(_files(folder, model), key=os.path.getsize):
        if path.stat().st_size > _HEAD_BYTES + MELTS * new.nbytes:
            break
        old = _read(path, model)
        old = old[np.isin(old["content"], contents) & ~np.isin(old["content"], new["content"])]
        new = np.concatenate([new, old])
        melted.append(path)
    body = np.ascontiguousarray(new).tobytes()
    digest = hashlib.sha256(body).hexdigest()
    head = {"format": FORMAT, "model": model.digest, "dim": model.dim, "n": len(new), "sha256": digest}
    written = home / f"{_prefix(model)}{digest[:16]}.keys"
    with replacing(written) as file:
        file.write(json.dumps(head).encode().ljust(_HEAD_BYTES))
        file.write(body)
    for path in melted:
        if path != written:
            path.unlink(missing_ok=True)


def _home(folder: bytes) -> Path:
    return Path(os.fsdecode(folder)) / FOLDER


def _prefix(model: Model) -> str:
    return f"{model.digest[:32]}-"


def _files(folder: bytes, model: Model) -> list[Path]:
    try:
        return [path for path in sorted(_home(folder).glob(f"{_prefix(model)}*.keys")) if path.is_file()]
    except OSError:
        return []


def _read(path: Path, model: Model) -> Records:
    """The records of one file; none where it is not whole, not of this model, or holds what is no key."""
    none = np.empty(0, record_of(model.dim))
    try:
        if path.stat().st_size > MAX_BYTES:
            return none
        data = path.read_bytes()
        head = json.loads(data[:_HEAD_BYTES])
        body = memoryview(data)[_HEAD_BYTES:]
        expected = {
            "format": FORMAT,
            "model": model.digest,
            "dim": model.dim,
            "n": len(body) // none.itemsize,
        }
        expected["sha256"] = hashlib.sha256(body).hexdigest()
        if head != expected or len(body) % none.itemsize:
            return none
    except (OSError, ValueError):
        return none
    records = np.frombuffer(body, none.dtype)
    norms = np.linalg.norm(records["vector"], axis=1)
    return records[(np.abs(norms - 1) < 1e-3) & (records["duration_s"] > 0)]  # NaN is neither
