"""Which songs a folder holds, whichever collection it is: our own layout, or a known one as it lies on disk."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from encoders.errors import NotFound
from trainer.stems import KIT_TYPE, Note, SongFiles, StemFile, read_song, type_of_instrument

MUSDB_STREAMS = ("mixture", "drums", "bass", "other", "vocals")
"""The audio streams of a stem.mp4, in order."""

SLAKH_SIDES = {"train": "train", "validation": "eval", "test": "test"}
"""Its fourth folder, "omitted", holds doubles of songs in the others."""


def find_songs(stems: Path) -> tuple[SongFiles, ...]:
    """The songs under a folder, in the order of their names.

    Raises:
        NotFound: no such folder, or no song in it.
    """
    if not stems.is_dir():
        raise NotFound(str(stems), found="no such folder", remedy="check the path")
    try:
        songs = next((found for read in _LAYOUTS if (found := tuple(read(stems)))), ())
    except OSError as error:
        raise NotFound(
            str(stems), found=error.strerror or str(error), remedy="check its permissions"
        ) from None
    if not songs:
        raise NotFound(str(stems), found="no folders", expected="one folder a song, with its stems in it")
    return songs


def read_musdb(root: Path) -> Iterator[SongFiles]:
    """MUSDB18-HQ (train/SONG/drums.wav) and MUSDB18 (train/SONG.stem.mp4, which takes the ffmpeg program)."""
    for side in ("train", "test"):
        for path in sorted((root / side).glob("*")):
            facts: dict[str, Any] = {"source": "musdb18", "side": side}
            wavs = [path / f"{name}.wav" for name in MUSDB_STREAMS[1:]]
            if all(wav.is_file() for wav in wavs):
                stems = tuple(StemFile(wav.stem, wav, _musdb_type(wav.stem)) for wav in wavs)
                yield SongFiles(path.name, stems, **facts)
            elif path.name.endswith(".stem.mp4"):
                name = path.name.removesuffix(".stem.mp4")
                streams = enumerate(MUSDB_STREAMS[1:], start=1)
                stems = tuple(StemFile(word, path, _musdb_type(word), stream) for stream, word in streams)
                yield SongFiles(name, stems, **facts) if shutil.which("ffmpeg") else _needs_ffmpeg(name, path)


def _musdb_type(name: str) -> str | None:
    return KIT_TYPE if name == "drums" else None


def _needs_ffmpeg(name: str, path: Path) -> SongFiles:
    text = "left out: stem.mp4 takes the ffmpeg program, which is not here; install it or use MUSDB18-HQ"
    return SongFiles(name, (), notes=(Note(str(path), text),))


def read_medleydb(root: Path) -> Iterator[SongFiles]:
    """MedleyDB: [Audio/]SONG/SONG_METADATA.yaml, SONG_STEMS/, SONG_RAW/.

    Where a drum set was recorded by several microphones of which at least two name a drum, these raw tracks stand
    in its place, since the paper cuts from tracks of single drums.
    """
    for folder in sorted([*root.glob("*/*_STEMS"), *root.glob("Audio/*/*_STEMS")]):
        song = folder.parent
        table, notes = _read_table(song / f"{song.name}_METADATA.yaml")
        stems = [stem for entry in (table.get("stems") or {}).values() for stem in _medley_stem(song, entry)]
        if table.get("has_bleed") == "yes":
            notes.append(Note(song.name, "its stems bleed into each other, says its metadata"))
        yield SongFiles(song.name, tuple(stems), source="medleydb", notes=tuple(notes))


def _medley_stem(song: Path, entry: dict[str, Any]) -> Iterator[StemFile]:
    name, instrument = str(entry.get("filename")), str(entry.get("instrument"))
    raws = [
        StemFile(Path(file := str(raw.get("filename"))).stem, song / f"{song.name}_RAW" / file, _word(raw))
        for raw in (entry.get("raw") or {}).values()
    ]
    single = {raw.type for raw in raws} - {None, KIT_TYPE}
    if type_of_instrument(instrument) == KIT_TYPE and len(single) >= 2:
        yield from raws
    else:
        yield StemFile(Path(name).stem, song / f"{song.name}_STEMS" / name, type_of_instrument(instrument))


def _word(entry: dict[str, Any]) -> str | None:
    return type_of_instrument(str(entry.get("instrument")))


def read_moisesdb(root: Path) -> Iterator[SongFiles]:
    """MoisesDB: [PROVIDER/]SONG/data.json, SONG/STEM/TRACK.wav; every track is a stem."""
    for file in sorted([*root.glob("*/data.json"), *root.glob("*/*/data.json")]):
        table, notes = _read_table(file)
        stems = []
        for group in table.get("stems") or []:
            for number, track in enumerate(group.get("tracks") or [], start=1):
                word = str(track.get("trackType"))
                path = (
                    file.parent
                    / str(group.get("stemName"))
                    / f"{track.get('id')}.{track.get('extension', 'wav')}"
                )
                stems.append(
                    StemFile(f"{group.get('stemName')} {word} {number}", path, _moises_type(group, word))
                )
        yield SongFiles(file.parent.name, tuple(stems), source="moisesdb", notes=tuple(notes))


def _moises_type(group: dict[str, Any], word: str) -> str | None:
    """Only what it files under drums and percussion: elsewhere a word such as "bell" is no drum."""
    if group.get("stemName") == "percussion":
        return None if word.casefold().startswith("pitched") else "percussion"
    return type_of_instrument(word) if group.get("stemName") == "drums" else None


def read_slakh(root: Path) -> Iterator[SongFiles]:
    """Slakh2100: [train|validation|test/]TrackNNNNN/metadata.yaml, stems/S00.flac; a kit is one stem."""
    for file in sorted([*root.glob("Track*/metadata.yaml"), *root.glob("*/Track*/metadata.yaml")]):
        folder, side = file.parent, file.parent.parent.name
        if side == "omitted":
            continue
        table, notes = _read_table(file)
        stems = []
        for name, entry in (table.get("stems") or {}).items():
            found = [
                path
                for ending in (".flac", ".wav")
                if (path := folder / "stems" / f"{name}{ending}").is_file()
            ]
            if found:  # its metadata lists stems that were never rendered, too
                stems.append(StemFile(f"{name} {entry.get('inst_class')}", found[0], _slakh_type(entry)))
        facts: dict[str, Any] = {"source": "slakh2100", "side": SLAKH_SIDES.get(side)}
        yield SongFiles(folder.name, tuple(stems), notes=tuple(notes), **facts)


def _slakh_type(entry: dict[str, Any]) -> str | None:
    return KIT_TYPE if entry.get("is_drum") else None


def read_own(root: Path) -> Iterator[SongFiles]:
    """STEMS/SONG/STEM.wav with an optional song.toml."""
    for folder in sorted(root.iterdir()):
        if folder.is_dir() and not folder.name.startswith("."):
            yield read_song(folder)


_LAYOUTS = (read_musdb, read_medleydb, read_moisesdb, read_slakh, read_own)
"""Own last: any folder of folders would pass for it."""


def _read_table(path: Path) -> tuple[dict[str, Any], list[Note]]:
    """A JSON or YAML file's table; an empty one, with a note, where it cannot be read."""
    try:
        text = path.read_text("utf-8")
        table = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        return {}, [Note(str(path), f"not read: {str(error).splitlines()[0]}")]
    if not isinstance(table, dict):
        return {}, [Note(str(path), "not read: no table in it")]
    return table, []
