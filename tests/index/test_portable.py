"""A folder's keys on its own drive: another machine takes them; what is damaged, strange or read-only changes nothing."""

from __future__ import annotations

import os
import shutil
import sqlite3

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.library import Library
from index.portable import FOLDER, Model, read_keys, record_of, write_keys
from tests.index.conftest import StandIn, paths_of, write_hit

MODEL = Model(1, "a" * 64, 4)


def records(*names: int) -> np.ndarray:
    """(N,) records, one for each name."""
    made = np.zeros(len(names), record_of(MODEL.dim))
    for row, name in enumerate(names):
        made[row]["content"] = name.to_bytes(16, "big")
        made[row]["duration_s"] = 0.5
        made[row]["vector"][name % MODEL.dim] = 1.0
    return made


def names_of(found: np.ndarray) -> list[int]:
    return sorted(int.from_bytes(content.tobytes(), "big") for content in found["content"])


@settings(max_examples=40)
@given(batches=st.lists(st.sets(st.integers(0, 40), min_size=1), min_size=1, max_size=12))
def test_what_is_written_in_any_pieces_is_read_again_once_each(batches, tmp_path_factory):
    folder = os.fsencode(tmp_path_factory.mktemp("drive"))
    so_far: set[int] = set()
    for batch in batches:
        new = batch - so_far
        so_far |= batch
        if new:
            write_keys(folder, MODEL, records(*sorted(new)), records(*sorted(so_far))["content"])
        assert names_of(read_keys(folder, MODEL)) == sorted(so_far)
    assert len(os.listdir(os.path.join(folder, FOLDER.encode()))) <= 1 + np.log2(len(so_far))


def test_what_left_the_folder_goes_when_its_file_melts(tmp_path):
    folder = os.fsencode(tmp_path)
    write_keys(folder, MODEL, records(1, 2), records(1, 2)["content"])
    (tmp_path / FOLDER / ".half a file.new").touch()
    write_keys(folder, MODEL, records(3, 4), records(2, 3, 4)["content"])
    assert names_of(read_keys(folder, MODEL)) == [2, 3, 4] and len(os.listdir(tmp_path / FOLDER)) == 1


def test_keys_of_another_model_stay_apart(tmp_path):
    folder = os.fsencode(tmp_path)
    write_keys(folder, MODEL, records(1), records(1)["content"])
    assert len(read_keys(folder, Model(1, "b" * 64, 4))) == 0
    assert len(read_keys(folder, Model(1, "a" * 64, 5))) == 0


def test_a_damaged_file_is_left_out_whatever_the_damage(tmp_path):
    folder = os.fsencode(tmp_path)
    write_keys(folder, MODEL, records(*range(9)), records(*range(9))["content"])
    (path,) = (tmp_path / FOLDER).iterdir()
    good = path.read_bytes()
    draw = np.random.default_rng(0)
    for _ in range(200):
        bad = bytearray(good)
        if draw.random() < 0.5:
            bad[draw.integers(len(bad))] ^= 1 << draw.integers(8)
        else:
            del bad[draw.integers(len(bad)) :]
        path.write_bytes(bad)
        found = read_keys(folder, MODEL)
        assert len(found) == 0 or (found == records(*range(9))).all(), "all of it or nothing"
    path.write_bytes(good)
    assert len(read_keys(folder, MODEL)) == 9


def test_what_is_no_key_is_not_taken(tmp_path):
    made = records(1, 2, 3, 4)
    made["vector"][0] = np.nan
    made["vector"][1] *= 2
    made["duration_s"][2] = np.nan
    write_keys(os.fsencode(tmp_path), MODEL, made, made["content"])
    assert names_of(read_keys(os.fsencode(tmp_path), MODEL)) == [4]


@pytest.fixture
def machines(tmp_path):
    """Opens libraries, each on a state folder of its own: a machine each; gives the library and its encoder."""
    held = []

    def machine(name: str, seed: int = 0) -> tuple[Library, StandIn]:
        encoder = StandIn(seed)
        held.append(Library(tmp_path / name, encoder))
        return held[-1], encoder

    yield machine
    for library in held:
        library.close()


