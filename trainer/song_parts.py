"""One song of the corpus: decoded once, its one-shots cut, written as two files that are whole or absent."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from encoders.artefacts import replacing, write_bytes
from encoders.audio import SAMPLE_RATE, SILENCE_DBFS, FloatArray, read_audio
from encoders.errors import SamplefitError, UnreadableAudio
from encoders.windows import WINDOW_S
from trainer.corpus import FORMAT
from trainer.hits import N_PER_STEM, cut_hits
from trainer.stems import Note, SongFiles, StemFile

ALIGNED_S = 0.1
"""Stems of a song may differ so much in length (the contract's layout of stems)."""


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


def read_done(song: SongFiles, folder: Path) -> dict[str, Any] | None:
    """What an earlier run found in the song as it is now, or None where that is missing or not whole."""
    name = fingerprint(song)
    try:
        entry = json.loads((folder / f"{name}.json").read_bytes())
        n_bytes = 2 * sum(stem["n_samples"] for stem in entry["stems"])
        whole = not n_bytes or (folder / f"{name}.i16").stat().st_size == n_bytes
    except (FileNotFoundError, ValueError):
        return None
    return entry if whole else None


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
        notes += _without_drums(song)
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


def _without_drums(song: SongFiles) -> Iterator[Note]:
    if song.stems:
        text = f"none of its {len(song.stems)} stems is a drum by its name or song.toml: left out"
        yield Note(song.name, text)
    elif not song.notes:
        yield Note(song.name, "no audio files in it: left out")


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


def _to_int16(samples: FloatArray) -> tuple[NDArray[np.int16], float]:
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
