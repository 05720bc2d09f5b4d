"""`samplefit corpus prepare`: from stems on disk to a corpus that training reads without decoding.

Each song is prepared by itself, in a worker, into two files that are renamed into place when they are whole; so a
killed run goes on where it stopped, and only songs that changed are decoded again. The split is drawn at the end,
when all one-shots are known.
"""

from __future__ import annotations

import errno
import hashlib
import json
import multiprocessing
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from encoders.artefacts import replacing, write_bytes
from encoders.audio import SAMPLE_RATE, SILENCE_DBFS, FloatArray, read_audio
from encoders.errors import NoSamples, Refused, SamplefitError, TooBig, UnreadableAudio
from encoders.windows import WINDOW_S
from trainer.adapters import find_songs
from trainer.corpus import FORMAT, SPLITS
from trainer.hits import N_PER_STEM, cut_hits
from trainer.split import group_songs, split_groups
from trainer.stems import Note, SongFiles, StemFile

ALIGNED_S = 0.1
"""Stems of a song may differ so much in length (CONTRACT of the stems on disk)."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Report:
    """What a corpus holds and what was left out of it.

    Attributes:
        n_pairs: one-shots whose song has at least two other stems: those that a query can be mixed for.
        by_type, by_origin, by_split: one-shots; origin "unknown" where nobody said.
        notes: what was left out or taken with a grain of salt, and why.
    """

    n_songs: int
    n_stems: int
    n_one_shots: int
    n_pairs: int
    hours: float
    by_type: dict[str, int]
    by_origin: dict[str, int]
    by_split: dict[str, int]
    songs_by_split: dict[str, int]
    notes: tuple[Note, ...]

    @property
    def text(self) -> str:
        """The report as lines for a terminal."""

        def counts(table: dict[str, int]) -> str:
            return ", ".join(f"{n} {name}" for name, n in table.items()) or "none"

        return "\n".join(
            [
                f"{self.n_songs} songs ({counts(self.songs_by_split)}), {self.n_stems} stems, {self.hours:.1f} h",
                f"{self.n_one_shots} one-shots: {counts(self.by_type)}",
                f"  by origin: {counts(self.by_origin)}",
                f"  by split: {counts(self.by_split)}",
                f"{self.n_pairs} of them can be paired with a mix",
                *(f"{note.path}: {note.text}" for note in self.notes),
            ]
        )


def prepare(
    stems: Path, out: Path, *, seed: int = 0, n_workers: int = 1, progress: Progress | None = None
) -> Report:
    """Prepares a corpus; run again, it goes on where it stopped and takes up what has changed.

    Args:
        stems: songs as our own layout or one of the known collections has them.
        out: the corpus' folder, made where it is missing.
        seed: draws the split.
        n_workers: processes that decode; 1 works in this one.
        progress: is told (songs done, songs in all) after each song.

    Raises:
        NotFound: no songs there.
        NoSamples: not one one-shot in all of them; the notes say why.
        Refused: `out` cannot be written. TooBig: its disk is full. What is done is kept in both cases.
    """
    stems, out = Path(stems), Path(out)
    found = [
        song for song in find_songs(stems) if song.name != out.name or out.parent.resolve() != stems.resolve()
    ]
    with _writing(out):
        (out / "songs").mkdir(parents=True, exist_ok=True)
        for left_over in (out / "songs").glob(".*.new"):  # of a run that was killed
            left_over.unlink(missing_ok=True)
        entries = _prepare_songs(found, out / "songs", n_workers, progress or (lambda done, total: None))
        card = _assemble(found, entries, seed)
        report = card["report"]
        if not report["n_one_shots"]:
            raise NoSamples(
                str(stems),
                found=f"no one-shots in {len(found)} songs; {_first(report['notes'])}",
                expected="songs with drum stems whose names or song.toml tell their type",
            )
        write_bytes(out / "corpus.json", json.dumps(card, ensure_ascii=True).encode())
        _remove_strangers(
            out / "songs", {entry["id"] for entry in card["songs"]} | {e["id"] for e in entries}
        )
    return Report(**{**report, "notes": tuple(Note(**note) for note in report["notes"])})


def _first(notes: Sequence[dict[str, str]]) -> str:
    return (
        f"first of {len(notes)} notes: {notes[0]['path']}: {notes[0]['text']}"
        if notes
        else "no file was at fault"
    )


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    """Turns what a disk, or a system short of memory, answers into errors that say what to do."""
    try:
        yield
    except BrokenProcessPool as error:
        raise Refused(
            str(out),
            found="a worker was killed, most likely for want of memory",
            remedy="run it again with fewer workers; it goes on where it stopped",
        ) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise TooBig(
                str(out),
                found="the disk is full",
                expected="about 5 MB a minute of stem",
                remedy="make room and run it again; it goes on where it stopped",
            ) from error
        raise Refused(
            str(out), found=error.strerror or str(error), expected="a folder that can be written"
        ) from error


def _prepare_songs(
    songs: Sequence[SongFiles], folder: Path, n_workers: int, progress: Progress
) -> list[dict[str, Any]]:
    """The entry of each song, in order; those that are done already are read, the others made."""
    entries: dict[int, dict[str, Any]] = {}
    missing = []
    for row, song in enumerate(songs):
        try:
            entries[row] = json.loads((folder / f"{fingerprint(song)}.json").read_bytes())
        except (FileNotFoundError, ValueError):
            missing.append(row)
    if entries:
        progress(len(entries), len(songs))
    for row, entry in _made(songs, missing, folder, n_workers):
        entries[row] = entry
        progress(len(entries), len(songs))
    return [entries[row] for row in range(len(songs))]


def _made(
    songs: Sequence[SongFiles], rows: Sequence[int], folder: Path, n_workers: int
) -> Iterator[tuple[int, dict[str, Any]]]:
    if n_workers <= 1 or len(rows) < 2:
        for row in rows:
            yield row, prepare_song(songs[row], folder)
        return
    with ProcessPoolExecutor(n_workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        jobs = {pool.submit(prepare_song, songs[row], folder): row for row in rows}
        try:
            for job in as_completed(jobs):
                yield jobs[job], job.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def fingerprint(song: SongFiles) -> str:
    """32 hex digits that change when any file of the song, its types or its origin do."""
    facts = [FORMAT, song.name, song.origin, [asdict(note) for note in song.notes]]
    for stem in song.stems:
        try:
            state = stem.path.stat()
        except OSError:
            facts.append([stem.name, None])
        else:
            facts.append(
                [
                    stem.name,
                    stem.type,
                    str(stem.path),
                    stem.stream,
                    state.st_size,
                    state.st_mtime_ns,
                    state.st_mode,
                ]
            )
    return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()[:32]


def prepare_song(song: SongFiles, folder: Path) -> dict[str, Any]:
    """Decodes a song and cuts its one-shots: writes ID.i16, then ID.json, and returns what the latter holds.

    A file that cannot be used becomes a note. A song without one-shots, or without sound, leaves no ID.i16.
    """
    name = fingerprint(song)
    notes = list(song.notes)
    stems: list[dict[str, Any]] = []
    hits: list[dict[str, Any]] = []
    checksum = hashlib.sha256()
    if not any(stem.type for stem in song.stems):
        notes.append(Note(song.name, _without_drums(song)))
    else:
        with replacing(folder / f"{name}.i16") as file:
            for stem in song.stems:
                samples = _read_stem(stem, notes)
                if samples is None:
                    continue
                steps, gain = _to_int16(samples)
                hits += _cut(samples, stem, song.origin, len(stems), notes)
                stems.append({"name": stem.name, "type": stem.type, "n_samples": len(steps), "gain": gain})
                checksum.update(steps.tobytes())
                file.write(steps.tobytes())
        notes += _remarks(song.name, stems, hits)
        if not hits:
            (folder / f"{name}.i16").unlink()
    entry = {
        "id": name,
        "sha256": checksum.hexdigest(),
        "stems": stems if hits else [],
        "one_shots": hits,
        "notes": [asdict(note) for note in notes],
    }
    write_bytes(folder / f"{name}.json", json.dumps(entry).encode())
    return entry


def _without_drums(song: SongFiles) -> str:
    if not song.stems:
        return "no audio files in it: left out"
    return f"none of its {len(song.stems)} stems is a drum by its name or song.toml: left out"


def _read_stem(stem: StemFile, notes: list[Note]) -> FloatArray | None:
    """(T,) float32 at 44.1 kHz, or None, with a note, where the file cannot be used."""
    try:
        samples = read_audio(stem.path) if stem.stream is None else _read_stream(stem.path, stem.stream)
    except SamplefitError as error:
        notes.append(Note(str(stem.path), f"left out: {error.text.removeprefix(f'{stem.path}: ')}"))
        return None
    if np.abs(samples).max() < 10 ** (SILENCE_DBFS / 20):
        notes.append(Note(str(stem.path), f"left out: silent, nothing above {SILENCE_DBFS:g} dBFS"))
        return None
    if stem.stream is None and (rate := soundfile.info(stem.path).samplerate) < SAMPLE_RATE:
        notes.append(Note(str(stem.path), f"{rate} Hz, resampled: nothing above {rate // 2} Hz sounds in it"))
    return samples


def _read_stream(path: Path, stream: int) -> FloatArray:
    """One audio stream of a container, taken by the ffmpeg program, since libsndfile reads no mp4.

    Raises:
        UnreadableAudio: ffmpeg cannot read it either. Others as `read_audio`, of what ffmpeg gave.
    """
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / f"{stream}.wav"
        command = [
            "ffmpeg",
            "-v",
            "error",
            "-nostdin",
            "-i",
            path,
            "-map",
            f"0:a:{stream}",
            "-c:a",
            "pcm_f32le",
            wav,
        ]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        if done.returncode:
            fault = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise UnreadableAudio(str(path), found=f"ffmpeg: {fault}", expected=f"audio stream {stream}")
        return read_audio(wav)


def _to_int16(samples: FloatArray) -> tuple[np.ndarray, float]:
    """(T,) float32 → (T,) little-endian int16 over the full range, and what a step is worth."""
    gain = float(np.abs(samples).max()) / 32767
    return np.round(samples / np.float32(gain)).clip(-32767, 32767).astype("<i2"), gain


def _cut(
    samples: FloatArray, stem: StemFile, origin: str | None, row: int, notes: list[Note]
) -> list[dict[str, Any]]:
    if stem.type is None:
        return []
    hits = cut_hits(samples, N_PER_STEM[origin])
    if not hits:
        notes.append(
            Note(str(stem.path), f"no onset found in this {stem.type} stem: mixed, no one-shots cut")
        )
    return [{"stem": row, "type": stem.type, **asdict(hit)} for hit in hits]


def _remarks(name: str, stems: Sequence[dict[str, Any]], hits: Sequence[dict[str, Any]]) -> Iterator[Note]:
    if not hits:
        yield Note(name, "no one-shots in it: left out")
        return
    if len(stems) < 3:
        text = f"{len(stems)} usable stems, a query takes 3: its one-shots are candidates, but have no mix"
        yield Note(name, text)
    lengths_s = sorted(stem["n_samples"] / SAMPLE_RATE for stem in stems)
    if lengths_s[-1] - lengths_s[0] > ALIGNED_S:
        text = f"its stems last {lengths_s[0]:.1f} to {lengths_s[-1]:.1f} s: taken to begin together"
        yield Note(name, text)
    if lengths_s[-1] < WINDOW_S:
        yield Note(name, f"lasts {lengths_s[-1]:.1f} s, less than a window: padded with silence")


def _assemble(songs: Sequence[SongFiles], entries: Sequence[dict[str, Any]], seed: int) -> dict[str, Any]:
    """corpus.json: the songs with one-shots, grouped and split, with the digest and the report."""
    used = [(song, entry) for song, entry in zip(songs, entries, strict=True) if entry["one_shots"]]
    ties = [
        [("song", song.song or song.name), *([("kit", song.kit)] if song.kit else [])]
        + [("content", hit["content"]) for hit in entry["one_shots"]]
        for song, entry in used
    ]
    groups = group_songs(ties)
    splits = split_groups(
        groups, [song.side for song, _ in used], [song.held_out_source for song, _ in used], seed
    )
    rows = [
        {
            **{
                key: getattr(song, key)
                for key in ("name", "origin", "source", "kit", "held_out_source", "licence")
            },
            **{key: entry[key] for key in ("id", "sha256", "stems", "one_shots")},
            "group": group,
            "split": split,
        }
        for (song, entry), group, split in zip(used, groups, splits, strict=True)
    ]
    seen = [{key: value for key, value in row.items() if key not in ("id", "licence")} for row in rows]
    digest = hashlib.sha256(json.dumps([FORMAT, seen], sort_keys=True).encode()).hexdigest()
    notes = [note for entry in entries for note in entry["notes"]]
    notes += [asdict(note) for note in _split_notes(used, splits)]
    return {"format": FORMAT, "digest": digest, "seed": seed, "songs": rows, "report": _report(rows, notes)}


def _split_notes(used: Sequence[tuple[SongFiles, Any]], splits: Sequence[str]) -> Iterator[Note]:
    for (song, _), split in zip(used, splits, strict=True):
        asked = "held-out" if song.held_out_source else song.side
        moved = {"train": split in ("test", "held-out"), "test": split != "test"}
        if asked != "held-out" and (moved.get(str(asked)) or (asked is None and split == "held-out")):
            yield Note(song.name, f"goes to {split}: it shares a tune, a kit or a sample with a song there")
    for name in ("train", "eval", "test"):
        if used and name not in splits:
            yield Note("the split", f"no song for {name}: {len(used)} songs, too few groups to go round")


def _report(rows: Sequence[dict[str, Any]], notes: list[dict[str, str]]) -> dict[str, Any]:
    hits = [(row, hit) for row in rows for hit in row["one_shots"]]
    n_samples = sum(stem["n_samples"] for row in rows for stem in row["stems"])

    def counted(names: Iterator[str]) -> dict[str, int]:
        return dict(Counter(names).most_common())

    by_split = Counter(row["split"] for row in rows)
    return {
        "n_songs": len(rows),
        "n_stems": sum(len(row["stems"]) for row in rows),
        "n_one_shots": len(hits),
        "n_pairs": sum(len(row["stems"]) >= 3 for row, _ in hits),
        "hours": round(n_samples / SAMPLE_RATE / 3600, 3),
        "by_type": counted(hit["type"] for _, hit in hits),
        "by_origin": counted(row["origin"] or "unknown" for row, _ in hits),
        "by_split": counted(row["split"] for row, _ in hits),
        "songs_by_split": {name: by_split[name] for name in SPLITS if by_split[name]},
        "notes": notes,
    }


def _remove_strangers(folder: Path, ids: set[str]) -> None:
    """Deletes the files of songs that are gone or changed, now that corpus.json no longer names them."""
    for path in folder.iterdir():
        if path.name.split(".")[0] not in ids:
            path.unlink(missing_ok=True)
