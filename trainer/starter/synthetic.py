"""Electronic drums by calculation, as drum machines make them: a kit of its own for every song that asks for one."""

from __future__ import annotations

import hashlib

import numpy as np
from scipy.signal import butter, sosfilt

from encoders.audio import SAMPLE_RATE, FloatArray


def synthesise(seed: int, drum: str) -> FloatArray:
    """One drum of the kit with this seed.

    Args:
        drum: one of `kits.DRUMS`.

    Returns:
        (T,) float32 at 44.1 kHz, peak 1, at most 2.5 s.
    """
    digest = hashlib.sha256(f"{seed}/{drum}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    shared = np.random.default_rng(seed)  # what makes it one machine: drive and brightness
    drive, bright = np.exp(shared.uniform(np.log(0.5), np.log(4))), np.exp(shared.uniform(-0.5, 0.5))
    sound = np.tanh(drive * _normal(_MAKERS[drum](rng, bright)))
    sound = sound[: int(2.5 * SAMPLE_RATE)]
    n_fade = int(0.01 * SAMPLE_RATE)
    sound[-n_fade:] *= np.linspace(1, 0, n_fade)
    return _normal(sound).astype(np.float32)


def _kick(rng: np.random.Generator, bright: float) -> np.ndarray:
    decay_s, end_hz, sweep = np.exp(rng.uniform(-2.4, -1.0)), rng.uniform(38, 65), rng.uniform(1, 8)
    t = _time(4 * decay_s)
    phase = 2 * np.pi * np.cumsum(end_hz * (1 + sweep * np.exp(-t / rng.uniform(0.008, 0.06)))) / SAMPLE_RATE
    click = _noise(rng, len(t), 1500 * bright, 12000) * np.exp(-t / 0.003) * rng.uniform(0, 0.5)
    return np.sin(phase) * np.exp(-t / decay_s) + click


def _tom(rng: np.random.Generator, bright: float) -> np.ndarray:
    decay_s, end_hz = np.exp(rng.uniform(-2.0, -0.9)), rng.uniform(75, 180)
    t = _time(4 * decay_s)
    phase = 2 * np.pi * np.cumsum(end_hz * (1 + rng.uniform(0.1, 1.2) * np.exp(-t / 0.05))) / SAMPLE_RATE
    skin = _noise(rng, len(t), 300, 5000 * bright) * np.exp(-t / 0.04) * rng.uniform(0, 0.3)
    return np.sin(phase) * np.exp(-t / decay_s) + skin


def _snare(rng: np.random.Generator, bright: float) -> np.ndarray:
    decay_s, hz = np.exp(rng.uniform(-2.9, -1.3)), rng.uniform(140, 280)
    t = _time(5 * decay_s)
    body = sum(np.sin(2 * np.pi * hz * k * t) / k for k in (1, rng.uniform(1.5, 2.0))) * np.exp(
        -t / rng.uniform(0.03, 0.1)
    )
    wires = _noise(rng, len(t), rng.uniform(600, 2500), min(18000, 9000 * bright)) * np.exp(-t / decay_s)
    return rng.uniform(0.2, 1.0) * body + rng.uniform(0.6, 1.6) * wires


def _clap(rng: np.random.Generator, bright: float) -> np.ndarray:
    t = _time(0.5)
    gap_s, n_claps = rng.uniform(0.007, 0.014), int(rng.integers(3, 6))
    shape = sum(np.where(t >= k * gap_s, np.exp(-(t - k * gap_s) / 0.004), 0) for k in range(n_claps - 1))
    last = (n_claps - 1) * gap_s
    shape = shape + np.where(t >= last, np.exp(-(t - last) / rng.uniform(0.03, 0.12)), 0)
    hz = rng.uniform(800, 1600)
    return _noise(rng, len(t), hz, min(16000, 3.5 * hz * bright)) * shape


def _metal(rng: np.random.Generator, decay_s: float, low_hz: float, share_of_noise: float) -> np.ndarray:
    t = _time(5 * decay_s)
    base = rng.uniform(180, 600)
    ring = (
        sum(
            np.sign(np.sin(2 * np.pi * base * ratio * t + rng.uniform(0, 6)))
            for ratio in rng.uniform(1, 5, 6)
        )
        / 6
    )
    noise = _noise(rng, len(t), low_hz, 20000)
    both = (1 - share_of_noise) * _filtered(ring, low_hz, 20000) + share_of_noise * noise
    return both * np.exp(-t / decay_s)


def _closed(rng: np.random.Generator, bright: float) -> np.ndarray:
    return _metal(
        rng, rng.uniform(0.01, 0.05), min(9500, rng.uniform(4000, 8000) * bright), rng.uniform(0.1, 0.9)
    )


def _open(rng: np.random.Generator, bright: float) -> np.ndarray:
    return _metal(
        rng, rng.uniform(0.12, 0.4), min(9500, rng.uniform(4000, 8000) * bright), rng.uniform(0.1, 0.9)
    )


def _crash(rng: np.random.Generator, bright: float) -> np.ndarray:
    return _metal(
        rng, rng.uniform(0.35, 0.7), min(6000, rng.uniform(1500, 4000) * bright), rng.uniform(0.5, 0.95)
    )


def _ride(rng: np.random.Generator, bright: float) -> np.ndarray:
    wash = _metal(
        rng, rng.uniform(0.25, 0.6), min(8000, rng.uniform(2500, 5000) * bright), rng.uniform(0.1, 0.6)
    )
    t = np.arange(len(wash)) / SAMPLE_RATE
    return wash + rng.uniform(0.1, 0.5) * np.sin(2 * np.pi * rng.uniform(2500, 5500) * t) * np.exp(-t / 0.05)


def _percussion(rng: np.random.Generator, bright: float) -> np.ndarray:
    if rng.random() < 0.4:
        return _metal(rng, rng.uniform(0.03, 0.1), 3000 * min(2.0, bright), 1.0)  # a shaker
    t = _time(0.4)
    hz = rng.uniform(300, 1800)
    tones = sum(np.sin(2 * np.pi * hz * ratio * t) for ratio in (1, rng.uniform(1.3, 1.6)))
    return tones * np.exp(-t / rng.uniform(0.015, 0.08))


_MAKERS = {
    "kick": _kick,
    "snare": _snare,
    "hihat": _closed,
    "openhat": _open,
    "crash": _crash,
    "ride": _ride,
    "tom": _tom,
    "clap": _clap,
    "percussion": _percussion,
}


def _time(length_s: float) -> np.ndarray:
    """(T,) seconds from 0, at most 2.5 s."""
    return np.arange(int(min(2.5, max(0.05, length_s)) * SAMPLE_RATE)) / SAMPLE_RATE


def _noise(rng: np.random.Generator, n_samples: int, low_hz: float, high_hz: float) -> np.ndarray:
    return _normal(_filtered(rng.standard_normal(n_samples), low_hz, high_hz))


def _filtered(sound: np.ndarray, low_hz: float, high_hz: float) -> np.ndarray:
    band = (low_hz, max(low_hz * 1.3, min(high_hz, 21000.0)))
    return sosfilt(butter(2, band, "bandpass", fs=SAMPLE_RATE, output="sos"), sound)


def _normal(sound: np.ndarray) -> np.ndarray:
    return sound / max(float(np.abs(sound).max()), 1e-9)
