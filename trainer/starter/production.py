"""The sound of a production: what one desk, room and tape do to every stem of a song, and what sets stems apart.

What fits is learned from what the stems share. One strong fingerprint teaches to read that fingerprint alone, so each
ingredient is on in some songs only, and every stem strays from the shared core by its own strip. The figures are
invented: what mixes commonly show, widened.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import soundfile
from pedalboard import (
    Bitcrush,
    Chorus,
    Compressor,
    Delay,
    Distortion,
    HighpassFilter,
    HighShelfFilter,
    LowpassFilter,
    LowShelfFilter,
    PeakFilter,
    Pedalboard,
    Phaser,
    Resample,
)
from scipy.signal import lfilter, oaconvolve

from encoders.audio import SAMPLE_RATE, FloatArray

LOW_DRUMS = ("kick",)
BRIGHT_DRUMS = ("hihat", "crash", "ride")
DRUM_PEAK_DB = {
    "kick": -6.0,
    "snare": -7.0,
    "hihat": -14.0,
    "crash": -10.0,
    "ride": -13.5,
    "tom": -8.0,
    "clap": -9.0,
    "percussion": -12.0,
}
PART_RMS_DB = -23.0
_HOP = 64


@dataclass(frozen=True)
class Production:
    """What all stems of a song share; None is off.

    Attributes:
        low_db, high_db: shelves at 150 Hz and 5 kHz.
        colour: (Hz, dB) of a broad peak.
        drive_db: into a soft saturation.
        room: (decay to -60 dB in s, brightness in Hz, level in dB), one impulse for all stems.
        tape_hz: low-pass.
        bleed_db: of each drum in the other drums' microphones.
        bus: (threshold in dB below the mix's loudest, ratio) of one compressor that the whole mix steers.
        clip_db: into a soft clipper that the whole mix steers.
        bits, rate_hz: of an old converter.
        codec: (format, quality) of a lossy file.
        peak_db: of the whole mix, dBFS.
    """

    low_db: float
    high_db: float
    colour: tuple[float, float]
    drive_db: float | None
    room: tuple[float, float, float] | None
    tape_hz: float | None
    bleed_db: float | None
    bus: tuple[float, float] | None
    clip_db: float | None
    bits: int | None
    rate_hz: float | None
    codec: float | None
    peak_db: float


def draw_production(rng: np.random.Generator, origin: str) -> Production:
    """A production for a song of this origin."""
    acoustic = origin == "acoustic"

    def sometimes(share: float, value: object) -> object | None:
        return value if rng.random() < share else None

    return Production(
        low_db=rng.normal(0, 2.5),
        high_db=rng.normal(0, 3.0),
        colour=(float(np.exp(rng.uniform(np.log(250), np.log(5000)))), rng.normal(0, 2.5)),
        drive_db=sometimes(0.4, rng.uniform(0, 14)),
        room=sometimes(
            0.75 if acoustic else 0.5,
            (rng.uniform(0.15, 1.4), rng.uniform(2000, 12000), rng.uniform(-26, -9)),
        ),
        tape_hz=sometimes(0.3, float(np.exp(rng.uniform(np.log(4500), np.log(16000))))),
        bleed_db=sometimes(0.45 if acoustic else 0.05, rng.uniform(-40, -22)),
        bus=sometimes(0.55, (rng.uniform(-18, -4), rng.uniform(1.5, 5))),
        clip_db=sometimes(0.35, rng.uniform(0, 9)),
        bits=sometimes(0.06 if acoustic else 0.12, int(rng.integers(7, 13))),
        rate_hz=sometimes(0.06 if acoustic else 0.12, float(rng.uniform(11000, 30000))),
        codec=sometimes(0.12, rng.uniform(0.3, 0.95)),
        peak_db=rng.uniform(-9, -0.3),
    )


def produce(
    stems: dict[str, FloatArray],
    kinds: dict[str, str | None],
    production: Production,
    rng: np.random.Generator,
) -> dict[str, FloatArray]:
    """Plays a song's stems through one production.

    Args:
        stems: name → (T,) float32, all of one length, as the instruments gave them.
        kinds: name → drum type, or None for a part.

    Returns:
        name → (T,) float32; their sum peaks at `production.peak_db`.
    """
    impulse = _impulse(production.room, rng) if production.room else None
    done = {name: _strip(audio, kinds[name], rng) for name, audio in stems.items()}
    done = {name: _core(audio, production, impulse, kinds[name], rng) for name, audio in done.items()}
    if production.bleed_db is not None:
        done = _bleed(done, kinds, production.bleed_db, rng)
    done = _bus(done, production)
    done = {name: _convert(audio, production) for name, audio in done.items()}
    peak = float(np.abs(sum(done.values())).max())
    gain = 10 ** (production.peak_db / 20) / max(peak, 1e-6)
    return {name: (audio * gain).astype(np.float32) for name, audio in done.items()}


def _strip(audio: FloatArray, kind: str | None, rng: np.random.Generator) -> FloatArray:
    """What is this stem's own: level, equaliser, dynamics, an effect. (T,) → (T,)"""
    chain: list = []
    for _ in range(int(rng.integers(0, 3))):
        hz = float(np.exp(rng.uniform(np.log(120), np.log(9000))))
        chain.append(PeakFilter(hz, rng.normal(0, 4.5), rng.uniform(0.4, 2.0)))
    if rng.random() < 0.4:
        chain.append(HighShelfFilter(rng.uniform(3000, 9000), rng.normal(0, 4)))
    if kind not in LOW_DRUMS and rng.random() < 0.35:
        chain.append(HighpassFilter(rng.uniform(30, 500 if kind in BRIGHT_DRUMS else 180)))
    if rng.random() < 0.4:
        chain.append(
            Compressor(rng.uniform(-30, -10), rng.uniform(1.5, 6), rng.uniform(1, 30), rng.uniform(40, 300))
        )
    if rng.random() < 0.12:
        chain.append(Distortion(rng.uniform(2, 16)))
    if kind is None:
        if rng.random() < 0.15:
            chain.append(Chorus(rng.uniform(0.2, 2), rng.uniform(0.1, 0.5), mix=rng.uniform(0.2, 0.6)))
        if rng.random() < 0.07:
            chain.append(Phaser(rng.uniform(0.1, 1.5), mix=rng.uniform(0.2, 0.6)))
        if rng.random() < 0.15:
            chain.append(Delay(rng.uniform(0.08, 0.5), rng.uniform(0.1, 0.45), rng.uniform(0.1, 0.35)))
        if rng.random() < 0.15:
            chain.append(LowpassFilter(rng.uniform(1200, 9000)))
    shaped = Pedalboard(chain)(_level(audio, kind), SAMPLE_RATE) if chain else audio
    return _level(shaped, kind) * np.float32(10 ** (rng.normal(0, 3.5) / 20))


def _level(audio: FloatArray, kind: str | None) -> FloatArray:
    """A drum by its peak, a part by its mean power where it plays, at the level usual for its kind."""
    if kind is not None:
        have, want = np.abs(audio).max(), 10 ** (DRUM_PEAK_DB[kind] / 20)
    else:
        power = np.add.reduceat(audio.astype(np.float64) ** 2, np.arange(0, len(audio), 4410)) / 4410
        have, want = np.sqrt(power[power > 1e-3 * power.max()].mean()), 10 ** (PART_RMS_DB / 20)
    return audio * np.float32(want / max(float(have), 1e-6))


def _core(
    audio: FloatArray,
    production: Production,
    impulse: FloatArray | None,
    kind: str | None,
    rng: np.random.Generator,
) -> FloatArray:
    """The shared desk: saturation, equaliser, room by an own send, tape. (T,) → (T,)"""
    chain: list = []
    if production.drive_db is not None:
        chain.append(Distortion(max(0.0, production.drive_db + rng.normal(0, 3))))
    chain += [
        HighpassFilter(20),  # some synthesisers lean to one side
        LowShelfFilter(150, production.low_db + rng.normal(0, 1)),
        PeakFilter(production.colour[0], production.colour[1] + rng.normal(0, 1), 0.7),
        HighShelfFilter(5000, production.high_db + rng.normal(0, 1)),
    ]
    before = float(np.sqrt(np.mean(np.square(audio, dtype=np.float64))))
    wet = Pedalboard(chain)(audio, SAMPLE_RATE)
    after = float(np.sqrt(np.mean(np.square(wet, dtype=np.float64))))
    wet = wet * np.float32(min(4.0, before / max(after, 1e-9)))
    if impulse is not None and production.room is not None:
        less_db = 8 if kind in LOW_DRUMS else 0
        send = 10 ** ((production.room[2] + rng.normal(0, 4) - less_db) / 20)
        wet = wet + np.float32(send) * oaconvolve(wet, impulse)[: len(wet)].astype(np.float32)
    if production.tape_hz is not None:
        wet = Pedalboard(
            [LowpassFilter(min(18000.0, production.tape_hz * float(np.exp(rng.normal(0, 0.1)))))]
        )(wet, SAMPLE_RATE)
    return wet


def _impulse(room: tuple[float, float, float], rng: np.random.Generator) -> FloatArray:
    """A room: sparse early echoes, then decaying noise; unit energy. → (T',) float32"""
    decay_s, bright_hz, _ = room
    n = int(decay_s * SAMPLE_RATE)
    t = np.arange(n) / SAMPLE_RATE
    tail = rng.standard_normal(n) * 10 ** (-3 * t / decay_s) * np.minimum(1, t / rng.uniform(0.004, 0.03))
    for _ in range(int(rng.integers(3, 12))):
        at = int(rng.uniform(0.002, min(0.06, decay_s * 0.7)) * SAMPLE_RATE)
        tail[at] += rng.uniform(-6, 6) * 10 ** (-3 * t[at] / decay_s)
    pole = np.exp(-2 * np.pi * bright_hz / SAMPLE_RATE)
    tail = lfilter([1 - pole], [1, -pole], tail)
    return (tail / np.sqrt(np.sum(tail**2))).astype(np.float32)


def _bleed(
    stems: dict[str, FloatArray], kinds: dict[str, str | None], level_db: float, rng: np.random.Generator
) -> dict[str, FloatArray]:
    """Every drum microphone hears the other drums a little later and duller."""
    drums = [name for name in stems if kinds[name] is not None]
    done = dict(stems)
    for name in drums:
        others = sum((stems[other] for other in drums if other != name), np.zeros_like(stems[name]))
        n_late = int(rng.uniform(0.001, 0.005) * SAMPLE_RATE)
        late = np.concatenate([np.zeros(n_late, np.float32), others[:-n_late]])
        dull = Pedalboard([LowpassFilter(rng.uniform(2500, 9000))])(late, SAMPLE_RATE)
        relative = np.abs(stems[name]).max() / max(float(np.abs(dull).max()), 1e-6)
        done[name] = stems[name] + dull * np.float32(relative * 10 ** ((level_db + rng.normal(0, 3)) / 20))
    return done


def _bus(stems: dict[str, FloatArray], production: Production) -> dict[str, FloatArray]:
    """One gain for all stems, steered by their sum, so that the sum of the results is the treated sum."""
    total = np.asarray(sum(stems.values()), np.float64)
    total /= max(np.abs(total).max(), 1e-9)
    gain = np.ones(len(total))
    if production.bus is not None:
        threshold_db, ratio = production.bus
        power = np.add.reduceat(total**2, np.arange(0, len(total), _HOP)) / _HOP
        pole = np.exp(-_HOP / SAMPLE_RATE / 0.03)
        level_db = 10 * np.log10(lfilter([1 - pole], [1, -pole], power) + 1e-9)
        over_db = np.maximum(0, level_db - (level_db.max() + threshold_db))
        steps_db = -over_db * (1 - 1 / ratio)
        gain *= 10 ** (np.interp(np.arange(len(total)), np.arange(len(steps_db)) * _HOP, steps_db) / 20)
    if production.clip_db is not None:
        driven = total * gain * 10 ** (production.clip_db / 20)
        gain *= np.where(np.abs(driven) > 1e-4, np.tanh(driven) / np.where(driven == 0, 1, driven), 1)
    gain = gain.astype(np.float32)
    return {name: audio * gain for name, audio in stems.items()}


def _convert(audio: FloatArray, production: Production) -> FloatArray:
    """An old converter and a lossy file; both act on a stem at full level. (T,) → (T,)"""
    if production.bits is None and production.rate_hz is None and production.codec is None:
        return audio
    peak = max(float(np.abs(audio).max()), 1e-6)
    full = audio * np.float32(0.9 / peak)
    if production.rate_hz is not None:
        full = Pedalboard([Resample(production.rate_hz, quality=Resample.Quality.Linear)])(full, SAMPLE_RATE)
    if production.bits is not None:
        full = Pedalboard([Bitcrush(production.bits)])(full, SAMPLE_RATE)
    if production.codec is not None:
        file = io.BytesIO()
        soundfile.write(
            file, full, SAMPLE_RATE, format="OGG", subtype="VORBIS", compression_level=production.codec
        )
        file.seek(0)
        decoded = soundfile.read(file, dtype="float32")[0][: len(full)]
        full = np.pad(decoded, (0, len(full) - len(decoded)))
    return full * np.float32(peak / 0.9)
