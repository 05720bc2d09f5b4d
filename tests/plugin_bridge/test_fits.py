import json
import re
from dataclasses import asdict, replace

import numpy as np
import pytest
from conftest import tone
from daemon import samplefit
from packages import make_package

from encoders.calibration import MIN_OTHERS, Calibration
from index.rows import Row, build_rows
from index.search import Want, search
from index.snapshot import Snapshot, Table
from plugin_bridge.fits import N_HEARD, scores_of, with_fits

DIM = 32
CALIBRATION = Calibration(-2.0, 2.0, 4.0, "0" * 64, "eval", 30, 240)
QUERY = np.eye(1, DIM, dtype=np.float32)[0]


def table_of(counts, seed=0, copies=1):
    """A table with so many random one-shots of each type, each as so many files."""
    rng = np.random.default_rng(seed)
    rows, keys = [], []
    for type_, count in counts.items():
        for n in range(count):
            content, key = rng.bytes(16), rng.standard_normal(DIM).astype(np.float32)
            keys.append((content, (key / np.linalg.norm(key)).tobytes()))
            paths = [f"/samples/{type_}/{seed} {n:06} {copy}.wav".encode() for copy in range(copies)]
            rows += [Row(path, type_, content, 0.2, False) for path in paths]
    return Table(build_rows(rows, keys, DIM))


def snapshot_of(*tables):
    return Snapshot(tables, 1, 1, "model")


def test_hits_keep_their_order_and_scores_and_get_a_fit():
    snapshot = snapshot_of(table_of({"kick": 300, "snare": 300, "tom": MIN_OTHERS}))
    hits = search(snapshot, QUERY, Want(k=5))
    found = with_fits(hits, snapshot, QUERY, CALIBRATION)
    assert tuple(replace(hit, fit=None) for hit in found) == hits
    for type_ in ("kick", "snare"):
        fits = [hit.fit for hit in found if hit.type == type_]
        assert fits == sorted(fits, reverse=True) and 0.5 < fits[-1] < fits[0] < 1
    assert {hit.fit for hit in found if hit.type == "tom"} == {None}, "too few to stand out from"


def test_without_a_calibration_nothing_is_said():
    snapshot = snapshot_of(table_of({"kick": 100}))
    hits = search(snapshot, QUERY, Want(k=5))
    assert with_fits(hits, snapshot, QUERY, None) == hits and hits[0].fit is None


def test_a_one_shot_that_stands_out_fits_better_than_the_best_of_a_crowd():
    crowd = table_of({"kick": 200})
    crowd.rows.vectors[7] = QUERY
    first, second, *_ = with_fits(
        search(snapshot_of(crowd), QUERY, Want(("kick",), k=2)), snapshot_of(crowd), QUERY, CALIBRATION
    )
    assert first.score == pytest.approx(1) and first.fit > 0.99 > second.fit + 0.02


def test_limits_of_the_press_change_no_fit():
    snapshot = snapshot_of(table_of({"kick": 200}))
    everything, part = (
        with_fits(search(snapshot, QUERY, want), snapshot, QUERY, CALIBRATION)
        for want in (Want(("kick",), k=200), Want(("any",), k=3))
    )
    assert part == tuple(replace(hit, of=3) for hit in everything[:3])


def test_of_a_large_library_a_sample_tells_enough():
    tables = table_of({"kick": 9 * N_HEARD}), table_of({"kick": 300}, seed=1)
    snapshot = snapshot_of(*tables)
    assert N_HEARD <= len(scores_of(snapshot, QUERY, "kick")) < 2 * N_HEARD
    hits = search(snapshot, QUERY, Want(("kick",), k=200))
    found = np.array([hit.fit for hit in with_fits(hits, snapshot, QUERY, CALIBRATION)])
    every = np.concatenate([table.rows.vectors @ QUERY for table in tables])
    standing = (np.array([hit.score for hit in hits]) - every.mean()) / every.std()
    np.testing.assert_allclose(found, CALIBRATION.fit(standing), atol=0.01)


def test_what_left_the_library_counts_no_more():
    gone = table_of({"kick": 200})
    gone.rows.vectors[::2] = QUERY
    live = np.arange(200) % 2 == 1
    scores = scores_of(snapshot_of(replace(gone, live=live)), QUERY, "kick")
    expected = np.vecdot(gone.rows.vectors[1::2], QUERY)
    np.testing.assert_array_equal(np.sort(scores), np.sort(expected))


def test_a_copy_is_no_other_one_shot():
    once, twice = (snapshot_of(table_of({"kick": 30, "tom": MIN_OTHERS}, copies=n)) for n in (1, 2))
    fits = [
        [hit.fit for hit in with_fits(search(snapshot, QUERY, Want()), snapshot, QUERY, CALIBRATION)]
        for snapshot in (once, twice)
    ]
    assert fits[1] == pytest.approx(fits[0], abs=1e-6) and fits[1][-1] is None


def test_the_shell_says_what_a_hit_fits_better_than(write, tmp_path):
    for n in range(12):
        path = write(f"samples/kick {n:02}.wav", tone(0.2, 60 * 1.3**n))
    write("samples/snare.wav", tone(0.2, 500))
    model = make_package(tmp_path / "model")
    card = json.loads((model / "model.json").read_text())
    (model / "model.json").write_text(json.dumps({**card, "calibration": asdict(CALIBRATION)}))
    press = ("suggest", write("bounce.wav", tone(5, 90)), "--folder", path.parent, "--model", model)
    press += ("--preset", "plain")
    document = json.loads(samplefit(*press, "--json", state=tmp_path).stdout)
    fits = {hit["name"]: hit["fit"] for hit in document["hits"]}
    assert fits.pop("snare.wav") is None and len(fits) == 10
    assert list(fits.values()) == sorted(fits.values(), reverse=True)
    shown = samplefit(*press, state=tmp_path).stdout
    assert re.search(r"fits better than +name", shown)
    for name, fit in fits.items():
        assert re.search(rf"\b{int(100 * fit)} % +{name}", shown)
    assert re.search(r"- +snare\.wav", shown)
