"""Faults of drives, with real mounts: unmounted, absent at start, returned, swapped for another, full."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from daemon import wait_until

from index import sight, watch
from index.decoding import Decoders
from index.files import folder_rows
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
    lookout = Lookout(limit_s=5.0)
    glances = [Glance(1, os.fsencode(tmp_path / "hung"), ""), Glance(2, os.fsencode(tmp_path / "good"), "")]
    for _ in range(2):
        seen = lookout.look(glances)
        assert seen[1].seen is None and list(seen[2].seen.files) == [b"a.wav"]
    assert len(lookout._owing) == 1, "a folder that owes an answer is not asked again"
    never.set()


def test_a_share_that_hangs_in_the_kernel_stalls_nothing_else(tmp_path, drive, hung, monkeypatch):
    monkeypatch.setattr(watch, "POLL_S", 0.1)
    share, good = drive().point, tmp_path / "good"
    for seed in range(3):
        write_hit(share / f"{seed}.wav", seed)
    good.mkdir()
    encoder = StandIn()
    with Library(tmp_path / "state", encoder, watch=True) as library:
        library.add(str(share))
        library.add(str(good))
        library._scanner.lookout._limit_s = 3600.0  # whoever waited for the share would wait for good
        (number,) = (
            row.number for row in folder_rows(library._catalogue.db) if row.path == os.fsencode(share)
        )
        owing = library._scanner.lookout._owing
        with hung(share):
            wait_until(lambda: (look := owing.get(number)) and look.silent_s() > 2)
            for seed in range(10, 13):
                write_hit(good / f"{seed}.wav", seed)
                wait_until(lambda seed=seed: os.fsencode(good / f"{seed}.wav") in paths_of(library))
            assert number in owing, "it hangs still"
            assert library.status().trouble == ()
            library._scanner.lookout._limit_s = 5.0
            wait_until(lambda: {row.state for row in library.folders()} == {"online", "offline"})
            library.sync()
            wait_until(lambda: len(library.snapshot) == 3)
        wait_until(lambda: len(library.snapshot) == 6)
    assert encoder.n_encoded == 6


def test_files_of_a_share_that_hangs_wait_without_blame(tmp_path, drive, hung):
    share = drive().point
    paths = [os.fsencode(share / f"{seed}.wav") for seed in range(50)]
    write_hit(tmp_path / "good.wav", 1)
    decoders = Decoders(1, limit_s=0.5)
    with hung(share):
        process = decoders._workers[0]._start()
        found = list(decoders.examine(paths, lambda content: False))
        assert len(found) == 50 and all(one.code is None and one.content is None for one in found)
        decoders._workers[0]._limit_s = 60.0
        (one,) = decoders.examine([os.fsencode(tmp_path / "good.wav")], lambda content: False)
        assert one.samples is not None
        assert process.poll() is None, "it cannot even be killed"
    process.wait()
    process.stdin.close()
    process.stdout.close()
    decoders.close()


@pytest.fixture
def stick(tmp_path) -> Iterator[Callable[[Path, str], None]]:
    """A drive with a file system of its own, in a file: mounts it, and takes it out where it was before."""
    image, point = tmp_path / "stick.img", None
    with image.open("wb") as file:
        file.truncate(8 << 20)
    try:
        subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs mkfs.ext4")

    def plug_in(where: Path, options: str = "loop") -> None:
        nonlocal point
        if point:
            subprocess.run(["umount", point], check=True)
        where.mkdir(exist_ok=True)
        try:
            subprocess.run(["mount", "-o", options, image, where], check=True, capture_output=True)
        except subprocess.CalledProcessError:
            pytest.skip("needs root and loop devices")
        point = where

    yield plug_in
    if point:
        subprocess.run(["umount", "-l", point], check=True)


def test_the_index_travels_with_its_drive_from_machine_to_machine(tmp_path, stick):
    for where, options, new, expected in (
        ("a", "loop", range(8), 8),
        ("b", "loop,ro", (), 0),
        ("c", "loop", (8, 9), 2),
        ("d", "loop,ro", (), 0),
    ):
        stick(tmp_path / where, options)
        for seed in new:
            write_hit(tmp_path / where / "kicks" / f"{seed}.wav", seed)
        encoder = StandIn()
        with Library(tmp_path / f"state {where}", encoder) as library:
            library.add(str(tmp_path / where), portable=True)
            assert library.status().trouble == () and library.folders()[0].state == "online"
            assert encoder.n_encoded == expected, where
            assert len(library.snapshot) == (8 if where in "ab" else 10)


def test_a_drive_that_never_carried_anything_may_be_read_only(tmp_path, stick):
    stick(tmp_path / "a")
    for seed in range(3):
        write_hit(tmp_path / "a" / f"{seed}.wav", seed)
    stick(tmp_path / "b", "loop,ro")
    encoder = StandIn()
    with Library(tmp_path / "state", encoder) as library:
        library.add(str(tmp_path / "b"), portable=True)
        library.sync()
        assert len(library.snapshot) == 3 and encoder.n_encoded == 3 and library.status().trouble == ()


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
