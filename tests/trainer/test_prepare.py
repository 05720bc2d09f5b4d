"""From stems on disk to a corpus: what comes out, what is left out and said, and that nothing is lost."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from encoders import artefacts
from encoders.errors import BadRequest, NoSamples, NotFound, Refused, TooBig
from trainer import song_parts
from trainer.corpus import Corpus
from trainer.prepare import prepare

RATE = 44_100


def notes_about(report, name: str) -> str:
    return " | ".join(note.text for note in report.notes if name in note.path)


def test_a_corpus_reads_as_the_stems_sound(songs, tmp_path):
    made = songs.make_song(
        tmp_path / "stems" / "one", facts='origin = "acoustic"\nkit = "k"\nlicence = "CC0"\n'
    )
    prepare(tmp_path / "stems", tmp_path / "corpus")
    corpus = Corpus.open(tmp_path / "corpus")
    (song,) = corpus.songs
    assert (song.name, song.origin, song.kit, song.licence) == ("one", "acoustic", "k", "CC0")
    assert {stem.name: stem.type for stem in song.stems} == {
        **{drum: drum for drum in songs.DRUMS},
        **dict.fromkeys(("bass", "keys", "pad")),
    }
    for stem in song.stems:
        written, _ = soundfile.read(made.folder / f"{stem.name}.wav", dtype="float32")
        np.testing.assert_allclose(stem.read(0, len(written)), written, atol=1.1 * stem.gain)
        assert stem.audio.dtype == np.int16
        assert np.abs(stem.audio).max() == 32767
        assert not stem.audio.flags.writeable
    stem = song.stems[0]
    around = stem.read(-100, stem.n_samples + 200)
    assert not around[:100].any()
    assert not around[-100:].any()
    np.testing.assert_array_equal(around[100:-100], stem.read(0, stem.n_samples))


def test_songs_of_different_codecs_are_told(songs, tmp_path):
    for name in ("one", "two", "three"):
        songs.make_song(tmp_path / "stems" / name)
    assert not notes_about(prepare(tmp_path / "stems", tmp_path / "corpus"), "the stems")
    for path in (tmp_path / "stems" / "two").glob("*.wav"):
        samples, rate = soundfile.read(path)
        soundfile.write(path.with_suffix(".ogg"), samples, rate)
        path.unlink()
    told = notes_about(prepare(tmp_path / "stems", tmp_path / "corpus"), "the stems")
    assert told.startswith("of different codecs (2 lossless, 1 .ogg): a model learns them")


def test_one_shots_are_the_hits_and_fade_where_they_are_cut(songs, tmp_path):
    made = songs.make_song(tmp_path / "stems" / "one")
    prepare(tmp_path / "stems", tmp_path / "corpus")
    corpus = Corpus.open(tmp_path / "corpus")
    assert sorted(hit.type for hit in corpus.one_shots) == sorted(songs.DRUMS)
    for hit in corpus.one_shots:
        at = np.array(made.onsets[hit.type])
        gaps = np.diff(at, append=corpus.songs[0].n_samples)
        assert abs(hit.start - at[gaps.argmax()]) <= 22
        window = hit.read()
        assert window.shape == (176_400,)
        assert np.abs(window).max() == pytest.approx(0.5, abs=0.01)
        assert window[hit.n_samples - 1] == 0
        assert not window[hit.n_samples :].any()


def test_electronic_stems_give_one_hit_and_others_five(songs, tmp_path):
    for origin in ("electronic", "acoustic", ""):
        folder = tmp_path / "stems" / (origin or "unsaid")
        songs.make_song(folder, facts=f'origin = "{origin}"\n' if origin else "", stems=("bass", "pad"))
        rng = np.random.default_rng(len(origin))
        stem = sum(songs.place(songs.hit("snare", rng), (20_000 * n,), 8 * RATE) for n in range(1, 9))
        songs.write(folder / "snare.wav", stem)
    report = prepare(tmp_path / "stems", tmp_path / "corpus")
    assert report.by_origin == {"electronic": 1, "acoustic": 5, "unknown": 5}


def test_song_toml_overrules_names_and_its_slips_are_reported(songs, tmp_path):
    folder = songs.make_song(
        tmp_path / "stems" / "one",
        facts='orgin = "acoustic"\nside = "left"\nheld_out_source = 1\n[stems]\n"bass.wav" = "ignore"\n'
        'keys = "ride"\nsnare = "snair"\n"flute.wav" = "kick"\n',
    ).folder
    report = prepare(tmp_path / "stems", tmp_path / "corpus")
    song = Corpus.open(tmp_path / "corpus").songs[0]
    types = {stem.name: stem.type for stem in song.stems}
    assert "bass" not in types
    assert types["keys"] == "ride"
    assert types["snare"] == "snare"
    said = notes_about(report, str(folder / "song.toml"))
    for part in (
        "did you mean 'origin'",
        "side = 'left'",
        "held_out_source = 1",
        "'snair'",
        "'flute.wav': no such",
    ):
        assert part in said


def test_bad_files_are_a_line_each_and_the_rest_is_kept(songs, tmp_path):
    stems = tmp_path / "stems"
    good = songs.make_song(stems / "good").folder
    (good / "broken.wav").write_bytes(b"RIFF nonsense")
    songs.write(good / "mute.wav", np.zeros(6 * RATE, np.float32))
    songs.write(
        good / "kick_and_snare.wav", 0.1 * np.ones(6 * RATE, np.float32) * np.sin(np.arange(6 * RATE))
    )
    songs.write(good / "organ.wav", 0.1 * np.sin(np.arange(6 * 22_050) / 9), rate=22_050)
    songs.write(good / "kick.ogg", 0.1 * np.sin(np.arange(6 * RATE) / 9))
    (good / "._snare.wav").write_bytes(b"a shadow")
    songs.write(good / "Drum Bus.wav", 0.1 * np.sin(np.arange(6 * RATE) / 9))
    songs.write(good / "Full Mix.wav", 0.1 * np.sin(np.arange(6 * RATE) / 9))
    songs.make_song(stems / "no drums", stems=("bass", "keys", "pad"))
    songs.make_song(stems / "lonely", stems=("kick",), seed=5)
    songs.make_song(stems / "pair", stems=("kick", "bass"), seed=6)
    songs.make_song(stems / "short", seconds=2.0, seed=7)
    uneven = songs.make_song(stems / "uneven", seed=8).folder
    songs.write(uneven / "bass.wav", 0.1 * np.sin(np.arange(5 * RATE) / 30))
    (stems / "empty").mkdir()
    report = prepare(stems, tmp_path / "corpus")
    assert "left out" in notes_about(report, "broken.wav")
    assert "silent" in notes_about(report, "mute.wav")
    assert "kick and snare" in notes_about(report, "kick_and_snare.wav")
    assert "22050 Hz" in notes_about(report, "organ.wav")
    assert "kick.wav is the same stem" in notes_about(report, "kick.ogg")
    assert not notes_about(report, "._snare")
    assert "beside its own parts" in notes_about(report, "Drum Bus.wav")
    assert "bounce of the whole" in notes_about(report, "Full Mix.wav")
    assert "none of its 3 stems is a drum" in notes_about(report, "no drums")
    assert "1 usable stems, a query takes 3" in notes_about(report, "lonely")
    assert "2 usable stems" in notes_about(report, "pair")
    assert "less than a window" in notes_about(report, "short")
    assert "5.0 to 6.0 s" in notes_about(report, "uneven")
    assert "no audio files" in notes_about(report, "empty")
    corpus = Corpus.open(tmp_path / "corpus")
    assert {song.name: len(song.stems) for song in corpus.songs} == {
        "good": 8,
        "lonely": 1,
        "pair": 2,
        "short": 6,
        "uneven": 6,
    }
    assert report.n_pairs == len([hit for hit in corpus.one_shots if len(corpus.songs[hit.song].stems) >= 3])
    assert all(line in report.text for line in ("5 songs", "1 usable stems"))


def test_a_tune_a_kit_and_a_sample_stay_on_one_side(songs, tmp_path):
    stems = tmp_path / "stems"
    for row in range(24):
        facts = f'song = "tune {row // 2}"\n' if row < 8 else f'kit = "kit {row // 2}"\n' if row < 16 else ""
        songs.make_song(stems / f"{row:02}", seed=row, kit_seed=row // 2, seconds=3.0, facts=facts)
    prepare(stems, tmp_path / "corpus")
    corpus = Corpus.open(tmp_path / "corpus")
    assert [song.group for song in corpus.songs] == [row // 2 for row in range(24)]
    contents = {
        split: {corpus.one_shots[row].content for row in corpus.rows(split)}
        for split in ("train", "eval", "test")
    }
    assert all(contents.values())
    assert not contents["train"] & contents["test"]
    assert not contents["train"] & contents["eval"]
    assert not contents["eval"] & contents["test"]


def test_held_out_sources_are_in_no_other_split(songs, tmp_path):
    for row in range(4):
        songs.make_song(tmp_path / "stems" / f"{row}", seed=row, seconds=3.0)
    songs.make_song(tmp_path / "stems" / "far", seed=9, seconds=3.0, facts="held_out_source = true\n")
    prepare(tmp_path / "stems", tmp_path / "corpus")
    corpus = Corpus.open(tmp_path / "corpus")
    assert [song.name for song in corpus.songs if song.split == "held-out"] == ["far"]
    assert {corpus.songs[corpus.one_shots[row].song].name for row in corpus.rows("held-out")} == {"far"}


def test_a_second_run_decodes_only_what_changed(songs, tmp_path, monkeypatch):
    songs.make_songs(tmp_path / "stems", n_songs=4, seconds=3.0)
    prepare(tmp_path / "stems", tmp_path / "corpus")
    digest = Corpus.open(tmp_path / "corpus").digest
    decoded = []
    real = song_parts.read_audio
    monkeypatch.setattr(song_parts, "read_audio", lambda path: decoded.append(path) or real(path))
    prepare(tmp_path / "stems", tmp_path / "corpus")
    assert decoded == []
    assert Corpus.open(tmp_path / "corpus").digest == digest
    shutil.rmtree(tmp_path / "stems" / "song02")
    songs.make_song(tmp_path / "stems" / "song02", seconds=3.0, seed=77)
    prepare(tmp_path / "stems", tmp_path / "corpus")
    assert {path.parent.name for path in decoded} == {"song02"}
    assert Corpus.open(tmp_path / "corpus").digest != digest
    assert len(list((tmp_path / "corpus" / "songs").iterdir())) == 8  # what it replaced is gone


def test_killed_it_goes_on_where_it_stopped_and_ends_the_same(songs, tmp_path):
    songs.make_songs(tmp_path / "stems", n_songs=5, seconds=3.0)
    code = (
        "import os, signal, sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path\n"
        "from trainer.prepare import prepare\n"
        "def progress(done, total):\n"
        "    if done == 3: os.kill(os.getpid(), getattr(signal, 'SIGKILL', signal.SIGTERM))\n"
        "prepare(Path(sys.argv[2]), Path(sys.argv[3]), progress=progress)\n"
    )
    root = Path(__file__).resolve().parents[2]
    out = tmp_path / "corpus"
    done = subprocess.run([sys.executable, "-c", code, root, tmp_path / "stems", out], check=False)
    assert done.returncode == -getattr(signal, "SIGKILL", signal.SIGTERM) or os.name == "nt"
    with pytest.raises(NotFound):
        Corpus.open(out)
    seen = []
    prepare(tmp_path / "stems", out, progress=lambda done, total: seen.append(done))
    assert seen == [3, 4, 5]
    prepare(tmp_path / "stems", tmp_path / "whole")
    assert Corpus.open(out).digest == Corpus.open(tmp_path / "whole").digest


def test_workers_change_nothing(songs, tmp_path):
    songs.make_songs(tmp_path / "stems", n_songs=3, seconds=3.0)
    prepare(tmp_path / "stems", tmp_path / "one", n_workers=1)
    prepare(tmp_path / "stems", tmp_path / "two", n_workers=2)
    assert (tmp_path / "one/corpus.json").read_bytes() == (tmp_path / "two/corpus.json").read_bytes()


def test_a_full_disk_is_said_and_keeps_what_is_done(songs, tmp_path, monkeypatch):
    songs.make_songs(tmp_path / "stems", n_songs=3, seconds=3.0)
    fsync, left = os.fsync, [4]  # two files a song: the third song fails

    def full(handle: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(handle)

    monkeypatch.setattr(artefacts.os, "fsync", full)
    monkeypatch.setattr(artefacts, "_sync_folder", lambda folder: None)
    with pytest.raises(TooBig, match="disk is full"):
        prepare(tmp_path / "stems", tmp_path / "corpus")
    monkeypatch.undo()
    assert len(list((tmp_path / "corpus/songs").glob("*.json"))) == 2
    assert not list((tmp_path / "corpus/songs").glob(".*"))
    assert prepare(tmp_path / "stems", tmp_path / "corpus").n_songs == 3


def test_a_folder_that_cannot_be_written_is_refused(songs, tmp_path):
    songs.make_song(tmp_path / "stems" / "one", seconds=3.0)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Refused, match="can be written"):
        prepare(tmp_path / "stems", tmp_path / "file" / "corpus")


def test_no_songs_and_no_one_shots_are_said(songs, tmp_path):
    with pytest.raises(NotFound, match="no such folder"):
        prepare(tmp_path / "nowhere", tmp_path / "corpus")
    (tmp_path / "bare").mkdir()
    with pytest.raises(NotFound, match="one folder a song"):
        prepare(tmp_path / "bare", tmp_path / "corpus")
    songs.make_song(tmp_path / "stems" / "one", stems=("bass", "keys"), seconds=3.0)
    with pytest.raises(NoSamples, match="none of its 2 stems is a drum"):
        prepare(tmp_path / "stems", tmp_path / "corpus")


def test_a_damaged_corpus_is_refused_and_mended_by_preparing(songs, tmp_path):
    songs.make_song(tmp_path / "stems" / "one", seconds=3.0)
    out = tmp_path / "corpus"
    prepare(tmp_path / "stems", out)
    (audio,) = (out / "songs").glob("*.i16")
    with audio.open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(BadRequest, match="1000 bytes"):
        Corpus.open(out)
    prepare(tmp_path / "stems", out)
    assert len(Corpus.open(out).one_shots) == 3
    card = json.loads((out / "corpus.json").read_bytes())
    (out / "corpus.json").write_text(json.dumps({**card, "format": 99}))
    with pytest.raises(BadRequest, match="format 99"):
        Corpus.open(out)


def test_the_real_stems_prepare(shared, tmp_path):
    folder = tmp_path / "stems" / "Sodium"
    folder.mkdir(parents=True)
    for path in (shared / "corpus/stems/Sodium").glob("*.ogg"):
        samples, rate = soundfile.read(path, frames=30 * RATE)
        soundfile.write(folder / f"{path.stem}.flac", samples, rate)
    (folder / "song.toml").write_text('origin = "electronic"\n')
    report = prepare(tmp_path / "stems", tmp_path / "corpus")
    assert report.by_type["kick"] >= 1  # one of its two kicks is silent at first
    assert "kick and snare" in notes_about(report, "K_and_SN")
