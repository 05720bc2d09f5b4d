"""Tiny songs with known onsets and types, made for tests: every song has a kit and a sound of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

RATE = 44_100
DRUMS = ("kick", "snare", "hihat")
HIT_S = 0.25


@dataclass(frozen=True)
class MadeSong:
    """A song that was written: its folder, and for each drum stem its onsets in samples."""

    folder: Path
    onsets: dict[str, tuple[int, ...]]


def make_songs(folder: Path, n_songs: int = 8, seconds: float = 6.0, seed: int = 0) -> tuple[MadeSong, ...]:
    """Writes `n_songs` songs of six stems, by turns electronic and acoustic, no two with a sample in common."""
    return tuple(
        make_song(
            folder / f"song{row:02}",
            seconds=seconds,
            seed=1000 * seed + row,
            facts=f'origin = "{("electronic", "acoustic")[row % 2]}"\n',
        )
        for row in range(n_songs)
    )


def make_song(
    folder: Path,
    *,
    seconds: float = 6.0,
    seed: int = 0,
    kit_seed: int | None = None,
    facts: str = "",
    stems: tuple[str, ...] = (*DRUMS, "bass", "keys", "pad"),
) -> MadeSong:
    """Writes one song; songs with one `kit_seed` play bit-equal drum hits. `facts` goes into song.toml."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    kit = np.random.default_rng([7, seed if kit_seed is None else kit_seed])
    sounds = {drum: hit(drum, kit) for drum in DRUMS}
    n_samples = round(seconds * RATE)
    onsets = {}
    for name in stems:
        if name in sounds:
            onsets[name] = tuple(int(at) for at in _onsets(n_samples, rng))
            samples = place(sounds[name], onsets[name], n_samples)
        else:
            samples = tone(rng.uniform(60, 800), n_samples, rng)
        write(folder / f"{name}.wav", samples)
    if facts:
        (folder / "song.toml").write_text(facts, "utf-8")
    return MadeSong(folder, onsets)


def hit(drum: str, rng: np.random.Generator) -> np.ndarray:
    """(T,) float32: a decaying sine for a kick, sine and noise for a snare, bright noise for a hi-hat."""
    time_s = np.arange(round(HIT_S * RATE)) / RATE
    noise = rng.standard_normal(len(time_s))
    pitch_hz, decay_s = rng.uniform(45, 90), rng.uniform(0.02, 0.05)
    if drum == "hihat":
        body = np.diff(noise, prepend=0.0)
    else:
        body = np.sin(2 * np.pi * pitch_hz * (1 if drum == "kick" else 3) * time_s + np.pi / 2)
        body = body + (noise if drum == "snare" else 0.0)
    samples = body * np.exp(-time_s / decay_s)
    return (0.5 * samples / np.abs(samples).max()).astype(np.float32)


def place(sound: np.ndarray, onsets: tuple[int, ...], n_samples: int) -> np.ndarray:
    """(T,) float32: the hit at each of its onsets."""
    samples = np.zeros(n_samples + len(sound), np.float32)
    for at in onsets:
        samples[at : at + len(sound)] += sound
    return samples[:n_samples]


def tone(pitch_hz: float, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """(T,) float32: a steady chord of four partials about -12 dB."""
    time_s = np.arange(n_samples) / RATE
    partials = sum(np.sin(2 * np.pi * pitch_hz * k * time_s + rng.uniform(0, 6)) / k for k in (1, 2, 3, 5))
    return (0.1 * partials).astype(np.float32)


def write(path: Path, samples: np.ndarray, rate: int = RATE) -> None:
    """A 16-bit file, its kind by the ending."""
    soundfile.write(path, samples, rate)


def _onsets(n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """(N,) ascending samples, at least `HIT_S` and no two gaps equal."""
    gaps = rng.permutation(np.arange(8)) * 0.11 + 0.3 + rng.uniform(0, 0.05, 8)  # (8,) seconds
    at = np.cumsum(gaps * RATE).astype(int)
    return at[at < n_samples - round(HIT_S * RATE)]
