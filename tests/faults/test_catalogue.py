"""Faults of the catalogue: damaged, of another version, its log deleted: a clear word, and nobody locked out."""

from __future__ import annotations

import sqlite3

import pytest

from encoders.errors import Refused
from index.catalogue import NAME, Catalogue
from index.library import Library, read_status
from index.schema import MIGRATIONS
from tests.index.conftest import StandIn, write_hit


@pytest.fixture
def state(tmp_path):
    """A state folder with a small library, closed."""
    for seed in range(30):
        write_hit(tmp_path / "drums" / f"{seed}.wav", seed)
    with Library(tmp_path / "state", StandIn()) as library:
        library.add(str(tmp_path / "drums"))
    return tmp_path / "state"


def test_no_catalogue_at_all_is_refused_and_the_folder_left_free(state):
    (state / NAME).write_bytes(b"this is no database, whatever its name says" * 100)
    for _ in range(2):  # the lock was given back
        with pytest.raises(Refused, match="not a database"):
            Library(state, StandIn())
    with pytest.raises(Refused):
        read_status(state)


def test_damaged_pages_are_refused_or_harmless(state):
    good = (state / NAME).read_bytes()
    n_refused = 0
    for page in range(1, len(good) // 4096):
        (state / NAME).write_bytes(good[: 4096 * page] + bytes(4096) + good[4096 * (page + 1) :])
        for rest in ("-wal", "-shm"):
            (state / (NAME + rest)).unlink(missing_ok=True)
        try:
            with Library(state, StandIn()) as library:
                library.sync()
        except Refused as error:
            assert "move it away" in error.text
            n_refused += 1
    assert n_refused > 0


def test_a_deleted_log_costs_what_was_in_it_and_no_more(state, tmp_path):
    catalogue = Catalogue(state)
    with catalogue.change() as db:
        db.execute("INSERT INTO marks (content, what, at) VALUES (x'00', 'like', 0)")
    data = (state / NAME).read_bytes()
    catalogue.close()
    (state / NAME).write_bytes(data)
    (state / (NAME + "-wal")).unlink(missing_ok=True)
    encoder = StandIn()
    with Library(state, encoder) as library:
        library.sync()
        assert len(library.snapshot) == 30 and encoder.n_encoded == 0


def test_a_later_version_is_refused_with_both_numbers(state):
    with sqlite3.connect(state / NAME) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    for look in (lambda: Library(state, StandIn()), lambda: read_status(state)):
        with pytest.raises(Refused, match=rf"version 99; expected {len(MIGRATIONS)}"):
            look()


def test_an_older_version_is_read_as_it_is_and_brought_up_by_its_next_writer(state):
    (state / NAME).rename(state / "new")
    db = sqlite3.connect(state / NAME)
    db.executescript(
        f"{MIGRATIONS[0]}; PRAGMA user_version = 1; ATTACH '{state / 'new'}' AS new; DELETE FROM meta;"
    )
    for (table,) in db.execute("SELECT name FROM main.sqlite_schema WHERE type = 'table'").fetchall():
        columns = ", ".join(row[1] for row in db.execute(f"PRAGMA main.table_info({table})"))
        db.execute(f"INSERT OR IGNORE INTO main.{table} SELECT {columns} FROM new.{table}")
    db.commit()
    db.close()
    before = (state / NAME).read_bytes()
    assert read_status(state).one_shots == 30
    assert (state / NAME).read_bytes() == before
    encoder = StandIn()
    with Library(state, encoder) as library:
        library.sync()
        assert len(library.snapshot) == 30 and encoder.n_encoded == 0 and not library.folders()[0].portable


def test_a_change_that_fails_leaves_no_trace(tmp_path):
    catalogue = Catalogue(tmp_path)
    with pytest.raises(ZeroDivisionError), catalogue.change() as db:
        db.execute("INSERT INTO models (digest) VALUES ('x')")
        raise ZeroDivisionError
    assert catalogue.db.execute("SELECT count(*) FROM models").fetchone() == (0,)
    with catalogue.change():
        pass
    assert catalogue.db.execute("SELECT value FROM meta WHERE key = 'revision'").fetchone() == (0,)
    catalogue.close()
