"""Songs that are finished already: with sounds, kit and production as their composer left them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from encoders.audio import SILENCE_DBFS, FloatArray
from encoders.drum_types import guess_type

_NO_DRUM = re.compile(r"\bsus|reverse|rattle|/|composed|started", re.IGNORECASE)
"""Names that sound like a drum's and are not: chords, effects, two drums in one sample, greetings."""


@dataclass(frozen=True, eq=False)
class Finished:
    """An excerpt of a finished song.

    Attributes:
        stems: name → (T,) float32 mono at 44.1 kHz; their sum is the mix.
        kinds: name → drum type, for the drums.
        kits: names of the kits of the corpus whose files it plays.
    """

    stems: dict[str, FloatArray]
    kinds: dict[str, str]
    start_s: float
    length_s: float
    kits: tuple[str, ...] = ()


def heard(stems: dict[str, FloatArray]) -> dict[str, FloatArray]:
    """Those that are not silent."""
    return {name: audio for name, audio in stems.items() if np.abs(audio).max() > 10 ** (SILENCE_DBFS / 20)}


def kind_of(name: str) -> str | None:
    """The drum type that an instrument's name tells, None for one that names no single drum."""
    typed = None if _NO_DRUM.search(name) else guess_type(Path(name.strip().replace("/", " ") + ".wav"))
    return typed.type if typed and typed.type != "other" and not typed.is_loop else None
