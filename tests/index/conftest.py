"""A library over real files and a real catalogue; only the model is a stand-in."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from encoders.package import Card
from encoders.windows import WINDOW
from index.library import Library

DIM = 32
SAMPLE_RATE = 44_100


class StandIn:
    """An encoder whose keys are a random projection of a sound's beginning, by seed; it counts what it encodes."""

    def __init__(self, seed: int = 0, dim: int = DIM) -> None:
        digest = hashlib.sha256(f"{seed} {dim}".encode()).hexdigest()
        self.card = Card("stand-in", dim, {"query.onnx": digest, "key.onnx": digest}, {}, "CC0-1.0", {})
        self.projection = np.random.default_rng(seed).standard_normal((1024, dim)).astype(np.float32)
        self.n_encoded = 0

    def keys(self, windows: np.ndarray) -> np.ndarray:
        """(B, 176400) → (B, D) float32, unit rows."""
        assert windows.shape[1:] == (WINDOW,)
        self.n_encoded += len(windows)
        rows = np.stack([np.einsum("t,td->d", window[:1024], self.projection) for window in windows])
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def hit(seed: int, seconds: float = 0.05) -> np.ndarray:
    """(T,) float32: a burst of noise that dies away, another for each seed."""
    n = round(seconds * SAMPLE_RATE)
    noise = np.random.default_rng(seed).standard_normal(n) * np.exp(-np.arange(n) / (n / 5))
    return (0.2 * noise).astype(np.float32)


def write_hit(path: Path | bytes, seed: int, seconds: float = 0.05) -> None:
    """Writes a WAV file with `hit`; its folder is made if it is missing."""
    where = Path(path if isinstance(path, Path) else path.decode("utf-8", "surrogateescape"))
    where.parent.mkdir(parents=True, exist_ok=True)
    with where.open("wb") as file:
        soundfile.write(file, hit(seed, seconds), SAMPLE_RATE, format="WAV")


@pytest.fixture
def encoder() -> StandIn:
    return StandIn()


@pytest.fixture
def drums(tmp_path: Path) -> Path:
    """An empty sample folder."""
    folder = tmp_path / "drums"
    folder.mkdir()
    return folder


@pytest.fixture
def opened(tmp_path: Path, encoder: StandIn) -> Iterator[Callable[..., Library]]:
    """Opens libraries on one state folder, one after another; the last is closed at the end."""
    held: list[Library] = []

    def opened(model: StandIn | None = None, **options: object) -> Library:
        while held:
            held.pop().close()
        held.append(Library(tmp_path / "state", model or encoder, **options))
        return held[-1]

    yield opened
    while held:
        held.pop().close()


def paths_of(library: Library) -> set[bytes]:
    """Every path that the snapshot offers."""
    return {
        table.rows.path(row)
        for table in library.snapshot.tables
        for row in range(len(table.rows))
        if table.live is None or table.live[row]
    }
