"""The type of a one-shot as its names tell it: words of the file name first, then of its folders.

Pure, and blind to case, accents, digits and separators: "HiHatClosed", "hi-hat_CLOSED 03" and "hihatclosed"
are one name. docs/drum-types.md says the rules in words, and where they differ from the folders of a corpus.
"""

from __future__ import annotations

import os
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from encoders.drum_words import (
    AT_END,
    COLLECTIVE,
    DICTIONARY,
    HIHAT_SUBTYPES,
    INSIDE,
    LISTING,
    LOOP,
    LOOP_ALONE,
    LOOP_TAIL,
    ORDINARY,
    QUALIFIERS,
    Sense,
    Weight,
)

TYPES = ("kick", "snare", "hihat", "ride", "crash", "tom", "clap", "percussion", "other")
"""Every type, in the order in which they are shown."""

SIX = TYPES[:6]
"""The paper's types: what a press offers."""


@dataclass(frozen=True, slots=True)
class Typed:
    """What the names of a file tell.

    Attributes:
        type: one of `TYPES`; always "other" for a loop, so that no loop is offered as a one-shot.
        subtype: "open", "closed" or "pedal" for a hi-hat, "rim" for a snare; None when unsaid.
        is_loop: more than one hit: a loop, break, groove, fill or roll.
    """

    type: str
    subtype: str | None = None
    is_loop: bool = False


_RUN = re.compile(r"[a-z]+(?:['’]s(?![a-z]))?|[&+,]")
"""A word, a possessive whole ("Tom's" is a man), or a mark of listing. Digits and the rest only separate."""
_SEPARATOR = re.compile(r"[/\\]+")
_HOME = re.compile(r"^(?:[a-z]:)?[/\\](?:home|users|(?:run[/\\])?media)[/\\][^/\\]+(?=[/\\])", re.IGNORECASE)
"""The folder of a user, whose name is no drum even when it is Tom."""
_NEUTRAL = re.compile(
    r"(?<![a-z])(?:(?:cr[-_ ]?(?:78|68|8000)|mc[-_ ]?(?:303|505|808|909)|mt[-_ ]?32|rd-[689])(?!\d)"
    r"|drums?[-_ ]*(?:&|and|n|\+)[-_ ]*bass(?![a-z]))"
)
"""Machines that begin as an abbreviation does, and a genre that begins as an instrument does."""
_LONGEST_RUN = 40
"""Letters beyond which a run is not taken apart: no such word was seen."""


def _phrases() -> dict[tuple[str, ...], Sense]:
    """The dictionary by phrase, as a tuple of words."""
    return {
        tuple(phrase.split()): sense
        for sense, phrases in DICTIONARY
        for phrase in map(str.strip, phrases.split(","))
    }


def _parts() -> dict[str, tuple[str, ...]]:
    """What a whole word may stand for: itself, its singular, or the words of a phrase written as one."""
    words = {word for phrase in _PHRASES for word in phrase}
    parts = {
        word: (word,) for word in words | LOOP | LOOP_TAIL | LOOP_ALONE | QUALIFIERS | set(HIHAT_SUBTYPES)
    }
    glued = {"".join(phrase): phrase for phrase in (*_PHRASES, ("one", "shot")) if len("".join(phrase)) > 3}
    ends = {phrase[-1]: phrase[-1:] for phrase in _PHRASES if len(phrase[-1]) > 1}
    loops = {word: (word,) for word in LOOP | LOOP_TAIL}
    plurals = {
        whole + ("es" if whole.endswith("sh") else "s"): phrase
        for whole, phrase in (ends | loops | glued | {"shot": ("shot",)}).items()
    }
    return plurals | glued | parts


_PHRASES = _phrases()
_PARTS = _parts()
_LONGEST_PHRASE = max(map(len, _PHRASES))
_SHORT = {phrase for phrase, sense in _PHRASES.items() if sense.weight == Weight.SHORT}
_GLUE = frozenset(word for word, phrase in _PARTS.items() if len(word) > 2 and phrase not in _SHORT) | {
    "hh",
    "hi",
    "rim",
}
"""What a run may be made of without a gap. Short words are left out: "chop" is no closed hat that is open."""
_LONGEST_GLUE = max(map(len, _GLUE))
_INSIDE_PATTERN = re.compile("|".join(sorted(INSIDE, key=len, reverse=True)))


@dataclass(frozen=True, slots=True)
class _Reading:
    """What one file or folder name says.

    Attributes:
        types: the types of the weightiest words; more than one is ambiguous.
        weight: theirs; 0 with no type.
        subtype: of the hi-hat or snare; None when unsaid or contradictory.
        is_bare: nothing but a subtype of a hi-hat, as in a folder "Closed".
        is_loop: more than one hit.
        is_loop_folder: loops and nothing beside them, whatever drum its files name.
        is_single: says that it holds one-shots.
    """

    types: frozenset[str]
    weight: int
    subtype: str | None
    is_bare: bool
    is_loop: bool
    is_loop_folder: bool
    is_single: bool


def guess_type(path: str | os.PathLike[str]) -> Typed | None:
    """The type that a path's names tell, or None when they tell nothing or contradict themselves.

    Args:
        path: of a file, absolute or relative; bytes that are not UTF-8 as PEP 383 escapes. Not opened.
    """
    file_name, *folder_names = reversed(_SEPARATOR.split(_HOME.sub("", os.fsdecode(path))))
    file = _read(file_name)
    folders = [_read_folder(name) for name in folder_names]
    if file.is_loop or (not file.is_single and _lies_among_loops(folders)):
        return Typed("other", is_loop=True)
    telling = next((folder for folder in folders if len(folder.types) == 1 or folder.is_loop), None)
    source = file if file.types else telling
    if file.types and file.weight <= Weight.FAMILY and telling is not None and telling.weight >= Weight.SHORT:
        source = telling  # "Kicks/Sub Noise 3": the folder names the drum, the file describes it
    if source is None or len(source.types) > 1:
        return None
    if source.is_loop:
        return Typed("other", is_loop=True)
    (drum_type,) = source.types
    return Typed(drum_type, _subtype(drum_type, file, folders))


