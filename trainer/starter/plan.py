"""Where the starter corpus's songs lie, and which of them there are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from encoders.errors import NotFound
from trainer.starter.grooves import list_grooves
from trainer.starter.modules import SUFFIXES as MODULE_SUFFIXES

GROOVES_PER_FILE = 3
LICENCES = {
    "freedoom-head": "BSD-3-Clause",
    "blasphemer": "BSD-3-Clause",
    "openmsx": "GPL-2.0",
    "tannerhelland": "CC-BY-4.0",
    "simutrans": "Artistic-1.0",
    "madadog": "CC-BY-SA-4.0",
    "planetblupi": "GPL-3.0-or-later",
    "mma": "GPL-2.0-or-later",
}
"""Sources whose licence is known; a folder of another name is not rendered."""

BY_LMMS = "-lmms"
"""Ends the name of a source whose projects LMMS plays itself."""

DEMOS = "lmms-demos"
DEMO_LICENCES = {
    "CapDan-Regg|EsoXLB|Impulslogik|Momo64|Oglsdl|Settel|Socceroos|TameAnderson|Thomasso": "Artistic-2.0",
    "Crunk|Greshz|Surrender": "Artistic-2.0",
    "Saber": "BSD-2-Clause",
    "Alf42red|CapDan-Twilight": "CC-BY-SA-3.0",
    "Jousboxx|Skiessi": "CC-BY-SA-4.0",
}
"""How the name of a demo of LMMS begins → its licence, by Debian's copyright file.

