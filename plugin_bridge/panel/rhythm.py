"""Where the beats and the onsets are: enough to put a hit into a mix, estimated from the sound alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoders.audio import SAMPLE_RATE, FloatArray

FRAME, HOP = 1024, 256
FRAME_RATE = SAMPLE_RATE / HOP

HEARD_S = 60.0
"""The part that the tempo is estimated from: the loudest."""

SLOWEST_BPM, FASTEST_BPM, USUAL_BPM = 60.0, 200.0, 125.0
BEATS_A_BAR = 4

LOOP_BARS = (4, 2, 1)
LOOP_MAX_S = 16.0

PATTERNS: dict[str, tuple[int, ...]] = {
    "1 and 3": (0, 4),
    "2 and 4": (2, 6),
    "every beat": (0, 2, 4, 6),
    "8ths": tuple(range(8)),
    "off-beats": (1, 3, 5, 7),
    "1": (0,),
    "last beat": (6, 7),
}
"""Steps of a bar, in eighths."""

USUAL_PATTERN = {
    "kick": "1 and 3",
    "snare": "2 and 4",
    "hihat": "8ths",
    "ride": "every beat",
    "crash": "1",
    "tom": "last beat",
    "clap": "2 and 4",
    "percussion": "off-beats",
    "other": "1",
}


@dataclass(frozen=True)
class Beat:
    """A steady pulse.

    Attributes:
        bpm: beats a minute.
        first: sample of the first beat, which is taken for the first of a bar.
    """

    bpm: float
    first: int

    @property
    def period(self) -> float:
        """Samples from beat to beat."""
        return 60 * SAMPLE_RATE / self.bpm


@dataclass(frozen=True)
class Loop:
    """The part of a bounce that is played round and round.

    Attributes:
        start, length: samples.
        bpm: its tempo.
        n_bars: whole bars; 0 where the bounce is shorter than one and is played whole.
    """

    start: int
    length: int
    bpm: float
    n_bars: int


def novelty(samples: FloatArray) -> FloatArray:
    """How much comes in at each moment: rises of the spectrum's square root, summed; the level as a whole is no matter.

    Args:
        samples: (T,) float32.

    Returns:
        (F,) float32 >= 0; frame f is about the moment f * HOP samples.
    """
    padded = np.pad(samples, (FRAME // 2, FRAME))
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::HOP][
        : len(samples) // HOP + 1
    ]  # (F, FRAME)
    window = np.hanning(FRAME).astype(np.float32)
    rises = np.zeros(len(frames), np.float32)
    last = np.zeros(FRAME // 2 + 1, np.float32)
    for start in range(0, len(frames), 512):
        levels = np.sqrt(np.abs(np.fft.rfft(frames[start : start + 512] * window, axis=1))).astype(np.float32)
        steps = np.diff(levels, axis=0, prepend=last[None])  # (n, FRAME // 2 + 1)
        rises[start : start + len(levels)] = np.maximum(steps, 0).sum(axis=1)
        last = levels[-1]
    return rises


def find_beat(samples: FloatArray, bpm: float | None = None) -> Beat:
    """The pulse that explains the onsets best; one that does nearly as well from the very start begins there, as
    bounces do: an invented preference.

    Args:
        samples: (T,) float32.
        bpm: the tempo, where it is known: then only the first beat is looked for.
    """
    start = _loudest(samples, round(HEARD_S * SAMPLE_RATE))
    rises = novelty(samples[start : start + round(HEARD_S * SAMPLE_RATE)])
    rises -= _smooth(rises, round(0.5 * FRAME_RATE))
    if bpm is None:
        bpm = _tempo(rises)
    return Beat(bpm, _first_beat(rises, bpm, start / HOP))


def _tempo(rises: FloatArray) -> float:
    """(F,) → beats a minute.

    Which tempo it is tells the novelty's likeness to itself a beat, two and four later, weighed by how usual the
    tempo is; how fast exactly, its spectrum. A tempo within .3 of a whole number is taken for it, as songs made in a
    DAW have one: an invented preference.
    """
    n = 1 << 18  # zero-padded: .04 bpm from bin to bin
    spectrum = np.abs(np.fft.rfft(rises, n))
    likeness = np.fft.irfft(spectrum**2)[: n // 2]  # of the novelty to itself, by frames
    tempi = np.arange(SLOWEST_BPM, FASTEST_BPM, 0.05)  # bpm
    beats = 60 / tempi * FRAME_RATE  # frames
    alike = sum(
        weight * np.interp(multiple * beats, np.arange(len(likeness)), likeness)
        for multiple, weight in _BEATS
    )
    usual = np.exp(-0.5 * np.log2(tempi / USUAL_BPM) ** 2)
    coarse = tempi[int(np.argmax(np.maximum(alike, 0) * usual))]
    near = np.abs(tempi / coarse - 1) < 0.03
    bins = tempi[near] / 60 / FRAME_RATE * n
    sharp = sum(spectrum[np.round(bins * multiple).astype(int)] for multiple in (1, 2, 4))
    bpm = float(tempi[near][int(np.argmax(sharp))])
    return float(round(bpm)) if abs(bpm - round(bpm)) < 0.3 else bpm


_BEATS = ((1, 1.0), (2, 0.5), (4, 0.25))


def _loudest(samples: FloatArray, n: int) -> int:
    """Where the n samples begin that hold most energy, to the second."""
    if len(samples) <= n:
        return 0
    energy = np.add.reduceat(samples**2, np.arange(0, len(samples), SAMPLE_RATE))
    sums = np.convolve(energy, np.ones(n // SAMPLE_RATE), "valid")
    return min(int(sums.argmax()) * SAMPLE_RATE, len(samples) - n)


def _first_beat(rises: FloatArray, bpm: float, start: float) -> int:
    """Sample of the first beat: the phase whose comb catches most.

    Args:
        rises: (F,) from frame `start` of the bounce on.
    """
    period = 60 / bpm * FRAME_RATE  # frames
    phases = np.arange(0, period, 0.5)
    beats = np.arange(max(1, int((len(rises) - period) / period)))
    at = np.round(((phases - start) % period)[:, None] + beats * period).astype(int)  # (n_phases, n_beats)
    caught = np.maximum(rises, 0)[np.minimum(at, len(rises) - 1)].mean(axis=1)
    near_start = np.minimum(phases, period - phases) < 0.03 * FRAME_RATE
    if caught[near_start].max() >= 0.7 * caught.max():
        return 0
    return round(float(phases[int(caught.argmax())]) * HOP)


def find_onsets(samples: FloatArray) -> NDArray[np.int64]:
    """(N,) samples at which something sets in, in order: peaks of the novelty, moved to where the level rises."""
    rises = novelty(samples)
    around = round(0.05 * FRAME_RATE)
    padded = np.pad(rises, around)
    highest = np.lib.stride_tricks.sliding_window_view(padded, 2 * around + 1).max(axis=1)
    floor = _smooth(rises, round(0.5 * FRAME_RATE)) + 0.1 * rises.max(initial=0)
    peaks = np.flatnonzero((rises == highest) & (rises > floor))
    level = np.abs(samples)
    onsets = []
    for peak in peaks * HOP:
        first = max(0, peak - FRAME)
        near = level[first : peak + FRAME]
        onsets.append(first + int(np.argmax(near > 0.25 * near.max(initial=0))))
    return np.unique(np.array(onsets, np.int64))


def choose_loop(samples: FloatArray, beat: Beat) -> Loop:
    """The loudest run of whole bars, four where there are so many; the whole bounce where there is no whole bar."""
    bar = BEATS_A_BAR * beat.period
    n_heard = int((len(samples) - beat.first) / bar + 1e-3)
    for n_bars in LOOP_BARS:
        if n_bars <= n_heard and n_bars * bar <= LOOP_MAX_S * SAMPLE_RATE:
            edges = beat.first + np.round(np.arange(n_heard + 1) * bar).astype(int)
            energy = np.add.reduceat(
                samples.astype(np.float64) ** 2, np.minimum(edges[:-1], len(samples) - 1)
            )
            sums = np.convolve(energy, np.ones(n_bars), "valid")[::n_bars]
            start = int(edges[int(sums.argmax()) * n_bars])
            return Loop(start, round(n_bars * bar), beat.bpm, n_bars)
    return Loop(0, min(len(samples), round(LOOP_MAX_S * SAMPLE_RATE)), beat.bpm, 0)


def grid(loop: Loop, pattern: str) -> NDArray[np.int64]:
    """(N,) samples of a loop at which a pattern strikes."""
    eighth = 30 * SAMPLE_RATE / loop.bpm
    n_bars = loop.n_bars or int(np.ceil(loop.length / (8 * eighth)))
    steps = np.add.outer(8 * np.arange(n_bars), PATTERNS[pattern]).ravel()
    at = np.round(steps * eighth).astype(np.int64)
    return at[at < loop.length]


def _smooth(values: FloatArray, n: int) -> FloatArray:
    """(F,) → (F,) moving average over n values."""
    return np.convolve(values, np.full(n, 1 / n, np.float32), "same")[: len(values)].astype(np.float32)
