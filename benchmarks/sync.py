"""How fast does the library follow the disk? First scan against a plain loop, a rescan, a restart, a new file.

    python benchmarks/sync.py [--n-first 2000] [--n-keys 63000] [--model DIR]

The plain loop does what a script would do on the same files: soundfile, soxr, one call of the key encoder a file.
Both take half of the first scan's files in turn, in four parts.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from benchmarks.filled import fill
from benchmarks.measure import machine, resident_mb, spread, write
from encoders.audio import SAMPLE_RATE
from encoders.package import STARTER, open_package
from encoders.session import Encoder, open_encoder
from encoders.windows import pad
from index.library import Library

N_PARTS = 4


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--n-first", type=int, default=2000, help="files of the first scan, half for either side"
    )
    parser.add_argument(
        "--n-keys", type=int, default=63_000, help="size of the library that is scanned again"
    )
    parser.add_argument("--rounds", type=int, default=10, help="how often a new file is waited for")
    parser.add_argument("--model", type=Path, default=STARTER)
    options = parser.parse_args()
    about = machine()
    encoder = open_encoder(open_package(options.model))
    with tempfile.TemporaryDirectory() as place:
        result: dict[str, Any] = {
            "model": encoder.card.name,
            "first_scan": first_scan(Path(place) / "first", encoder, options.n_first),
            "large": large(Path(place) / "large", encoder, options.n_keys, options.rounds),
        }
        write("sync", result, about)


def first_scan(place: Path, encoder: Encoder, n: int) -> dict[str, float]:
    """Files a second of the library and of the plain loop, which take turns."""
    seconds = {"library": 0.0, "plain_loop": 0.0}
    n_part = n // (2 * N_PARTS)
    with Library(place / "state", encoder) as library:
        for part in range(N_PARTS):
            make_one_shots(place / f"ours{part}", n_part, seed=2 * part)
            make_one_shots(place / f"theirs{part}", n_part, seed=2 * part + 1)
            began = time.perf_counter()
            library.add(str(place / f"ours{part}"))
            seconds["library"] += time.perf_counter() - began
            began = time.perf_counter()
            plain_loop(place / f"theirs{part}", encoder)
            seconds["plain_loop"] += time.perf_counter() - began
    rates = {f"{name}_files_a_second": round(N_PARTS * n_part / taken, 1) for name, taken in seconds.items()}
    return {
        "n_files": N_PARTS * n_part,
        **rates,
        "ratio": round(seconds["plain_loop"] / seconds["library"], 2),
    }


def large(place: Path, encoder: Encoder, n: int, rounds: int) -> dict[str, Any]:
    """A library of `n` keys: restart, rescan of everything unchanged, from a new file to its place in a snapshot."""
    fill(place / "state", place / "drums", n, encoder.card.digest, encoder.card.dim)
    with Library(place / "state", encoder) as library:
        library.sync()
    began = time.perf_counter()
    library = Library(place / "state", encoder, watch=True)
    restart_s = time.perf_counter() - began
    with library:
        revision = library.sync()
        rescans = []
        for _ in range(5):
            began = time.perf_counter()
            assert library.sync() == revision
            rescans.append(time.perf_counter() - began)
        arrivals = [arrival(library, place / "drums", number) for number in range(rounds)]
        return {
            "n_keys": n,
            "restart_s": round(restart_s, 3),
            "rescan_s": spread(rescans),
            "file_to_snapshot_s": spread(arrivals),
            "resident_mb": resident_mb(os.getpid()),
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


def plain_loop(folder: Path, encoder: Encoder) -> None:
    """What a script would do."""
    for path in sorted(folder.iterdir()):
        frames, rate = soundfile.read(path, dtype="float32", always_2d=True)
        mono = frames.mean(axis=1)
        samples = mono if rate == SAMPLE_RATE else soxr.resample(mono, rate, SAMPLE_RATE)
        encoder.keys(pad(samples.astype(np.float32))[None])


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


if __name__ == "__main__":
    main()
