"""A real Ardour with our scripts, a real daemon with a small library, and a song of three tracks; once for all tests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
from daemon import Daemon, serving
from daw.ardour import SAMPLE_RATE, Ardour, missing
from packages import make_package

from plugin_bridge.daw.ardour_scripts import slots
from plugin_bridge.daw.install import DAWS, Machine, install

SONG_START = SAMPLE_RATE
"""Where the song's regions begin: not at 0, so that a hit at the wrong place is seen."""
SONG_S = 8.0


@dataclass(frozen=True)
class Studio:
    """What the tests work with: the actions' slots by their names."""

    ardour: Ardour
    slots: dict[str, int]
    state: Path
    library: Path


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six kicks, snares and hats each, decaying sounds of known kinds."""
    folder = tmp_path_factory.mktemp("one-shots")
    rng = np.random.default_rng(0)
    t = np.arange(11_025) / 44_100
    for i in range(6):
        noise = rng.standard_normal(len(t))
        sounds = {
            "Kick": np.sin(2 * np.pi * (50 + 10 * i) * t) * np.exp(-12 * t),
            "Snare": 0.3 * noise * np.exp(-(15 + i) * t),
            "Hat é": 0.2 * np.diff(noise, append=0) * np.exp(-(40 + i) * t),
        }
        for name, samples in sounds.items():
            soundfile.write(folder / f"{name} {i}.wav", samples.clip(-1, 1), 44_100)
    return folder


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory, library: Path) -> Iterator[Daemon]:
    """The daemon as a process: the library indexed."""
    folder = tmp_path_factory.mktemp("daemon")
    model, state = make_package(folder / "model"), folder / "state"
    with serving(state, "--web", "off", "--model", model, "--folder", library) as running:
        running.ask("/samplefit/sync")
        yield running


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory, daemon: Daemon, library: Path) -> Iterator[Studio]:
    """Ardour with the song open; skipped where Ardour 7 or a program of the display is missing."""
    if missing():
        pytest.skip(f"not installed: {', '.join(missing())}")
    folder, state = tmp_path_factory.mktemp("studio"), daemon.state
    ardour = Ardour(folder)
    machine = Machine(ardour.home, "linux", {}, state, "samplefit")
    install(DAWS["ardour"], machine)
    origin = str(ardour.config / "scripts" / "samplefit.lua")
    names = ("suggest", "next", "previous", *(str(number) for number in range(1, 9)))
    taken = slots((ardour.config / "ui_scripts").read_bytes(), origin)
    ours = dict(zip(names, taken, strict=True))
    ardour.prepare({"Primary-Secondary-d": ours["suggest"]})
    with ardour:
        _import_song(ardour, folder)
        yield Studio(ardour, ours, state, library)


def _import_song(ardour: Ardour, folder: Path) -> None:
    """A mono bass, stereo keys, and a kick that waits to be replaced."""
    t = np.arange(round(SONG_S * SAMPLE_RATE)) / SAMPLE_RATE
    song = {
        "Bass": 0.4 * np.sin(2 * np.pi * 110 * t),
        "Keys": np.stack([0.2 * np.sin(2 * np.pi * hz * t) for hz in (440, 660)], axis=1),
        "Old Kick": 0.5 * np.sin(2 * np.pi * 60 * t) * np.exp(-8 * (t % 0.5)),
    }
    pushes = ""
    for name, samples in song.items():
        soundfile.write(folder / f"{name}.wav", samples, SAMPLE_RATE)
        pushes += f'files:push_back ("{folder / name}.wav")\n'
    ardour.run(f"""
        local files = C.StringVector ()
        {pushes}
        Editor:do_import (files, Editing.ImportDistinctFiles, Editing.ImportAsTrack, ARDOUR.SrcQuality.SrcBest,
            ARDOUR.MidiTrackNameSource.SMFTrackName, ARDOUR.MidiTempoMapDisposition.SMFTempoIgnore,
            Temporal.timepos_t ({SONG_START}), ARDOUR.PluginInfo (), ARDOUR.Track (), false)""")
