"""How a one-shot sounds: eight perceptual features, six spectral ones (Lattner 2022, section 6.3).

The perceptual ones follow the timbral models of the Audio Commons project (Pearce, Brookes, Mason: "Timbral
models", deliverables D5.2 to D5.8, 2016 to 2018), which fit sums of signal measures to listeners' ratings; the
weights are theirs. The measures are written anew for a single hit: docs/analysis.md says how far the two agree.
"""

from __future__ import annotations

import librosa
import numpy as np
from scipy.signal import find_peaks, spectrogram

from encoders.audio import SAMPLE_RATE, FloatArray
from trainer.sones import STEP_BARK, WINDOW, FloatArray64, specific_loudness, to_target

LENGTH = round(0.5 * SAMPLE_RATE)
"""Sounds are cut or padded to .5 s, so that length itself is not a feature."""

PERCEPTUAL = ("boominess", "brightness", "depth", "hardness", "roughness", "warmth", "loudness", "sharpness")
SPECTRAL = (
    "log attack time",
    "spectral centroid",
    "spectral bandwidth",
    "spectral contrast",
    "spectral flatness",
    "spectral rolloff",
)
FEATURES = PERCEPTUAL + SPECTRAL

FLOOR = 1e-6
"""Stands for nothing before a logarithm."""

LEAST_LOW = 0.5
"""Floor of both measures of boominess: invented. A hi-hat has no lows at all once an FFT takes the place of
filters that leak, and the logarithm of that would outweigh everything else."""

_BARK = np.arange(1, 241) * STEP_BARK
_BARK_HZ = 600 * np.sinh(_BARK / 6)


def describe(samples: FloatArray) -> FloatArray64:
    """The features of a hit, in the order of `FEATURES`.

    Args:
        samples: (T,) float32, mono at 44.1 kHz; something sounds in it.

    Returns:
        (14,) float64, finite.
    """
    raw = _half_second(samples)  # (22050,)
    level = to_target(raw)  # (22050,)
    rows = _windows(level)  # (6, 4096)
    weights = (rows**2).mean(axis=1) + 1e-20  # (6,)
    sones = specific_loudness(rows)  # (6, 240)
    perceptual = (
        boominess(sones, weights),
        brightness(level),
        depth(level),
        hardness(level, sones, weights),
        roughness(level),
        warmth(level, sones, weights),
        loudness(raw),
        sharpness(sones, weights),
    )
    return np.array([*perceptual, *spectral(raw)], np.float64)


def boominess(sones: FloatArray64, weights: FloatArray64) -> float:
    """Share and amount of loudness below 280 Hz (the booming index of Hatano and Hashimoto 2000).

    Args:
        sones: (W, 240) specific loudness, weights: (W,) energy of the windows.
    """
    place = 10 * (np.log10(_BARK_HZ) - np.log10(25)) + 1  # third octaves from 25 Hz, counted from 1
    weight = 2.13 * np.exp(-0.151 * place)
    weight[:4] = 0.8, 1.05, 1.10, 1.18
    low_share = sones[:, _BARK_HZ < 280].sum(axis=1) / np.maximum(sones.sum(axis=1), FLOOR)
    summed_db = 10 * np.log10((10 ** (sones * weight / 10)).sum(axis=1))
    boom = np.average(summed_db * low_share, weights=weights)
    low = np.average(sones[:, :70] @ _dome(70), weights=np.sqrt(weights))
    return 43.674 * np.log10(max(boom, LEAST_LOW)) - 10.901 * np.log10(max(low, LEAST_LOW)) + 26.837


def brightness(level: FloatArray64) -> float:
    """Share of the energy above 2 kHz, and the centroid above 100 Hz."""
    hz, power = _mean_power(level, 2048)
    share = power[hz >= 2000].sum() / max(power.sum(), 1e-20)
    centroid = _centroid(hz, power, hz >= 100)
    return 4.613 * np.log10(max(share, FLOOR)) + 17.379 * np.log10(max(centroid, 20.0)) + 17.435


