"""The patch in a real Pd without a screen: it hears a tone, asks the daemon, shows the hits and plays the first."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from daemon import Daemon

from plugin_bridge.osc import Message, decode, encode

HERE = Path(__file__).parent
PATCH = HERE.parents[1] / "plugin_bridge" / "daw" / "pd" / "samplefit.pd"
SNARE = 2
"""Its place in the patch's menu."""

pytestmark = pytest.mark.skipif(shutil.which("pd") is None, reason="Pure Data is not installed")


def start(folder: Path, port: int, level: str = "0.3") -> subprocess.Popen[str]:
    """Pd, pressing with a tone of a given level as the track."""
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
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def press(folder: Path, port: int, level: str = "0.3") -> str:
    """One press; what Pd printed until it quit."""
    with start(folder, port, level) as pd:
        return pd.communicate(timeout=60)[0]


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


def test_the_tempo_goes_along(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.bind(("127.0.0.1", 0))
        daemon.settimeout(60)
        with start(tmp_path, daemon.getsockname()[1]) as pd:
            request, sender = daemon.recvfrom(65_536)
            asked = decode(request)
            refusal = Message("/samplefit/fail", (asked.arguments[0], asked.address, "busy", "not now"))
            daemon.sendto(encode(refusal), sender)
            assert "status: symbol not\\ now" in pd.communicate(timeout=60)[0]
    assert asked.arguments[2:] == ("k", 8, "type", "snare", "tempo", 400)
