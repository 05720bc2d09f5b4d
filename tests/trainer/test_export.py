"""Export: a package that the daemon opens, equal to torch on every kind of window, or an error."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from encoders.errors import NoModel, Refused
from encoders.package import open_package
from encoders.session import open_encoder
from encoders.windows import WINDOW
from trainer.export import Unit, check_parity, export, parity_windows, to_onnx
from trainer.model import Pair
from trainer.run_folder import load_weights, save
from trainer.settings import load

SMALL = load("small")
TINY = replace(SMALL, model=replace(SMALL.model, width=4, dim=16))


@pytest.fixture(scope="module")
def checkpoint(small_corpus, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("run") / "best.safetensors"
    torch.manual_seed(0)
    save(path, Pair(TINY.model), None, 1, {}, TINY, small_corpus)
    return path


@pytest.fixture(scope="module")
def package(small_corpus, checkpoint, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("package")
    return export(
        checkpoint, TINY, small_corpus, folder, name="tiny", licence="CC0-1.0", metrics={"rank": 0.5}
    )


@pytest.fixture(scope="module")
def opened(package):
    return open_encoder(open_package(package), device="cpu", n_threads=1)


def test_the_card_says_what_was_trained_on_what(package, small_corpus):
    card = open_package(package).card
    assert (card.name, card.dim, card.licence) == ("tiny", 16, "CC0-1.0")
    assert card.training["preset"] == "small" and card.training["corpus"] == small_corpus.digest
    assert card.training["metrics"] == {"rank": 0.5}


def test_any_batch_gives_the_same_rows(opened, small_corpus):
    windows = parity_windows(small_corpus)[-20:]
    whole = opened.queries(windows)
    np.testing.assert_allclose(whole[:3], opened.queries(windows[:3]), atol=1e-5)
    np.testing.assert_allclose(whole[5], opened.queries(windows[5:6])[0], atol=1e-5)


@pytest.mark.parametrize("value", [0.0, 0.25, np.float32(1e-30)])
def test_a_constant_window_has_a_finite_unit_embedding(opened, value):
    row = opened.keys(np.full((1, WINDOW), value, np.float32))[0]
    assert np.isfinite(row).all() and np.linalg.norm(row) == pytest.approx(1, abs=1e-5)


def test_weights_are_stored_in_half_and_computed_with_in_full(package):
    graph = onnx.load(package / "query.onnx").graph
    kinds = {tensor.data_type for tensor in graph.initializer if np.prod(tensor.dims) >= 256}
    assert onnx.TensorProto.FLOAT16 in kinds and onnx.TensorProto.FLOAT not in kinds
    assert [value.type.tensor_type.elem_type for value in graph.output] == [onnx.TensorProto.FLOAT]


def test_training_can_go_on_from_a_package(package, checkpoint):
    torch.manual_seed(1)
    pair, source = Pair(TINY.model), Pair(TINY.model)
    load_weights(pair, package / "weights.safetensors", TINY)
    load_weights(source, checkpoint, TINY)
    for name, value in source.state_dict().items():
        torch.testing.assert_close(pair.state_dict()[name], value, atol=1e-3, rtol=1e-3)


def test_a_graph_that_differs_is_refused(small_corpus):
    torch.manual_seed(0)
    one, other = (Unit(Pair(TINY.model).query).eval() for _ in range(2))
    with pytest.raises(NoModel, match=r"window 0: found a cosine of .* expected at least 0.9999"):
        check_parity(one, to_onnx(other), parity_windows(small_corpus), "query.onnx")


def test_parity_hears_mixes_hits_silence_and_a_click(small_corpus):
    windows = parity_windows(small_corpus)
    assert windows.shape == (64 + 16 + 2, WINDOW)
    assert not windows[-2].any() and np.count_nonzero(windows[-1]) == 1
    assert (windows[64:80, -WINDOW // 4 :] == 0).all()  # padded


def test_another_architecture_is_refused(small_corpus, checkpoint, tmp_path):
    wider = replace(TINY, model=replace(TINY.model, width=5))
    with pytest.raises(Refused):
        export(checkpoint, wider, small_corpus, tmp_path / "p", name="x", licence="CC0-1.0", metrics={})
    assert not (tmp_path / "p" / "model.json").exists()


def test_a_card_is_written_last(package):
    card = json.loads((package / "model.json").read_text())
    assert set(card["sha256"]) == {"query.onnx", "key.onnx", "weights.safetensors"}
    written = {path.name: path.stat().st_mtime_ns for path in package.iterdir()}
    assert max(written, key=written.get) == "model.json"


def test_a_graph_tells_nothing_of_where_it_was_made():
    graph = to_onnx(Unit(Pair(TINY.model).query).eval())
    assert b".py" not in graph and os.fsencode(Path.cwd()) not in graph
