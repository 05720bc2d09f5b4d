"""The state folder's disk is full: what is indexed is suggested all the same, status says so, and it passes by itself."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from daemon import samplefit, serving, wait_until
from packages import make_package

from encoders.errors import Refused
from index import watch
from index.library import Library
from plugin_bridge.client import Failed
from plugin_bridge.demo_sounds import write_library
from tests.index.conftest import StandIn, paths_of, write_hit


def fill(folder, left=0):
    """Takes the room that a small disk has, save `left` bytes; returns the file that holds it."""
    path = folder / "ballast"
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)) == 4096:
                continue
        except OSError:
            pass
        file.truncate(max(0, file.tell() - left))
    return path


def test_it_keeps_what_it_has_and_recovers(tmp_path, drive):
    state = drive("size=400k")
    drums = tmp_path / "drums"
    write_hit(drums / "first.wav", 0)
    with Library(state.point, StandIn(dim=2048)) as library:
        library.add(str(drums))
        for seed in range(1, 80):
            write_hit(drums / f"{seed}.wav", seed)
        with pytest.raises(Refused, match="full"):
            library.sync()
        assert os.fsencode(drums / "first.wav") in paths_of(library)
        (text,) = library.status().trouble
        assert "free some disk space" in text
        subprocess.run(["mount", "-o", "remount,size=64m", state.point], check=True)
        assert library.status().trouble == ()
        library.sync()
        assert len(library.snapshot) == 80


def test_a_daemon_says_so_answers_and_recovers_by_itself(tmp_path, drive):
    state = drive("size=3m").point
    make_package(tmp_path / "model")
    write_library(tmp_path / "samples")
    bounce = next((tmp_path / "samples").rglob("*.wav"))

    def status():
        return json.loads(samplefit("status", "--json", state=state).stdout)

    with serving(state, "--model", tmp_path / "model") as daemon:
        daemon.ask("/samplefit/folder/add", str(tmp_path / "samples"))
        n_before = status()["one_shots"]
        assert n_before and status()["trouble"] == []
        ballast = fill(state)
        for seed in range(200):
            write_hit(tmp_path / "samples" / "new" / f"{seed}.wav", seed)
        with pytest.raises(Failed, match="free some disk space"):
            for _ in range(2000):
                daemon.ask("/samplefit/like", str(bounce))
        wait_until(lambda: status()["trouble"])
        told, answer = daemon.ask("/samplefit/status")
        assert told.address == "/samplefit/trouble" and "free some disk space" in told.arguments[1]
        assert answer.address == "/samplefit/status.reply"
        assert "TROUBLE: " in samplefit("status", state=state).stdout
        assert len(daemon.ask("/samplefit/suggest/file", str(bounce), "type", "kick", "k", 3)) == 4
        ballast.unlink()
        wait_until(lambda: [(now := status())["one_shots"], now["trouble"]] == [n_before + 200, []])
        daemon.ask("/samplefit/like", str(bounce))


def test_a_daemon_starts_and_answers_on_a_full_disk_and_without_a_library_says_why_not(tmp_path, drive):
    state = drive("size=3m").point
    make_package(tmp_path / "model")
    write_library(tmp_path / "samples")
    bounce = next((tmp_path / "samples").rglob("*.wav"))
    serve = ("--model", tmp_path / "model", "--web", "off")
    with serving(state, *serve) as daemon:
        daemon.ask("/samplefit/folder/add", str(tmp_path / "samples"))
    ballast = fill(state)
    with serving(state, *serve) as daemon:
        assert len(daemon.ask("/samplefit/suggest/file", str(bounce), "type", "kick", "k", 3)) == 4
    ballast.unlink()
    (state / "catalogue.sqlite3").unlink()
    fill(state)
    found = samplefit("serve", "--osc", "127.0.0.1:0", *serve, state=state)
    assert found.returncode == 2 and "free some disk space" in found.stderr, found.stderr
    assert "Traceback" not in found.stderr


def test_a_daemon_that_cannot_say_where_it_is_serves_and_says_so_when_there_is_room(tmp_path, drive):
    state = drive("size=64m").point
    make_package(tmp_path / "model")
    write_library(tmp_path / "samples")
    bounce = next((tmp_path / "samples").rglob("*.wav"))
    serve = ("--model", tmp_path / "model", "--web", "off")
    with serving(state, *serve) as daemon:
        daemon.ask("/samplefit/folder/add", str(tmp_path / "samples"))
    left = os.statvfs(state)
    n_files = left.f_files - left.f_ffree
    # Room for the catalogue's two files beside it, once the reserve is spent, and for no daemon.json.
    subprocess.run(["mount", "-o", f"remount,nr_inodes={n_files + 1}", state], check=True)
    with serving(state, *serve) as daemon:
        assert not (state / "daemon.json").exists()
        assert len(daemon.ask("/samplefit/suggest/file", str(bounce), "type", "kick", "k", 3)) == 4
        subprocess.run(["mount", "-o", "remount,nr_inodes=0", state], check=True)
        wait_until((state / "daemon.json").exists)


def test_a_press_keeps_its_hits_where_its_answer_file_has_no_room(tmp_path, drive):
    state = drive("size=3m").point
    make_package(tmp_path / "model")
    write_library(tmp_path / "samples")
    bounce = next((tmp_path / "samples").rglob("*.wav"))
    with serving(state, "--model", tmp_path / "model", "--web", "off") as daemon:
        daemon.ask("/samplefit/folder/add", str(tmp_path / "samples"))
        ballast = fill(state)
        with daemon.client() as client:
            client.send("/samplefit/suggest/file", 7, str(bounce), "type", "kick", "k", 3, "answer", "host")
            *hits, failed = (client.receive() for _ in range(4))
        assert [hit.address for hit in hits] == 3 * ["/samplefit/hit"]
        assert failed.arguments[:3] == (7, "/samplefit/suggest/file", "refused")
        assert str(state / "answers") in failed.arguments[3] and "free some disk space" in failed.arguments[3]
        with pytest.raises(Failed, match="k: found 0"):
            daemon.ask("/samplefit/suggest/file", str(bounce), "k", 0, "answer", "host")
        done = samplefit("suggest", bounce, "--json", state=state)
        assert done.returncode == 2 and "free some disk space" in done.stderr and done.stdout == ""
        ballast.unlink()
        assert samplefit("suggest", bounce, "--json", state=state).returncode == 0


def test_a_quota_of_the_catalogue_stands_in_for_a_full_disk_where_nothing_can_be_mounted(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(watch, "TICK_S", 0.05)
    drums = tmp_path / "drums"
    write_hit(drums / "first.wav", 0)
    with Library(tmp_path / "state", StandIn(dim=2048), watch=True) as library:
        library.add(str(drums))
        db = library._catalogue.db
        db.execute("PRAGMA max_page_count = 60")
        for seed in range(1, 40):
            write_hit(drums / f"{seed}.wav", seed)
        wait_until(lambda: library.status().trouble)
        assert "free some disk space" in library.status().trouble[0]
        assert os.fsencode(drums / "first.wav") in paths_of(library)
        db.execute("PRAGMA max_page_count = 100000")
        wait_until(lambda: len(library.snapshot) == 40 and library.status().trouble == ())
