"""The patch in a real Pd without a screen: it hears a tone, asks the daemon, shows the hits and plays the first."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from daemon import Daemon

HERE = Path(__file__).parent
PATCH = HERE.parents[1] / "plugin_bridge" / "daw" / "pd" / "samplefit.pd"
SNARE = 2
"""Its place in the patch's menu."""

pytestmark = pytest.mark.skipif(shutil.which("pd") is None, reason="Pure Data is not installed")


def press(folder: Path, port: int, level: str = "0.3") -> str:
    """One press with a tone of a given level as the track; what Pd printed until it quit."""
    shutil.copy(PATCH, folder)
    (folder / "listen.pd").write_text((HERE / "listen.pd").read_text().replace("*~ 0.3", f"*~ {level}"))
    sends = [f"port {port}", "bpm 400", "bars 1", f"type {SNARE}", "press bang"]
    command = [
        "pd",
        "-nogui",
        "-noaudio",
        "-noprefs",
        "-path",
        str(folder),
        "-open",
        str(folder / "listen.pd"),
    ]
    command += [word for send in sends for word in ("-send", f"samplefit-{send}")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


def test_a_press_hears_asks_shows_and_plays(tmp_path: Path, daemon: Daemon) -> None:
    folder = tmp_path / "my patches"
    folder.mkdir()
    said = press(folder, daemon.port)
    assert "failed" not in said and "error" not in said.lower()
    captured, rate = soundfile.read(folder / "samplefit-capture.wav")
    assert len(captured) == pytest.approx(0.6 * rate, abs=64)
    spectrum = np.abs(np.fft.rfft(captured))
    assert spectrum.argmax() * rate / len(captured) == pytest.approx(60, abs=2)
    assert "row-0: symbol Snare" in said
    assert "done: 6" in said and "status: symbol 6\\ hits" in said
    heard, _ = soundfile.read(folder / "heard.wav")
    assert np.abs(heard).max() > 0.1


def test_a_refusal_is_shown(tmp_path: Path, daemon: Daemon) -> None:
    said = press(tmp_path, daemon.port, level="0")
    assert "status: symbol the\\ bounce" in said, said
