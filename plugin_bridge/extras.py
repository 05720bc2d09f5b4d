"""The parts of samplefit that are installed by choice, and how to get one."""

from __future__ import annotations

import importlib.util
import sys
from importlib.metadata import PackageNotFoundError, requires

MODULES = {
    "announce": ("zeroconf",),
    "panel": ("starlette", "uvicorn", "python_multipart"),
    "train": (
        "torch",
        "librosa",
        "matplotlib",
        "onnx",
        "onnxscript",
        "safetensors",
        "scipy",
        "sklearn",
        "tensorboard",
    ),
}
"""What an extra brings and its part cannot do without."""


def missing(extra: str) -> str:
    """The modules of an extra that are not here, with commas; "" where all are."""
    return ", ".join(name for name in MODULES[extra] if importlib.util.find_spec(name) is None)


def how_to_add(extra: str) -> str:
    """The command that adds an extra to this very installation.

    It names the packages and not `samplefit[extra]`: an index may hold another project of our name.
    """
    try:
        stated = [need.split(";") for need in requires("samplefit") or ()]
    except PackageNotFoundError:  # run from its folder
        return f"pip install '.[{extra}]' in the folder that holds samplefit"
    needs = [f'"{need[0].strip()}"' for need in stated if f'extra == "{extra}"' in need[-1]]
    return f'"{sys.executable}" -m pip install {" ".join(needs)}'
