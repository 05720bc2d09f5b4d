"""Commands of the trainer. It needs torch, so it is imported only when one of them runs."""

from __future__ import annotations

import argparse
from typing import Any


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    """Adds the commands to the parser."""
