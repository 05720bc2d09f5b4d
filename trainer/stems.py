"""Songs as they lie on disk before preparation: which files are a song's stems, and what each plays.

STEMS/<song>/<stem>.(wav|aif|aiff|flac|ogg|mp3|…)
STEMS/<song>/song.toml     optional: origin, source, song, kit, side, held_out_source, licence;
                           [stems] "file name" = type or "ignore"
"""

from __future__ import annotations

import difflib
import re
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from encoders.audio import EXTENSIONS
from encoders.drum_types import TYPES, guess_type

ORIGINS = ("electronic", "acoustic")
SIDES = ("train", "eval", "test")
KIT_TYPE = "percussion"
"""Type of the hits of a stem that holds a whole kit: percussion they are, which drum nobody said."""

_KEYS = {
    "origin": str,
    "source": str,
    "song": str,
    "kit": str,
    "variant": str,
    "side": str,
    "held_out_source": bool,
    "licence": str,
    "stems": dict,
}
LOSSY = {".ogg": 1, ".oga": 1, ".opus": 1, ".mp3": 2, ".mp4": 2}
"""Endings of files that went through a codec; of two of one stem, the smaller number is the better one."""

_LOOP = re.compile(r"loops?|\d*bpm", re.IGNORECASE)
_WHOLE = re.compile(
    r"(full|the|final|rough|ref|stereo)?[\s_-]*(mix(ture|down)?|master|song|bounce)[\s_-]*(\d+|l|r)?"
)
_KIT = re.compile(
    r"(all|full|live|acoustic)?[\s_-]*(drum|kit|drum[\s_-]*(kit|set))s?[\s_-]*(bus|buss|mix|all|group|sum|stem)?"
)


@dataclass(frozen=True)
class Note:
    """One line of a report: what was left out or taken with a grain of salt, and why."""

    path: str
    text: str


@dataclass(frozen=True)
class StemFile:
    """One stem on disk.

    Attributes:
        name: its own name in the song.
        type: the drum that it plays, or None.
        stream: the audio stream to take from a container of several (MUSDB18's stem.mp4), else None.
    """

    name: str
    path: Path
    type: str | None
    stream: int | None = None


@dataclass(frozen=True)
class SongFiles:
    """One song on disk; the facts are those of song.toml, None where nobody said.

    Attributes:
        song: what variants of one tune have in common.
        side: "train", "eval" or "test" where the split is given.
        notes: lines for the report.
    """

    name: str
    stems: tuple[StemFile, ...]
    origin: str | None = None
    source: str | None = None
    song: str | None = None
    kit: str | None = None
    side: str | None = None
    held_out_source: bool = False
    licence: str | None = None
    notes: tuple[Note, ...] = field(default=())


def read_song(folder: Path) -> SongFiles:
    """A song's folder in our own layout; what is wrong with it becomes notes, never an exception."""
    notes: list[Note] = []
    try:
        files = _audio_files(folder, notes)
    except OSError as error:
        return SongFiles(folder.name, (), notes=(Note(str(folder), f"cannot be listed: {error.strerror}"),))
    facts = _read_facts(folder / "song.toml", notes)
    given = _given_types(facts.pop("stems", {}), files, folder / "song.toml", notes)
    facts.pop("variant", None)
    stems = tuple(
        StemFile(path.stem, path, given[path.name] if path.name in given else type_of_name(path, notes))
        for path in files
        if given.get(path.name) != "ignore"
    )
    return SongFiles(folder.name, _without_sums(stems, frozenset(given), notes), notes=tuple(notes), **facts)


def _audio_files(folder: Path, notes: list[Note]) -> list[Path]:
    """The stems of a folder by name; of one stem in two encodings the first, or its mix would still hold its double."""
    files: dict[str, Path] = {}
    for path in sorted(
        folder.iterdir(), key=lambda path: (path.stem, LOSSY.get(path.suffix.lower(), 0), path)
    ):
        if path.suffix.lower() not in EXTENSIONS or path.name.startswith(
            "."
        ):  # "._kick.wav" is macOS's shadow
            continue
        if (first := files.setdefault(path.stem, path)) != path:
            notes.append(Note(str(path), f"left out: {first.name} is the same stem"))
    return list(files.values())


