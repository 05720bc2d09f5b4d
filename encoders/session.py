"""The only place that knows ONNX Runtime: graphs in, embeddings out, on the best device that really works."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from encoders.audio import FloatArray
from encoders.errors import BadRequest, NoModel
from encoders.package import Card, Package
from encoders.windows import WINDOW

log = logging.getLogger(__name__)

DEVICES = ("auto", "cuda", "coreml", "cpu")
_PROVIDER = {
    "cuda": "CUDAExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
_CUDA_LIBRARY = {"linux": "libcuda.so.1", "win32": "nvcuda.dll"}


@dataclass(frozen=True, eq=False)
class Encoder:
    """A package's two encoders, opened and warm.

    Attributes:
        card: the package's.
        device: "cuda", "coreml" or "cpu": where both graphs really run.
    """

    card: Card
    device: str
    _query: Any
    _key: Any
    _lock: threading.Lock

    def query(self, windows: FloatArray) -> FloatArray:
        """The query of a bounce: the mean of its windows' encodings, brought to unit length.

        Args:
            windows: (W, 176400) float32, W >= 1.

        Returns:
            (D,) float32, unit norm.

        Raises:
            NoModel: the graph broke, or gave something that is not a number.

        Source: Lattner 2022, section 6.2.
        """
        return mean_query(self.queries(windows))

    def queries(self, windows: FloatArray) -> FloatArray:
        """(W, 176400) float32 → (W, D) float32, unit rows: each window's query."""
        return self._run(self._query, "query.onnx", windows)

    def keys(self, windows: FloatArray) -> FloatArray:
        """(B, 176400) float32, each a padded one-shot → (B, D) float32, unit rows."""
        return self._run(self._key, "key.onnx", windows)

    def _run(self, session: Any, name: str, windows: FloatArray) -> FloatArray:
        if windows.ndim != 2 or windows.shape[1] != WINDOW:
            raise BadRequest(
                "audio for an encoder", found=f"shape {windows.shape}", expected=f"(batch, {WINDOW})"
            )
        audio = np.ascontiguousarray(windows, np.float32)
        try:
            with self._lock if self.device != "cpu" else contextlib.nullcontext():
                (rows,) = session.run(["embedding"], {"audio": audio})
        except (
            Exception
        ) as error:  # ONNX Runtime's many types again; all mean that the graph broke while it ran
            raise NoModel(
                f"{self.card.name}: {name}",
                found=str(error)[:300],
                expected="a graph that runs",
                remedy="use another model, or see `samplefit doctor`",
            ) from None
        return _checked(rows, len(windows), self.card, name)


def mean_query(rows: FloatArray) -> FloatArray:
    """(W, D) unit rows → (D,), the unit vector along their mean (their first where they cancel out)."""
    mean = rows.mean(axis=0, dtype=np.float64)
    norm = np.linalg.norm(mean)
    return (mean / norm).astype(np.float32) if norm > 1e-6 else rows[0].copy()


def open_encoder(package: Package, device: str = "auto", n_threads: int | None = None) -> Encoder:
    """Opens both graphs on one device, and runs each once so that the first press is as quick as the next.

    "auto" takes CUDA where a driver answers, else CoreML where it is built in, else the CPU; a device that was
    probed and still fails is left once, with one warning.

    Args:
        n_threads: threads within one run of the query encoder; None leaves it to ONNX Runtime (all cores). Keys take
            one: whoever has many encodes them side by side.

    Raises:
        BadRequest: no such device name.
        NoModel: not an ONNX graph, or not of the contract's form (`audio` (batch, 176400) → `embedding`
            (batch, dim)), or the device asked for by name is not to be had.
    """
    if device not in DEVICES:
        raise BadRequest("device", found=repr(device), expected=", ".join(DEVICES))
    wanted = probe_devices() if device == "auto" else (device,)
    for place, name in enumerate(wanted):
        try:
            return _open_on(name, package, n_threads)
        except NoModel as error:
            if place == len(wanted) - 1:
                raise
            log.warning("%s cannot be used, going on with %s: %s", name, wanted[place + 1], error.text)
    raise AssertionError("probe_devices always ends with the CPU")


def probe_devices() -> tuple[str, ...]:
    """Devices worth trying here, best first; the last is always "cpu".

    ONNX Runtime claims CUDA on machines without a GPU, then prints errors and falls back in silence; so the
    driver's own library is asked first.
    """
    available = runtime().get_available_providers()
    found = []
    if _PROVIDER["cuda"] in available and _n_cuda_devices() > 0:
        found.append("cuda")
    if _PROVIDER["coreml"] in available:
        found.append("coreml")
    return (*found, "cpu")


