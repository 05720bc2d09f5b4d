"""Standard MIDI files as scores."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from pathlib import Path

import mido

from trainer.starter.score import Control, Part, Score, Unusable, as_notes

DRUM_CHANNEL = 9

DRUM_TYPE = {
    **dict.fromkeys((35, 36), "kick"),
    **dict.fromkeys((38, 40), "snare"),
    **dict.fromkeys((42, 44, 46), "hihat"),
    **dict.fromkeys((49, 52, 55, 57), "crash"),
    **dict.fromkeys((51, 53, 59), "ride"),
    **dict.fromkeys((41, 43, 45, 47, 48, 50), "tom"),
    39: "clap",
    **dict.fromkeys((37, 54, 56, *range(60, 82)), "percussion"),
}
"""General MIDI drum pitch → type."""

KEPT_CONTROLLERS = frozenset({1, 7, 11, 64, 101, 100, 6})
"""Modulation, volume, expression, pedal, and the three that set the pitch-bend range."""

SYNTH_PROGRAMS = frozenset({38, 39, 50, 51, 54, 62, 63, *range(80, 104)})
"""General MIDI programs that are electronic sounds."""


def read_midi(path: Path) -> Score:
    """Reads a MIDI file: one part for each track, channel and program, drums from channel 10.

    Raises:
        Unusable: not a MIDI file, or without drums or parts.
    """
    try:
        file = mido.MidiFile(path, clip=True)
    except (OSError, EOFError, ValueError, KeyError, IndexError) as error:
        raise Unusable(f"no MIDI: {error}") from None
    clock = _clock(file)
    rows: dict[tuple[int, int, int], list[tuple[float, float, float, float]]] = defaultdict(list)
    controls: dict[int, list[Control]] = defaultdict(list)
    drums: dict[str, list[tuple[float, float, float, float]]] = defaultdict(list)
    for place, track in enumerate(file.tracks):
        tick, program = 0, defaultdict(int)
        held: dict[tuple[int, int], tuple[float, int, int]] = {}
        for message in track:
            tick += message.time
            if message.is_meta or not hasattr(message, "channel"):
                continue
            now_s, channel = clock(tick), message.channel
            if message.type == "program_change":
                program[channel] = message.program
            elif message.type == "control_change" and message.control in KEPT_CONTROLLERS:
                controls[channel].append(Control(now_s, message.control, message.value))
            elif message.type == "pitchwheel":
                controls[channel].append(Control(now_s, -1, message.pitch))
            elif message.type in ("note_on", "note_off"):
                if begun := held.pop((channel, message.note), None):
                    start_s, velocity, sound = begun
                    rows[place, channel, sound].append((start_s, now_s - start_s, message.note, velocity))
                if message.type == "note_on" and message.velocity:
                    if channel != DRUM_CHANNEL:
                        held[channel, message.note] = (now_s, message.velocity, program[channel])
                    elif kind := DRUM_TYPE.get(message.note):
                        drums[kind].append((now_s, 0.5, message.note, message.velocity))
    if not drums or len(rows) < 2:
        raise Unusable(f"{len(drums)} drums and {len(rows)} parts")
    parts = tuple(
        Part(program, as_notes(notes), tuple(sorted(controls[channel], key=lambda control: control.time_s)))
        for (_, channel, program), notes in sorted(rows.items())
    )
    return Score(parts, {kind: as_notes(notes) for kind, notes in sorted(drums.items())}, _origin(parts))


def _origin(parts: tuple[Part, ...]) -> str:
    """Electronic where at least half of the notes are played by synthesisers."""
    n_notes = sum(len(part.notes) for part in parts)
    n_synth = sum(len(part.notes) for part in parts if part.program in SYNTH_PROGRAMS)
    return "electronic" if 2 * n_synth >= n_notes else "acoustic"


def _clock(file: mido.MidiFile):
    """A function from ticks to seconds, by the tempo changes of all tracks."""
    changes = [(0, 500_000)]
    for track in file.tracks:
        tick = 0
        for message in track:
            tick += message.time
            if message.type == "set_tempo":
                changes.append((tick, message.tempo))
    marks = [(0, 0.0, 500_000)]  # tick, seconds, microseconds a beat
    for tick, tempo in sorted(changes, key=lambda change: change[0]):
        before, at_s, old = marks[-1]
        marks.append((tick, at_s + (tick - before) * old / 1e6 / file.ticks_per_beat, tempo))
    ticks = [mark[0] for mark in marks]

    def seconds(tick: int) -> float:
        before, at_s, tempo = marks[bisect_right(ticks, tick) - 1]
        return at_s + (tick - before) * tempo / 1e6 / file.ticks_per_beat

    return seconds
