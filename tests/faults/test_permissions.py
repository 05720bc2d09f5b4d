"""Files and folders that the daemon's user may not read: the real daemon, without root's right to read everything."""

from __future__ import annotations

import os
import shutil

import pytest
from daemon import COMMAND, serving
from packages import make_package

from index.library import read_folders, read_skipped, read_status
from tests.index.conftest import write_hit

LIKE_ANYBODY = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")


@pytest.mark.skipif(os.name == "nt", reason="modes of files mean little there")
def test_what_may_not_be_read_is_left_out_or_kept_until_it_may(tmp_path, monkeypatch):
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            pytest.skip("root reads everything, and there is no setpriv")
        monkeypatch.setattr("daemon.COMMAND", [*LIKE_ANYBODY, *COMMAND])
    drums, state = tmp_path / "drums", tmp_path / "state"
    for seed, name in enumerate(("open.wav", "secret.wav", "closed/a.wav", "closed/b.wav")):
        write_hit(drums / name, seed)
    (drums / "secret.wav").chmod(0)
    model = make_package(tmp_path / "model")
    with serving(state, "--web", "off", "--model", model) as daemon:
        daemon.ask("/samplefit/folder/add", str(drums))
        (skipped,) = read_skipped(state)
        assert skipped.path.endswith("secret.wav") and skipped.code == "unreadable-audio"
        assert "Permission denied" in skipped.text and read_status(state).one_shots == 3
        (drums / "closed").chmod(0)
        daemon.ask("/samplefit/sync")
        assert read_status(state).one_shots == 3, "what cannot be listed is not forgotten"
        (drums / "closed").chmod(0o755)
        (drums / "secret.wav").chmod(0o644)
        daemon.ask("/samplefit/sync")
        assert read_status(state).one_shots == 4 and read_skipped(state) == ()
        drums.chmod(0)
        daemon.ask("/samplefit/sync")
        assert read_folders(state)[0].state == "offline" and read_folders(state)[0].one_shots == 4
        drums.chmod(0o755)
        daemon.ask("/samplefit/sync")
        assert read_folders(state)[0].state == "online" and read_status(state).one_shots == 4