def _n_cuda_devices() -> int:
    name = _CUDA_LIBRARY.get(sys.platform)
    try:
        driver = ctypes.CDLL(name) if name else None
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver is None or driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return 0
    return count.value


def _open_on(device: str, package: Package, n_threads: int | None) -> Encoder:
    query = _session(device, package, "query.onnx", package.query, n_threads)
    key = _session(device, package, "key.onnx", package.key, 1)
    encoder = Encoder(package.card, device, query, key, threading.Lock())
    click = np.zeros((1, WINDOW), np.float32)
    click[0, 0] = 1.0
    encoder.queries(click)
    encoder.keys(click)
    return encoder


def _session(device: str, package: Package, name: str, graph: bytes, n_threads: int | None) -> Any:
    ort = runtime()
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # the DAW needs these cores
    if n_threads is not None:
        options.intra_op_num_threads = n_threads
    providers = [_PROVIDER[device]] if device == "cpu" else [_PROVIDER[device], _PROVIDER["cpu"]]
    try:
        with _stdout_to_stderr():
            if device == "cuda":
                ort.preload_dlls()
            session = ort.InferenceSession(graph, options, providers=providers)
    except (
        Exception
    ) as error:  # ONNX Runtime raises a dozen unrelated types; all mean that this graph won't open
        raise NoModel(
            f"{package.path / name} on {device}",
            found=str(error)[:300],
            expected="a graph that ONNX Runtime opens",
        ) from None
    if _PROVIDER[device] not in session.get_providers():
        raise NoModel(
            device,
            found="ONNX Runtime fell back to the CPU",
            expected="a working device",
            remedy="see `samplefit doctor`",
        )
    _check_form(session, package, name)
    return session


def _check_form(session: Any, package: Package, name: str) -> None:
    inputs = {value.name: value for value in session.get_inputs()}
    outputs = {value.name: value for value in session.get_outputs()}
    path = str(package.path / name)
    audio, embedding = inputs.get("audio"), outputs.get("embedding")
    if audio is None or len(inputs) != 1 or embedding is None:
        raise NoModel(
            path,
            found=f"{', '.join(inputs)} → {', '.join(outputs)}",
            expected="audio → embedding",
            remedy="export the model anew",
        )
    if audio.type != "tensor(float)" or len(audio.shape) != 2 or _is_other(audio.shape[1], WINDOW):
        raise NoModel(path, found=f"audio {audio.type} {audio.shape}", expected=f"float32 (batch, {WINDOW})")
    if isinstance(audio.shape[0], int):
        raise NoModel(
            path,
            found=f"a fixed batch of {audio.shape[0]}",
            expected="a batch of any size",
            remedy="export with a dynamic batch",
        )
    dims = embedding.shape or [None, None]  # a graph may leave it open; the first run tells
    if embedding.type != "tensor(float)" or len(dims) != 2 or _is_other(dims[1], package.card.dim):
        raise NoModel(
            path,
            found=f"embedding {embedding.type} {embedding.shape}",
            expected=f"float32 (batch, {package.card.dim})",
        )


def _is_other(size: int | str | None, expected: int) -> bool:
    """Whether a graph states another size; a name or nothing states none."""
    return isinstance(size, int) and size != expected


def _checked(rows: FloatArray, n_rows: int, card: Card, name: str) -> FloatArray:
    """The graph's output, held to its promise: (n_rows, dim), finite, unit length to within 1 %."""
    found = f"shape {rows.shape}"
    if rows.shape == (n_rows, card.dim):
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        if np.all(np.abs(norms - 1) < 0.01):
            return rows / norms
        found = f"lengths from {norms.min():.3g} to {norms.max():.3g}"
    raise NoModel(
        f"{card.name}: {name}",
        found=found,
        expected=f"({n_rows}, {card.dim}) of unit length",
        remedy="export the model anew",
    )


def runtime() -> Any:
    """ONNX Runtime, which sends nothing home.

    Its builds of 2026 otherwise write a machine's id and what was run to `~/.cache/Microsoft` and look for
    `mobile.events.data.microsoft.com`. The variable counts only before the import.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    with _stdout_to_stderr():  # the GPU build prints a banner on stdout when it is imported
        import onnxruntime
    onnxruntime.disable_telemetry_events()
    return onnxruntime


@contextlib.contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """What native code prints on file descriptor 1 goes to stderr: our stdout carries data alone."""
    sys.stdout.flush()
    saved = os.dup(1)
    try:
        os.dup2(2, 1)
        yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)
