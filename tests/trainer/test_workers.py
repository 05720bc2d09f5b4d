"""Worker processes end with their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import os, sys
from trainer.workers import pool

if __name__ == "__main__":
    with pool(1) as workers:
        pid = workers.submit(os.getpid).result()
        print(pid, flush=True)
        sys.stdin.read()
"""


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_worker_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    parent = subprocess.Popen(
        [sys.executable, str(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        text=True,
    )
    worker = int(parent.stdout.readline())
    os.kill(worker, 0)
    parent.send_signal(signal.SIGKILL)
    assert (
        parent.stdout.read() == ""
    )  # the worker holds the other end of this pipe: it is closed when both are gone
    parent.wait()
    parent.stdin.close()
    parent.stdout.close()
