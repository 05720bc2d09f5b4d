"""Following folders: real files, moves, copies, drives that go away, models that change."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from encoders.errors import BadRequest, Busy, NoModel, NoSamples, NotFound, Refused
from index.folders import EMPTY_GRACE_S
from index.library import _PUT_FOLDER, Library, read_folders, read_skipped, read_status
from index.marks import read_marks
from index.search import Want, search
from tests.index.conftest import DIM, SAMPLE_RATE, StandIn, hit, paths_of, write_hit


def test_a_folder_added_is_searchable(opened, drums, encoder):
    for seed, name in enumerate(("kick_1.wav", "snare 2.wav", "sub/hh_open.wav")):
        write_hit(drums / name, seed)
    (drums / "notes.txt").write_text("no audio")
    library = opened()
    library.add(str(drums))
    status = library.status()
    assert status.one_shots == 3 and status.pending == 0 and encoder.n_encoded == 3
    assert {type_: n for type_, n in status.by_type.items() if n} == {"kick": 1, "snare": 1, "hihat": 1}
    assert paths_of(library) == {
        os.fsencode(drums / name) for name in ("kick_1.wav", "snare 2.wav", "sub/hh_open.wav")
    }


def test_keys_are_those_of_the_graph(opened, drums, encoder):
    write_hit(drums / "kick.wav", 7)
    library = opened()
    library.add(drums.as_posix())
    window = np.zeros((1, 176_400), np.float32)
    window[0, : len(hit(7))] = np.round(hit(7) * 32768) / 32768  # as a 16-bit file holds it
    assert np.allclose(library.snapshot.tables[0].rows.vectors, encoder.keys(window), atol=1e-3)


def test_a_second_sync_changes_nothing(opened, drums, encoder):
    for seed in range(5):
        write_hit(drums / f"x{seed}.wav", seed)
    (drums / "broken.wav").write_bytes(b"RIFF nothing")
    library = opened()
    library.add(str(drums))
    before, n_encoded = library.snapshot, encoder.n_encoded
    assert library.sync() == before.revision
    assert library.snapshot is before and encoder.n_encoded == n_encoded


def test_changes_are_followed(opened, drums, encoder):
    write_hit(drums / "a.wav", 1)
    write_hit(drums / "b.wav", 2)
    library = opened()
    library.add(str(drums))
    write_hit(drums / "b.wav", 3)
    write_hit(drums / "c.wav", 4)
    (drums / "a.wav").unlink()
    library.sync()
    assert paths_of(library) == {os.fsencode(drums / "b.wav"), os.fsencode(drums / "c.wav")}
    assert encoder.n_encoded == 4


def test_a_file_replaced_by_one_of_the_same_size_and_mtime_is_read_anew(opened, drums, encoder):
    write_hit(drums / "a.wav", 1)
    library = opened()
    library.add(str(drums))
    about = (drums / "a.wav").stat()
    write_hit(drums / "a.wav", 2)
    os.utime(drums / "a.wav", ns=(about.st_atime_ns, about.st_mtime_ns))
    assert (drums / "a.wav").stat().st_size == about.st_size
    library.sync()
    assert encoder.n_encoded == 2


def test_moves_and_copies_are_not_encoded_again(opened, drums, encoder):
    for seed in range(6):
        write_hit(drums / "kicks" / f"{seed}.wav", seed)
    library = opened()
    library.add(str(drums))
    library.mark(str(drums / "kicks/0.wav"), "like")
    (drums / "kicks").rename(drums / "other place")
    shutil.copy(drums / "other place/1.wav", drums / "copy.wav")
    library.sync()
    assert encoder.n_encoded == 6
    assert len(library.snapshot) == 7
    library.mark(str(drums / "other place/0.wav"), "used")
    with sqlite3.connect(library.state / "catalogue.sqlite3") as db:
        assert db.execute("SELECT count(DISTINCT content), count(*) FROM marks").fetchone() == (1, 2)
    db.close()


def test_what_is_left_out_says_why(opened, drums):
    write_hit(drums / "kick.wav", 1)
    write_hit(drums / "long.wav", 2, seconds=31.0)
    write_hit(drums / "drum loop 120bpm.wav", 3)
    (drums / "text.wav").write_text("hello")
    (drums / "empty.wav").write_bytes(b"")

    soundfile.write(drums / "silent.wav", np.zeros(1000, np.float32), SAMPLE_RATE)
    soundfile.write(drums / "nan.wav", np.full(1000, np.nan, np.float32), SAMPLE_RATE, subtype="FLOAT")
    library = opened()
    library.add(str(drums))
    codes = {Path(row.path).name: row.code for row in library.skipped()}
    assert codes == {
        "drum loop 120bpm.wav": "refused",
        "empty.wav": "unreadable-audio",
        "long.wav": "too-long",
        "nan.wav": "no-signal",
        "silent.wav": "no-signal",
        "text.wav": "unreadable-audio",
    }
    assert library.status().one_shots == 1 and library.status().skipped == 6
    assert all(Path(row.path).name in row.text or "loop" in row.text for row in library.skipped())


def test_moves_between_followed_folders_keep_keys_and_likes(opened, drums, tmp_path, encoder):
    other = tmp_path / "other"
    other.mkdir()
    for seed in range(4):
        write_hit(drums / f"{seed}.wav", seed)
    library = opened()
    library.add(str(drums))
    library.add(str(other))
    library.mark(str(drums / "0.wav"), "like")
    (drums / "0.wav").rename(other / "0.wav")
    (drums / "1.wav").rename(other / "1.wav")
    library.sync_parts(
        {os.fsencode(drums): (b"0.wav", b"1.wav"), os.fsencode(other): (b"0.wav", b"1.wav")}, 0.0
    )
    assert paths_of(library) == {os.fsencode(other / f"{n}.wav") for n in (0, 1)} | {
        os.fsencode(drums / f"{n}.wav") for n in (2, 3)
    }
    assert encoder.n_encoded == 4 and [mark.path for mark in read_marks(library.state)] == [
        str(other / "0.wav")
    ]


def test_a_rename_of_case_alone_is_a_rename(opened, drums, encoder):
    write_hit(drums / "Kick.wav", 1)
    library = opened()
    library.add(str(drums))
    library.mark(str(drums / "Kick.wav"), "like")
    (drums / "Kick.wav").rename(drums / "kick.WAV")
    library.sync_parts({os.fsencode(drums): (b"Kick.wav", b"kick.WAV")}, 0.0)
    assert paths_of(library) == {os.fsencode(drums / "kick.WAV")} and encoder.n_encoded == 1
    assert [mark.path for mark in read_marks(library.state)] == [str(drums / "kick.WAV")]


@pytest.mark.skipif(sys.platform != "linux", reason="names are Unicode there")
def test_marks_of_names_that_are_no_unicode_are_listed(opened, drums):
    names = (b"k\xff.wav", b"k\xfe.wav", "キック.wav".encode())
    library = opened()
    for seed, name in enumerate(names):
        write_hit(os.fsencode(drums) + b"/" + name, seed)
    library.add(str(drums))
    for name in names:
        library.mark(os.path.join(drums, os.fsdecode(name)), "like")
    marked = [os.path.join(drums, os.fsdecode(name)) for name in reversed(names)]
    assert [mark.path for mark in read_marks(library.state)] == marked


def test_hard_links_are_one_sound(opened, drums, encoder):
    write_hit(drums / "a.wav", 1)
    os.link(drums / "a.wav", drums / "b.wav")
    library = opened()
    library.add(str(drums))
    library.mark(str(drums / "b.wav"), "like")
    (drums / "b.wav").unlink()
    library.sync()
    assert encoder.n_encoded == 1 and [mark.path for mark in read_marks(library.state)] == [
        str(drums / "a.wav")
    ]


def test_a_folder_followed_twice_by_another_path(opened, drums, tmp_path, encoder):
    write_hit(drums / "a.wav", 1)
    (tmp_path / "link").symlink_to(drums)
    library = opened()
    library.add(str(drums))
    library.add(str(tmp_path / "link"))
    both = {os.fsencode(drums / "a.wav"), os.fsencode(tmp_path / "link" / "a.wav")}
    assert paths_of(library) == both and encoder.n_encoded == 1
    (drums / "a.wav").rename(drums / "b.wav")
    library.sync()
    assert paths_of(library) == {path.replace(b"a.wav", b"b.wav") for path in both}
    library.remove(str(drums))
    assert paths_of(library) == {os.fsencode(tmp_path / "link" / "b.wav")} and encoder.n_encoded == 1


def test_hidden_names_links_and_loops(opened, drums, tmp_path):
    write_hit(drums / "real" / "a.wav", 1)
    write_hit(drums / "._a.wav", 2)
    write_hit(drums / ".hidden" / "b.wav", 3)
    write_hit(tmp_path / "outside" / "c.wav", 4)
    (drums / "link").symlink_to(tmp_path / "outside")
    (drums / "real" / "loop").symlink_to(drums)
    (drums / "again").symlink_to(drums / "real")
    (drums / "nowhere.wav").symlink_to(drums / "missing.wav")
    os.link(drums / "real" / "a.wav", drums / "hard.wav")
    library = opened()
    library.add(str(drums))
    names = {os.fsdecode(path)[len(str(drums)) + 1 :] for path in paths_of(library)}
    assert names == {"real/a.wav", "link/c.wav", "hard.wav"}


@pytest.mark.parametrize(
    "name", [b"k\xff\xfe.wav", "k\u0308.wav".encode(), b"new\nline.wav", b"n" * 251 + b".wav"]
)
def test_any_name_round_trips(opened, drums, name):
    path = os.path.join(os.fsencode(drums), name)
    write_hit(drums / "plain.wav", 1)
    os.rename(drums / "plain.wav", path)
    library = opened()
    library.add(str(drums))
    assert paths_of(library) == {path}
    library.mark(os.fsdecode(path), "used")


def test_a_folder_that_goes_away_comes_back_without_encoding(opened, drums, encoder):
    for seed in range(4):
        write_hit(drums / f"{seed}.wav", seed)
    library = opened()
    library.add(str(drums))
    drums.rename(drums.with_name("away"))
    library.sync()
    (state,) = library.folders()
    assert (state.state, state.one_shots) == ("offline", 4) and len(library.snapshot) == 0
    library = opened()  # absent at start too
    library.sync()
    assert len(library.snapshot) == 0 and library.folders()[0].one_shots == 4
    drums.with_name("away").rename(drums)
    library.sync()
    assert library.folders()[0].state == "online" and len(library.snapshot) == 4
    assert encoder.n_encoded == 4


def test_an_emptied_folder_is_cleaned_after_its_grace_and_what_returns_costs_nothing(opened, drums, encoder):
    now = [1000.0]
    write_hit(drums / "a.wav", 1)
    library = opened(clock=lambda: now[0])
    library.add(str(drums))
    library.mark(str(drums / "a.wav"), "like")
    (drums / "a.wav").rename(drums.parent / "a.wav")
    library.sync()
    (state,) = library.folders()
    assert (state.state, state.one_shots, state.emptied_at) == ("offline", 1, 1000.0)
    now[0] += EMPTY_GRACE_S + 1
    library.sync()
    library.sync()
    (state,) = library.folders()
    assert (state.state, state.one_shots, state.emptied_at) == ("online", 0, None)
    (drums.parent / "a.wav").rename(drums / "renamed meanwhile.wav")
    library.sync()
    assert len(library.snapshot) == 1 and encoder.n_encoded == 1
    (mark,) = read_marks(library.state)
    assert mark.path == str(drums / "renamed meanwhile.wav") and mark.what == "like"


def test_a_cleaning_can_be_undone_and_waits_another_grace(opened, drums, encoder):
    now = [1000.0]
    for seed in range(3):
        write_hit(drums / f"{seed}.wav", seed)
    library = opened(clock=lambda: now[0])
    library.add(str(drums))
    with pytest.raises(NotFound, match="no folder that was cleaned"):
        library.restore(str(drums))
    drums.rename(drums.with_name("kept"))
    drums.mkdir()
    for _ in range(2):
        library.sync()
        now[0] += EMPTY_GRACE_S + 1
        library.sync()
        assert library.folders()[0].one_shots == 0
        library = opened(clock=lambda: now[0])
        library.restore(str(drums))
        library.sync()
        (state,) = library.folders()
        assert (state.state, state.one_shots, state.emptied_at) == ("offline", 3, now[0])
    drums.rmdir()
    drums.with_name("kept").rename(drums)
    library.sync()
    assert library.folders()[0].state == "online" and len(library.snapshot) == 3 and encoder.n_encoded == 3


def test_a_cleaning_cannot_be_undone_over_new_files(opened, drums):
    now = [1000.0]
    write_hit(drums / "old.wav", 1)
    library = opened(clock=lambda: now[0])
    library.add(str(drums))
    (drums / "old.wav").unlink()
    library.sync()
    now[0] += EMPTY_GRACE_S + 1
    library.sync()
    write_hit(drums / "new.wav", 2)
    library.sync()
    with pytest.raises(NotFound):
        library.restore(str(drums))
    assert paths_of(library) == {os.fsencode(drums / "new.wav")}


def test_removed_folders_are_forgotten_and_come_back_cheaply(opened, drums, encoder):
    write_hit(drums / "a.wav", 1)
    library = opened()
    library.add(str(drums))
    library.remove(str(drums))
    assert library.folders() == () and len(library.snapshot) == 0
    with pytest.raises(NotFound):
        library.remove(str(drums))
    library.add(str(drums))
    assert len(library.snapshot) == 1 and encoder.n_encoded == 1


def test_nested_folders_offer_a_file_for_each(opened, drums, encoder):
    write_hit(drums / "in" / "a.wav", 1)
    library = opened()
    library.add(str(drums))
    library.add(str(drums / "in"))
    assert encoder.n_encoded == 1
    library.remove(str(drums / "in"))
    assert paths_of(library) == {os.fsencode(drums / "in" / "a.wav")}
    library.add(str(drums / "in"))
    library.remove(str(drums))
    assert paths_of(library) == {os.fsencode(drums / "in" / "a.wav")} and encoder.n_encoded == 1


def test_models_are_never_mixed_and_going_back_is_free(opened, drums, encoder):
    for seed in range(3):
        write_hit(drums / f"{seed}.wav", seed)
    opened().add(str(drums))
    other = StandIn(seed=1, dim=48)
    library = opened(other)
    assert len(library.snapshot) == 0 and library.status().pending == 3
    library.sync()
    assert other.n_encoded == 3 and library.snapshot.tables[0].rows.vectors.shape[1] == 48
    library = opened(encoder)
    assert len(library.snapshot) == 3
    library.sync()
    assert encoder.n_encoded == 3


def test_a_sound_that_the_model_has_no_key_for_costs_itself_alone(opened, drums):
    class Picky(StandIn):
        def keys(self, windows: np.ndarray) -> np.ndarray:
            if np.abs(windows).max(axis=1).min() < 0.01:
                raise NoModel("stand-in: key.onnx", found="norms nan to 1", expected="unit length")
            return super().keys(windows)

    for seed in range(5):
        write_hit(drums / f"{seed}.wav", seed)
    soundfile.write(drums / "quiet.wav", 0.02 * hit(9), SAMPLE_RATE)
    library = opened(Picky())
    library.add(str(drums))
    assert len(library.snapshot) == 5
    assert [(Path(row.path).name, row.code) for row in library.skipped()] == [("quiet.wav", "no-model")]
    soundfile.write(drums / "alone.wav", 0.02 * hit(10), SAMPLE_RATE)
    library.sync()
    assert {Path(row.path).name for row in library.skipped()} == {"quiet.wav", "alone.wav"}


def test_a_broken_model_blames_no_file(opened, drums):
    class Broken(StandIn):
        def keys(self, windows: np.ndarray) -> np.ndarray:
            raise NoModel("stand-in: key.onnx", found="norms nan to nan", expected="unit length")

    write_hit(drums / "a.wav", 1)
    library = opened(Broken())
    with pytest.raises(NoModel):
        library.add(str(drums))
    assert library.skipped() == () and library.status().pending == 1


def test_a_restart_offers_the_same(opened, drums):
    for seed in range(3):
        write_hit(drums / f"{seed}.wav", seed)
    library = opened()
    library.add(str(drums))
    before = library.snapshot
    after = opened().snapshot
    assert after.revision == before.revision
    assert np.array_equal(
        after.tables[0].rows.vectors, np.concatenate([t.rows.vectors for t in before.tables])
    )


def test_types_by_sound(opened, drums):
    for seed in range(12):
        write_hit(drums / "kick" / f"{seed}.wav", 100, seconds=0.05 + 0.001 * seed)
        write_hit(drums / "snare" / f"{seed}.wav", 200, seconds=0.05 + 0.001 * seed)
    write_hit(drums / "mystery" / "1.wav", 100, seconds=0.048)
    library = opened()
    library.add(str(drums))
    rows = library.snapshot.tables[-1].rows
    guessed = [row for row in range(len(rows)) if rows.guessed[row]]
    assert [(rows.path(row)[-13:], rows.type(row)) for row in guessed] == [(b"mystery/1.wav", "kick")]


def test_names_that_come_later_change_what_was_guessed(opened, drums):
    write_hit(drums / "mystery" / "1.wav", 100, seconds=0.048)
    library = opened()
    library.add(str(drums))
    assert library.snapshot.by_type()["other"] == 1
    for seed in range(20):
        write_hit(drums / "kick" / f"{seed}.wav", 100, seconds=0.05 + 0.001 * seed)
        library.sync()
    assert library.snapshot.by_type()["kick"] == 21
    write_hit(drums / "mystery" / "2.wav", 100, seconds=0.047)
    library.sync()
    assert library.snapshot.by_type()["kick"] == 22


def test_a_copy_outlives_the_file_that_stood_for_both(opened, drums):
    write_hit(drums / "a.wav", 1)
    shutil.copyfile(drums / "a.wav", drums / "b.wav")
    library = opened()

    def examined(paths, is_known):
        """As the workers answer when one copy changes between its digest and its decoding."""
        for one in examine(paths, is_known):
            yield one if one.samples is None or len(paths) == 1 else replace(one, stamp=None)

    examine = library._decoders.examine
    library._decoders.examine = examined
    library.add(str(drums))
    assert len(library.snapshot) == 1 and library.status().pending == 1
    library._decoders.examine = examine
    library.sync()
    assert len(library.snapshot) == 2


def test_queries_of_a_model_that_was_left_stay_its_own(opened, encoder):
    library = opened()
    other = StandIn(seed=1, dim=8)
    library.adopt(other)
    library.remember(np.ones(32, np.float32), encoder.card.digest)
    library.remember(np.ones(8, np.float32), other.card.digest)
    with library._catalogue.reading() as db:
        sizes = db.execute("SELECT model, length(vector) FROM queries ORDER BY model").fetchall()
    assert [size for _, size in sizes] == [4 * 32, 4 * 8] and sizes[0][0] != sizes[1][0]


def test_one_library_a_state_folder(opened, tmp_path, encoder):
    opened()
    with pytest.raises(Busy, match=str(os.getpid())):
        Library(tmp_path / "state", encoder)


def test_reading_without_the_lock(opened, drums, tmp_path):
    assert read_status(tmp_path / "nothing").one_shots == 0 and read_folders(tmp_path / "nothing") == ()
    write_hit(drums / "a.wav", 1)
    (drums / "b.wav").write_text("no")
    library = opened()
    library.add(str(drums))
    state = tmp_path / "state"
    assert read_status(state).one_shots == 1 and read_folders(state) == library.folders()
    assert [row.code for row in read_skipped(state)] == ["unreadable-audio"]


def test_bad_requests(opened, drums, tmp_path):
    library = opened()
    with pytest.raises(NotFound):
        library.add(str(tmp_path / "none"))
    (tmp_path / "file").write_text("x")
    with pytest.raises(Refused):
        library.add(str(tmp_path / "file"))
    with pytest.raises(BadRequest):
        library.mark("x", "adore")
    with pytest.raises(NotFound):
        library.mark("/x.wav", "like")


def test_a_path_too_long_for_a_reply_is_skipped_with_a_word(opened, drums):
    write_hit(drums.joinpath(*["deep " * 40] * 4) / "kick.wav", 1)
    write_hit(drums / "kick.wav", 2)
    library = opened()
    library.add(str(drums))
    assert library.status().one_shots == 1
    (left_out,) = library.skipped()
    assert left_out.code == "too-big" and "expected at most 800" in left_out.text


class Held(StandIn):
    """A model that encodes the first `n_free` one-shots and then holds until it is let go."""

    def __init__(self, n_free: int) -> None:
        super().__init__()
        self.free, self.holds, self.go = threading.Semaphore(n_free), threading.Event(), threading.Event()

    def keys(self, windows: np.ndarray) -> np.ndarray:
        if not self.free.acquire(blocking=False):
            self.holds.set()
            assert self.go.wait(60)
        return super().keys(windows)


def test_a_folder_is_removed_while_a_scan_runs(opened, tmp_path):
    drums, wrong = tmp_path / "drums", tmp_path / "wrong"
    for seed in range(20):
        write_hit(drums / f"{seed}.wav", seed)
    for seed in range(100, 300):
        write_hit(wrong / f"{seed}.wav", seed)
    encoder = Held(n_free=50)
    library = opened(encoder)
    library.add(str(drums))
    for seed in range(20, 40):
        write_hit(drums / f"{seed}.wav", seed)
    adding = threading.Thread(target=library.add, args=(str(wrong),))
    adding.start()
    assert encoder.holds.wait(60)
    library.remove(str(wrong))  # the scan cannot go on before this has returned
    assert [folder.path for folder in library.folders()] == [str(drums)]
    assert all(path.startswith(os.fsencode(drums)) for path in paths_of(library))
    encoder.go.set()
    adding.join()
    assert encoder.n_encoded < 200, "the rest of the folder was left"
    assert paths_of(library) == {os.fsencode(drums / f"{seed}.wav") for seed in range(40)}
    assert library.status().pending == 0 and library.status().one_shots == 40
    with sqlite3.connect(library.state / "catalogue.sqlite3") as db:
        assert db.execute("SELECT count(DISTINCT folder), count(*) FROM files").fetchone() == (1, 40)
    db.close()


def test_a_folder_removed_after_it_was_looked_at_is_not_written_down(opened, tmp_path, monkeypatch):
    drums, wrong, other = (tmp_path / name for name in ("drums", "wrong", "other"))
    for seed, folder in enumerate((drums, wrong)):
        write_hit(folder / "kick.wav", seed)
    other.mkdir()
    library = opened()
    library.add(str(drums))
    look = library._scanner.lookout.look

    def look_and_lose(glances):
        sights = look(glances)
        monkeypatch.undo()
        library.remove(str(wrong))
        with library._catalogue.change() as db:  # what `add` writes before it waits for the scan
            db.execute(_PUT_FOLDER, (os.fsencode(other), ""))
        return sights

    monkeypatch.setattr(library._scanner.lookout, "look", look_and_lose)
    library.add(str(wrong))
    assert paths_of(library) == {os.fsencode(drums / "kick.wav")}
    with sqlite3.connect(library.state / "catalogue.sqlite3") as db:
        assert db.execute("SELECT count(*) FROM files").fetchone() == (1,)
    db.close()


def test_a_copy_that_is_left_out_is_told_by_its_own_name(opened, drums):
    for name in ("a.wav", "b.wav"):
        soundfile.write(drums / name, np.zeros(1000, np.float32), SAMPLE_RATE)
    library = opened()
    library.add(str(drums))
    assert [row.text.partition(": found ")[0] for row in library.skipped()] == [
        str(drums / name) for name in ("a.wav", "b.wav")
    ]


def test_what_is_offline_is_named_where_nothing_is_left(opened, drums, encoder):
    write_hit(drums / "kick.wav", 1)
    library = opened()
    library.add(str(drums))
    drums.rename(drums.with_name("away"))
    library.sync()
    with pytest.raises(NoSamples, match=f"offline: {drums}; .*connect its drive"):
        search(library.snapshot, np.eye(1, DIM, dtype=np.float32)[0], Want())
    library = opened()  # read anew
    with pytest.raises(NoSamples, match="connect its drive"):
        search(library.snapshot, np.eye(1, DIM, dtype=np.float32)[0], Want())
