"""Songs by MMA (Musical MIDI Accompaniment): its grooves over chords drawn by seed, as many as there are grooves."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from encoders.errors import NotFound
from trainer.starter.midi import read_midi
from trainer.starter.score import Score, Unusable

N_BARS = 32
DRUMS_ONLY = "zoom"
"""A folder of MMA's library with drum patterns that nothing accompanies."""

_ASIDE = re.compile(r"(intro|end|fill|metronome|none|count|tag)\d*$", re.IGNORECASE)
_KEYS = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
_MAJOR = (
    ("0", "9m", "5", "7"), ("0", "7", "9m", "5"), ("0", "5", "7", "5"), ("0M7", "9m7", "2m7", "77"),
    ("0", "4m", "5", "7"), ("2m7", "77", "0M7", "0M7"), ("0", "0", "5", "7"), ("07", "57", "07", "77"),
)  # fmt: skip
_MINOR = (
    ("0m", "8", "3", "10"), ("0m", "5m", "0m", "7"), ("0m", "10", "8", "7"), ("0m7", "57", "10M7", "3M7"),
    ("0m", "0m", "5m", "77"), ("0m", "3", "5", "8"),
)  # fmt: skip
"""Four bars each: semitones above the key, then the chord's kind. Common progressions."""


def list_grooves(library: Path) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Each file of MMA's library, as "folder/file", with the grooves that can carry a song."""
    found = []
    for path in sorted(path for path in library.rglob("*.mma") if path.parent.name != DRUMS_ONLY):
        names = re.findall(r"^\s*DefGroove\s+(\S+)", path.read_text("latin-1"), re.IGNORECASE | re.MULTILINE)
        if grooves := tuple(dict.fromkeys(name for name in names if not _ASIDE.search(name))):
            found.append((path.relative_to(library).with_suffix("").as_posix(), grooves))
    return tuple(found)


def read_groove(file: str, grooves: tuple[str, ...], rng: np.random.Generator) -> Score:
    """Composes a song: two grooves of one file in turn, eight bars each, over progressions in one key.

    Raises:
        NotFound: `mma` is not installed.
        Unusable: MMA refuses the groove, or it has no drums or parts.
    """
    program = shutil.which("mma")
    if program is None:
        raise NotFound(
            "mma", found="no such program", remedy="install MMA (Debian: mma), or leave its grooves out"
        )
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "song.mma"), Path(folder, "song.mid")
        source.write_text(_song(file, grooves, rng), "ascii")
        result = subprocess.run(
            [program, "-f", str(target), str(source)], capture_output=True, text=True, timeout=60, check=False
        )
        if result.returncode or not target.exists():
            said = " ".join(result.stdout.split())
            raise Unusable(f"MMA: {said[said.find('Error') :][:120]}")
        score = read_midi(target)
    if rng.random() < 0.3:
        return replace(score, origin="electronic")
    return score


def _song(file: str, grooves: tuple[str, ...], rng: np.random.Generator) -> str:
    first, second = rng.choice(grooves, 2)
    key, minor = int(rng.integers(12)), rng.random() < 0.4
    verse, chorus = (
        (_MINOR if minor else _MAJOR)[int(rng.integers(6))],
        (_MINOR if minor else _MAJOR)[int(rng.integers(6))],
    )
    lines = [
        f"RndSeed {int(rng.integers(1, 1 << 30))}",
        f"Tempo {int(np.clip(rng.normal(112, 25), 65, 180))}",
    ]
    for bar in range(N_BARS):
        if bar % 8 == 0:
            lines.append(f"Groove {file}:{first if bar % 16 == 0 else second}")
        lines.append(f"{bar + 1} {_chord((verse if bar % 16 < 8 else chorus)[bar % 4], key)}")
    return "\n".join(lines) + "\n"


def _chord(step: str, key: int) -> str:
    number, kind = re.fullmatch(r"(10|\d)(.*)", step).groups()
    return _KEYS[(key + int(number)) % 12] + kind
