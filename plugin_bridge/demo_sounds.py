"""A small drum library and a sparse mix, made from numbers, so that the demo needs nothing but itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from encoders.audio import SAMPLE_RATE, FloatArray

N_TAKES = 5
BPM = 112.0


def write_library(folder: Path, seed: int = 1) -> int:
    """Writes `N_TAKES` one-shots of each of the six types, from dull and short to bright and long; returns how many."""
    rng = np.random.default_rng(seed)
    for name, make in _MAKERS.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for take in range(N_TAKES):
            colour = take / (N_TAKES - 1)
            sound = _peak(make(colour, rng), 0.9)
            soundfile.write(folder / name / f"{name}_{take + 1:02d}.wav", sound, SAMPLE_RATE)
    return len(_MAKERS) * N_TAKES


def write_stems(folder: Path, seed: int = 1) -> tuple[Path, ...]:
    """Writes the stems of a sparse mix of four bars: bass, chords and a lead; returns their paths."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    beat_s = 60 / BPM
    bass, chords, lead = (np.zeros(round(16 * beat_s * SAMPLE_RATE), np.float32) for _ in range(3))
    for bar, root in enumerate((45, 41, 48, 43)):
        for eighth in range(8):
            _place(
                bass,
                (bar * 4 + eighth / 2) * beat_s,
                _note(root - 12, beat_s * 0.45, (1, 0.5, 0.3, 0.2), 9.0),
            )
        for offset in (0, 3 if bar in (0, 2) else 4, 7):
            _place(
                chords, bar * 4 * beat_s, 0.3 * _note(root + 12 + offset, beat_s * 3.8, (1, 0.4, 0.2), 0.7)
            )
        for step in sorted(rng.choice(16, 6, replace=False)):
            pitch = root + 24 + int(rng.choice((0, 3, 5, 7, 10)))
            _place(
                lead,
                (bar * 4 + step / 4) * beat_s,
                0.35 * _note(pitch, beat_s * 0.4, (1, 0.2, 0.4, 0.1), 6.0),
            )
    paths = []
    for name, stem in (("bass", bass), ("chords", chords), ("lead", lead)):
        paths.append(folder / f"{name}.wav")
        soundfile.write(paths[-1], _peak(stem, 0.3), SAMPLE_RATE)
    return tuple(paths)


def _time(seconds: float) -> FloatArray:
    return np.arange(round(seconds * SAMPLE_RATE), dtype=np.float32) / SAMPLE_RATE


def _noise(seconds: float, lowest_hz: float, highest_hz: float, rng: np.random.Generator) -> FloatArray:
    """(T,) float32 noise between two frequencies."""
    n_samples = round(seconds * SAMPLE_RATE)
    spectrum = np.fft.rfft(rng.standard_normal(n_samples))
    hz = np.fft.rfftfreq(n_samples, 1 / SAMPLE_RATE)
    spectrum[(hz < lowest_hz) | (hz > highest_hz)] = 0
    return np.fft.irfft(spectrum, n_samples).astype(np.float32)


def _sweep(seconds: float, from_hz: float, to_hz: float, fall_per_s: float) -> FloatArray:
    """A sine whose pitch falls exponentially, as a drum head's does."""
    t = _time(seconds)
    return np.sin(2 * np.pi * (to_hz * t + (from_hz - to_hz) * (1 - np.exp(-fall_per_s * t)) / fall_per_s))


def _kick(colour: float, rng: np.random.Generator) -> FloatArray:
    seconds = 0.25 + 0.5 * colour
    body = _sweep(seconds, 120 + 160 * colour, 45 + 10 * rng.random(), 30) * np.exp(
        -_time(seconds) * (14 - 9 * colour)
    )
    click = _noise(seconds, 1500, 3000 + 6000 * colour, rng) * np.exp(-_time(seconds) * 300)
    return body + (0.1 + 0.5 * colour) * click


def _snare(colour: float, rng: np.random.Generator) -> FloatArray:
    seconds = 0.2 + 0.3 * colour
    body = _sweep(seconds, 260, 170 + 40 * rng.random(), 25) * np.exp(-_time(seconds) * 22)
    wires = _noise(seconds, 700 + 800 * colour, 5000 + 11000 * colour, rng) * np.exp(
        -_time(seconds) * (26 - 14 * colour)
    )
    return body + (0.6 + colour) * wires


def _hihat(colour: float, rng: np.random.Generator) -> FloatArray:
    seconds = 0.08 + 0.4 * colour**2
    return _noise(seconds, 5000 + 3000 * colour, 11000 + 7000 * colour, rng) * np.exp(
        -_time(seconds) * (70 - 58 * colour)
    )


def _ride(colour: float, rng: np.random.Generator) -> FloatArray:
    seconds = 1.0 + colour
    ping = sum(np.sin(2 * np.pi * hz * _time(seconds)) for hz in (3100, 4370, 5210 + 900 * colour))
    wash = _noise(seconds, 4000, 8000 + 7000 * colour, rng)
    return (0.15 * ping * np.exp(-_time(seconds) * 6) + wash * np.exp(-_time(seconds) * 3)).astype(np.float32)


def _crash(colour: float, rng: np.random.Generator) -> FloatArray:
    seconds = 1.2 + 1.3 * colour
    return _noise(seconds, 900, 7000 + 9000 * colour, rng) * np.exp(-_time(seconds) * (4.5 - 2.5 * colour))


def _tom(colour: float, rng: np.random.Generator) -> FloatArray:
    seconds = 0.3 + 0.4 * colour
    pitch = 90 + 90 * rng.random()
    skin = _noise(seconds, 300, 1500 + 3000 * colour, rng) * np.exp(-_time(seconds) * 60)
    return _sweep(seconds, 1.6 * pitch, pitch, 18) * np.exp(-_time(seconds) * (10 - 5 * colour)) + 0.3 * skin


_MAKERS = {"kick": _kick, "snare": _snare, "hihat": _hihat, "ride": _ride, "crash": _crash, "tom": _tom}


def _note(pitch: int, seconds: float, partials: tuple[float, ...], decay_per_s: float) -> FloatArray:
    hz = 440 * 2 ** ((pitch - 69) / 12)
    t = _time(seconds)
    tone = sum(level * np.sin(2 * np.pi * hz * (n + 1) * t) for n, level in enumerate(partials))
    attack = np.minimum(1, t / 0.005) * np.minimum(1, (seconds - t) / 0.02)
    return (tone * np.exp(-decay_per_s * t) * attack).astype(np.float32)


def _place(track: FloatArray, at_s: float, sound: FloatArray) -> None:
    start = round(at_s * SAMPLE_RATE)
    part = track[start : start + len(sound)]
    part += sound[: len(part)]


def _peak(sound: FloatArray, level: float) -> FloatArray:
    return (sound * (level / np.abs(sound).max())).astype(np.float32)
