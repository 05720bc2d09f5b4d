"""FluidSynth, thinly: one pass renders every channel of an excerpt to a buffer of its own."""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from encoders.audio import SAMPLE_RATE, FloatArray
from encoders.errors import NotFound, UnreadableAudio
from trainer.starter.score import Control, Notes

DRUM_BANK = 128
_BEND_RANGE = 12
_BLOCK = 64
"""FluidSynth's own block: a note begins at the next multiple, at most 1.5 ms late, the same in every stem."""


@dataclass(frozen=True, eq=False)
class Channel:
    """What one stem plays.

    Attributes:
        bank: 0 for a General MIDI program, `DRUM_BANK` for a kit.
        tuning: semitones, -12..12.
        notes: (N, 4).
    """

    bank: int
    program: int
    notes: Notes
    controls: tuple[Control, ...] = ()
    tuning: float = 0.0


def play(soundfont: Path, channels: list[Channel], n_samples: int) -> FloatArray:
    """Renders channels side by side, without reverb and chorus, the same to the bit each time.

    Returns:
        (len(channels), n_samples) float32 mono at 44.1 kHz, full scale about 1.

    Raises:
        NotFound: libfluidsynth is not installed.
        UnreadableAudio: the soundfont cannot be opened.
    """
    library = _library()
    n_channels = -(-len(channels) // 16) * 16
    settings = library.new_fluid_settings()
    for key, number in (
        ("synth.midi-channels", n_channels),
        ("synth.audio-channels", n_channels),
        ("synth.audio-groups", n_channels),
        ("synth.polyphony", 512),
        ("synth.reverb.active", 0),
        ("synth.chorus.active", 0),
        ("synth.dynamic-sample-loading", 1),
        ("synth.cpu-cores", 1),
    ):
        library.fluid_settings_setint(settings, key.encode(), number)
    library.fluid_settings_setnum(settings, b"synth.sample-rate", float(SAMPLE_RATE))
    library.fluid_settings_setnum(settings, b"synth.gain", 0.6)
    synth = library.new_fluid_synth(settings)
    try:
        font = library.fluid_synth_sfload(synth, str(soundfont).encode(), 0)
        if font < 0:
            raise UnreadableAudio(
                str(soundfont), found="a file FluidSynth cannot load", expected="an sf2 or sf3 soundfont"
            )
        for number, channel in enumerate(channels):
            library.fluid_synth_set_channel_type(synth, number, 1 if channel.bank == DRUM_BANK else 0)
            library.fluid_synth_program_select(synth, number, font, channel.bank, channel.program)
            if channel.tuning:
                library.fluid_synth_pitch_wheel_sens(synth, number, _BEND_RANGE)
                library.fluid_synth_pitch_bend(
                    synth, number, 8192 + round(channel.tuning / _BEND_RANGE * 8191)
                )
        return _run(library, synth, channels, n_channels, n_samples)
    finally:
        library.delete_fluid_synth(synth)
        library.delete_fluid_settings(settings)


def _run(
    library: ctypes.CDLL, synth: int, channels: list[Channel], n_channels: int, n_samples: int
) -> FloatArray:
    n_padded = -(-n_samples // _BLOCK) * _BLOCK
    stereo = np.zeros((2 * n_channels, n_padded), np.float32)
    pointers = (ctypes.c_void_p * len(stereo))()
    done = 0
    for at, message in (*sorted(_messages(channels), key=lambda pair: pair[0]), (n_padded, None)):
        at = min(-(-at // _BLOCK) * _BLOCK, n_padded)
        if at > done:
            for row in range(len(stereo)):
                pointers[row] = stereo[row].ctypes.data + 4 * done
            library.fluid_synth_process(synth, at - done, 0, None, len(stereo), pointers)
            done = at
        if message is not None:
            function, *arguments = message
            getattr(library, function)(synth, *arguments)
    mono = (stereo[0::2] + stereo[1::2]) / 2
    return mono[: len(channels), :n_samples]


def _messages(channels: list[Channel]) -> Iterator[tuple[int, tuple]]:
    """(sample, call) of every event; a note's end comes before the next one's beginning by a block."""
    for number, channel in enumerate(channels):
        for control in channel.controls:
            at = round(control.time_s * SAMPLE_RATE)
            if control.number < 0:
                yield at, ("fluid_synth_pitch_bend", number, 8192 + control.value)
            else:
                yield at, ("fluid_synth_cc", number, control.number, control.value)
        for start_s, length_s, pitch, velocity in channel.notes:
            at = round(start_s * SAMPLE_RATE)
            key = round(pitch)
            yield at, ("fluid_synth_noteon", number, key, round(velocity))
            yield (
                max(at + _BLOCK, at + round(length_s * SAMPLE_RATE) - _BLOCK),
                ("fluid_synth_noteoff", number, key),
            )


@functools.cache
def _library() -> ctypes.CDLL:
    name = ctypes.util.find_library("fluidsynth") or ctypes.util.find_library("libfluidsynth-3")
    if name is None:
        raise NotFound(
            "libfluidsynth", found="no such library", remedy="install FluidSynth (Debian: libfluidsynth3)"
        )
    library = ctypes.CDLL(name)
    pointer, whole, real, text = ctypes.c_void_p, ctypes.c_int, ctypes.c_double, ctypes.c_char_p
    for function, result, arguments in (
        ("new_fluid_settings", pointer, ()),
        ("new_fluid_synth", pointer, (pointer,)),
        ("delete_fluid_synth", None, (pointer,)),
        ("delete_fluid_settings", None, (pointer,)),
        ("fluid_settings_setint", whole, (pointer, text, whole)),
        ("fluid_settings_setnum", whole, (pointer, text, real)),
        ("fluid_synth_sfload", whole, (pointer, text, whole)),
        ("fluid_synth_set_channel_type", whole, (pointer, whole, whole)),
        ("fluid_synth_program_select", whole, (pointer, whole, whole, whole, whole)),
        ("fluid_synth_pitch_wheel_sens", whole, (pointer, whole, whole)),
        ("fluid_synth_pitch_bend", whole, (pointer, whole, whole)),
        ("fluid_synth_cc", whole, (pointer, whole, whole, whole)),
        ("fluid_synth_noteon", whole, (pointer, whole, whole, whole)),
        ("fluid_synth_noteoff", whole, (pointer, whole, whole)),
        ("fluid_synth_process", whole, (pointer, whole, whole, pointer, whole, pointer)),
    ):
        call = getattr(library, function)
        call.restype, call.argtypes = result, arguments
    return library
