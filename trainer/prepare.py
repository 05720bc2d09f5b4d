"""`samplefit corpus prepare`: from stems on disk to a corpus that training reads without decoding.

Each song is prepared by itself, in a worker, into two files that are renamed into place when they are whole; so a
killed run goes on where it stopped, and only songs that changed are decoded again. The split is drawn at the end,
when all one-shots are known.
"""

from __future__ import annotations

import errno
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from encoders.artefacts import write_bytes
from encoders.audio import SAMPLE_RATE
from encoders.errors import NoSamples, Refused, TooBig, one_line
from trainer import workers
from trainer.adapters import find_songs
from trainer.corpus import FORMAT, SPLITS
from trainer.song_parts import prepare_song, read_done
from trainer.split import SHARES, group_songs, split_groups
from trainer.stems import LOSSY, Note, SongFiles

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
                *(one_line(f"{note.path}: {note.text}") for note in self.notes),
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
        _remove_strangers(out / "songs", {entry["id"] for entry in entries})
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
        if (entry := read_done(song, folder)) is None:
            missing.append(row)
        else:
            entries[row] = entry
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
    with workers.pool(n_workers) as pool:
        jobs = {pool.submit(prepare_song, songs[row], folder): row for row in rows}
        try:
            for job in as_completed(jobs):
                yield jobs[job], job.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


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
    notes += [
        asdict(note) for note in (*_split_notes(used, splits), *_codec_notes([song for song, _ in used]))
    ]
    return {"format": FORMAT, "digest": digest, "seed": seed, "songs": rows, "report": _report(rows, notes)}


def _split_notes(used: Sequence[tuple[SongFiles, Any]], splits: Sequence[str]) -> Iterator[Note]:
    for (song, _), split in zip(used, splits, strict=True):
        asked = "held-out" if song.held_out_source else song.side
        kept = {"train": ("train", "eval"), "eval": ("eval",), "test": ("test",), "held-out": ("held-out",)}
        if split not in kept.get(str(asked), tuple(SHARES)):
            yield Note(song.name, f"goes to {split}: it shares a tune, a kit or a sample with a song there")
    for name in ("train", "eval", "test"):
        if used and name not in splits:
            yield Note("the split", f"no song for {name}: {len(used)} songs, too few groups to go round")


def _codec_notes(songs: Sequence[SongFiles]) -> Iterator[Note]:
    """Says so where songs came through different codecs, whose edges tell a song's drums from others."""
    endings = [{stem.path.suffix.lower() for stem in song.stems} & LOSSY.keys() for song in songs]
    kinds = Counter(" and ".join(sorted(lossy)) or "lossless" for lossy in endings)
    if len(kinds) > 1:
        found = ", ".join(f"{n} {kind}" for kind, n in kinds.most_common())
        yield Note(
            "the stems", f"of different codecs ({found}): a model learns them, and its figures flatter"
        )


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
            with suppress(PermissionError):  # on Windows, while somebody has it mapped
                path.unlink(missing_ok=True)
