"""Faults of models, as the library meets them: what was encoded stays, the pair that answers goes on answering."""

from __future__ import annotations

import hashlib
import json
import pickle
import sqlite3

import numpy as np
import onnx
import pytest
from packages import make_package

from encoders.errors import NoModel
from encoders.package import open_package
from encoders.session import open_encoder
from index.library import Library
from plugin_bridge.switching import Switch
from tests.index.conftest import StandIn, paths_of, write_hit


@pytest.fixture
def drums(tmp_path):
    for seed in range(6):
        write_hit(tmp_path / "drums" / f"{seed}.wav", seed)
    return tmp_path / "drums"


class Tired(StandIn):
    """Breaks down in the middle, as a GPU that runs out of memory does."""

    n_left = 3

    def keys(self, windows):
        self.n_left -= 1
        if self.n_left < 0:
            raise RuntimeError("out of memory")
        return super().keys(windows)


def test_a_runtime_that_breaks_in_the_middle_costs_no_key_and_no_file(tmp_path, drums):
    encoder = Tired()
    with Library(tmp_path / "state", encoder) as library:
        with pytest.raises(RuntimeError):
            library.add(str(drums))
        assert library.skipped() == () and library.status().pending == 3
        encoder.n_left = 100
        library.sync()
        assert len(library.snapshot) == 6 and encoder.n_encoded == 6


def test_a_new_model_that_breaks_leaves_the_old_pair_answering(tmp_path, drums):
    encoder, other = StandIn(), Tired(seed=1)
    with Library(tmp_path / "state", encoder) as library:
        library.add(str(drums))
        before = library.pair()
        with pytest.raises(RuntimeError):
            library.adopt(other)
        assert library.pair() == before and library.status().model == encoder.card.digest
        library.sync()
        assert len(library.snapshot) == 6 and encoder.n_encoded == 6
        other.n_left = 100
        library.adopt(other)
        assert library.pair()[0] is other and len(library.snapshot) == 6 and other.n_encoded == 6


def broken(folder, how):
    """Does to a package what is named."""
    graph = folder / "key.onnx"
    if how == "missing":
        graph.unlink()
    elif how == "truncated":
        graph.write_bytes(graph.read_bytes()[:-100])
    elif how == "another's weights under its digests":
        make_package(folder.parent / "stranger", seed=77)
        graph.write_bytes((folder.parent / "stranger" / "key.onnx").read_bytes())
    elif how == "another dim than its card":
        graph.write_bytes((make_package(folder.parent / "narrow", dim=8) / "key.onnx").read_bytes())
        sign(folder)
    elif how == "a pickle":
        graph.write_bytes(pickle.dumps({"weights": [1.0]}))
        sign(folder)
    elif how == "weights outside its folder":
        model = onnx.load(graph)
        for tensor in model.graph.initializer:
            onnx.external_data_helper.set_external_data(tensor, "../outside.bin")
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
        graph.write_bytes(model.SerializeToString())
        (folder.parent / "outside.bin").write_bytes(bytes(1 << 20))
        sign(folder)


def sign(folder):
    """Makes the card's digests fit again."""
    card = json.loads((folder / "model.json").read_text())
    card["sha256"] = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in card["sha256"]
    }
    (folder / "model.json").write_text(json.dumps(card))


@pytest.mark.parametrize(
    "how",
    [
        "missing",
        "truncated",
        "another's weights under its digests",
        "another dim than its card",
        "a pickle",
        "weights outside its folder",
    ],
)
def test_a_package_that_cannot_be_used_changes_nothing(tmp_path, drums, how, monkeypatch, caplog):
    good, bad = make_package(tmp_path / "good"), make_package(tmp_path / "bad", seed=1)
    broken(bad, how)
    with pytest.raises(NoModel):
        open_encoder(open_package(bad))
    state = tmp_path / "state"
    with Library(state, open_encoder(open_package(good))) as library:
        library.add(str(drums))
        before = library.pair()
        switch = Switch(state, library, good)
        monkeypatch.setattr("plugin_bridge.switching.model_in_use", lambda state: bad)
        switch.look()
        switch._thread.join()
        assert switch.serving == good and library.pair() == before
        assert "the model stays as it is" in caplog.text


@pytest.mark.parametrize(("dim", "seed"), [(64, 0), (256, 1)], ids=["another dim", "other weights"])
def test_keys_of_two_models_lie_apart(tmp_path, drums, dim, seed):
    encoders = [
        open_encoder(open_package(make_package(tmp_path / "one"))),
        open_encoder(open_package(make_package(tmp_path / "two", dim=dim, seed=seed))),
    ]
    with Library(tmp_path / "state", encoders[0]) as library:
        library.add(str(drums))
        for encoder in (encoders[1], encoders[0], encoders[1]):
            library.adopt(encoder)
            expected = {path: encoder.keys(window(path))[0] for path in paths_of(library)}
            for table in library.snapshot.tables:
                for row in range(len(table.rows)):
                    assert np.allclose(table.rows.vectors[row], expected[table.rows.path(row)], atol=1e-5)
    with sqlite3.connect(tmp_path / "state" / "catalogue.sqlite3") as db:
        sizes = db.execute("SELECT model, length(vector), count(*) FROM vectors GROUP BY 1, 2 ORDER BY 1")
        assert [row[1:] for row in sizes] == [(4 * 256, 6), (4 * dim, 6)]
    db.close()


def window(path):
    """(1, 176400) float32 of a file."""
    from encoders.audio import read_one_shot
    from encoders.windows import pad

    return pad(read_one_shot(path.decode()).samples)[None]
