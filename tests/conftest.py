"""Sounds that the tests make for themselves: known pitch, length, level and onset."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, settings

# However busy the machine: no limit of time, and the same examples each time, which `make soak` draws anew.
settings.register_profile(
    "any machine",
    deadline=None,
    derandomize=not os.environ.get("SAMPLEFIT_SOAK"),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("any machine")

SAMPLE_RATE = 44_100
SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leaves the long runs to `make soak`."""
    if not os.environ.get("SAMPLEFIT_SOAK"):
        for item in items:
            if item.get_closest_marker("soak"):
                item.add_marker(pytest.mark.skip(reason="takes long: make soak"))


def tone(seconds: float, hz: float = 220.0, level: float = 0.5, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """(T,) float32 sine of a given peak level."""
    t = np.arange(round(seconds * sample_rate)) / sample_rate
    return (level * np.sin(2 * np.pi * hz * t)).astype(np.float32)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes (T,) or (T, C) samples under a name in the test's own folder; returns the path."""

    def write(name: str, samples: np.ndarray, sample_rate: int = SAMPLE_RATE, **options: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, sample_rate, **options)
        return path

    return write


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of open audio beside the project, where there is one."""
    if not (SHARED / "corpus").is_dir():
        pytest.skip("../shared/corpus is not here")
    return SHARED
