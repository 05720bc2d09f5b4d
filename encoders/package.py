"""A model package: a folder with a card and two graphs, believed only when its digests fit."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from encoders.audio import SAMPLE_RATE
from encoders.calibration import Calibration, read_calibration
from encoders.errors import NoModel
from encoders.windows import WINDOW_S

FORMAT = 1
STARTER = Path(__file__).resolve().parent / "starter"
"""The package that comes with samplefit."""

GRAPH_MAX_BYTES = 1 << 31
"""A protobuf cannot be larger."""

_KINDS: dict[str, type | tuple[type, ...]] = {
    "format": int,
    "name": str,
    "sample_rate": int,
    "window_s": (int, float),
    "dim": int,
    "sha256": dict,
    "training": dict,
    "licence": str,
}
_DEFAULTS = {"training": {}, "licence": ""}
"""What a card may leave unsaid: it is told to people and decides nothing."""


@dataclass(frozen=True)
class Card:
    """What a package says of itself (model.json).

    Attributes:
        dim: floats in an embedding.
        sha256: hex digest of "query.onnx" and of "key.onnx".
        training: preset, corpus digest, metrics.
        calibration: what its scores are worth; None where nobody measured it.
        raw: the whole of model.json as read.
    """

    name: str
    dim: int
    sha256: dict[str, str]
    training: dict[str, Any]
    licence: str
    raw: dict[str, Any] = field(repr=False, compare=False)
    calibration: Calibration | None = None

    @property
    def digest(self) -> str:
        """What tells keys of two models apart: 64 hex digits made from both graphs' digests."""
        return hashlib.sha256(f"{self.sha256['query.onnx']} {self.sha256['key.onnx']}".encode()).hexdigest()


@dataclass(frozen=True)
class Package:
    """A model package whose digests were checked; the graphs are the very bytes that were checked."""

    path: Path
    card: Card
    query: bytes = field(repr=False)
    key: bytes = field(repr=False)


def read_card(folder: Path) -> Card:
    """Reads and checks model.json; does not touch the graphs.

    Raises:
        NoModel: missing, not JSON, of another format, rate, window or with a key missing or of a wrong type.
    """
    path = Path(folder) / "model.json"
    try:
        raw = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise NoModel(
            str(folder),
            found="no model.json",
            expected="a model package",
            remedy="see `samplefit model list`",
        ) from None
    except (OSError, ValueError) as error:
        raise NoModel(str(path), found=str(error), expected="JSON") from None
    if not isinstance(raw, dict):
        raise NoModel(str(path), found=type(raw).__name__, expected="a JSON object")
    raw = _DEFAULTS | raw
    for key, kind in _KINDS.items():
        value = raw.get(key)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise NoModel(
                f"{path}: {key}",
                found="nothing" if value is None else repr(value)[:80],
                expected=_kind_name(kind),
            )
    for key, expected in (("format", FORMAT), ("sample_rate", SAMPLE_RATE), ("window_s", WINDOW_S)):
        if raw[key] != expected:
            raise NoModel(
                f"{path}: {key}",
                found=repr(raw[key])[:80],
                expected=str(expected),
                remedy="use a package made for this version",
            )
    if not 1 <= raw["dim"] <= 65_536:
        raise NoModel(f"{path}: dim", found=str(raw["dim"]), expected="1 to 65536")
    for graph in ("query.onnx", "key.onnx"):
        digest = raw["sha256"].get(graph)
        if not isinstance(digest, str) or len(digest) != 64:
            raise NoModel(f"{path}: sha256 of {graph}", found=repr(digest)[:80], expected="64 hex digits")
    return Card(
        raw["name"],
        raw["dim"],
        dict(raw["sha256"]),
        raw["training"],
        raw["licence"],
        raw,
        read_calibration(raw.get("calibration"), f"{path}: calibration"),
    )


def open_package(folder: Path) -> Package:
    """Reads a package whole and checks both digests.

    Raises:
        NoModel: the card is wrong, or a graph is missing, too large or not the one that the card names.
    """
    folder = Path(folder)
    card = read_card(folder)
    return Package(
        folder.resolve(), card, _graph(folder, card, "query.onnx"), _graph(folder, card, "key.onnx")
    )


def _graph(folder: Path, card: Card, name: str) -> bytes:
    path = folder / name
    try:
        if path.stat().st_size > GRAPH_MAX_BYTES:
            raise NoModel(
                str(path), found=f"{path.stat().st_size} bytes", expected=f"at most {GRAPH_MAX_BYTES}"
            )
        data = path.read_bytes()
    except OSError as error:
        raise NoModel(
            str(path), found=error.strerror or str(error), expected="the graph that model.json names"
        ) from None
    digest = hashlib.sha256(data).hexdigest()
    if digest != card.sha256[name].lower():
        raise NoModel(
            str(path),
            found=f"sha256 {digest}",
            expected=card.sha256[name],
            remedy="the file is damaged or was changed: fetch the package again",
        )
    return data


def _kind_name(kind: type | tuple[type, ...]) -> str:
    names = {int: "a whole number", float: "a number", str: "text", dict: "a table"}
    return names[kind] if isinstance(kind, type) else names[kind[-1]]
