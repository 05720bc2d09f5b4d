"""A trained pair as a model package: one graph an encoder, spectrogram inside, checked against torch before it counts."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import safetensors
import safetensors.torch
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional as F

from encoders.artefacts import sha256_of, write_bytes
from encoders.audio import SAMPLE_RATE, FloatArray
from encoders.errors import NoModel
from encoders.package import FORMAT, open_package
from encoders.session import open_encoder, runtime
from encoders.windows import WINDOW, WINDOW_S
from trainer.corpus import Corpus
from trainer.model import Encoder, Pair
from trainer.run_folder import load_weights
from trainer.settings import Settings, to_toml

OPSET = 18
MIN_COSINE = 0.9999
N_PARITY = 64
HALF_MIN_VALUES = 256
"""Smaller constants stay float32: they cost nothing, and a floor of 1e-8 is 0 in float16."""


class Unit(nn.Module):
    """An encoder whose embeddings have unit length, as a package promises."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, audio: Tensor) -> Tensor:
        """(B, 176400) float32 → (B, D) float32, unit rows."""
        return F.normalize(self.encoder(audio), dim=1)


def export(
    checkpoint: Path,
    settings: Settings,
    corpus: Corpus,
    folder: Path,
    *,
    name: str,
    licence: str,
    metrics: dict[str, Any],
) -> Path:
    """Writes `query.onnx`, `key.onnx`, `weights.safetensors` and, last, `model.json`.

    Weights are stored in float16 and computed with in float32: half the size at the same speed on a CPU.

    Args:
        checkpoint: a run's `best.safetensors`.
        corpus: what it was trained on; its windows check the graphs.
        metrics: what the card says of the model's quality.

    Returns:
        The folder.

    Raises:
        NoModel: torch and ONNX Runtime disagree on some window by more than a cosine of `MIN_COSINE`.
        Refused: the checkpoint is of another architecture than the preset.
    """
    pair = Pair(settings.model)
    load_weights(pair, checkpoint, settings)
    folder.mkdir(parents=True, exist_ok=True)
    windows = parity_windows(corpus)
    digests = {}
    for file_name, encoder in (("query.onnx", pair.query), ("key.onnx", pair.key)):
        unit = Unit(encoder).eval()
        graph = to_onnx(unit)
        check_parity(unit, graph, windows, file_name)
        write_bytes(folder / file_name, graph)
        digests[file_name] = sha256_of(folder / file_name)
    _write_weights(checkpoint, folder / "weights.safetensors")
    card = {
        "format": FORMAT,
        "name": name,
        "sample_rate": SAMPLE_RATE,
        "window_s": WINDOW_S,
        "dim": settings.model.dim,
        "sha256": {**digests, "weights.safetensors": sha256_of(folder / "weights.safetensors")},
        "training": {
            "preset": settings.name,
            "settings": to_toml(settings),
            "corpus": corpus.digest,
            "metrics": metrics,
        },
        "licence": licence,
    }
    write_bytes(folder / "model.json", json.dumps(card, indent=1).encode())
    opened = open_encoder(open_package(folder), device="cpu", n_threads=1)
    opened.queries(windows[:2])
    opened.keys(windows[:2])
    return folder


def to_onnx(unit: nn.Module) -> bytes:
    """One graph: `audio` (batch, 176400) → `embedding` (batch, dim), any batch, weights in float16."""
    example = torch.zeros(2, WINDOW)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own deprecations
        program = torch.onnx.export(
            unit,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            external_data=False,
            input_names=["audio"],
            output_names=["embedding"],
            dynamic_shapes={"audio": {0: torch.export.Dim("batch", min=1, max=4096)}},
            verbose=False,
        )
    model = _named_batch(program.model_proto)
    return _without_origin(_half(model)).SerializeToString()


def _named_batch(model: onnx.ModelProto) -> onnx.ModelProto:
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    return model


def _without_origin(model: onnx.ModelProto) -> onnx.ModelProto:
    """The exporter notes with each node the source lines it came from, paths of this machine included."""
    del model.metadata_props[:], model.graph.metadata_props[:]
    model.graph.doc_string = ""
    for part in (
        *model.graph.node,
        *model.graph.initializer,
        *model.graph.value_info,
        *model.graph.input,
        *model.graph.output,
    ):
        part.doc_string = ""
        del part.metadata_props[:]
    return model


def _half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Large float32 constants as float16 with a Cast behind each: ONNX Runtime folds the casts when it opens it."""
    casts = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.data_type != onnx.TensorProto.FLOAT or values.size < HALF_MIN_VALUES:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model)
    return model


def parity_windows(corpus: Corpus) -> FloatArray:
    """What both runtimes are held to: 64 windows of real mixes, padded one-shots, silence and a click.

    Returns:
        (W, 176400) float32, W at most 64 + 16 + 2.
    """
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(N_PARITY):
        song = corpus.songs[int(rng.integers(len(corpus.songs)))]
        start = int(rng.integers(max(1, song.n_samples - WINDOW)))
        rows.append(sum(stem.read(start, WINDOW) for stem in song.stems))
    hits = rng.permutation(len(corpus.one_shots))[:16]
    rows += [corpus.one_shots[int(row)].read() for row in hits]
    click = np.zeros(WINDOW, np.float32)
    click[WINDOW // 2] = 1.0
    return np.stack([*rows, np.zeros(WINDOW, np.float32), click]).astype(np.float32)


def check_parity(unit: nn.Module, graph: bytes, windows: FloatArray, name: str) -> None:
    """Raises NoModel where the graph's embedding of some window is not torch's, or not of unit length."""
    session = runtime().InferenceSession(graph, providers=["CPUExecutionProvider"])
    for row, window in enumerate(windows):
        with torch.inference_mode():
            expected = unit(torch.from_numpy(window[None])).numpy()[0]
        found = session.run(["embedding"], {"audio": window[None]})[0][0]
        cosine = float(expected @ found)
        if not (cosine >= MIN_COSINE and abs(np.linalg.norm(found) - 1) < 1e-3):  # NaN fails, too
            raise NoModel(
                f"{name}, window {row}",
                found=f"a cosine of {cosine:.6f} between torch and ONNX Runtime",
                expected=f"at least {MIN_COSINE}",
                remedy="export with the pinned versions of torch and onnxruntime",
            )


def _write_weights(checkpoint: Path, path: Path) -> None:
    """The weights in float16, for training to go on from; no optimiser state."""
    with safetensors.safe_open(checkpoint, "pt") as file:
        names = [name for name in file.keys() if name.startswith("bodies.")]  # noqa: SIM118
        tensors = {name: file.get_tensor(name) for name in names}
        facts = {"model": file.metadata()["model"]}
    half = {name: value.half() if value.is_floating_point() else value for name, value in tensors.items()}
    write_bytes(path, safetensors.torch.save(half, facts))
