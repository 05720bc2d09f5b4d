"""Model packages that tests make for themselves: tiny graphs of the contract's form, without any training."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from encoders.audio import SAMPLE_RATE
from encoders.package import FORMAT
from encoders.windows import WINDOW, WINDOW_S

FRAME = 441
N_BANDS = 32


def make_package(folder: Path, dim: int = 256, seed: int = 0, name: str = "test") -> Path:
    """Writes a model package whose embedding is the spectral shape of the sound, projected by random weights.

    Both graphs agree, so a bounce is near to the one-shots that sound like it. About 12 MFLOP a window.

    Args:
        folder: made if it is missing.
        seed: of the projection; another seed is another model.

    Returns:
        `folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    projection = rng.standard_normal((N_BANDS, dim)).astype(np.float32)
    bias = (0.05 * rng.standard_normal(dim)).astype(np.float32)
    graphs = {f"{side}.onnx": _graph(side, dim, projection, bias) for side in ("query", "key")}
    for file_name, data in graphs.items():
        (folder / file_name).write_bytes(data)
    card = {
        "format": FORMAT,
        "name": name,
        "sample_rate": SAMPLE_RATE,
        "window_s": WINDOW_S,
        "dim": dim,
        "sha256": {file_name: hashlib.sha256(data).hexdigest() for file_name, data in graphs.items()},
        "training": {"preset": "none", "corpus": "none", "metrics": {}},
        "licence": "CC0-1.0",
    }
    (folder / "model.json").write_text(json.dumps(card, indent=1), "utf-8")
    return folder


def _graph(side: str, dim: int, projection: np.ndarray, bias: np.ndarray) -> bytes:
    """audio (batch, 176400) → frames → log power in 32 bands, less its mean → projection → unit length."""
    constants = {
        "frames_shape": np.array([-1, WINDOW // FRAME, FRAME], np.int64),
        "bands_shape": np.array([-1, N_BANDS, 2], np.int64),
        "filters": _filters(),
        "time_axis": np.array([1], np.int64),
        "last_axis": np.array([-1], np.int64),
        "pair_axis": np.array([2], np.int64),
        "floor": np.float32(1e-7),
        "projection": projection,
        "bias": bias,
    }
    nodes = [
        helper.make_node("Reshape", ["audio", "frames_shape"], ["frames"]),
        helper.make_node("MatMul", ["frames", "filters"], ["waves"]),
        helper.make_node("Mul", ["waves", "waves"], ["powers"]),
        helper.make_node("ReduceMean", ["powers", "time_axis"], ["mean_powers"], keepdims=0),
        helper.make_node("Reshape", ["mean_powers", "bands_shape"], ["pairs"]),
        helper.make_node("ReduceSum", ["pairs", "pair_axis"], ["bands"], keepdims=0),
        helper.make_node("Max", ["bands", "floor"], ["floored"]),
        helper.make_node("Log", ["floored"], ["logs"]),
        helper.make_node("ReduceMean", ["logs", "last_axis"], ["level"], keepdims=1),
        helper.make_node("Sub", ["logs", "level"], ["shape"]),
        helper.make_node("MatMul", ["shape", "projection"], ["projected"]),
        helper.make_node("Add", ["projected", "bias"], ["biased"]),
        helper.make_node("ReduceL2", ["biased", "last_axis"], ["norm"], keepdims=1),
        helper.make_node("Div", ["biased", "norm"], ["embedding"]),
    ]
    graph = helper.make_graph(
        nodes,
        side,
        [helper.make_tensor_value_info("audio", TensorProto.FLOAT, ["batch", WINDOW])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", dim])],
        [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def _filters() -> np.ndarray:
    """(441, 64) float32: windowed cosine and sine of each band, 100 Hz to 16 kHz evenly in pitch."""
    hz = np.geomspace(100.0, 16_000.0, N_BANDS)
    phase = 2 * np.pi * np.outer(np.arange(FRAME) / SAMPLE_RATE, hz)
    window = np.hanning(FRAME)[:, None] / FRAME
    return (
        np.stack([np.cos(phase) * window, np.sin(phase) * window], axis=2)
        .reshape(FRAME, -1)
        .astype(np.float32)
    )
