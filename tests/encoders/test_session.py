"""Encoders on the CPU for real; CUDA only by a stand-in, because no GPU can be counted on here."""

import logging
import os
import subprocess
import sys

import numpy as np
import onnx
import pytest
from conftest import tone
from onnx import TensorProto, helper
from packages import make_package

import encoders.session
from encoders.errors import BadRequest, NoModel
from encoders.package import STARTER, Card, Package, open_package
from encoders.session import mean_query, open_encoder, probe_devices
from encoders.windows import WINDOW, cut, pad


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return open_encoder(open_package(make_package(tmp_path_factory.mktemp("m"))), "cpu")


@pytest.fixture(scope="module")
def windows():
    rng = np.random.default_rng(3)
    return np.stack([tone(4.0, 220), tone(4.0, 990), rng.standard_normal(WINDOW).astype(np.float32) * 0.1])


@pytest.mark.parametrize("opens", ["encoders.session", "trainer.export"])
def test_nothing_is_sent_home(tmp_path, opens):
    program = (
        f"import {opens}\n"
        "from encoders.package import STARTER, open_package\n"
        "from encoders.session import open_encoder\n"
        "from encoders.windows import WINDOW\n"
        "import numpy as np\n"
        "open_encoder(open_package(STARTER), 'cpu').keys(np.ones((1, WINDOW), np.float32))\n"
    )
    homes = {name: str(tmp_path) for name in ("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA")}
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ, **homes})
    assert not list(tmp_path.rglob("*")), "ONNX Runtime keeps what it means to send there"


def test_rows_are_unit_and_do_not_depend_on_their_batch(encoder, windows):
    rows = encoder.keys(windows)
    assert rows.shape == (3, 256) and rows.dtype == np.float32
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    for row, window in zip(rows, windows, strict=True):
        assert np.allclose(encoder.keys(window[None])[0], row, atol=1e-5)


def test_a_query_is_the_mean_of_its_windows(encoder, windows):
    mean = encoder.queries(windows).mean(axis=0)
    assert np.allclose(encoder.query(windows), mean / np.linalg.norm(mean), atol=1e-6)


def test_windows_that_cancel_out_still_make_a_query():
    row = np.eye(4, dtype=np.float32)[0]
    assert mean_query(np.stack([row, -row])).tolist() == row.tolist()


@pytest.mark.parametrize("shape", [(WINDOW,), (1, WINDOW - 1), (1, 1, WINDOW)])
def test_wrong_shapes_are_refused(encoder, shape):
    with pytest.raises(BadRequest, match=r"found shape .*; expected \(batch, 176400\)"):
        encoder.keys(np.zeros(shape, np.float32))


def test_unknown_device(encoder, tmp_path):
    with pytest.raises(BadRequest, match="found 'gpu'; expected auto, cuda, coreml, cpu"):
        open_encoder(open_package(make_package(tmp_path / "m")), "gpu")


def graph(
    dim=8, input_name="audio", batch="batch", n_samples=WINDOW, out_dim=None, op="norm", open_sizes=False
):
    """One row of weights, so that each output is the mean sample times a constant, normalised or not."""
    weights = np.ones((n_samples, out_dim or dim), np.float32)
    nodes = [helper.make_node("MatMul", [input_name, "w"], ["raw"])]
    if op == "norm":
        nodes.append(helper.make_node("Add", ["raw", "one"], ["shifted"]))
        nodes.append(helper.make_node("LpNormalization", ["shifted"], ["embedding"], axis=1, p=2))
    else:
        nodes.append(helper.make_node("Identity", ["raw"], ["embedding"]))
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "g",
            [
                helper.make_tensor_value_info(
                    input_name, TensorProto.FLOAT, [batch, "t" if open_sizes else n_samples]
                )
            ],
            [
                helper.make_tensor_value_info(
                    "embedding", TensorProto.FLOAT, [batch, "d" if open_sizes else out_dim or dim]
                )
            ],
            [
                helper.make_tensor("w", TensorProto.FLOAT, weights.shape, weights.tobytes(), raw=True),
                helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0]),
            ],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )
    onnx.checker.check_model(model)
    return model.SerializeToString()


def package_of(data, dim=8):
    card = Card("odd", dim, {"query.onnx": "0" * 64, "key.onnx": "0" * 64}, {}, "CC0-1.0", {})
    return Package(STARTER.parent, card, data, data)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"input_name": "sound"}, "found sound → embedding; expected audio → embedding"),
        ({"n_samples": 1000}, r"found audio tensor\(float\).*1000.*; expected float32 \(batch, 176400\)"),
        ({"batch": 1}, "found a fixed batch of 1; expected a batch of any size"),
        ({"out_dim": 9}, r"found embedding .*9.*; expected float32 \(batch, 8\)"),
    ],
)
def test_a_graph_of_another_form_is_refused(options, says):
    with pytest.raises(NoModel, match=says):
        open_encoder(package_of(graph(**options)), "cpu")


def test_sizes_left_open_are_found_out_by_running():
    encoder = open_encoder(package_of(graph(open_sizes=True)), "cpu")
    assert encoder.keys(np.zeros((2, WINDOW), np.float32)).shape == (2, 8)
    with pytest.raises(NoModel, match=r"found .*8.*; expected (float32 )?\(.*, 9\)"):
        open_encoder(package_of(graph(open_sizes=True), dim=9), "cpu")


def test_a_graph_that_breaks_its_promise_of_unit_length_is_refused():
    with pytest.raises(NoModel, match="of unit length"):
        open_encoder(package_of(graph(op="raw")), "cpu")


def test_bytes_that_are_no_graph():
    with pytest.raises(NoModel, match="expected a graph that ONNX Runtime opens"):
        open_encoder(package_of(b"not a graph"), "cpu")


def test_a_gpu_that_fails_is_left_once_with_one_line(monkeypatch, caplog, tmp_path):
    """A stand-in: the probe says CUDA, and the machine has none that works."""
    if "cuda" in probe_devices():
        pytest.skip("this machine has a working GPU")
    monkeypatch.setattr(encoders.session, "probe_devices", lambda: ("cuda", "cpu"))
    with caplog.at_level(logging.WARNING):
        assert open_encoder(open_package(make_package(tmp_path / "m"))).device == "cpu"
    assert len(caplog.records) == 1 and "cuda cannot be used, going on with cpu" in caplog.text


def test_nothing_of_onnx_runtime_reaches_stdout(tmp_path):
    make_package(tmp_path / "m")
    code = (
        "import sys; from pathlib import Path; from encoders.session import *; from encoders.package import *;"
        "open_encoder(open_package(Path(sys.argv[1])))"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "m"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_the_embedding_hears_the_sound(encoder):
    low, high, low_again = (encoder.keys(pad(tone(1.0, hz))[None])[0] for hz in (100, 5000, 103))
    assert low @ low_again > low @ high
    assert encoder.query(cut(tone(9.0, 100))) @ low > encoder.query(cut(tone(9.0, 100))) @ high
