"""Faults of drives, with real mounts: unmounted, absent at start, returned, swapped for another, full."""

from __future__ import annotations

import os
import shutil
import threading

import pytest

from index import sight
from index.folders import Presence, judge
from index.library import Library
from index.scan import Walk
from index.sight import Glance, Lookout
from tests.index.conftest import StandIn, paths_of, write_hit


def test_a_drive_unmounted_and_swapped_for_another(tmp_path, drive):
    first = drive()
    for seed in range(4):
        write_hit(first.point / f"{seed}.wav", seed)
    kept = tmp_path / "kept"
    shutil.copytree(first.point, kept)
    encoder = StandIn()
    with Library(tmp_path / "state", encoder) as library:
        library.add(str(first.point))
        first.unmount()
        library.sync()
        assert library.folders()[0].state == "offline" and library.folders()[0].one_shots == 4
        other = drive()
        write_hit(other.point / "stranger.wav", 99)
        library.sync()
        assert library.folders()[0].state == "offline" and paths_of(library) == set()
        other.unmount()
    with Library(tmp_path / "state", encoder) as library:  # absent at start
        library.sync()
        assert library.folders()[0].state == "offline"
        again = drive()
        shutil.copytree(kept, again.point, dirs_exist_ok=True)
        library.sync()
        assert library.folders()[0].state == "online" and len(library.snapshot) == 4
    assert encoder.n_encoded == 4


def test_a_share_that_hangs_holds_up_nobody(tmp_path, monkeypatch):
    write_hit(tmp_path / "good" / "a.wav", 1)
    never = threading.Event()
    walk = sight.walk

    def hanging(root, beat):
        if root.endswith(b"hung"):
            never.wait()
        return walk(root, beat)

    monkeypatch.setattr(sight, "walk", hanging)
    lookout = Lookout(limit_s=0.2)
    glances = [Glance(1, os.fsencode(tmp_path / "hung"), ""), Glance(2, os.fsencode(tmp_path / "good"), "")]
    for _ in range(2):
        seen = lookout.look(glances)
        assert seen[1].seen is None and list(seen[2].seen.files) == [b"a.wav"]
    assert len(lookout._owing) == 1, "a folder that owes an answer is not asked again"
    never.set()


@pytest.mark.parametrize(
    ("volume", "seen", "volume_now", "expected"),
    [
        ("A", None, "A", Presence("offline", False)),
        ("A", {}, "A", Presence("offline", False, emptied=True)),
        ("A", {}, "B", Presence("offline", False)),
        ("A", {b"a": 1, b"b": 2}, "A", Presence("online", True)),
        ("A", {b"a": 1, b"b": 2}, "B", Presence("online", True)),
        ("A", {b"a": 1, b"x": 2}, "B", Presence("online", True)),
        ("A", {b"a": 9, b"x": 2}, "B", Presence("offline", False)),
        ("A", {b"x": 2}, "A", Presence("online", True)),
    ],
)
def test_what_is_believed_of_a_folder(volume, seen, volume_now, expected):
    known = {b"a": (1, 0, 0), b"b": (2, 0, 0)}
    walked = None if seen is None else Walk({path: (size, 5, 5) for path, size in seen.items()})
    assert judge(known, volume, walked, volume_now) == expected
