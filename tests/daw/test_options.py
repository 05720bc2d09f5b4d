"""What DAWs tell beside the sound: the song's tempo, and how loud each file is in the mix."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from daemon import Daemon, samplefit

from daw.page import Page, levels
from daw.studio import small_daemon
from plugin_bridge.client import Failed


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with a panel."""
    with small_daemon(tmp_path_factory.mktemp("options"), web="127.0.0.1:0") as running:
        yield running


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two files, each a tone as loud as the other."""
    t = np.arange(8 * 44_100) / 44_100
    paths = [tmp_path_factory.mktemp("tones") / f"{hz}.wav" for hz in (220, 550)]
    for path, hz in zip(paths, (220, 550), strict=True):
        soundfile.write(path, 0.3 * np.sin(2 * np.pi * hz * t), 44_100)
    return [str(path) for path in paths]


def test_the_panel_previews_in_the_tempo_that_the_host_tells(daemon: Daemon, tones: list[str]) -> None:
    page = Page(daemon.state)
    for tempo in (93.25, 240.0):
        daemon.ask("/samplefit/suggest/file", tones[0], "tempo", tempo)
        newest = page.get("/api/presses")[0]["press"]
        assert page.get(f"/api/presses/{newest}/loop")["bpm"] == tempo


@pytest.mark.parametrize("tempo", [0.0, -120.0, 4.9, 1001.0, float("nan"), float("inf")])
def test_what_is_no_tempo_is_refused(daemon: Daemon, tones: list[str], tempo: float) -> None:
    with pytest.raises(Failed, match="tempo"):
        daemon.ask("/samplefit/suggest/file", tones[0], "tempo", tempo, "answer", "host")
    assert "bad-request" in (daemon.state / "answers" / "host.tsv").read_text()


@pytest.mark.parametrize("tempo", ["nan", "-1", "1001"])
def test_what_is_no_tempo_is_refused_without_a_daemon(
    tmp_path: Path, daemon: Daemon, tones: list[str], tempo: str
) -> None:
    for state in (tmp_path / "state", daemon.state):
        done = samplefit("suggest", tones[0], "--tempo", tempo, state=state)
        assert done.returncode == 2 and f"tempo: found {tempo}; expected 5 to 1000" in done.stderr, (
            done.stderr
        )


def test_a_gain_makes_a_stem_louder(daemon: Daemon, tones: list[str]) -> None:
    for stem, path, options in (("a", tones[0], ("gain", 0.5)), ("b", tones[1], ())):
        daemon.ask("/samplefit/stem/file", stem, path, *options, id="song")
    daemon.ask("/samplefit/suggest", id="song")
    page = Page(daemon.state)
    newest = page.get("/api/presses")[0]["press"]
    quiet, loud = levels(page.read(f"/api/presses/{newest}/music"), 220, 550)
    assert loud / quiet == pytest.approx(2, rel=0.02)


@pytest.mark.parametrize("gain", [0.0, -1.0, 16.1, float("nan"), float("inf")])
def test_what_is_no_gain_is_refused(daemon: Daemon, tones: list[str], gain: float) -> None:
    with pytest.raises(Failed, match="gain"):
        daemon.ask("/samplefit/stem/file", "a", tones[0], "gain", gain, id="other")


def test_the_shell_tells_the_tempo(daemon: Daemon, tones: list[str]) -> None:
    done = samplefit("suggest", tones[0], "--tempo", 88.5, "--json", state=daemon.state)
    assert done.returncode == 0, done.stderr
    page = Page(daemon.state)
    newest = page.get("/api/presses")[0]["press"]
    assert page.get(f"/api/presses/{newest}/loop")["bpm"] == 88.5
