"""LMMS projects as scores: their notes, tempo, and what their tracks' instruments and samples are called."""

from __future__ import annotations

import math
import re
import zlib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from trainer.starter.midi import DRUM_TYPE
from trainer.starter.score import Part, Score, Unusable, as_notes

TICKS_PER_BEAT = 48
MAX_BYTES = 64 << 20
"""Largest project once unpacked: invented, fifty times the largest known."""

MAX_TURNS = 512
"""Repetitions of a beat in one block: invented, against projects with absurd lengths."""

STEP_LENGTH = 24
"""Ticks that a drum step counts as: it has no length of its own in a project."""

_SAMPLE_TYPES = (
    ("kick", 36, r"kick|kik|bass ?drum|\bbd\b|bdrum"),
    ("clap", 39, r"clap|clp"),
    ("snare", 38, r"snare|snr|\bsn_|\bsd\b|rimshot"),
    ("hihat", 46, r"(hat|hh|hihat).*(_o|-o|open)|ohat"),
    ("hihat", 42, r"hat|hh|hi_hat"),
    ("ride", 51, r"ride"),
    ("crash", 49, r"crash|splash|cymbal|china"),
    ("tom", 45, r"tom(?!ato)"),
    ("percussion", 70, r"shaker|cabasa|maraca|tamb|clave|rim|stick|wood|cowbell|conga|bongo|perc"),
)
"""Type, General MIDI pitch and what the sample's name then holds; the first that matches wins."""

_BASS, _LEAD, _PAD = 38, 81, 89

DRUM_BANKS = ("127", "128")
_CLIPS = frozenset({"pattern", "midiclip", "automationpattern", "automationclip"})
_TIME_SIGNATURE = ("timesig_numerator", "timesig_denominator")

Row = tuple[float, float, float, float]
Placed = tuple[float, float, ElementTree.Element]
"""Where a clip begins, where it is cut off, in ticks, and the clip."""


def read_lmms(path: Path) -> Score:
    """A project's notes: tracks that play samples named like drums are drums.

    Raises:
        Unusable: not a project, or without drums or parts.
    """
    root = load(path)
    tick_s = 60 / tempo(root) / TICKS_PER_BEAT
    drums: dict[str, list[Row]] = defaultdict(list)
    parts = []
    for track, clips in tracks(root):
        instrument = track.find("./instrumenttrack")
        if track.get("muted") == "1" or instrument is None:
            continue
        voice = instrument.find("instrument")
        rows = [row for placed in clips for row in _rows(placed, instrument, tick_s)]
        if voice is None or not rows:
            continue
        sound = next(iter(voice), ElementTree.Element("none"))
        if drum := drum_of(voice.get("name", ""), sound, track.get("name", "")):
            kind, pitch = drum
            drums[kind] += [(start_s, 0.5, pitch, velocity) for start_s, _, _, velocity in rows]
        elif voice.get("name") == "sf2player" and sound.get("bank") in DRUM_BANKS:
            for start_s, _, pitch, velocity in rows:
                if kind := DRUM_TYPE.get(round(pitch)):
                    drums[kind].append((start_s, 0.5, pitch, velocity))
        elif voice.get("name") != "audiofileprocessor":
            parts.append(Part(_program(voice.get("name", ""), sound, rows), as_notes(rows)))
    if not drums or len(parts) < 2:
        raise Unusable(f"{len(drums)} drums and {len(parts)} parts")
    return Score(tuple(parts), {kind: as_notes(rows) for kind, rows in sorted(drums.items())}, "electronic")


def load(path: Path) -> ElementTree.Element:
    """The XML of a .mmp, or of a .mmpz: four bytes of length, then the same packed.

    Raises:
        Unusable: no project.
    """
    try:
        text = path.read_bytes()
        if not text.startswith(b"<"):
            packed = zlib.decompressobj()
            text = packed.decompress(text[4:], MAX_BYTES)
            if packed.unconsumed_tail:
                raise Unusable(f"more than {MAX_BYTES} bytes unpacked")
        return ElementTree.fromstring(text)
    except (OSError, zlib.error, ElementTree.ParseError) as error:
        raise Unusable(f"no LMMS project: {error}") from None


def tempo(root: ElementTree.Element) -> float:
    """Beats a minute, as the project begins."""
    head = root.find("head")
    inner = root.find("head/bpm")
    value = inner.get("value") if inner is not None else head.get("bpm") if head is not None else None
    try:
        return min(400.0, max(30.0, float(value or 140)))
    except ValueError:
        raise Unusable(f"tempo {value!r}") from None


