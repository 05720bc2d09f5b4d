"""Following by events: what happens on the disk arrives in the snapshot without being asked for."""

from __future__ import annotations

import os
import shutil
import threading
import time

import pytest
from watchdog.events import FileCreatedEvent

from index import watch
from index.drives import is_network
from index.watch import Follower, _Heard, n_folders, n_watches
from tests.index.conftest import paths_of, write_hit

LIMIT_S = 30.0


def wait_for(condition) -> None:
    """Returns as soon as a condition holds; fails after `LIMIT_S`."""
    ends = time.monotonic() + LIMIT_S
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < ends, "it did not happen"
        pause.wait(0.02)


def test_files_that_appear_change_and_go_are_followed(opened, drums, encoder):
    library = opened(watch=True)
    library.add(str(drums))
    wait_for(lambda: library.status().watching == "events")
    write_hit(drums / "deep" / "er" / "a.wav", 1)
    wait_for(lambda: len(library.snapshot) == 1)
    write_hit(drums / "deep" / "er" / "a.wav", 2)
    wait_for(lambda: encoder.n_encoded == 2 and len(library.snapshot) == 1)
    (drums / "deep").rename(drums / "moved")
    wait_for(lambda: paths_of(library) == {os.fsencode(drums / "moved" / "er" / "a.wav")})
    write_hit(drums / "b.wav", 3)
    wait_for(lambda: len(library.snapshot) == 2)
    shutil.rmtree(drums / "moved")
    wait_for(lambda: paths_of(library) == {os.fsencode(drums / "b.wav")})
    assert encoder.n_encoded == 3


def test_a_tree_moved_in_is_found(opened, drums, tmp_path):
    for seed in range(3):
        write_hit(tmp_path / "pack" / "kicks" / f"{seed}.wav", seed)
    library = opened(watch=True)
    library.add(str(drums))
    wait_for(lambda: library.status().watching == "events")
    (tmp_path / "pack").rename(drums / "pack")
    wait_for(lambda: len(library.snapshot) == 3)


def test_what_changed_while_nobody_watched_is_found_at_start(opened, drums):
    opened().add(str(drums))
    write_hit(drums / "a.wav", 1)
    library = opened(watch=True)
    wait_for(lambda: len(library.snapshot) == 1)


def test_a_folder_that_comes_back_is_watched_again(opened, drums, monkeypatch):
    monkeypatch.setattr(watch, "POLL_S", 0.1)
    monkeypatch.setattr(watch, "TICK_S", 0.1)
    write_hit(drums / "a.wav", 1)
    library = opened(watch=True)
    library.add(str(drums))
    drums.rename(drums.with_name("away"))
    wait_for(lambda: library.folders()[0].state == "offline")
    drums.with_name("away").rename(drums)
    wait_for(lambda: library.folders()[0].state == "online" and library.status().watching == "events")
    write_hit(drums / "b.wav", 2)
    wait_for(lambda: len(library.snapshot) == 2)