def test_another_machine_encodes_nothing(tmp_path, drums, machines):
    for seed in range(12):
        write_hit(drums / f"{seed}.wav", seed)
    first, encoder = machines("first")
    first.add(str(drums), portable=True)
    write_hit(drums / "later.wav", 99)
    first.sync()
    first.close()
    assert encoder.n_encoded == 13
    there = tmp_path / "elsewhere"
    drums.rename(there)
    second, encoder = machines("second")
    second.add(str(there), portable=True)
    assert encoder.n_encoded == 0 and len(second.snapshot) == 13
    rows = [table.rows for table in second.snapshot.tables]
    keys = {rows[t].path(row): rows[t].vectors[row] for t in range(len(rows)) for row in range(len(rows[t]))}
    fresh, encoder = machines("fresh")
    fresh.add(str(there))
    assert encoder.n_encoded == 13
    for table in fresh.snapshot.tables:
        for row in range(len(table.rows)):
            assert np.array_equal(table.rows.vectors[row], keys[table.rows.path(row)])


def test_nothing_is_written_or_taken_unless_the_user_says_so(drums, machines):
    write_hit(drums / "a.wav", 1)
    first, _ = machines("first")
    first.add(str(drums))
    assert not (drums / FOLDER).exists() and not first.folders()[0].portable
    first.add(str(drums), portable=True)
    assert (drums / FOLDER).is_dir() and first.folders()[0].portable
    first.add(str(drums))
    assert first.folders()[0].portable, "not to say a word leaves it as it is"
    first.add(str(drums), portable=False)
    written = sorted(path.name for path in (drums / FOLDER).iterdir())
    write_hit(drums / "b.wav", 2)
    first.sync()
    assert sorted(path.name for path in (drums / FOLDER).iterdir()) == written
    second, encoder = machines("second")
    second.add(str(drums))
    assert encoder.n_encoded == 2


def test_two_machines_in_turn_add_to_it(drums, machines):
    for turn in range(4):
        library, encoder = machines(f"machine {turn}")
        write_hit(drums / f"{turn}.wav", turn)
        library.add(str(drums), portable=True)
        assert encoder.n_encoded == 1 and len(library.snapshot) == turn + 1
        library.close()


def test_each_model_has_its_own_and_a_new_one_takes_them_too(drums, machines):
    for seed in range(5):
        write_hit(drums / f"{seed}.wav", seed)
    first, _ = machines("first")
    first.add(str(drums), portable=True)
    other = StandIn(1)
    first.adopt(other)
    first.sync()
    assert other.n_encoded == 5
    first.close()
    second, encoder = machines("second")
    second.add(str(drums), portable=True)
    again = StandIn(1)
    second.adopt(again)
    assert encoder.n_encoded == 0 and again.n_encoded == 0 and len(second.snapshot) == 5


def test_a_damaged_index_is_made_anew(drums, machines):
    for seed in range(5):
        write_hit(drums / f"{seed}.wav", seed)
    first, _ = machines("first")
    first.add(str(drums), portable=True)
    first.close()
    for path in (drums / FOLDER).iterdir():
        path.write_bytes(path.read_bytes()[:-3])
    second, encoder = machines("second")
    second.add(str(drums), portable=True)
    assert encoder.n_encoded == 5
    second.close()
    third, encoder = machines("third")
    third.add(str(drums), portable=True)
    assert encoder.n_encoded == 0


def test_a_link_in_its_place_is_not_followed(tmp_path, drums, machines):
    write_hit(drums / "a.wav", 1)
    (tmp_path / "precious").mkdir()
    (drums / FOLDER).symlink_to(tmp_path / "precious")
    library, _ = machines("first")
    library.add(str(drums), portable=True)
    assert len(library.snapshot) == 1 and not any((tmp_path / "precious").iterdir())


def test_likes_stay_with_their_machine(drums, machines):
    write_hit(drums / "a.wav", 1)
    first, _ = machines("first")
    first.add(str(drums), portable=True)
    first.mark(str(drums / "a.wav"), "like")
    first.close()
    second, _ = machines("second")
    second.add(str(drums), portable=True)
    with sqlite3.connect(second.state / "catalogue.sqlite3") as db:
        assert db.execute("SELECT count(*) FROM marks").fetchone() == (0,)
    db.close()


def test_a_copy_of_the_folder_carries_it_too(tmp_path, drums, machines):
    for seed in range(3):
        write_hit(drums / f"{seed}.wav", seed)
    first, _ = machines("first")
    first.add(str(drums), portable=True)
    shutil.copytree(drums, tmp_path / "backup")
    second, encoder = machines("second")
    second.add(str(tmp_path / "backup"), portable=True)
    assert encoder.n_encoded == 0 and len(paths_of(second)) == 3
