"""Real drives for the tests that root may mount them for."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MUTE = Path(__file__).with_name("mute.py")


class Drive:
    """A tmpfs at one place."""

    def __init__(self, point: Path, options: str = "size=64m") -> None:
        self.point = point
        point.mkdir(exist_ok=True)
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", point], check=True, capture_output=True
        )

    def unmount(self) -> None:
        subprocess.run(["umount", "-l", self.point], check=True, capture_output=True)


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[Callable[..., Drive]]:
    """Mounts tmpfs drives; what is still mounted goes at the end."""
    try:
        Drive(tmp_path / "probe").unmount()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs root and mount")
    mounted: list[Drive] = []

    def drive(*arguments: str) -> Drive:
        mounted.append(Drive(tmp_path / "point", *arguments))
        return mounted[-1]

    yield drive
    while subprocess.run(["umount", "-l", tmp_path / "point"], capture_output=True).returncode == 0:
        pass


@pytest.fixture
def hung() -> Callable[[Path], object]:
    """Makes whatever looks at a folder hang, for the length of a block."""
    if not os.access("/dev/fuse", os.W_OK) or os.geteuid() != 0:
        pytest.skip("needs root and FUSE")

    @contextmanager
    def hung(point: Path) -> Iterator[None]:
        process = subprocess.Popen(
            [sys.executable, MUTE, point], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            if process.stdout.readline() != "mounted\n":
                pytest.skip(f"cannot mount FUSE here: {process.stderr.read()[-300:]}")
            yield
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
            process.stderr.close()
            subprocess.run(["umount", "-l", point], capture_output=True)

    return hung