def test_a_growing_file_waits_until_it_holds_still(opened, drums, encoder):
    library = opened(watch=True)
    library.add(str(drums))
    wait_for(lambda: library.status().watching == "events")
    write_hit(drums.parent / "whole.wav", 5, seconds=0.5)
    data = (drums.parent / "whole.wav").read_bytes()
    pause = threading.Event()
    with (drums / "growing.wav").open("wb", buffering=0) as file:
        for start in range(0, len(data), len(data) // 20 + 1):
            file.write(data[start : start + len(data) // 20 + 1])
            pause.wait(0.05)
    wait_for(lambda: len(library.snapshot) == 1)
    assert encoder.n_encoded == 1


def test_too_few_watches_mean_polling_too(opened, drums, monkeypatch):
    monkeypatch.setattr(watch, "n_watches", lambda: 1)
    monkeypatch.setattr(watch, "POLL_S", 0.1)
    (drums / "sub").mkdir()
    library = opened(watch=True)
    library.add(str(drums))
    wait_for(lambda: library.status().watching == "both")
    assert opened().status().watching == ""


def test_without_events_a_folder_is_polled(opened, drums, monkeypatch):
    monkeypatch.setattr(watch, "is_network", lambda folder: True)
    monkeypatch.setattr(watch, "POLL_S", 0.05)
    monkeypatch.setattr(watch, "TICK_S", 0.05)
    library = opened(watch=True)
    library.add(str(drums))
    write_hit(drums / "a.wav", 1)
    wait_for(lambda: len(library.snapshot) == 1)
    assert library.status().watching == "polling"


def test_a_failing_sync_is_tried_again(monkeypatch, drums):
    monkeypatch.setattr(watch, "TICK_S", 0.01)
    calls: list[int] = []

    def sync_parts(parts, hold_still_s):
        calls.append(len(parts))
        if len(calls) < 3:
            raise OSError(28, "No space left on device")
        return ()

    follower = Follower(lambda: {os.fsencode(drums): True}, sync_parts, lambda how: None)
    follower.start()
    try:
        wait_for(lambda: len(calls) >= 3)
    finally:
        follower.stop()
    assert calls[:3] == [1, 1, 1]


def test_a_bug_is_told_once_and_everything_is_looked_at_anew(monkeypatch, drums, caplog):
    monkeypatch.setattr(watch, "POLL_S", 0.01)
    calls: list[object] = []

    def sync_parts(parts, hold_still_s):
        calls.append(parts[os.fsencode(drums)])
        if len(calls) < 4:
            raise KeyError("nobody foresaw it")
        return ()

    follower = Follower(lambda: {os.fsencode(drums): True}, sync_parts, lambda how: None)
    follower.start()
    try:
        wait_for(lambda: len(calls) >= 4 and not follower.trouble)
        (drums / "a.wav").touch()
        wait_for(lambda: (b"a.wav",) in calls)
    finally:
        follower.stop()
    assert calls[:4] == [None] * 4
    (told,) = (row for row in caplog.records if row.levelname == "WARNING")
    assert "nobody foresaw it" in told.message and told.exc_info


def test_what_a_follower_meets_stands_in_the_status(opened, drums, monkeypatch):
    monkeypatch.setattr(watch, "POLL_S", 0.05)
    library = opened(watch=True)
    is_broken = threading.Event()
    examine = library._examine

    def examined(*arguments):
        if is_broken.is_set():
            raise ZeroDivisionError
        return examine(*arguments)

    library._examine = examined
    library.add(str(drums))
    assert library.status().trouble == ()
    is_broken.set()
    write_hit(drums / "a.wav", 1)
    wait_for(lambda: any("ZeroDivisionError" in text for text in library.status().trouble))
    is_broken.clear()
    wait_for(lambda: len(library.snapshot) == 1 and library.status().trouble == ())


def test_floods_collapse_to_the_whole_folder(drums):
    seen: list[dict] = []
    follower = Follower(
        lambda: {}, lambda parts, hold_still_s: seen.append(dict(parts)) or (), lambda how: None
    )
    folder = os.fsencode(drums)
    follower._follows[folder] = watch._Follow(polled=False, dirty=set())
    for number in range(watch.FLOOD + 1):
        follower._heard.put(_Heard(folder, b"%d.wav" % number))
    follower._heard.put(None)
    follower._listen()
    follower._look()
    assert seen == [{folder: None}]


@pytest.mark.skipif(not os.path.exists("/proc/self/mountinfo"), reason="Linux only")
def test_what_the_system_says_of_drives_and_watches(drums):
    assert not is_network(os.fsencode(drums)) and is_network(rb"\\server\share")
    assert n_watches() >= 0 and n_folders(os.fsencode(drums)) == 1


def test_a_drive_itself_is_followed_like_a_folder():
    heard = []
    handler = watch._Handler(watch.SEP, heard.append)
    handler.dispatch(FileCreatedEvent(os.sep + os.path.join("kicks", "a.wav")))
    assert heard == [_Heard(watch.SEP, os.path.join(b"kicks", b"a.wav"))]