def type_of_name(path: Path, notes: list[Note]) -> str | None:
    """The drum that a stem's file name tells of; None, with a note, where the name tells of two.

    Its own name alone counts, since its folder is named after a song; and a stem is a loop by nature, so that
    "Kick Loop 120bpm" is the kick.
    """
    words = [word for word in re.findall(r"[^\W\d_]+", path.stem) if not _LOOP.fullmatch(word)]
    typed = guess_type(" ".join(words))
    if typed is not None:
        return None if typed.type == "other" else typed.type
    told = sorted({typed.type for word in words if (typed := guess_type(word))} - {"other"})
    if len(told) > 1:
        notes.append(Note(str(path), f"its name tells of {' and '.join(told)}: mixed, no one-shots cut"))
    return None


def type_of_instrument(text: str) -> str | None:
    """The drum that a collection's word for an instrument means; a whole kit is "percussion", None is no drum."""
    words = text.replace("_", " ").casefold()
    if _KIT.fullmatch(words) or words in ("drum machine", "electronic drums", "full acoustic drumkit"):
        return KIT_TYPE
    typed = guess_type(words)
    return None if typed is None or typed.type == "other" else typed.type


def _without_sums(
    stems: tuple[StemFile, ...], given: frozenset[str], notes: list[Note]
) -> tuple[StemFile, ...]:
    """Leaves out the bounce of the whole, and a drum bus that lies beside its own parts."""
    n_parts = sum(stem.type is not None and not _KIT.fullmatch(stem.name.casefold()) for stem in stems)
    kept = []
    for stem in stems:
        name = stem.name.casefold()
        if stem.path.name in given:
            kept.append(stem)
        elif _WHOLE.fullmatch(name):
            notes.append(Note(str(stem.path), "left out: by its name the bounce of the whole song"))
        elif n_parts >= 2 and _KIT.fullmatch(name):
            notes.append(Note(str(stem.path), "left out: by its name a drum bus beside its own parts"))
        elif stem.type is None and _KIT.fullmatch(name):
            notes.append(Note(str(stem.path), f"a whole kit: its hits count as {KIT_TYPE}"))
            kept.append(replace(stem, type=KIT_TYPE))
        else:
            kept.append(stem)
    return tuple(kept)


def _read_facts(path: Path, notes: list[Note]) -> dict[str, Any]:
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:  # a TOML fault is a ValueError
        notes.append(Note(str(path), f"not read: {error}"))
        return {}
    facts = {}
    for key, value in table.items():
        near = difflib.get_close_matches(key, _KEYS, 1)
        if key not in _KEYS:
            notes.append(
                Note(str(path), f"unknown key {key!r}" + (f", did you mean {near[0]!r}?" if near else ""))
            )
        elif not isinstance(value, _KEYS[key]):
            notes.append(Note(str(path), f"{key} = {value!r}: expected a {_KEYS[key].__name__}"))
        elif key in _CHOICES and value not in _CHOICES[key]:
            notes.append(Note(str(path), f"{key} = {value!r}: expected {' or '.join(_CHOICES[key])}"))
        else:
            facts[key] = value
    return facts


_CHOICES = {"origin": ORIGINS, "side": SIDES}


def _given_types(table: dict[str, Any], files: list[Path], path: Path, notes: list[Note]) -> dict[str, str]:
    """Types by file name, as song.toml gives them; a stem may be named with or without its ending."""
    given: dict[str, str] = {}
    for name, wanted in table.items():
        found = [file.name for file in files if name in (file.name, file.stem)]
        if not found:
            notes.append(Note(str(path), f"[stems] {name!r}: no such file here"))
        elif wanted not in (*TYPES, "ignore"):
            notes.append(
                Note(str(path), f"[stems] {name!r} = {wanted!r}: expected {', '.join(TYPES)} or ignore")
            )
        else:
            given.update(dict.fromkeys(found, wanted))
    return given
