"""The prepared corpus: songs as aligned stems and the one-shots cut from them, memory-mapped and never changed.

    CORPUS/corpus.json      format, digest, seed, songs with their stems and one-shots, the report of its making
    CORPUS/songs/ID.i16     one song's stems, one after the other, int16 little-endian, mono, 44.1 kHz
    CORPUS/songs/ID.json    what was found in that song, written last: where it stands, the song is done

One file a song, because each is written aside and renamed into place by itself: a killed `prepare` goes on where it
stopped, a changed song alone is decoded again, and nothing is copied together at the end.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.audio import SAMPLE_RATE, FloatArray
from encoders.errors import BadRequest, NotFound
from encoders.windows import WINDOW

FORMAT = 1
SPLITS = ("train", "eval", "test", "held-out")
FADE = round(0.005 * SAMPLE_RATE)
"""Samples over which a one-shot that was cut short fades out, 5 ms: invented; a step would be heard as a click."""


@dataclass(frozen=True)
class Stem:
    """One track of a song.

    Attributes:
        name: its file name without the ending.
        type: the drum that it plays, or None.
        n_samples: its length; siblings begin together and may end apart.
        gain: what an int16 step is worth, so that audio * gain is the sound at the level of the file.
    """

    name: str
    type: str | None
    n_samples: int
    gain: float
    _file: Path
    _offset: int

    @property
    def audio(self) -> NDArray[np.int16]:
        """(T,) int16, a read-only view into the mapped file."""
        return _mapped(self._file)[self._offset : self._offset + self.n_samples]

    def read(self, start: int, n: int) -> FloatArray:
        """`n` samples from `start` on, silence where the stem does not reach. Returns (n,) float32."""
        out = np.zeros(n, np.float32)
        first, last = max(0, start), min(self.n_samples, start + n)
        if first < last:
            np.multiply(self.audio[first:last], np.float32(self.gain), out=out[first - start : last - start])
        return out


@dataclass(frozen=True)
class Song:
    """A song with its usable stems.

    Attributes:
        name: its folder's name.
        group: songs of one group share a tune, a kit or a sample, and stand on one side of the split.
        origin: "electronic", "acoustic" or None where nobody said.
        source: the collection that it comes from, or None.
        kit: the drum kit that plays, or None.
        split: one of `SPLITS`.
        held_out_source: True for a song of a collection that no model is trained on.
        licence: as its song.toml says, or None.
    """

    name: str
    group: int
    origin: str | None
    source: str | None
    kit: str | None
    split: str
    held_out_source: bool
    licence: str | None
    stems: tuple[Stem, ...]

    @property
    def id(self) -> str:
        """Name of its file in songs/: another one as soon as a stem, its types or its origin change."""
        return self.stems[0]._file.stem

    @property
    def n_samples(self) -> int:
        """Length of the longest stem."""
        return max(stem.n_samples for stem in self.stems)


@dataclass(frozen=True)
class OneShot:
    """A single hit, cut from a percussion stem.

    Attributes:
        song: row of its song in `Corpus.songs`.
        stem: row of its stem in `Song.stems`.
        type: the drum.
        content: 63 bits of a digest of its attack; equal hits, wherever they were found, have one number.
        start: where it begins in its stem, in samples.
        n_samples: its length, at most 4 s.
    """

    song: int
    stem: int
    type: str
    content: int
    start: int
    n_samples: int
    _stem: Stem

    def read(self) -> FloatArray:
        """The hit as the key encoder takes it: (176400,) float32, zero-padded, its cut end faded out over 5 ms."""
        window = np.zeros(WINDOW, np.float32)
        window[: self.n_samples] = self._stem.read(self.start, self.n_samples)
        n_fade = min(FADE, self.n_samples)
        if self.n_samples < WINDOW:
            window[self.n_samples - n_fade : self.n_samples] *= np.linspace(1, 0, n_fade, dtype=np.float32)
        return window


@dataclass(frozen=True)
class Corpus:
    """A prepared corpus, opened. It can be pickled to workers, which map the same files.

    Attributes:
        digest: 64 hex digits over all that training sees: samples, types, hits, groups and splits.
        report: what `prepare` counted and left out, as plain JSON values.
    """

    path: Path
    digest: str
    songs: tuple[Song, ...]
    one_shots: tuple[OneShot, ...]
    report: dict[str, Any]

    @classmethod
    def open(cls, path: str | Path) -> Corpus:
        """Opens the folder that `prepare` made.

        Raises:
            NotFound: no corpus there.
            BadRequest: of another format, damaged, or with files missing.
        """
        path = Path(path)
        card = _read_card(path)
        songs = tuple(_song(path, entry) for entry in card["songs"])
        one_shots = tuple(
            OneShot(
                row,
                hit["stem"],
                hit["type"],
                hit["content"],
                hit["start"],
                hit["n_samples"],
                song.stems[hit["stem"]],
            )
            for row, (song, entry) in enumerate(zip(songs, card["songs"], strict=True))
            for hit in entry["one_shots"]
        )
        return cls(path, card["digest"], songs, one_shots, card["report"])

    def rows(self, split: str) -> tuple[int, ...]:
        """Rows of the one-shots of a split, in order. Raises BadRequest where there is no such split."""
        if split not in SPLITS:
            raise BadRequest("split", found=repr(split), expected=", ".join(SPLITS))
        return tuple(row for row, hit in enumerate(self.one_shots) if self.songs[hit.song].split == split)

    def query_rows(self, split: str) -> tuple[int, ...]:
        """Those of `rows` that make a pair: at least two stems remain when their own is taken away."""
        return tuple(row for row in self.rows(split) if len(self.songs[self.one_shots[row].song].stems) >= 3)


@lru_cache(maxsize=4096)
def _mapped(file: Path) -> NDArray[np.int16]:
    return np.memmap(file, dtype="<i2", mode="r")


def _read_card(path: Path) -> dict[str, Any]:
    try:
        card = json.loads((path / "corpus.json").read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(
            str(path),
            found="no corpus.json",
            expected="a prepared corpus",
            remedy="make one with `samplefit corpus prepare STEMS --out DIR`",
        ) from None
    except (OSError, ValueError) as error:
        raise BadRequest(str(path / "corpus.json"), found=str(error), remedy="prepare it anew") from None
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        found = card.get("format") if isinstance(card, dict) else None
        raise BadRequest(
            str(path / "corpus.json"),
            found=f"format {found}",
            expected=f"format {FORMAT}",
            remedy="prepare it anew",
        )
    return card


def _song(path: Path, entry: dict[str, Any]) -> Song:
    file = path / "songs" / f"{entry['id']}.i16"
    stems = tuple(_stems(file, entry["stems"]))
    expected = 2 * sum(stem.n_samples for stem in stems)
    found = file.stat().st_size if file.exists() else 0
    if found != expected:
        raise BadRequest(
            str(file), found=f"{found} bytes", expected=f"{expected}", remedy="prepare the corpus anew"
        )
    facts = {
        key: entry[key]
        for key in ("name", "group", "origin", "source", "kit", "split", "held_out_source", "licence")
    }
    return Song(**facts, stems=stems)


def _stems(file: Path, entries: list[dict[str, Any]]) -> Iterator[Stem]:
    offset = 0
    for entry in entries:
        yield Stem(entry["name"], entry["type"], entry["n_samples"], entry["gain"], file, offset)
        offset += entry["n_samples"]