Without a line of their own there: DirtyLove, Shovon, StrictProduction. On another's tune, whose licence is not told:
CapDan-ZeroSumGame. They stay out."""

MODULE_LICENCES = {
    "modules": {  # held out
        "biniax2-data": "Zlib, LGPL-2.1-or-later",
        "gltron": "GPL-2.0-or-later",
        "gweled": "GPL-2.0-or-later",
        "ironseed-data": "GPL-3.0-or-later",
        "monsterz-data": "public domain",
        "njam-data": "GPL-2.0-or-later",
        "pachi-data": "GPL-2.0-or-later",
        "penguin-command": "GPL-2.0-or-later",
    },
    "game-modules": {
        "bb": "GPL-2.0-or-later",
        "bomberclone-data": "GPL-2.0-only",
        "criticalmass-data": "GPL-2.0-or-later",
        "flobopuyo": "GPL-2.0-or-later",
        "freedroid-data": "GPL-2.0-or-later",
        "gl-117-data": "GPL-2.0-only",
        "heroes-sound-tracks": "GPL-2.0-or-later",
        "madbomber-data": "GPL-2.0-only",
        "open-invaders-data": "GPL-2.0-or-later",
        "pekka-kana-2-data": "BSD-2-Clause",
        "pingus-data": "GPL-2.0-or-later",
        "rafkill-data": "LGPL-2.0-only",
        "ri-li-data": "GPL-3.0-only",
        "rockdodger": "GPL-2.0-or-later",
        "solarwolf": "LGPL-2.1-only",
        "tecnoballz-data": "GPL-3.0-or-later",
        "tuxmath-data": "public domain",
        "vodovod": "GPL-2.0-or-later",
    },
}
"""Source → Debian package → licence of its tracker modules."""


@dataclass(frozen=True)
class Sources:
    """Where the material lies; None leaves a kind out.

    Attributes:
        midi: folder of folders of .mid files, each named by its source.
        lmms: folder of folders of .mmpz and .mmp projects, likewise.
        modules: folder of folders of tracker modules, each named by the Debian package that they are of.
        mma: MMA's library of grooves.
        one_shots: folder SOURCE/TYPE/*.flac.
        soundfonts: .sf2 and .sf3 files, at least one.
    """

    midi: Path | None
    lmms: Path | None
    modules: Path | None
    mma: Path | None
    one_shots: Path
    soundfonts: tuple[Path, ...]


@dataclass(frozen=True)
class Song:
    """A song that can be read.

    Attributes:
        family: what a tune's versions share; it decides the cell.
        path: its file, or for MMA the groove file's name.
        grooves: for MMA.
    """

    source: str
    name: str
    family: str
    path: str
    grooves: tuple[str, ...] = ()


def folder_name(song: Song, variant: int) -> str:
    return f"{song.source}__{song.name}__v{variant}"


def list_songs(sources: Sources) -> tuple[Song, ...]:
    """Every song that may be rendered, by source and name.

    Raises:
        NotFound: a folder or soundfont that is not there.
    """
    for path in (
        sources.midi,
        sources.lmms,
        sources.modules,
        sources.mma,
        sources.one_shots,
        *sources.soundfonts,
    ):
        if path is not None and not path.exists():
            raise NotFound(str(path), found="nothing there", expected="material for the corpus")
    if not sources.soundfonts:
        raise NotFound("soundfonts", found="none", expected="at least one .sf2 or .sf3 file")
    songs = [
        *_files(sources.midi, "*.mid", LICENCES),
        *_projects(sources.lmms),
        *_modules(sources.modules),
    ]
    if sources.mma is not None:
        for file, grooves in list_grooves(sources.mma):
            for number in range(min(GROOVES_PER_FILE, len(grooves))):
                chosen = grooves[number::GROOVES_PER_FILE]
                songs.append(
                    Song("mma", f"{_slug(file)}-{number + 1}", file.rpartition("/")[2], file, chosen)
                )
    return tuple(songs)


_VERSION = re.compile(r"([-_ ]?v\d+|_[0-9a-f]{8}| ?\(.*\)|improved?|remix)+$", re.IGNORECASE)
_COVERS = re.compile(r"aerith|eragon|kroc|dragonfyre|carol of the bells", re.IGNORECASE)
"""Songs on others' themes inside an open collection: their licence is not the collection's to give."""


def licence_of(song: Song) -> str | None:
    """None for a song that is not to be used."""
    path = Path(song.path)
    if song.source in MODULE_LICENCES:
        return MODULE_LICENCES[song.source][path.parent.name]
    if song.source == DEMOS:
        return next((licence for name, licence in DEMO_LICENCES.items() if re.match(name, path.name)), None)
    return LICENCES[collection_of(song)]


def played_by_lmms(song: Song) -> bool:
    return song.source == DEMOS or song.source.endswith(BY_LMMS)


def collection_of(song: Song) -> str:
    """The source of a song's tune: the same whoever plays it."""
    return song.source.removesuffix(BY_LMMS)


def _files(root: Path | None, pattern: str, collections: Iterable[str]) -> Iterator[Song]:
    for folder in sorted(path for path in root.iterdir() if path.name in collections) if root else ():
        for path in sorted(folder.rglob(pattern)):
            if not _COVERS.search(path.name):
                name = "-".join(_slug(part) for part in path.relative_to(folder).with_suffix("").parts)
                yield Song(folder.name, name, _slug(_VERSION.sub("", path.stem)), str(path))


def _projects(root: Path | None) -> Iterator[Song]:
    """Every project as notes, then every one as LMMS plays it."""
    yield from _files(root, "*.mmpz", LICENCES)
    for song in _files(root, "*.mmp*", LICENCES):
        yield replace(song, source=song.source + BY_LMMS)
    yield from (song for song in _files(root, "*.mmp*", (DEMOS,)) if licence_of(song))


def _modules(root: Path | None) -> Iterator[Song]:
    for source, packages in MODULE_LICENCES.items() if root else ():
        for path in sorted(path for package in packages for path in (root / package).glob("*")):
            if path.suffix.lower() in MODULE_SUFFIXES:
                name = _slug(f"{path.parent.name}-{path.stem}")
                yield Song(source, name, name, str(path))


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