def depth(level: FloatArray64) -> float:
    """A low centroid, much energy below 500 Hz, a long decay, a low pitch."""
    hz, power = _mean_power(level, WINDOW)
    centroid = _centroid(hz, power, (hz >= 20) & (hz <= 2000))
    share = power[(hz >= 20) & (hz <= 500)].sum() / max(power[hz >= 20].sum(), 1e-20)
    envelope = np.sqrt((level[: len(level) // 256 * 256].reshape(-1, 256) ** 2).mean(axis=1))  # (86,)
    peak = int(envelope.argmax())
    below = np.flatnonzero(envelope[peak:] < 0.01 * envelope[peak])
    decay = np.log10((below[0] if len(below) else len(envelope) - peak) * 256 / SAMPLE_RATE + FLOOR)
    pitch = np.log10(max(_lowest_peak(hz, power, 0.01), 10.0))
    gate = 1 / (1 + np.exp(-10 * (share - 0.2)))
    return (
        -0.00437 * centroid
        + 32.837 * share
        + 4.751 * decay
        - 14.217 * pitch
        + 3.878 * share * decay
        - 0.854 * gate * decay
        + 66.695
    )


def hardness(level: FloatArray64, sones: FloatArray64, weights: FloatArray64) -> float:
    """A wide band and a high centroid in the attack, loud middles, little that is harmonic, a short rise."""
    padded = np.concatenate([np.zeros(WINDOW), level])
    hz, _, magnitude = spectrogram(
        padded, SAMPLE_RATE, "boxcar", WINDOW, WINDOW - 128, scaling="density", mode="magnitude"
    )  # (2049, frames)
    start, rise_s = _attack(level)
    first = (start + WINDOW) // 128
    bandwidth = _bandwidth(hz, magnitude[:, max(0, first - 32) : first + 35])
    attack = level[start : start + round(0.125 * SAMPLE_RATE)]
    attack_hz, attack_power = _mean_power(attack, len(attack))
    centroid = _centroid(attack_hz, attack_power, attack_hz >= 20)
    middle = np.average(sones[:, 70:140] @ _dome(70), weights=np.sqrt(weights))
    harmonic, percussive = librosa.decompose.hpss(np.abs(librosa.stft(level)))
    percussive_share = percussive.sum() / max(percussive.sum() + harmonic.sum(), FLOOR)
    strength = librosa.onset.onset_strength(y=padded, sr=SAMPLE_RATE).max()
    return (
        12.080 * np.log10(max(bandwidth, SAMPLE_RATE / 512))
        + 18.521 * np.log10(max(centroid, 200.0))
        + 14.140 * np.log10(max(middle, FLOOR))
        + 5.568 * np.log10(max(percussive_share, FLOOR))
        + 3.935 * np.log10(max(strength, FLOOR))
        - 4.327 * rise_s
        - 85.604
    )


def roughness(level: FloatArray64) -> float:
    """Beating of neighbouring partials (Vassilakis 2007), over frames of 50 ms."""
    n = round(0.05 * SAMPLE_RATE)
    padded = np.concatenate([np.zeros(512), level])
    frames = librosa.util.frame(padded, frame_length=n, hop_length=n // 2).T * np.hamming(n + 2)[1:-1]
    size = np.abs(np.fft.rfft(frames, 4096, axis=1))  # (frames, 2049)
    hz = np.fft.rfftfreq(4096, 1 / SAMPLE_RATE)
    top = max(size.max(), 1e-20)
    value = float(np.mean([_beating(hz, row, top) for row in size]))
    return 0.0 if value < 0.01 else 13.988 * np.log10(value) + 48.976


def _beating(hz: FloatArray64, size: FloatArray64, top: float) -> float:
    """Sum over pairs of peaks of a magnitude spectrum (F,) that stand out by a hundredth of the loudest."""
    peaks, _ = find_peaks(size, height=0.01 * top, prominence=0.01 * top)
    high, low = np.tril_indices(len(peaks), -1)
    f, v = hz[peaks], size[peaks]
    spread = 0.24 / (0.0207 * np.minimum(f[high], f[low]) + 18.96) * np.abs(f[high] - f[low])
    weaker = np.minimum(v[high], v[low])
    depth = (2 * weaker / (v[high] + v[low])) ** 3.11 / 2
    return float(
        ((v[high] * v[low]) ** 0.1 * depth * (np.exp(-3.51 * spread) - np.exp(-5.75 * spread))).sum()
    )


def warmth(level: FloatArray64, sones: FloatArray64, weights: FloatArray64) -> float:
    """A low centroid, loudness from 1 to 4 Bark, little above 8, and a spectrum that falls off evenly."""
    hz, power = _mean_power(level, 8192)
    power = power / max(power.max(), 1e-20)
    centroid = _centroid(hz, power, hz >= 0)
    low = (sones[:, 10:40] @ _dome(30)).mean()
    high = np.average(sones[:, 80:] @ _dome(160), weights=np.sqrt(weights))
    pitch = _lowest_peak(hz, power, 0.2)
    above = hz > (3.5 * pitch if 3.5 * pitch <= 12_000 else 12_000)
    evenness = np.corrcoef(np.log10(hz[above]), np.log10(power[above] + 1e-20))[0, 1] ** 2
    share = power[(hz >= pitch) & (hz <= 260)].sum() / max(power.sum(), 1e-20) if pitch < 260 else 0.0
    return (
        -4.464 * np.log10(max(centroid, 20.0))
        - 0.0882 * high
        + 0.2916 * low
        + 17.275 * evenness
        + 8.403 * share
        + 45.212
    )


def loudness(raw: FloatArray64) -> float:
    """Level in phon at the sound's own volume, a full-scale RMS being 100 dB (DIN 45631)."""
    rows = _windows(raw)
    sone = np.average(specific_loudness(rows).sum(axis=1) * STEP_BARK, weights=(rows**2).mean(axis=1) + 1e-20)
    return float(40 + 10 * np.log2(sone) if sone >= 1 else max(3.0, 40 * (sone + 0.0005) ** 0.35))


def sharpness(sones: FloatArray64, weights: FloatArray64) -> float:
    """Weight of high frequencies in the loudness (Fastl and Zwicker, "Psychoacoustics")."""
    z = _BARK
    weight = np.where(z <= 14, 1.0, 0.00012 * z**4 - 0.0056 * z**3 + 0.1 * z**2 - 0.81 * z + 3.5)
    acum = 0.11 * (sones * weight * z).sum(axis=1) / np.maximum(sones.sum(axis=1), FLOOR)
    return 102.505 * np.log10(max(np.average(acum, weights=weights), FLOOR)) + 34.433


def spectral(raw: FloatArray64) -> FloatArray64:
    """librosa's features, means over frames weighted by their energy: (6,) in the order of `SPECTRAL`."""
    size = np.abs(librosa.stft(raw))  # (1025, frames)
    energy = (size**2).sum(axis=0) + 1e-20
    of = {"S": size, "sr": SAMPLE_RATE}
    means = (
        librosa.feature.spectral_centroid(**of),
        librosa.feature.spectral_bandwidth(**of),
        librosa.feature.spectral_contrast(**of).mean(axis=0, keepdims=True),
        librosa.feature.spectral_flatness(S=size),
        librosa.feature.spectral_rolloff(**of),
    )
    rise = np.log10(max(_attack(raw)[1], 1e-4))
    return np.array([rise, *(np.average(row[0], weights=energy) for row in means)])


def _attack(samples: FloatArray64) -> tuple[int, float]:
    """Where a hit begins to rise, in samples, and how long it rises, in s: from 10 % to 90 % of its peak."""
    block = 32
    n_blocks = len(samples) // block
    envelope = np.abs(samples[: n_blocks * block]).reshape(-1, block).max(axis=1)
    peak = int(envelope.argmax())
    low = int((envelope[: peak + 1] >= 0.1 * envelope[peak]).argmax())
    high = int((envelope[: peak + 1] >= 0.9 * envelope[peak]).argmax())
    return low * block, (high - low + 1) * block / SAMPLE_RATE


def _bandwidth(hz: FloatArray64, magnitude: FloatArray64) -> float:
    """Widest band of the loud frames: from 5 % of the summed magnitude up to the last bin above -75 dB."""
    total = magnitude.sum(axis=0)
    loud = magnitude[:, total > 0.1 * total.max()]  # (F, n)
    low = (np.cumsum(loud, axis=0) >= 0.05 * loud.sum(axis=0)).argmax(axis=0)
    over = loud >= 10 ** (-75 / 20)
    high = len(hz) - 1 - over[::-1].argmax(axis=0)
    return float(np.where(over.any(axis=0), hz[high] - hz[low], 0.0).max(initial=0.0))


def _half_second(samples: FloatArray) -> FloatArray64:
    out = np.zeros(LENGTH)
    out[: min(len(samples), LENGTH)] = samples[:LENGTH]
    return out


def _windows(samples: FloatArray64) -> FloatArray64:
    """(T,) → (W, 4096), the last one padded."""
    n_windows = -(-len(samples) // WINDOW)
    return np.pad(samples, (0, n_windows * WINDOW - len(samples))).reshape(n_windows, WINDOW)


def _mean_power(samples: FloatArray64, n_fft: int) -> tuple[FloatArray64, FloatArray64]:
    """Frequencies and summed power (F,) over Hamming frames that overlap by three quarters."""
    n_fft = min(n_fft, len(samples))
    hz, _, power = spectrogram(samples, SAMPLE_RATE, "hamming", n_fft, 3 * n_fft // 4, scaling="spectrum")
    return hz, power.sum(axis=1)


def _centroid(hz: FloatArray64, power: FloatArray64, rows: FloatArray64) -> float:
    return float((hz[rows] * power[rows]).sum() / max(power[rows].sum(), 1e-20))


def _lowest_peak(hz: FloatArray64, power: FloatArray64, least: float) -> float:
    """Frequency of the lowest peak that stands out by `least` of the highest."""
    peaks, _ = find_peaks(
        np.concatenate([[0.0], power, [0.0]]) / max(power.max(), 1e-20), height=least, prominence=least
    )
    return float(hz[peaks[0] - 1]) if len(peaks) else float(hz[power.argmax()])


def _dome(n: int) -> FloatArray64:
    """(n,) weights that fall from 1 in the middle to 0 at the edges, as a parabola."""
    place = np.arange(n) - n / 2
    return 1 - (place / (n / 2)) ** 2
