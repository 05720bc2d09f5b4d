"""The kernel's own limits on hearing of changes: fewer watches than folders, and floods that overflow its queue."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from daemon import wait_until

from index.library import Library
from tests.index.conftest import StandIn, paths_of, write_hit

ROOT = Path(__file__).resolve().parents[2]

FEW_WATCHES = """
import json, os, sys
from pathlib import Path
Path("/proc/sys/user/max_inotify_watches").write_text(sys.argv[3])  # of this user namespace alone
from daemon import wait_until
from index import watch
from index.library import Library
from tests.index.conftest import StandIn, paths_of, write_hit
watch.POLL_S = 0.2
watch.TICK_S = 0.2
drums = Path(sys.argv[2])
with Library(Path(sys.argv[1]), StandIn(), watch=True) as library:
    library.add(str(drums))
    for number in (0, 59):
        write_hit(drums / str(number) / "new.wav", number)
    wait_until(lambda: len(library.snapshot) == 2)
    for number in range(60, 75):  # with them a limit of 70 is reached later
        (drums / str(number)).mkdir()
    wait_until(lambda: library.status().watching != "events" or sys.argv[3] == "1000")
    write_hit(drums / "74" / "new.wav", 74)
    wait_until(lambda: len(library.snapshot) == 3)
    print(json.dumps({"watching": library.status().watching, "trouble": library.status().trouble}))
"""


def run_with_watches(n: int, tmp_path: Path) -> dict:
    """What a library of 60 folders says where the kernel grants `n` watches."""
    for number in range(60):
        (tmp_path / "drums" / str(number)).mkdir(parents=True)
    arguments = (tmp_path / "state", tmp_path / "drums", str(n))
    found = subprocess.run(
        ["unshare", "--user", "--map-root-user", sys.executable, "-P", "-c", FEW_WATCHES, *arguments],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
        capture_output=True,
        text=True,
    )
    if "unshare" in found.stderr or "max_inotify_watches" in found.stderr:
        pytest.skip(f"no user namespace with a limit of its own: {found.stderr.strip()[-200:]}")
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
@pytest.mark.parametrize(("n", "watching"), [(1000, "events"), (70, "both"), (20, "both"), (0, "polling")])
def test_the_real_limit_of_watches(tmp_path, n, watching):
    assert run_with_watches(n, tmp_path) == {"watching": watching, "trouble": []}


DEAF = """
import sys, threading
from pathlib import Path
sys.path[:0] = ["tests"]
from daemon import wait_until
from index import watch
from index.library import Library
from tests.index.conftest import StandIn, write_hit
watch.TICK_S = 0.2
drums = Path(sys.argv[1]) / "drums"
for number in range(1000):
    (drums / f"{number}/a").mkdir(parents=True)
def fill():
    for number in range(1000):
        (drums / f"{number}/b").mkdir()
        (drums / f"new{number}").mkdir()
filling = threading.Thread(target=fill)
with Library(Path(sys.argv[1]) / "state", StandIn(), watch=True) as library:
    reader = library._follower._observer._inotify_fd
    filling.start()
    library.add(str(drums))
    filling.join()
    write_hit(drums / "999/b/hit.wav", 1)
    wait_until(lambda: len(library.snapshot) == 1)
    assert reader.is_alive() and library.status().watching == "events"

    reader.handle_event = lambda event: 1 / 0
    threading.excepthook = lambda of: None
    write_hit(drums / "5/b/hit.wav", 2)
    wait_until(lambda: len(library.snapshot) == 2)
    assert not reader.is_alive() and library._follower._observer._inotify_fd.is_alive()
    write_hit(drums / "7/b/hit.wav", 3)
    wait_until(lambda: len(library.snapshot) == 3)
    assert library.status().watching == "events"
"""


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
def test_the_reader_of_events_outlives_folders_that_appear_and_is_replaced_when_it_ends(tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", DEAF, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "n_files", [2000, pytest.param(60_000, marks=pytest.mark.soak)], ids=["2000", "60000"]
)
def test_a_flood_of_files_all_arrive_and_nothing_is_encoded_twice(tmp_path, n_files):
    drums = tmp_path / "drums"
    drums.mkdir()
    sounds = []
    for seed in range(40):
        write_hit(tmp_path / "sound.wav", seed)
        sounds.append((tmp_path / "sound.wav").read_bytes())
    encoder = StandIn()
    with Library(tmp_path / "state", encoder, watch=True) as library:
        library.add(str(drums))
        wait_until(lambda: library.status().watching == "events")
        for number in range(n_files):
            if number % 1000 == 0:
                (drums / str(number)).mkdir()
            (drums / str(number - number % 1000) / f"{number}.wav").write_bytes(sounds[number % 40])
        wait_until(lambda: len(library.snapshot) == n_files, max(120, n_files / 20))
        assert encoder.n_encoded == 40 and library.status().trouble == ()
        assert paths_of(library) == {os.fsencode(path) for path in drums.rglob("*.wav")}
