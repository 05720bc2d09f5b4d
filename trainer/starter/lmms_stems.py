"""LMMS projects taken apart: each stem of an excerpt as a small project of its own, in the words of LMMS 1.2."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from trainer.starter.finished import kind_of
from trainer.starter.lmms import (
    DRUM_BANKS,
    Placed,
    drum_of,
    notes_of,
    pitch_of,
    tracks,
)
from trainer.starter.midi import DRUM_TYPE

INSTRUMENTS = frozenset(
    {
        "OPL2",
        "audiofileprocessor",
        "bitinvader",
        "kicker",
        "lb302",
        "malletsstk",
        "monstro",
        "nes",
        "organic",
        "papu",
        "sf2player",
        "sfxr",
        "sid",
        "tripleoscillator",
        "vibedstrings",
        "watsyn",
        "zynaddsubfx",
    }
)
EFFECTS = frozenset(
    {
        "amplifier",
        "bassbooster",
        "bitcrush",
        "crossovereq",
        "delay",
        "dualfilter",
        "dynamicsprocessor",
        "eq",
        "flanger",
        "ladspaeffect",
        "multitapecho",
        "reverbsc",
        "stereoenhancer",
        "stereomatrix",
        "waveshaper",
    }
)
"""What Debian's LMMS 1.2 has. A track of another instrument stays silent, another effect is left out."""

SYNTHESISED = frozenset({"kick", "snare", "hihat", "crash", "tom", "clap"})
"""Types that a synthesiser's track may be by its name; a "3rd" is no ride and a whistle no drum."""

_TAGS = {
    "midiclip": "pattern",
    "patternclip": "bbtco",
    "patterntrack": "bbtrack",
    "automationclip": "automationpattern",
    "sampleclip": "sampletco",
    "mixer": "fxmixer",
    "mixerchannel": "fxchannel",
    "freeboy": "papu",
    "opulenz": "OPL2",
}
"""LMMS 1.3's names → 1.2's."""

_NOTE_RANGE_VERSION = 20
"""Format of 1.3 from which on keys count an octave higher, but for ZynAddSubFX."""


@dataclass(frozen=True, eq=False)
class Voice:
    """A track, or those notes of a track with a drum kit that play one drum.

    Attributes:
        name: its track's.
        drum: type and General MIDI pitch, or None.
        instrument: its <instrumenttrack>.
        notes: the tick at which each begins, and the <note>.
    """

    name: str
    drum: tuple[str, int] | None
    instrument: Element
    notes: tuple[tuple[float, Element], ...]


@dataclass(frozen=True)
class Window:
    """An excerpt in ticks, from one bar line to another."""

    start: int
    stop: int
    bar: int


def as_1_2(root: Element) -> Element:
    """A project in the words of 1.2, changed in place, without what Debian's LMMS lacks and without side chains.

    A side chain's knob follows the loudness of a track that another stem does not hold.
    """
    version = float(root.get("version", "1"))
    for element in root.iter():
        element.tag = _TAGS.get(element.tag, element.tag)
        if "mixch" in element.attrib:
            element.set("fxch", element.attrib.pop("mixch"))
        if element.tag == "instrument":
            element.set("name", _TAGS.get(element.get("name", ""), element.get("name", "")))
        if element.tag == "fxchain":
            for effect in element.findall("effect"):
                if effect.get("name") not in EFFECTS:
                    element.remove(effect)
            element.set("numofeffects", str(len(element.findall("effect"))))
    controllers = enumerate(root.iterfind("song/controllers/*"))
    peaks = {str(number) for number, one in controllers if one.tag == "peakcontroller"}
    for connection in root.iter("connection"):
        for knob in [knob for knob in connection if knob.get("id") in peaks]:
            connection.remove(knob)
    if version >= _NOTE_RANGE_VERSION:
        for track in root.iter("track"):
            _lower(track)
    if version > 1:
        root.set("creatorversion", "1.2.2")
        root.set("version", "1.0")
    return root


def _lower(track: Element) -> None:
    """Keys an octave down, with the base note from which they count."""
    instrument = track.find("instrumenttrack")
    if instrument is None:
        return
    base = instrument.find("basenote")
    holder, key = (instrument, "basenote") if base is None else (base, "value")
    holder.set(key, str(float(holder.get(key, 69)) - 12))
    if track.find("instrumenttrack/instrument[@name='zynaddsubfx']") is None:
        for note in track.iterfind("pattern/note"):
            note.set("key", str(int(note.get("key", 69)) - 12))


def voices(root: Element) -> Iterator[Voice]:
    """Every track that can be played and has notes; a soundfont's drum kit comes apart by its pitches."""
    for track, clips in tracks(root):
        instrument, plugin = track.find("instrumenttrack"), track.find("instrumenttrack/instrument")
        if track.get("muted") == "1" or instrument is None or plugin is None:
            continue
        name, kind = track.get("name", ""), plugin.get("name", "")
        sound = next(iter(plugin), None)
        notes = tuple(note for placed in clips for note in notes_of(placed))
        if kind not in INSTRUMENTS or sound is None or not notes:
            continue
        if kind == "sf2player" and sound.get("bank") in DRUM_BANKS:
            pitches = [round(pitch_of(note, instrument)) for _, note in notes]
            for drum in sorted({DRUM_TYPE[pitch] for pitch in pitches if pitch in DRUM_TYPE}):
                own = [
                    (pitch, note)
                    for pitch, note in zip(pitches, notes, strict=True)
                    if DRUM_TYPE.get(pitch) == drum
                ]
                yield Voice(name, (drum, own[0][0]), instrument, tuple(note for _, note in own))
            continue
        drum = drum_of(kind, sound, name)
        if drum is None and kind != "audiofileprocessor" and kind_of(name) in SYNTHESISED:
            drum = kind_of(name), 0
        yield Voice(name, drum, instrument, notes)


