"""One daemon for all tests of the DAWs, and one Ardour for a module's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from daemon import Daemon

from daw.ardour import missing
from daw.studio import Studio, small_daemon
from daw.studio import studio as a_studio


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with a small library."""
    with small_daemon(tmp_path_factory.mktemp("daemon")) as running:
        yield running


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory, daemon: Daemon) -> Iterator[Studio]:
    """Ardour with a song open; skipped where Ardour 7 or a program of the display is missing."""
    if missing():
        pytest.skip(f"not installed: {', '.join(missing())}")
    with a_studio(tmp_path_factory.mktemp("studio"), daemon.state) as here:
        yield here
