"""Tracker modules by libopenmpt: each instrument played alone, so a finished song comes apart into its stems."""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from encoders.audio import SAMPLE_RATE, SILENCE_DBFS, FloatArray
from encoders.drum_types import SIX
from encoders.errors import NotFound
from trainer.starter.finished import Finished, heard, kind_of
from trainer.starter.score import Unusable

SUFFIXES = frozenset({".it", ".mod", ".s3m", ".stm", ".xm"})
MAX_S = 600.0
_LOOK_RATE = 8000
_SET_INSTRUMENT_MUTE = 12
"""Place of the function in libopenmpt's "interactive" interface: fixed by its header, like every place there."""


def take_module(path: Path, rng: np.random.Generator) -> Finished:
    """Plays 20 to 40 s of a module, where most of it sounds; drums by their instruments' names.

    Instruments of one type are one stem.

    Raises:
        NotFound: libopenmpt is not installed.
        Unusable: no module, or a drum and two other instruments never sound together.
    """
    data = path.read_bytes()
    names, duration_s = _contents(data)
    kinds = [kind_of(name) for name in names]
    length_s = min(float(rng.uniform(20, 40)), duration_s)
    n_look = int(min(duration_s, MAX_S))
    active = np.array(
        [_activity(data, number, len(names), n_look) for number in range(len(names))]
    )  # (N, seconds)
    n_window = max(1, int(length_s))
    starts = range(max(1, n_look - n_window))
    crowd = np.array([_crowd(active[:, start : start + n_window], kinds) for start in starts])
    if not (crowd > 0).any():
        raise Unusable("a drum of the six types and two parts never sound together")
    start_s = float(rng.choice(np.flatnonzero(crowd >= 0.8 * crowd.max())))
    n_samples = round(length_s * SAMPLE_RATE)
    stems: dict[str, FloatArray] = {}
    for number in np.flatnonzero(active[:, int(start_s) : int(start_s) + n_window].any(axis=1)):
        audio = _play(data, int(number), len(names), start_s, n_samples, SAMPLE_RATE)
        name = kinds[number] or f"part-{number + 1:02d}"
        stems[name] = stems[name] + audio if name in stems else audio
    stems = heard(stems)
    return Finished(stems, {name: name for name in stems if name in kinds}, start_s, length_s)


def _crowd(active: np.ndarray, kinds: list[str | None]) -> int:
    """(N, seconds) → how many instruments sound there; 0 where they are too few."""
    sounds = active.sum(axis=1) >= 2
    drums = {kind for kind, sound in zip(kinds, sounds, strict=True) if kind and sound}
    n_parts = sum(kind is None and sound for kind, sound in zip(kinds, sounds, strict=True))
    return 2 * len(drums) + min(n_parts, 6) if drums & set(SIX) and n_parts >= 2 else 0


def _activity(data: bytes, number: int, n_instruments: int, n_seconds: int) -> np.ndarray:
    """(seconds,) bool: where the instrument sounds."""
    audio = _play(data, number, n_instruments, 0.0, n_seconds * _LOOK_RATE, _LOOK_RATE)
    return np.abs(audio.reshape(n_seconds, _LOOK_RATE)).max(axis=1) > 10 ** (SILENCE_DBFS / 20)


def _contents(data: bytes) -> tuple[list[str], float]:
    """The names of what can be muted (instruments, or samples where a module has none), and the length in s."""
    with _opened(data) as (library, _, module):
        n_instruments = library.openmpt_module_get_num_instruments(module)
        n_samples = library.openmpt_module_get_num_samples(module)
        name_of = (
            library.openmpt_module_get_instrument_name
            if n_instruments
            else library.openmpt_module_get_sample_name
        )
        names = [_text(library, name_of(module, number)) for number in range(n_instruments or n_samples)]
        return names, library.openmpt_module_get_duration_seconds(module)


def _play(
    data: bytes, number: int, n_instruments: int, start_s: float, n_samples: int, rate: int
) -> FloatArray:
    """One instrument alone from `start_s` on. → (n_samples,)"""
    with _opened(data) as (library, extended, module):
        table = (ctypes.c_void_p * 16)()
        if not library.openmpt_module_ext_get_interface(
            extended, b"interactive", table, ctypes.sizeof(table)
        ):
            raise NotFound("libopenmpt", found="no interactive interface", expected="version 0.5 or later")
        mute = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int32, ctypes.c_int)(
            table[_SET_INSTRUMENT_MUTE]
        )
        for other in range(n_instruments):
            mute(extended, other, int(other != number))
        library.openmpt_module_set_position_seconds(module, start_s)
        left, right = np.zeros(n_samples, np.float32), np.zeros(n_samples, np.float32)
        done = 0
        while done < n_samples:
            n_read = library.openmpt_module_read_float_stereo(
                module, rate, n_samples - done, left.ctypes.data + 4 * done, right.ctypes.data + 4 * done
            )
            if not n_read:
                break
            done += n_read
        return (left + right) / 2


@contextmanager
def _opened(data: bytes) -> Iterator[tuple[ctypes.CDLL, int, int]]:
    library = _library()
    extended = library.openmpt_module_ext_create_from_memory(data, len(data), *[None] * 7)
    if not extended:
        raise Unusable("no module")
    try:
        yield library, extended, library.openmpt_module_ext_get_module(extended)
    finally:
        library.openmpt_module_ext_destroy(extended)


def _text(library: ctypes.CDLL, pointer: int) -> str:
    text = ctypes.string_at(pointer).decode("utf-8", "replace")
    library.openmpt_free_string(pointer)
    return text


@functools.cache
def _library() -> ctypes.CDLL:
    name = ctypes.util.find_library("openmpt")
    if name is None:
        raise NotFound("libopenmpt", found="no such library", remedy="install it (Debian: libopenmpt0)")
    library = ctypes.CDLL(name)
    pointer, whole, size, real = ctypes.c_void_p, ctypes.c_int32, ctypes.c_size_t, ctypes.c_double
    for function, result, arguments in (
        ("openmpt_module_ext_create_from_memory", pointer, (ctypes.c_char_p, size, *[pointer] * 7)),
        ("openmpt_module_ext_destroy", None, (pointer,)),
        ("openmpt_module_ext_get_module", pointer, (pointer,)),
        ("openmpt_module_ext_get_interface", whole, (pointer, ctypes.c_char_p, pointer, size)),
        ("openmpt_module_get_num_instruments", whole, (pointer,)),
        ("openmpt_module_get_num_samples", whole, (pointer,)),
        ("openmpt_module_get_instrument_name", pointer, (pointer, whole)),
        ("openmpt_module_get_sample_name", pointer, (pointer, whole)),
        ("openmpt_module_get_duration_seconds", real, (pointer,)),
        ("openmpt_module_set_position_seconds", real, (pointer, real)),
        ("openmpt_module_read_float_stereo", size, (pointer, whole, size, pointer, pointer)),
        ("openmpt_free_string", None, (pointer,)),
    ):
        call = getattr(library, function)
        call.restype, call.argtypes = result, arguments
    return library
