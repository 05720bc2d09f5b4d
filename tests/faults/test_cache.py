"""Faults in the cache: whatever is wrong with its files, no answer is wrong and none is missing."""

from __future__ import annotations

import dataclasses
import errno
import functools
import json
import random

import numpy as np
import pytest

from index import cache
from index.cache import Cache
from index.rows import Row, Rows, build_rows

DIM = 8


@functools.cache
def table(seed: int, n: int = 500) -> Rows:
    """Rows of random keys."""
    rng = np.random.default_rng(seed)
    rows = [
        Row(
            b"/lib/%d-%d.wav" % (seed, number),
            ("kick", "snare", "other")[number % 3],
            rng.bytes(16),
            0.5,
            False,
        )
        for number in range(n)
    ]
    keys = [(row.content, rng.standard_normal(DIM).astype("<f4").tobytes()) for row in rows]
    return build_rows(rows, keys, DIM)


def same(one: Rows, other: Rows) -> bool:
    """Equal in every column."""
    return all(
        np.array_equal(getattr(one, column.name), getattr(other, column.name))
        for column in dataclasses.fields(Rows)
    )


@pytest.fixture
def saved(tmp_path) -> Cache:
    """A cache with two generations: of revision 1 and 2."""
    made = Cache(tmp_path / "model")
    for revision in (1, 2):
        made.save(table(revision), revision, "mine")
    return made


def test_a_generation_round_trips(saved):
    loaded = saved.load("mine", DIM, 0, 2)
    rows = loaded.rows
    assert loaded.revision == 2 and same(rows, table(2))
    assert [rows.block(type_) for type_ in ("kick", "snare", "other")] == [
        range(0, 167), range(167, 334), range(334, 500)
    ]  # fmt: skip
    assert not rows.vectors.flags.writeable


def test_only_the_right_catalogue_model_and_revisions_are_served(saved):
    assert saved.load("another", DIM, 0, 2) is None
    assert saved.load("mine", DIM + 1, 0, 2) is None
    assert saved.load("mine", DIM, 3, 9) is None, "what was touched before 3 is no longer on record"
    assert saved.load("mine", DIM, 0, 1).revision == 1, "a catalogue set back to 1 cannot use 2"


def test_old_generations_go(saved):
    saved.save(table(3), 3, "mine")
    assert [row.revision for row in saved.generations()] == [3, 2]
    assert len(list(saved.folder.glob("rows-*.bin"))) == 2


def test_damage_of_any_kind_is_never_served(saved):
    draw = random.Random(0)
    newest, before = (saved.folder / row.name for row in saved.generations())
    good = newest.read_bytes()
    n_served = 0
    for number in range(200):
        data = bytearray(good)
        kind = number % 4
        if kind == 0:  # cut, on and off a row's boundary
            del data[
                draw.choice((draw.randrange(len(data)), 4 * DIM * draw.randrange(len(data) // (4 * DIM)))) :
            ]
        elif kind == 1:  # bytes flipped
            for _ in range(draw.choice((1, 10))):
                data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        elif kind == 2:  # a page zeroed
            start = 4096 * draw.randrange(len(data) // 4096)
            data[start : start + 4096] = bytes(len(data[start : start + 4096]))
        else:  # grown
            data += draw.randbytes(draw.randrange(1, 100))
        newest.write_bytes(data)
        found = saved.load("mine", DIM, 0, 2)
        assert found is not None
        n_served += same(found.rows, table(2))
        assert same(found.rows, table(found.revision))
    assert n_served <= 20, "only a page of zeros may be as it was"
    before.unlink()
    newest.write_bytes(b"")
    assert saved.load("mine", DIM, 0, 2) is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"format": 99}', '{"format": 1, "generations": [{"x": 1}]}']
)
def test_a_damaged_manifest_means_no_cache(saved, text):
    (saved.folder / "manifest.json").write_text(text)
    assert saved.load("mine", DIM, 0, 2) is None
    saved.save(table(5), 5, "mine")
    assert saved.load("mine", DIM, 0, 5).revision == 5


@pytest.mark.parametrize("step", ["rows", "manifest"])
def test_a_stop_at_either_step_of_the_swap_leaves_the_last_generation(saved, monkeypatch, step):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache, "_parts" if step == "rows" else "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        saved.save(table(3), 3, "mine")
    loaded = saved.load("mine", DIM, 0, 9)
    assert loaded.revision == 2 and same(loaded.rows, table(2))
    monkeypatch.undo()
    saved.save(table(4), 4, "mine")
    assert saved.load("mine", DIM, 0, 9).revision == 4
    names = {row.name for row in saved.generations()} | {"manifest.json"}
    assert {path.name for path in saved.folder.iterdir()} == names
    assert json.loads((saved.folder / "manifest.json").read_text())["format"] == cache.FORMAT
