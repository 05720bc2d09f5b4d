"""Sessions of a real Ardour that are opened, closed and opened again, beside a real daemon with its panel."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from daemon import Daemon, wait_until

from daw.ardour import Ardour, missing
from daw.page import Page, levels
from daw.studio import (
    SONG_START,
    Studio,
    answer,
    complaint,
    hits,
    make_library,
    press,
    push,
    small_daemon,
    studio,
)
from plugin_bridge.daw.daws import DAWS, Machine
from plugin_bridge.daw.install import install, uninstall

pytestmark = [
    pytest.mark.skipif(bool(missing()), reason=f"not installed: {', '.join(missing())}"),
    pytest.mark.timeout(1200),  # each opens Ardour, up to three times; a busy machine takes minutes for that
]

TEMPO_BPM = 97.0


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon with a small library and a panel."""
    with small_daemon(tmp_path, web="127.0.0.1:0") as running:
        yield running


def set_tempo(studio: Studio, bpm: float) -> None:
    studio.ardour.run(f"""
        local map = Temporal.TempoMap.write_copy ()
        map:set_tempo (Temporal.Tempo ({bpm}, {bpm}, 4), Temporal.timepos_t (0))
        Temporal.TempoMap.update (map)""")


def leave_only_midi(studio: Studio, folder: Path) -> None:
    """Empties the audio tracks and imports a note."""
    note = bytes.fromhex("4d546864 00000006 0000 0001 0060 4d54726b 0000000c 00903c40 60803c40 00ff2f00")
    (folder / "note.mid").write_bytes(note)
    studio.ardour.run(f"""
        for route in Session:get_tracks ():iter () do
            local playlist = route:to_track ():playlist ()
            for region in playlist:region_list ():iter () do playlist:remove_region (region) end
        end
        local files = C.StringVector ()
        files:push_back ("{folder / "note.mid"}")
        Editor:do_import (files, Editing.ImportDistinctFiles, Editing.ImportAsTrack, ARDOUR.SrcQuality.SrcBest,
            ARDOUR.MidiTrackNameSource.SMFTrackName, ARDOUR.MidiTempoMapDisposition.SMFTempoIgnore,
            Temporal.timepos_t ({SONG_START}), ARDOUR.PluginInfo (), ARDOUR.Track (), false)""")


def send(page: Page, number: int) -> str:
    """Sends a hit of the newest press to the DAW by the page; the file's name."""
    newest = page.get("/api/presses")[0]
    hit = newest["hits"][number]
    page.post(f"/api/presses/{newest['press']}/send", id=hit["id"])
    return Path(hit["path"]).name


@contextmanager
def stopped(daemon: Daemon) -> Iterator[None]:
    """The processes that decode for the daemon stand still."""
    listed = subprocess.run(["pgrep", "-P", str(daemon.process.pid)], capture_output=True, text=True)
    workers = [int(word) for word in listed.stdout.split()]
    assert workers, "they start with the first folder and stay"
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)
    try:
        yield
    finally:
        for worker in workers:
            with suppress(ProcessLookupError):  # the daemon may have given it up
                os.kill(worker, signal.SIGCONT)


def test_what_the_page_sends_is_inserted_by_the_session_that_pressed(tmp_path: Path, daemon: Daemon) -> None:
    here, there = tmp_path / "one" / "Song", tmp_path / "two" / "Song"
    with studio(tmp_path, daemon.state, here) as ours:
        set_tempo(ours, TEMPO_BPM)
        press(ours, "suggest")
        assert [first for _, first in hits(ours)] == [SONG_START]
        page = Page(daemon.state)
        newest = page.get("/api/presses")[0]["press"]
        assert page.get(f"/api/presses/{newest}/loop")["bpm"] == TEMPO_BPM
        bass, left, right = levels(page.read(f"/api/presses/{newest}/music"), 110, 440, 660)
        centre = np.sqrt(0.5)
        assert bass / left == pytest.approx(0.4 * centre / (0.2 / 2), rel=0.05), "as the stereo mix has it"
        assert right == pytest.approx(left, rel=0.05)
        sent = send(page, 8)
        press(ours, "1")
        assert hits(ours) == [(sent, SONG_START)]
    late = send(page, 14)  # an answer that comes after its session was closed
    with studio(tmp_path, daemon.state, there) as others:
        with complaint(others) as titles:
            push(others, "1")
        assert titles == ["Suggest Drums: there is no suggestion yet"] and hits(others) == []
        leave_only_midi(others, tmp_path)
        with complaint(others) as titles:
            push(others, "suggest")
        assert titles == ["Suggest Drums: there are only MIDI tracks, and these are not heard"]
    with studio(tmp_path, daemon.state, here) as ours:
        assert hits(ours) == [(sent, SONG_START)]
        press(ours, "1")
        assert hits(ours) == [(late, SONG_START)]


def test_a_library_that_is_still_indexing_answers_and_says_so(tmp_path: Path, daemon: Daemon) -> None:
    make_library(tmp_path / "more", seed=1)
    with studio(tmp_path, daemon.state) as here, stopped(daemon), daemon.client() as client:
        client.send("/samplefit/folder/add", 1, str(tmp_path / "more"))
        wait_until(lambda: daemon.ask("/samplefit/status")[-1].arguments[-1] > 0)
        with complaint(here) as titles:
            push(here, "suggest")
        (title,) = titles
        assert re.fullmatch(r"Suggest Drums: the library is still being indexed, \d+ files to go", title)
        assert [first for _, first in hits(here)] == [SONG_START]
        assert answer(here).read_text().count("\n") == 19


def test_after_uninstall_the_users_scripts_are_as_they_were(tmp_path: Path) -> None:
    ardour = Ardour(tmp_path, tmp_path / "Song")
    ardour.prepare({})
    scripts = ardour.config / "ui_scripts"
    users_own = scripts.read_bytes()
    (tmp_path / "state").mkdir()
    machine = Machine(ardour.home, "linux", {}, tmp_path / "state", "samplefit")
    install(DAWS["ardour"], machine)
    with ardour:
        ardour.run('Session:save_state ("")')
    assert scripts.read_bytes() != users_own
    uninstall(DAWS["ardour"], machine)
    assert scripts.read_bytes() == users_own
    assert not [path for path in ardour.config.rglob("*samplefit*")]