def tracks(root: ElementTree.Element) -> Iterator[tuple[ElementTree.Element, list[Placed]]]:
    """Each track of an instrument or of automation, with its clips.

    Beat patterns: the first beat track holds all their instruments; the n-th beat track plays every instrument's
    n-th clip, over and over for the length of each of its own blocks. (LMMS 1.3 renamed every tag of this.)
    """
    song = root.find("song/trackcontainer")
    if song is None:
        raise Unusable("no tracks")
    beats = [track for track in song.findall("track") if track.get("type") == "1"]
    for track in song.findall("track"):
        if track.get("type") in ("0", "5"):
            yield track, [(float(clip.get("pos", 0)), math.inf, clip) for clip in _clips(track)]
    inner = [track for beat in beats for track in beat.findall("*/trackcontainer/track")]
    turn = _turns(inner, bar_ticks(root))
    for track in inner:
        placed: list[Placed] = []
        for number, (beat, clip) in enumerate(zip(beats, _clips(track), strict=False)):
            for block in (
                () if beat.get("muted") == "1" else beat.findall("bbtco") + beat.findall("patternclip")
            ):
                if block.get("muted") != "1":
                    start = float(block.get("pos", 0))
                    stop = start + float(block.get("len", 0))
                    n_turns = min(math.ceil((stop - start) / turn[number]), MAX_TURNS)
                    placed += [(start + place * turn[number], stop, clip) for place in range(n_turns)]
        yield track, placed


def _turns(inner: list[ElementTree.Element], bar: float) -> dict[int, float]:
    """Ticks after which each beat begins again: its longest clip, in whole bars."""
    turn: dict[int, float] = defaultdict(lambda: bar)
    for track in inner:
        for number, clip in enumerate(_clips(track)):
            ends = [float(note.get("pos", 0)) + 1 for note in clip.findall("note")]
            n_bars = math.ceil(max([*ends, float(clip.get("steps", 16)) * TICKS_PER_BEAT / 4]) / bar)
            turn[number] = max(turn[number], n_bars * bar)
    return turn


def bar_ticks(root: ElementTree.Element) -> float:
    head = root.find("head")
    beats, unit = (float(head.get(key, 4)) if head is not None else 4.0 for key in _TIME_SIGNATURE)
    return TICKS_PER_BEAT * 4 * max(1.0, beats) / max(1.0, unit)


def _clips(track: ElementTree.Element) -> list[ElementTree.Element]:
    return [clip for clip in track if clip.tag in _CLIPS]


def notes_of(placed: Placed) -> Iterator[tuple[float, ElementTree.Element]]:
    """A clip's notes, each with the tick at which it begins."""
    start, stop, clip = placed
    for note in clip.findall("note") if clip.get("muted") != "1" else ():
        at = start + float(note.get("pos", 0))
        if 0 <= at < stop:
            yield at, note


def pitch_of(note: ElementTree.Element, instrument: ElementTree.Element) -> float:
    """A note's MIDI pitch. Keys count from the track's base note, which sounds as A4: 69 in MIDI."""
    return float(note.get("key", 57)) + 69 - float(instrument.get("basenote", 57))


def _rows(placed: Placed, instrument: ElementTree.Element, tick_s: float) -> Iterator[Row]:
    for at, note in notes_of(placed):
        pitch, n_ticks = pitch_of(note, instrument), float(note.get("len", 0))
        if 0 <= pitch <= 127:
            velocity = float(np.clip(float(note.get("vol", 100)), 5, 127))
            yield at * tick_s, (n_ticks if n_ticks > 0 else STEP_LENGTH) * tick_s, pitch, velocity


def drum_of(instrument: str, sound: ElementTree.Element, track: str) -> tuple[str, int] | None:
    """Type and General MIDI pitch of a drum track, None for any other."""
    if instrument == "kicker":
        name = track.lower()
    elif instrument == "audiofileprocessor":
        name = (sound.get("src") or "").rpartition("/")[2].lower()
    else:
        return None
    return next(((kind, pitch) for kind, pitch, pattern in _SAMPLE_TYPES if re.search(pattern, name)), None)


def _program(instrument: str, sound: ElementTree.Element, rows: list[Row]) -> int:
    """The General MIDI program nearest to a track: its own in a soundfont, else bass, lead or pad by its notes."""
    if instrument == "sf2player" and (sound.get("patch") or "").isdigit():
        return int(sound.get("patch", 0)) % 128
    pitches, lengths = np.array([row[2] for row in rows]), np.array([row[1] for row in rows])
    if instrument == "lb302" or np.median(pitches) < 50:
        return _BASS
    return _PAD if np.median(lengths) > 1.2 else _LEAD
