"""Arrangements: the instruments that play a song, by its origin, and small changes of key and tempo."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from trainer.starter.score import Control, Excerpt, Notes, Part, Score

ORIGINS = ("electronic", "acoustic")

_ELECTRONIC = {
    "bass": (38, 39, 87, 38, 39),
    "keys": (4, 5, 62, 63, 80, 81, 88, 90, 98),
    "lead": (80, 81, 82, 84, 86, 87, 62, 63),
    "pad": (50, 51, 54, 88, 89, 90, 92, 93, 94, 95),
    "bells": (98, 8, 9, 11, 112, 10),
}
_ACOUSTIC = {
    "bass": (32, 33, 34, 35, 36, 33),
    "keys": (0, 1, 2, 3, 4, 16, 17, 18, 24, 25, 26, 27),
    "lead": (22, 27, 29, 30, 40, 56, 59, 65, 66, 71, 73),
    "pad": (19, 21, 48, 49, 52, 53, 61),
    "bells": (9, 11, 12, 13, 46),
}
_ROLE = (
    *("keys",) * 8, *("bells",) * 8, *("keys",) * 8, *("keys",) * 8, *("bass",) * 8, *("lead",) * 5, "keys", "bells",
    "lead", *("pad",) * 8, *("lead",) * 8, *("lead",) * 8, *("lead",) * 8, *("lead",) * 8, *("pad",) * 8, *("bells",) * 8,
    *("keys",) * 8, *("bells",) * 8, *("bells",) * 8,
)  # fmt: skip
"""General MIDI program → role, by the families of eight."""


def other(origin: str) -> str:
    return ORIGINS[1 - ORIGINS.index(origin)]


def arrange(played: Excerpt, origin: str, variant: int, rng: np.random.Generator) -> Excerpt:
    """The excerpt as this variant plays it: instruments for its origin, from the second on another key and tempo.

    A song in its own origin keeps its instruments, one in four exchanged within its family of eight.
    """
    own = origin == played.score.origin
    parts = tuple(
        replace(part, program=_kin(part, rng) if own else _exchange(part, origin, rng))
        for part in played.score.parts
    )
    semitones, speed = (
        (0, 1.0) if variant == 1 else (int(rng.integers(-3, 4)), float(rng.uniform(0.92, 1.09)))
    )
    parts = tuple(
        Part(part.program, _moved(part.notes, semitones, speed), _slowed(part.controls, speed))
        for part in parts
    )
    drums = {kind: _moved(notes, 0, speed) for kind, notes in played.score.drums.items()}
    return Excerpt(Score(parts, drums, origin), played.start_s, played.length_s / speed)


def _kin(part: Part, rng: np.random.Generator) -> int:
    if rng.random() < 0.75 or part.program >= 112:
        return part.program
    return part.program // 8 * 8 + int(rng.integers(8))


def _exchange(part: Part, origin: str, rng: np.random.Generator) -> int:
    table = _ELECTRONIC if origin == "electronic" else _ACOUSTIC
    return int(rng.choice(table[_ROLE[part.program]]))


def _moved(notes: Notes, semitones: int, speed: float) -> Notes:
    return notes * (1 / speed, 1 / speed, 1, 1) + (0, 0, semitones, 0)


def _slowed(controls: tuple[Control, ...], speed: float) -> tuple[Control, ...]:
    return tuple(replace(control, time_s=control.time_s / speed) for control in controls)
