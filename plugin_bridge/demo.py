"""`samplefit demo`: from nothing to an answer on one screen, by the real daemon over real OSC."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from encoders.errors import Busy
from plugin_bridge.addresses import DONE, HIT
from plugin_bridge.client import Client
from plugin_bridge.demo_sounds import BPM, write_library, write_stems

START_TIMEOUT_S = 60.0
N_SHOWN = 3


def run_demo() -> None:
    """Makes a library and stems in a temporary folder, serves them, presses once, prints the hits, cleans up."""
    with tempfile.TemporaryDirectory(prefix="samplefit-demo-") as name:
        folder = Path(name)
        n_one_shots = write_library(folder / "samples")
        stems = write_stems(folder / "stems")
        print(
            f"made   {n_one_shots} drum one-shots, and {len(stems)} stems of a song without drums at {BPM:g} bpm"
        )
        began = time.perf_counter()
        process = _serve(folder / "state")
        try:
            port = _ready(process)["osc_port"]
            print(
                f"serve  the daemon was ready in {time.perf_counter() - began:.1f} s, OSC port {port}, UDP and TCP"
            )
            with Client("127.0.0.1", port) as client:
                _press(client, folder, stems)
        finally:
            process.terminate()
            process.wait(20)
    print(
        "\nYour turn: samplefit add FOLDER_OF_SAMPLES, then samplefit suggest MIX.wav, or samplefit serve and a DAW."
    )


def _press(client: Client, folder: Path, stems: tuple[Path, ...]) -> None:
    began = time.perf_counter()
    client.ask("/samplefit/folder/add", str(folder / "samples"))
    print(f"index  the library was searchable after {time.perf_counter() - began:.1f} s")
    for stem in stems:
        client.ask("/samplefit/stem/file", stem.stem, str(stem), id="demo")
    *hits, done = client.ask("/samplefit/suggest", "k", N_SHOWN, id="demo")
    assert done.address == DONE and all(hit.address == HIT for hit in hits)
    print(
        f"press  {done.arguments[2]} hits in {done.arguments[3]:.0f} ms for {', '.join(stem.stem for stem in stems)}\n"
    )
    for _, rank, _, drum_type, score, path, _, duration_s in (hit.arguments for hit in hits):
        place = Path(path).relative_to(folder)
        print(f"{drum_type if rank == 1 else '':6}  {rank}  score {score:+.3f}  {duration_s:5.2f} s  {place}")


def _serve(state: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "import sys; from plugin_bridge.cli import main; sys.exit(main())"]
    command += ["serve", "--osc", "127.0.0.1:0", "--state", str(state)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _ready(process: subprocess.Popen[str]) -> dict[str, int]:
    """The daemon's first line."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        _, error = process.communicate(timeout=START_TIMEOUT_S)
        raise Busy(
            "the daemon", found=error.strip()[-500:], expected="a ready line", remedy="run samplefit doctor"
        )
    return json.loads(line)
