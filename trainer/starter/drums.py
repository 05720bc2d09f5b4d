"""Drum stems: one for each type of an excerpt, played on a kit's one-shots."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import soxr

from encoders.audio import SAMPLE_RATE, FloatArray, read_one_shot
from trainer.starter.kits import Kit
from trainer.starter.score import Notes
from trainer.starter.synthetic import synthesise

OPEN_HIHAT = 46
_TOM_SEMITONES = {41: -5, 43: -3, 45: -1, 47: 1, 48: 3, 50: 5}
_CHOKE_S = 0.012
_STAND_IN = {"openhat": "hihat", "hihat": "openhat"}


def play_kit(
    kits: tuple[Kit, ...], drums: dict[str, Notes], n_samples: int, rng: np.random.Generator
) -> tuple[dict[str, FloatArray], tuple[str, ...]]:
    """Plays an excerpt's drums on the first kit; those behind lend what it lacks.

    Every drum is one sound, tuned once; velocity sets its level. A hit ends the one before on the same drum, by a
    fade of 12 ms, and any hit of the closed hi-hat ends the open one.

    Returns:
        Type → (n_samples,) float32, for each type that some kit has; the names of the kits that played, the one with most drums
        first.
    """
    stems, played = {}, Counter[str]()
    for kind, notes in drums.items():
        sounds: dict[str, FloatArray] = {}
        for drum in sorted({_drum(kind, pitch) for pitch in notes[:, 2]}):
            found = _sound(kits, drum, rng)
            if found is None:
                continue
            name, sounds[drum] = found
            played[name] += 1
        if sounds:
            stems[kind] = _stem(kind, notes, sounds, n_samples)
    return stems, tuple(name for name, _ in played.most_common())


def _drum(kind: str, pitch: float) -> str:
    return "openhat" if kind == "hihat" and round(pitch) == OPEN_HIHAT else kind


def _sound(kits: tuple[Kit, ...], drum: str, rng: np.random.Generator) -> tuple[str, FloatArray] | None:
    """One sound for a drum and the kit that it is of, tuned by a little."""
    semitones = float(np.clip(rng.normal(0, 1.0), -3, 3))
    for kit in kits:
        if kit.synthetic is not None:
            return kit.name, synthesise(kit.synthetic, drum)
        paths = kit.sounds.get(drum) or kit.sounds.get(_STAND_IN.get(drum, ""))
        if paths:
            return kit.name, _repitch(_load(paths[int(rng.integers(len(paths)))]), semitones)
    return None


def _load(path: Path) -> FloatArray:
    """A one-shot from its onset on, at full level, its end faded. → (T,)"""
    samples = read_one_shot(path).samples
    loud = np.abs(samples) > 0.02 * np.abs(samples).max()
    start = max(0, int(np.argmax(loud)) - 64)
    sound = samples[start:] / np.abs(samples).max()
    n_fade = min(len(sound), int(0.02 * SAMPLE_RATE))
    sound[-n_fade:] *= np.linspace(1, 0, n_fade, dtype=np.float32)
    return sound


def _repitch(sound: FloatArray, semitones: float) -> FloatArray:
    """Plays faster or slower, as a sampler does. (T,) → (T',)"""
    if abs(semitones) < 0.02:
        return sound
    return soxr.resample(sound, SAMPLE_RATE * 2 ** (semitones / 12), SAMPLE_RATE, quality="HQ").astype(
        np.float32
    )


def _stem(kind: str, notes: Notes, sounds: dict[str, FloatArray], n_samples: int) -> FloatArray:
    stem = np.zeros(n_samples, np.float32)
    tuned: dict[tuple[str, int], FloatArray] = {}
    starts = np.round(notes[:, 0] * SAMPLE_RATE).astype(int)
    for place, (_, _, pitch, velocity) in enumerate(notes):
        drum = _drum(kind, pitch)
        if drum not in sounds:
            drum = next(iter(sounds))
        step = _TOM_SEMITONES.get(round(pitch), 0) if kind == "tom" else 0
        if (drum, step) not in tuned:
            tuned[drum, step] = _repitch(sounds[drum], step)
        start = starts[place]
        later = starts[place + 1 :]
        end = int(later[later > start + 441][0]) if (later > start + 441).any() else n_samples
        hit = tuned[drum, step][: min(n_samples - start, end - start + int(_CHOKE_S * SAMPLE_RATE))].copy()
        if len(hit) > end - start:
            n_fade = len(hit) - (end - start)
            hit[-n_fade:] *= np.linspace(1, 0, n_fade, dtype=np.float32)
        stem[start : start + len(hit)] += hit * np.float32((velocity / 127) ** 1.6)
    return stem
