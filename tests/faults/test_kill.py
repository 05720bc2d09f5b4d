"""kill -9 at random moments while indexing: nothing that was committed is lost, nothing wrong is ever served.

SAMPLEFIT_SOAK=1 kills a hundred times.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from encoders.audio import read_one_shot
from encoders.windows import pad
from index.library import Library
from index.pipeline import COMMIT_EVERY, N_LANES
from tests.index.conftest import StandIn, paths_of, write_hit

ROOT = Path(__file__).resolve().parents[2]
N_KILLS = 100 if os.environ.get("SAMPLEFIT_SOAK") else 20

INDEXING = """
import os
import sys
from pathlib import Path
from index import keeper, library, pipeline
from tests.index.conftest import StandIn
keeper.CACHE_MIN = 10
pipeline.COMMIT_EVERY = 16
class Counting(StandIn):
    def keys(self, windows):
        os.write(1, b"%d\\n" % len(windows))  # whole, where print's text and newline of two lanes may mix
        return super().keys(windows)
with library.Library(Path(sys.argv[1]), Counting()) as found:
    print("ready", flush=True)
    found.add(sys.argv[2])
    print("done", flush=True)
"""


@pytest.mark.timeout(3600)
@pytest.mark.skipif(os.name == "nt", reason="no kill -9 there")
def test_kill_9_while_indexing(tmp_path):
    draw = random.Random(0)
    drums = tmp_path / "drums"
    n_files = n_kills = n_encoded = 0
    while n_kills < N_KILLS:
        n_files += 16
        for seed in range(n_files - 16, n_files):
            write_hit(drums / f"{seed}.wav", seed, seconds=0.03)
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", INDEXING, str(tmp_path / "state"), str(drums)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        lines = [process.stdout.readline() for _ in range(draw.randrange(16))]  # each a key
        killer = threading.Timer(draw.uniform(0.0, 0.02), process.send_signal, (signal.SIGKILL,))
        killer.start()
        lines = [line.strip() for line in (*lines, *process.stdout)]
        killer.cancel()
        process.wait()
        process.stdout.close()
        n_encoded += sum(int(line) for line in lines if line.isdigit())
        n_kills += "done" not in lines
        assert n_files < 32 * N_KILLS, "it is never killed in time"
    encoder = StandIn()
    with Library(tmp_path / "state", encoder) as library:
        library.sync()
        n_encoded += encoder.n_encoded
        library.sync()
        assert paths_of(library) == {os.fsencode(drums / f"{seed}.wav") for seed in range(n_files)}
        for table in library.snapshot.tables:
            for row in range(len(table.rows)):
                samples = read_one_shot(os.fsdecode(table.rows.path(row))).samples
                assert np.array_equal(table.rows.vectors[row], encoder.keys(pad(samples)[None])[0])
    assert n_encoded <= n_files + n_kills * (16 + 2 * N_LANES), "a kill costs what was not committed"
    assert COMMIT_EVERY == 64
