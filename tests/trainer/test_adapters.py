"""Known collections as they lie on disk, in miniature."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml

from trainer import adapters
from trainer.adapters import find_songs
from trainer.corpus import Corpus
from trainer.prepare import prepare

RATE = 44_100


@pytest.fixture
def sounds(songs):
    """Writes a tone, or where `drum` is named a few of its hits."""

    def write(path: Path, drum: str = "", seed: int = 0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng([seed, len(path.name)])
        if drum:
            samples = songs.place(songs.hit(drum, rng), (10_000, 40_000, 90_000), 3 * RATE)
        else:
            samples = songs.tone(rng.uniform(60, 800), 3 * RATE, rng)
        songs.write(path, samples)

    return write


def types_of(song) -> dict[str, str | None]:
    return {stem.name: stem.type for stem in song.stems}


def test_musdb18_hq(sounds, tmp_path):
    for row, (side, name) in enumerate([("train", "A - One"), ("train", "B - Two"), ("test", "C - Three")]):
        for stem in ("mixture", "drums", "bass", "other", "vocals"):
            sounds(tmp_path / "hq" / side / name / f"{stem}.wav", "snare" if stem == "drums" else "", row)
    found = find_songs(tmp_path / "hq")
    assert [(song.name, song.side) for song in found] == [
        ("A - One", "train"),
        ("B - Two", "train"),
        ("C - Three", "test"),
    ]
    assert types_of(found[0]) == {"drums": "percussion", "bass": None, "other": None, "vocals": None}
    report = prepare(tmp_path / "hq", tmp_path / "corpus")
    corpus = Corpus.open(tmp_path / "corpus")
    assert report.by_type == {"percussion": 3}
    assert [song.source for song in corpus.songs] == ["musdb18"] * 3
    assert corpus.songs[2].split == "test"


def test_musdb18_says_that_it_takes_ffmpeg(tmp_path, monkeypatch):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "A - One.stem.mp4").write_bytes(b"mp4")
    monkeypatch.setattr(adapters.shutil, "which", lambda name: None)
    (song,) = find_songs(tmp_path)
    assert song.name == "A - One"
    assert "ffmpeg" in song.notes[0].text


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="no ffmpeg here")
def test_musdb18_streams_are_read_through_ffmpeg(sounds, tmp_path):
    wavs = [tmp_path / f"{name}.wav" for name in adapters.MUSDB_STREAMS]
    for wav in wavs:
        sounds(wav, "snare" if wav.stem == "drums" else "")
    (tmp_path / "db" / "train").mkdir(parents=True)
    inputs = [part for wav in wavs for part in ("-i", wav)]
    maps = [part for place in range(5) for part in ("-map", str(place))]
    subprocess.run(
        ["ffmpeg", "-v", "error", *inputs, *maps, "-c:a", "aac", tmp_path / "db/train/A - One.stem.mp4"],
        check=True,
    )
    report = prepare(tmp_path / "db", tmp_path / "corpus")
    assert (report.n_stems, report.by_type) == (4, {"percussion": 3})


def test_medleydb_takes_raw_drums_in_place_of_the_kit(sounds, tmp_path):
    song = tmp_path / "Audio" / "Band_Tune"
    raws = {"R01": ("kick drum", "kick"), "R02": ("snare drum", "snare"), "R03": ("drum set", "hihat")}
    table = {
        "has_bleed": "yes",
        "stems": {
            "S01": {
                "instrument": "drum set",
                "filename": "Band_Tune_STEM_01.wav",
                "raw": {
                    key: {"instrument": word, "filename": f"Band_Tune_RAW_01_{key[1:]}.wav"}
                    for key, (word, _) in raws.items()
                },
            },
            "S02": {"instrument": "electric bass", "filename": "Band_Tune_STEM_02.wav", "raw": {}},
            "S03": {"instrument": "tambourine", "filename": "Band_Tune_STEM_03.wav"},
        },
    }
    song.mkdir(parents=True)
    (song / "Band_Tune_METADATA.yaml").write_text(yaml.safe_dump(table))
    for key, (_, drum) in raws.items():
        sounds(song / "Band_Tune_RAW" / f"Band_Tune_RAW_01_{key[1:]}.wav", drum)
    for place in (1, 2, 3):
        sounds(song / "Band_Tune_STEMS" / f"Band_Tune_STEM_0{place}.wav", "snare" if place != 2 else "")
    (found,) = find_songs(tmp_path)
    assert types_of(found) == {
        "Band_Tune_RAW_01_01": "kick",
        "Band_Tune_RAW_01_02": "snare",
        "Band_Tune_RAW_01_03": "percussion",
        "Band_Tune_STEM_02": None,
        "Band_Tune_STEM_03": "percussion",
    }
    assert "bleed" in found.notes[0].text
    assert prepare(tmp_path, tmp_path / "out").n_stems == 5


def test_medleydb_without_metadata_is_a_line(tmp_path):
    (tmp_path / "Band_Tune" / "Band_Tune_STEMS").mkdir(parents=True)
    (song,) = find_songs(tmp_path)
    assert song.stems == ()
    assert "not read" in song.notes[0].text


def test_moisesdb(sounds, tmp_path):
    folder = tmp_path / "moisesdb_v0.1" / "0f1e"
    tracks = {
        "drums": [("k1", "kick_drum", "kick"), ("s1", "snare_drum", "snare"), ("o1", "overheads", "hihat")],
        "percussion": [
            ("p1", "a-tonal_percussion_(claps,_shakers,_congas,_cowbell_etc)", "snare"),
            ("p2", "pitched_percussion_(mallets,_glockenspiel,_...)", ""),
        ],
        "bass": [("b1", "bass_guitar", "")],
    }
    table = {
        "song": "Tune",
        "stems": [
            {
                "stemName": name,
                "tracks": [{"id": key, "trackType": word, "extension": "wav"} for key, word, _ in rows],
            }
            for name, rows in tracks.items()
        ],
    }
    folder.mkdir(parents=True)
    (folder / "data.json").write_text(json.dumps(table))
    for name, rows in tracks.items():
        for key, _, drum in rows:
            sounds(folder / name / f"{key}.wav", drum)
    (found,) = find_songs(tmp_path)
    assert [stem.type for stem in found.stems] == ["kick", "snare", None, "percussion", None, None]
    (folder / "bass" / "b1.wav").unlink()
    report = prepare(tmp_path, tmp_path / "out")
    assert (report.n_songs, report.n_stems) == (1, 5)
    assert any("b1.wav" in note.path and "no such file" in note.text for note in report.notes)


def test_slakh2100(sounds, tmp_path):
    for row, side in enumerate(("train", "validation", "test", "omitted")):
        folder = tmp_path / side / f"Track0000{row}"
        table = {
            "stems": {
                "S00": {"inst_class": "Bass", "is_drum": False},
                "S01": {"inst_class": "Drums", "is_drum": True},
                "S02": {"inst_class": "Piano", "is_drum": False},
                "S03": {"inst_class": "Piano", "is_drum": False, "audio_rendered": False},
            }
        }
        folder.mkdir(parents=True)
        (folder / "metadata.yaml").write_text(yaml.safe_dump(table))
        for stem in ("S00", "S01", "S02"):
            sounds(folder / "stems" / f"{stem}.flac", "snare" if stem == "S01" else "", row)
    found = find_songs(tmp_path)
    assert sorted((song.name, song.side) for song in found) == [
        ("Track00000", "train"),
        ("Track00001", "eval"),
        ("Track00002", "test"),
    ]
    assert types_of(found[0]) == {"S00 Bass": None, "S01 Drums": "percussion", "S02 Piano": None}
    assert prepare(tmp_path, tmp_path / "out").n_one_shots == 3


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Kick", "kick"),
        ("BD 01", "kick"),
        ("OpenHat", "hihat"),
        ("Kick Loop 120bpm", "kick"),
        ("Floor Tom L", "tom"),
        ("Ride Cymbal", "ride"),
        ("808 Bass", None),
        ("kick_snare", None),
        ("Lead Vox", None),
        ("Drums", "percussion"),
    ],
)
def test_types_come_from_the_names_of_stems(songs, tmp_path, name, expected):
    folder = tmp_path / "Snare Song"  # a folder's name tells of no stem
    folder.mkdir()
    songs.write(folder / f"{name}.wav", np.zeros(10))
    (song,) = find_songs(tmp_path)
    assert types_of(song) == {name: expected}