def sounds_in(voice: Voice, window: Window) -> bool:
    return any(True for _ in _cut(voice, window))


def stem_project(root: Element, stem: Sequence[Voice], window: Window) -> bytes:
    """A project of 1.2 in which nothing but these voices plays, and of them nothing but the excerpt.

    The effects of the mixer channels that they go through stay, and the automation of what is left. Beats become
    notes of the song, in a clip for each bar; one in the last bar makes every stem as long as the others.
    """
    project = Element("lmms-project", root.attrib | {"type": "song"})
    project.append(root.find("head"))
    song = SubElement(project, "song")
    container = SubElement(song, "trackcontainer", type="song")
    for voice in stem:
        track = SubElement(container, "track", type="0", name=voice.name, muted="0", solo="0")
        track.append(voice.instrument)
        bars: dict[int, Element] = {}
        for place, note in [*_cut(voice, window), (window.stop - window.start - 1, None)]:
            number = place // window.bar
            if number not in bars:
                pos = str(number * window.bar)
                bars[number] = SubElement(track, "pattern", type="1", pos=pos, steps="16", muted="0")
            if note is not None:
                note.set("pos", str(place - number * window.bar))
                bars[number].append(note)
    mixer = root.find("song/fxmixer")
    if mixer is not None:
        song.append(_mixer(mixer, {voice.instrument.get("fxch", "0") for voice in stem}))
    song.extend(root.findall("song/controllers"))
    known = {element.get("id") for element in project.iter()}
    clips = [
        clip
        for clip in _automation(root, window)
        if any(part.get("id") in known for part in clip.iter("object"))
    ]
    if clips:
        track = SubElement(container, "track", type="5", name="automation", muted="0", solo="0")
        SubElement(track, "automationtrack")
        track.extend(clips)
    return ElementTree.tostring(project, encoding="utf-8", xml_declaration=True)


def _cut(voice: Voice, window: Window) -> Iterator[tuple[int, Element]]:
    """The notes in the window, counted from its start; a held note that began before begins anew, a hit does not."""
    for begin, note in voice.notes:
        n_ticks = int(float(note.get("len", 0)))
        end = begin + max(n_ticks, 1)
        if (
            begin >= window.stop
            or end <= window.start
            or (begin < window.start and (n_ticks <= 0 or voice.drum))
        ):
            continue
        kept = copy.copy(note)
        if n_ticks > 0:
            kept.set("len", str(int(min(end, window.stop) - max(begin, window.start))))
        if begin < window.start:
            kept[:] = []  # its bend counts from the note's start
        yield int(max(begin - window.start, 0)), kept


def _mixer(mixer: Element, used: Iterable[str]) -> Element:
    """The mixer without the effects of channels through which nothing comes."""
    channels = {channel.get("num"): channel for channel in mixer}
    open_, through = ["0", *used], set()
    while open_:
        number = open_.pop()
        if number not in through and number in channels:
            through.add(number)
            open_ += [send.get("channel", "0") for send in channels[number].findall("send")]
    kept = Element(mixer.tag, mixer.attrib)
    for number, channel in channels.items():
        if number in through:
            kept.append(channel)
        else:
            SubElement(
                SubElement(kept, channel.tag, channel.attrib), "fxchain", enabled="0", numofeffects="0"
            )
    return kept


def _automation(root: Element, window: Window) -> Iterator[Element]:
    """Automation clips counted from the window's start; of those that began before, the last one of each knob."""
    placed: list[Placed] = [
        one
        for track, clips in tracks(root)
        if track.get("muted") != "1"
        for one in clips
        if one[2].find("object") is not None
    ]
    for track in root.findall("song/track"):
        placed += [(0.0, 0.0, clip) for clip in track.findall("automationpattern")]
    begun: dict[tuple[str | None, ...], Element] = {}
    for start, _, clip in sorted(placed, key=lambda one: one[0]):
        points = sorted(
            (float(point.get("pos", 0)), float(point.get("value", 0))) for point in clip.findall("time")
        )
        if not points or clip.get("mute") == "1" or start >= window.stop:
            continue
        shift = start - window.start
        kept = Element(clip.tag, clip.attrib | {"pos": str(int(max(shift, 0)))})
        kept.extend(clip.findall("object"))
        if shift < 0:
            points = [
                (0.0, _value(points, -shift, clip.get("prog") == "0")),
                *((at + shift, value) for at, value in points if at > -shift),
            ]
        points = [(at, value) for at, value in points if at < window.stop - window.start - max(shift, 0)]
        kept.set("len", str(int(max(points[-1][0], 1))))
        for at, value in points:
            SubElement(kept, "time", pos=str(int(at)), value=str(value))
        knobs = tuple(part.get("id") for part in clip.findall("object"))
        if shift <= 0:
            begun[knobs] = kept
        else:
            yield kept
    yield from begun.values()


def _value(points: list[tuple[float, float]], at: float, in_steps: bool) -> float:
    """An automation's value between its points; curves are taken as lines."""
    before = [point for point in points if point[0] <= at] or points[:1]
    after = [point for point in points if point[0] > at]
    (x0, y0) = before[-1]
    if in_steps or not after or x0 > at:
        return y0
    x1, y1 = after[0]
    return y0 + (y1 - y0) * (at - x0) / (x1 - x0)