def _lies_among_loops(folders: list[_Reading]) -> bool:
    """True when the nearest folder that speaks of loops or one-shots speaks of loops."""
    return next(
        (not folder.is_single for folder in folders if folder.is_loop_folder or folder.is_single), False
    )


def _subtype(drum_type: str, file: _Reading, folders: list[_Reading]) -> str | None:
    """The file's own subtype, else that of the nearest folder for this type ("Open Hats", "Hats/Closed")."""
    if file.subtype and (drum_type in file.types or drum_type == "hihat"):
        return file.subtype
    if drum_type != "hihat":
        return None
    return next((f.subtype for f in folders if f.subtype and (f.is_bare or "hihat" in f.types)), None)


@lru_cache(maxsize=4096)
def _read_folder(name: str) -> _Reading:
    """A folder's name, kept: a pack repeats it for each of its files."""
    return _read(name, is_folder=True)


def _read(name: str, is_folder: bool = False) -> _Reading:
    """What one name says, taken by itself."""
    words = [word for run in _RUN.findall(_NEUTRAL.sub(" ", _fold(name))) for word in _split(run)]
    senses = _senses(words)
    said = [sense for _, sense in senses]
    if is_folder:
        said += [COLLECTIVE[word] for word in words if word in COLLECTIVE]
    weight = max((sense.weight for sense in said), default=0)
    floor = weight if LISTING.isdisjoint(words) else min(weight, Weight.FAMILY)
    types = frozenset(sense.type for sense in said if sense.weight >= floor)
    last_drum = max((at for at, sense in senses if sense.weight > Weight.SOUND), default=-1)
    is_single = "hits" in words or ("one", "shot") in pairwise(words)
    is_loop = not is_single and (
        not LOOP.isdisjoint(words)
        or any(word in LOOP_TAIL for word in words[last_drum + 1 :])
        or (last_drum < 0 and not LOOP_ALONE.isdisjoint(words))
    )
    return _Reading(
        types=types,
        weight=weight,
        subtype=_said_subtype(types, said, words),
        is_bare=bool(words) and all(word in HIHAT_SUBTYPES for word in words),
        is_loop=is_loop,
        is_loop_folder=is_loop and "loop" in words and LISTING.isdisjoint(words[words.index("loop") :]),
        is_single=is_single,
    )


def _said_subtype(types: frozenset[str], said: list[Sense], words: list[str]) -> str | None:
    """The one subtype that fits; for a name without a type, a hi-hat's, which its folder may want."""
    found = {sense.subtype for sense in said if sense.subtype and sense.type in types}
    if types <= {"hihat"}:
        found |= {HIHAT_SUBTYPES[word] for word in words if word in HIHAT_SUBTYPES}
    return found.pop() if len(found) == 1 else None


def _senses(words: list[str]) -> list[tuple[int, Sense]]:
    """Each phrase with the place of its last word: left to right, the longest first, none overlapping."""
    senses: list[tuple[int, Sense]] = []
    at = 0
    while at < len(words):
        for length in range(min(_LONGEST_PHRASE, len(words) - at), 0, -1):
            if sense := _PHRASES.get(tuple(words[at : at + length])):
                senses.append((at + length - 1, sense))
                at += length
                break
        else:
            at += 1
    if any(sense.type == "hihat" for _, sense in senses):
        return [
            (at, sense) for at, sense in senses if sense.type == "hihat" or words[at] not in HIHAT_SUBTYPES
        ]
    return senses


def _fold(name: str) -> str:
    """Without case, accents and compatibility forms, so that NFC, NFD and full-width spellings are one."""
    if name.isascii():
        return name.lower()
    return "".join(c for c in unicodedata.normalize("NFKD", name.casefold()) if not unicodedata.combining(c))


@lru_cache(maxsize=16384)
def _split(run: str) -> tuple[str, ...]:
    """The words of a run of letters; itself where it holds none, so that it keeps others apart."""
    if run in _PARTS:
        return _PARTS[run]
    if run in ORDINARY:
        return (run,)
    if run[-1] in "lr" and run[:-1] in _GLUE:  # the left or right hand or channel: "RideL"
        return _PARTS[run[:-1]]
    if covered := _cover(run):
        return covered
    if inside := _INSIDE_PATTERN.findall(run):
        return tuple(word for found in inside for word in _PARTS.get(found, (found,)))
    return next((_PARTS[ending] for ending in AT_END if run.endswith(ending)), (run,))


def _cover(run: str) -> tuple[str, ...] | None:
    """The run as known words without a gap, as few as can be: "hihatclosed", "FloorTom"."""
    if len(run) > _LONGEST_RUN:
        return None
    best: dict[int, tuple[str, ...]] = {0: ()}  # by place: the fewest words that end there
    for start in range(len(run)):
        if start not in best:
            continue
        for end in range(start + 2, min(start + _LONGEST_GLUE, len(run)) + 1):
            if run[start:end] in _GLUE and len(best[start]) + 1 < len(best.get(end, run)):
                best[end] = (*best[start], run[start:end])
    words = best.get(len(run))
    return words and tuple(word for part in words for word in _PARTS[part])
