"""One panel for the tests that change nothing about it."""

from __future__ import annotations

import pytest
from packages import make_package
from panels import serving_panel

from plugin_bridge.demo_sounds import write_library, write_stems


@pytest.fixture(scope="session")
def sounds(tmp_path_factory):
    """A model, a library of thirty one-shots, and the stems of a song at 112 bpm."""
    folder = tmp_path_factory.mktemp("panel")
    make_package(folder / "model")
    write_library(folder / "samples")
    write_stems(folder / "stems")
    return folder


@pytest.fixture(scope="session")
def served(sounds):
    with serving_panel(sounds / "state", sounds / "model", sounds / "samples") as served:
        yield served
