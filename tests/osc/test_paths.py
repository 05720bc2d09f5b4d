"""Paths that are no sound files, given to the real daemon: each is refused by name, and none holds it up."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from daemon import serving
from packages import make_package

from plugin_bridge.client import Failed

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are POSIX")


def test_what_is_no_sound_file_is_refused_and_holds_nothing_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "to pipe.wav").symlink_to("pipe.wav")
    (tmp_path / "loop.wav").symlink_to("loop.wav")
    (tmp_path / "to zero.wav").symlink_to("/dev/zero")
    (tmp_path / "text.wav").write_text("words")
    devices = ("zero", "null", "full", "random", "tty", "ptmx", "stdin")
    kernel = ("kmsg", "self/mem", "self/environ", "self/fd/0", "self/pagemap", "self/clear_refs")
    attacks = [
        *map(str, tmp_path.iterdir()),
        *(f"/dev/{name}" for name in devices),
        *(f"/proc/{name}" for name in kernel),
        str(tmp_path / "text.wav/below it"),
        str(tmp_path / ("x" * 300)),
    ]
    make_package(tmp_path / "model")
    with (
        serving(tmp_path / "state", "--web", "off", "--model", tmp_path / "model") as daemon,
        socket.socket(socket.AF_UNIX) as listener,
        daemon.client() as client,
    ):
        listener.bind(os.fspath(tmp_path / "socket.wav"))
        for path in (*attacks, str(tmp_path / "socket.wav")):
            for address in ("/samplefit/suggest/file", "/samplefit/folder/add", "/samplefit/like"):
                with pytest.raises(Failed) as failed:
                    client.ask(address, path)
                assert failed.value.code in ("refused", "not-found", "unreadable-audio"), (address, path)
        assert client.ask("/samplefit/status")[0].arguments[5:] == (0, 0, 0), "no folder is followed"
