"""The library converges to the disk, whatever happened. SAMPLEFIT_SOAK=1 takes longer lives and more of them."""

from __future__ import annotations

import os

import pytest

from tests.index.simulator import Life

SOAK = bool(os.environ.get("SAMPLEFIT_SOAK"))


@pytest.mark.timeout(7200 if SOAK else 300)
@pytest.mark.parametrize("seed", range(20 if SOAK else 2))
def test_the_library_converges_to_the_disk(tmp_path, seed):
    Life(tmp_path, seed).run(10_000 if SOAK else 1000)
