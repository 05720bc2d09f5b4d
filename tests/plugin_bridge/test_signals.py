"""A signal ends the daemon whenever it comes, also while its main thread is between two steps of a wait."""

from __future__ import annotations

import subprocess
import sys

import pytest
from daemon import ENVIRONMENT

ROUNDS = """
import signal
from plugin_bridge.daemon import set_by_signals
for n in range(2000):
    stop = set_by_signals()
    signal.signal(signal.SIGALRM, signal.getsignal(signal.SIGTERM))
    signal.setitimer(signal.ITIMER_REAL, 1e-4 + 1e-7 * n)
    while not stop.wait(0.0):
        pass
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no timers that send signals there")
def test_no_signal_is_lost_or_waits_for_ever():
    assert subprocess.run([sys.executable, "-c", ROUNDS], env=ENVIRONMENT, timeout=100).returncode == 0
