"""How a shell command meets daemons that have gone, hang, or belong to somebody else."""

from __future__ import annotations

import os
import socket
import sys
import threading

import pytest
from daemon import samplefit, wait_until

from encoders.errors import Busy, Refused
from encoders.package import STARTER
from index.lock import StateLock, is_held
from plugin_bridge import running
from plugin_bridge.client import Client
from plugin_bridge.server import OscServer
from plugin_bridge.settings import use_model
from tests.osc.service import Service


def said_to_be(port: int) -> running.Running:
    return running.Running(1, "127.0.0.1", port, None, None, "model", "cpu", "1")


def test_a_daemon_is_found_only_by_the_lock_of_its_own_state_folder(tmp_path):
    with OscServer(Service(), port=0) as server:
        running.announce(tmp_path, said_to_be(server.port))
        assert running.find(tmp_path) is None, "killed, and another daemon has its port"
        lock = StateLock(tmp_path)
        assert running.find(tmp_path) == said_to_be(server.port)
        lock.release()


def test_a_daemon_that_wants_another_token_is_told_from_none(tmp_path, monkeypatch):
    monkeypatch.delenv("SAMPLEFIT_TOKEN", raising=False)
    with OscServer(Service(), port=0, token="sesame") as server:
        running.announce(tmp_path, said_to_be(server.port))
        lock = StateLock(tmp_path)
        with pytest.raises(Refused, match=rf"{server.port}: found no token in SAMPLEFIT_TOKEN here"):
            running.find(tmp_path)
        for command in (("status",), ("suggest", __file__), ("sync",)):
            done = samplefit(*command, state=tmp_path)
            assert done.returncode == 2 and "set SAMPLEFIT_TOKEN to it" in done.stderr, done.stderr
        monkeypatch.setenv("SAMPLEFIT_TOKEN", "x")
        with pytest.raises(Refused, match="found another token"):
            running.find(tmp_path)
        monkeypatch.setenv("SAMPLEFIT_TOKEN", "sesame")
        assert running.find(tmp_path) == said_to_be(server.port)
        lock.release()


def test_who_looks_whether_a_state_folder_is_held_is_in_nobodys_way(tmp_path):
    """Neither in that of one who takes it, nor in another's who looks."""
    StateLock(tmp_path).release()
    looks = threading.Event()
    found = []

    def look() -> None:
        while not looks.is_set():
            found.append(is_held(tmp_path))

    watchers = [threading.Thread(target=look) for _ in range(2)]
    for watcher in watchers:
        watcher.start()
    try:
        wait_until(lambda: len(found) > 2000)
        assert not any(found)
        for _ in range(200):
            lock = StateLock(tmp_path)
            assert is_held(tmp_path)
            lock.release()
    finally:
        looks.set()
        for watcher in watchers:
            watcher.join()


@pytest.mark.skipif(sys.platform == "win32", reason="there is one kind of lock there")
def test_one_who_looks_and_is_held_up_keeps_nobody_out(tmp_path):
    import fcntl

    StateLock(tmp_path).release()
    with open(tmp_path / "lock", "rb") as looked_at:
        fcntl.flock(looked_at, fcntl.LOCK_SH)
        timer = threading.Timer(0.5, fcntl.flock, (looked_at, fcntl.LOCK_UN))
        timer.start()
        lock = StateLock(tmp_path)
        timer.join()
    assert is_held(tmp_path)
    lock.release()


def test_a_state_folder_has_one_holder(tmp_path):
    lock = StateLock(tmp_path)
    with pytest.raises(Busy, match=f"in use by process {os.getpid()}"):
        StateLock(tmp_path)
    lock.release()


def test_a_daemon_that_ends_before_it_answers_is_told():
    with socket.create_server(("127.0.0.1", 0)) as listener, Client(*listener.getsockname()) as client:
        listener.accept()[0].close()
        with pytest.raises(Busy, match="ended before it answered"):
            client.ask("/samplefit/sync")
        with pytest.raises(Busy, match="ended before it answered"):
            client.ask("/samplefit/stem/drop", "bass", id=1)


def test_a_daemon_that_hangs_is_told():
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        Client(*listener.getsockname(), timeout_s=0.5) as client,
        pytest.raises(Busy, match=r"no answer for 0\.5 s"),
    ):
        client.ask("/samplefit/status")


def test_what_reports_progress_may_take_its_time():
    service = Service()
    with OscServer(service, port=0) as server, Client("127.0.0.1", server.port, timeout_s=0.05) as client:
        timer = threading.Timer(0.3, service.may_sync.set)
        timer.start()
        assert client.ask("/samplefit/sync")[-1].arguments[1] == 7
        timer.join()


def test_a_state_folder_that_cannot_be_written_keeps_its_model_with_a_word(tmp_path):
    with pytest.raises(Refused, match="expected a folder that can be written"):
        use_model(tmp_path / "gone", STARTER)
