"""How fast does the library follow the disk, and what does it hold in memory at each size?

    python benchmarks/sync.py first --n 10000        # the first scan, against a plain loop
    python benchmarks/sync.py large --n 63000        # restart, rescan, a new file, memory, disk

The plain loop is the script that one would write: soundfile, soxr, one run of the key graph a file, in a session of
ONNX Runtime as it comes (threads on all cores, spinning). The two sides take turns, in four parts of the files.
CPU seconds stand beside the wall clock: other work on the machine stretches the clock alone.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[1] / "tests")]

from daemon import serving
from filled import fill
from measure import machine, resident_mb, spread, write

from encoders.audio import SAMPLE_RATE
from encoders.package import STARTER, Package, open_package
from encoders.session import open_encoder, runtime
from encoders.windows import pad
from index.library import Library

N_PARTS = 4
N_RESCANS = 5
N_ARRIVALS = 10


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("first", "large"))
    parser.add_argument("--n", type=int, default=10_000, help="one-shots")
    parser.add_argument("--model", type=Path, default=STARTER)
    given = parser.parse_args()
    about = machine()
    package = open_package(given.model)
    with tempfile.TemporaryDirectory() as place:
        if given.what == "first":
            result = first_scan(Path(place), package, given.n)
        else:
            result = large(Path(place), package, given.n)
    write(f"sync-{given.what}-{given.n}", {"model": package.card.name, "n": given.n, **result}, about)


def first_scan(place: Path, package: Package, n: int) -> dict[str, Any]:
    """Files a second of the library and of the plain loop."""
    seconds: dict[str, list[float]] = {"library": [], "plain_loop": []}
    parts = {"read": 0.0, "resample": 0.0, "encode": 0.0}
    session = runtime().InferenceSession(package.key, providers=["CPUExecutionProvider"])
    with Library(place / "state", open_encoder(package)) as library:
        for part in range(N_PARTS):
            ours, theirs = place / f"ours{part}", place / f"theirs{part}"
            make_one_shots(ours, n // N_PARTS, seed=2 * part)
            make_one_shots(theirs, n // N_PARTS, seed=2 * part + 1)
            with timed(seconds["library"]):
                library.add(str(ours))
            with timed(seconds["plain_loop"]):
                plain_loop(theirs, session, parts)
    rates = {
        f"{name}_files_a_second": round(N_PARTS * (n // N_PARTS) / sum(taken), 1)
        for name, taken in seconds.items()
    }
    ratios = [plain / ours for ours, plain in zip(seconds["library"], seconds["plain_loop"], strict=True)]
    split = {name: round(1000 * taken / n, 2) for name, taken in parts.items()}
    return rates | {"plain_loop_to_library": spread(ratios), "plain_loop_ms_a_file": split}


def plain_loop(folder: Path, session: Any, parts: dict[str, float]) -> None:
    """What a script would do; adds up where its time goes."""
    for path in sorted(folder.iterdir()):
        began = time.perf_counter()
        frames, rate = soundfile.read(path, dtype="float32", always_2d=True)
        mono = frames.mean(axis=1)
        read = time.perf_counter()
        samples = mono if rate == SAMPLE_RATE else soxr.resample(mono, rate, SAMPLE_RATE)
        resampled = time.perf_counter()
        session.run(None, {"audio": pad(samples.astype(np.float32))[None]})
        parts["read"] += read - began
        parts["resample"] += resampled - read
        parts["encode"] += time.perf_counter() - resampled


@contextmanager
def timed(into: list[float]) -> Iterator[None]:
    """Adds the seconds that the block takes."""
    began = time.perf_counter()
    yield
    into.append(time.perf_counter() - began)


def make_one_shots(folder: Path, n: int, seed: int) -> None:
    """Bursts of noise of .1 to 2 s that die away, half of them stereo at 48 kHz."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for number in range(n):
        rate, n_channels = ((44_100, 1), (48_000, 2))[number % 2]
        length = round(rng.uniform(0.1, 2.0) * rate)
        envelope = np.exp(-np.arange(length) / (0.2 * length))[:, None]
        sound = 0.3 * envelope * rng.standard_normal((length, n_channels))
        soundfile.write(folder / f"kick {number:05}.wav", sound.clip(-1, 1).astype(np.float32), rate)


def large(place: Path, package: Package, n: int) -> dict[str, Any]:
    """A library of `n` keys: its first opening, a restart, rescans of everything unchanged, new files."""
    state, drums = place / "state", place / "drums"
    fill(state, drums, n, package.card.digest, package.card.dim)
    encoder = open_encoder(package)
    opening: list[float] = []
    began_cpu = time.process_time()
    with timed(opening):
        library = Library(state, encoder)  # reads the catalogue whole
    opening_cpu_s = time.process_time() - began_cpu
    with library:
        library.sync()
    peak_mb = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
    restart: list[float] = []
    began_cpu = time.process_time()
    with timed(restart):
        library = Library(state, encoder, watch=True)
    restart_cpu_s = time.process_time() - began_cpu
    with library:
        revision = library.sync()
        rescans: list[float] = []
        began_cpu = time.process_time()
        for _ in range(N_RESCANS):
            with timed(rescans):
                assert library.sync() == revision
        rescan_cpu_s = (time.process_time() - began_cpu) / N_RESCANS
        arrivals = [arrival(library, drums, number) for number in range(N_ARRIVALS)]
    began = time.perf_counter()
    with serving(state, "--model", package.path) as daemon:
        ready_s = time.perf_counter() - began
        resident = resident_mb(daemon.process.pid)
    return {
        "first_opening_s": round(opening[0], 2),
        "first_opening_cpu_s": round(opening_cpu_s, 2),
        "first_opening_peak_mb": peak_mb,
        "restart_s": round(restart[0], 3),
        "restart_cpu_s": round(restart_cpu_s, 3),
        "daemon_ready_s": round(ready_s, 2),
        "daemon_resident_mb": resident,
        "rescan_s": spread(rescans),
        "rescan_cpu_s": round(rescan_cpu_s, 3),
        "file_to_snapshot_s": spread(arrivals),
        "catalogue_mb": size_mb(state.glob("catalogue*")),
        "cache_mb": size_mb(state.glob("cache/*/*")),
    }


def arrival(library: Library, folder: Path, number: int) -> float:
    """Seconds from a file's last byte until a snapshot offers it."""
    n_before = len(library.snapshot)
    make_one_shots(folder / f"new{number}", 1, seed=1_000_000 + number)
    began = time.perf_counter()
    pause = threading.Event()
    while len(library.snapshot) == n_before and time.perf_counter() - began < 60:
        pause.wait(0.01)
    return time.perf_counter() - began


def size_mb(paths: Iterable[Path]) -> float:
    return round(sum(path.stat().st_size for path in paths) / 1e6, 1)


if __name__ == "__main__":
    main()
