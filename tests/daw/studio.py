"""A studio for tests: real Ardour with our scripts, real daemon with a small library, and a song of three tracks."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import soundfile
from daemon import Daemon, serving, wait_until
from packages import make_package

from daw.ardour import PATIENCE_S, SAMPLE_RATE, Ardour
from plugin_bridge.daw.ardour_scripts import slots
from plugin_bridge.daw.daws import DAWS, Machine
from plugin_bridge.daw.install import install

TICKS_PER_S = 282_240_000
"""Ardour 7 saves audio time in these."""
SONG_START = SAMPLE_RATE
"""Where the song's regions begin: not at 0, so that a hit at the wrong place is seen."""
SONG_S = 8.0
N_STEMS = 4
"""The channels of the song's three tracks."""


@dataclass(frozen=True)
class Studio:
    """What the tests work with: Ardour, the actions' slots by what they do, and the daemon's state folder."""

    ardour: Ardour
    slots: dict[str, int]
    state: Path


def make_library(folder: Path, seed: int = 0) -> None:
    """Six kicks, snares and hats each, decaying sounds of known kinds."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
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


@contextmanager
def small_daemon(folder: Path, web: str = "off") -> Iterator[Daemon]:
    """The daemon as a process, its library indexed, its state in `folder`."""
    make_library(folder / "one-shots")
    model = make_package(folder / "model")
    options = ("--web", web, "--model", model, "--folder", folder / "one-shots")
    with serving(folder / "state", *options) as running:
        running.ask("/samplefit/sync")
        yield running


@contextmanager
def studio(folder: Path, state: Path | None = None, session: Path | None = None) -> Iterator[Studio]:
    """Ardour with the song open, in a new session or as it was left; with a daemon of its own where no state folder is
    given."""
    if state is None:
        with small_daemon(folder) as running, studio(folder, running.state) as here:
            yield here
        return
    ardour = Ardour(folder, session or folder / "Song")
    is_new = not ardour.session.exists()
    install(DAWS["ardour"], Machine(ardour.home, "linux", {}, state, "samplefit"))
    origin = str(ardour.config / "scripts" / "samplefit.lua")
    names = ("suggest", "next", "previous", *(str(number) for number in range(1, 9)))
    ours = dict(zip(names, slots((ardour.config / "ui_scripts").read_bytes(), origin), strict=True))
    ardour.prepare({"Primary-Secondary-d": ours["suggest"]})
    with ardour:
        if is_new:
            _import_song(ardour, folder)
        yield Studio(ardour, ours, state)


def push(studio: Studio, what: str) -> None:
    """Presses one of our actions by OSC."""
    studio.ardour.press(studio.slots[what])


def press(studio: Studio, what: str) -> None:
    """Presses one of our actions and waits until its hit is on the track: while Ardour imports it runs other actions."""
    before = _shown(studio)
    push(studio, what)
    wait_until(lambda: _shown(studio) != before, PATIENCE_S)


def _shown(studio: Studio) -> str:
    """The ids of the regions on the suggestion's track; each insertion makes a new one."""
    return studio.ardour.run("""
        local ids, route = {}, Session:route_by_name ("Suggestion")
        if route:isnil () then return "" end
        for region in route:to_track ():playlist ():region_list ():iter () do
            ids[#ids + 1] = region:to_stateful ():id ():to_s ()
        end
        return table.concat (ids, " ")""")


def saved(studio: Studio) -> ElementTree.Element:
    """The session as Ardour saves it now."""
    studio.ardour.run('Session:save_state ("")')
    return ElementTree.parse(studio.ardour.session / "Song.ardour").getroot()


def hits(studio: Studio) -> list[tuple[str, int]]:
    """File name and first sample of each region on the suggestion's track, as saved in the session."""
    session = saved(studio)
    files = {source.get("id"): source.get("name") for source in session.iterfind("Sources/Source")}
    return [
        (
            files[region.get("source-0")],
            int(region.get("length").rpartition("@a")[2]) * SAMPLE_RATE // TICKS_PER_S,
        )
        for playlist in session.iterfind("Playlists/Playlist")
        if playlist.get("name").startswith("Suggestion")
        for region in playlist.iterfind("Region")
    ]


def answer(studio: Studio) -> Path:
    """The newest answer's file, of the two the .tsv."""
    return max((studio.state / "answers").glob("ardour-Song-*.tsv"), key=lambda path: path.stat().st_mtime_ns)


@contextmanager
def complaint(studio: Studio) -> Iterator[list[str]]:
    """The title of the message that a press brings up; it is closed at the end."""
    titles: list[str] = []
    yield titles
    until = time.monotonic() + PATIENCE_S
    while not titles and time.monotonic() < until:
        with suppress(subprocess.CalledProcessError):  # a window that goes while wmctrl asks for its name
            windows = [line.split(maxsplit=3) for line in studio.ardour.x("wmctrl", "-l").splitlines()]
            titles += [window[3] for window in windows if window[3].startswith("Suggest Drums: ")]
    if titles:
        studio.ardour.x("wmctrl", "-c", titles[0])


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
            Temporal.timepos_t ({SONG_START}), ARDOUR.PluginInfo (), ARDOUR.Track (), false)
        Editor:access_action ("Common", "deselect-all")""")
