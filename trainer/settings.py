"""Training presets: TOML into frozen values. A preset is one file; an ablation is a file with one difference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from encoders.errors import BadRequest, NotFound
from encoders.tables import build, nearest, read_toml

PRESETS = Path(__file__).resolve().parent.parent / "presets" / "train"
"""The presets that come with samplefit."""


@dataclass(frozen=True)
class Model:
    """The encoders (section 5 of the paper).

    Attributes:
        backbone: the paper's is "efficientnet_b4"; "residual" is a small net for two CPU cores.
        weights: "imagenet" fetches torchvision's published weights, "" begins from random ones, anything else is
            the path of such a file.
        n_encoders: 2, or 1 that serves queries and keys alike.
        dim: floats in an embedding.
        width: channels of a residual net's first stage.
        members: nets side by side in an encoder; each gives dim / members floats of unit length. Runs of several
            seeds are merged into one such model (`trainer.members`).
        level: "log" scales the log-mel by its maximum, "peak" scales the mel by its maximum before the log.
        floor: power added before the log.
    """

    backbone: Literal["efficientnet_b4", "efficientnet_b0", "residual"] = "efficientnet_b4"
    weights: str = "imagenet"
    n_encoders: Literal[1, 2] = 2
    dim: int = 256
    width: int = 32
    members: int = 1
    level: Literal["log", "peak"] = "log"
    floor: float = 1e-8


@dataclass(frozen=True)
class Data:
    """How batches are put together.

    Attributes:
        pipeline: "waveform" mixes samples, as the paper does; "mel" adds power mels computed once.
        mix: "sparse" sums two to all of a song's other stems, "full" sums all of them.
        batch: pairs in a step, over all processes.
        one_type: share of batches whose keys are all of one type, so that every negative is a near one.
        exclude: which keys of a batch are no negatives of a query: "content" leaves out those that are the same
            sample as its own, "song" all of the same song, too. Equation 1 keeps every key but the query's own.
    """

    pipeline: Literal["waveform", "mel"] = "waveform"
    mix: Literal["sparse", "full"] = "sparse"
    batch: int = 190
    one_type: float = 0.0
    exclude: Literal["content", "song"] = "content"


@dataclass(frozen=True)
class Augment:
    """What is done to queries and keys, each with the same probability (section 5 of the paper).

    Attributes:
        probability: of each of the four, for each query and key.
        noise_db: loudest Gaussian noise, RMS against the signal's.
        stretch_min, stretch_max: tempo ratio.
        gain_min_db: largest attenuation.
        shift_left_ms, shift_right_ms: furthest shifts in time.
    """

    probability: float = 0.5
    noise_db: float = -12.0
    stretch_min: float = 0.9
    stretch_max: float = 1.15
    gain_min_db: float = -6.0
    shift_left_ms: float = 200.0
    shift_right_ms: float = 800.0


@dataclass(frozen=True)
class Treatment:
    """Production that a pair's query and key share, in the power-mel domain (not in the paper; 0 is off).

    Attributes:
        probability: that a pair is treated at all.
        own: size of the part that query and key each draw for themselves, against the shared part.
        eq_db: deviation of a smooth equaliser curve.
        shelf_db: deviation of a low and of a high shelf.
        stem_gain_db, stem_eq_db: deviation of each stem's own gain and curve, before the sum.
        room_s: longest reverberation time (60 dB).
        room_db: loudest reverberation against the dry sound.
        ratio: strongest compression, 1 is none.
        floor_db: loudest noise floor, against the window's peak.
        cut: probability of a band limit, as of a codec or an old sampler.
        pitch: deviation of a shift along the mel axis, in mel bins.
    """

    probability: float = 0.0
    own: float = 0.25
    eq_db: float = 0.0
    shelf_db: float = 0.0
    stem_gain_db: float = 0.0
    stem_eq_db: float = 0.0
    room_s: float = 0.0
    room_db: float = -60.0
    ratio: float = 1.0
    floor_db: float = -120.0
    cut: float = 0.0
    pitch: float = 0.0


@dataclass(frozen=True)
class Loss:
    """Equation 7 and its weights.

    Attributes:
        temperature: tau of equation 1.
        variance, covariance, norm: gamma, delta and eta of equation 7.
        norm_limit: c of equation 6.
        invariance: weight of QSInv's two terms (query to query and key to key of one song).
    """

    temperature: float = 0.2
    variance: float = 1.0
    covariance: float = 1.0
    norm: float = 10.0
    norm_limit: float = 4.0
    invariance: float = 0.0


@dataclass(frozen=True)
class Optimiser:
    """Adam. A schedule of "cosine" falls to nothing over `run.steps` after `warmup_steps` of rising."""

    name: Literal["adam", "adamw"] = "adam"
    learning_rate: float = 3e-4
    weight_decay: float = 3e-5
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_steps: int = 0


@dataclass(frozen=True)
class Run:
    """How long, how often, how exactly.

    Attributes:
        steps: optimiser steps; the paper's 600 epochs over the 53,586 one-shots of its training split (85 % of
            63,042) in batches of 190.
        evaluate_every: steps between two looks at the eval split; each writes a checkpoint, too.
        n_queries: windows a song in such a look.
        best_by: the figure that picks the best checkpoint, a mean normalised rank of sparse mixes: over all
            one-shots, as in the paper, or within the type, as a producer asks.
        precision: of the backbone; the spectrogram and the loss are always float32.
        seed: of weights, batches and augmentation.
    """

    steps: int = 169_200
    evaluate_every: int = 282
    n_queries: int = 10
    best_by: Literal["all", "within_type"] = "all"
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    seed: int = 0


@dataclass(frozen=True)
class Settings:
    """A resolved preset.

    Attributes:
        name: the file's, without its ending.
        why: the question that the preset answers.
        compensates: what else was changed to keep the comparison fair.
    """

    name: str = "samplematch"
    why: str = ""
    compensates: str = ""
    model: Model = field(default_factory=Model)
    data: Data = field(default_factory=Data)
    augment: Augment = field(default_factory=Augment)
    treatment: Treatment = field(default_factory=Treatment)
    loss: Loss = field(default_factory=Loss)
    optimiser: Optimiser = field(default_factory=Optimiser)
    run: Run = field(default_factory=Run)


def load(preset: str) -> Settings:
    """Reads a training preset: a name of `PRESETS`, or the path of a TOML file.

    `extends` names the preset that it builds on (beside the file, else one of `PRESETS`); each table then changes
    the keys that it gives and keeps the rest.

    Raises:
        NotFound: no such preset or file.
        BadRequest: not TOML, an unknown key, a value of the wrong type or out of its choices, a circle of extends.
    """
    path = _find(preset, PRESETS)
    tables = _resolve(path, ())
    settings = build(Settings, {**tables, "name": path.stem}, str(path))
    _check(settings, path)
    return settings


def changed(settings: Settings, changes: Mapping[str, Any]) -> Settings:
    """The preset with some of its values changed.

    Args:
        changes: values by key, as "data.batch".

    Raises:
        BadRequest: an unknown key, a value of the wrong type or out of its choices.
    """
    tables = asdict(settings)
    for key, value in changes.items():
        table, _, name = key.rpartition(".")
        within = tables.get(table) if table else tables
        (within if isinstance(within, dict) else tables.setdefault(key, {}))[name] = value
    result = build(Settings, tables, settings.name)
    _check(result, Path(settings.name))
    return result


def names() -> tuple[str, ...]:
    """The presets that come with samplefit, sorted."""
    return tuple(sorted(path.stem for path in PRESETS.glob("*.toml")))


def to_toml(settings: Settings) -> str:
    """The resolved preset as TOML that `load` reads back to the same values."""
    lines, tables = [], []
    for key, value in asdict(settings).items():
        if isinstance(value, dict):
            tables += ["", f"[{key}]", *(f"{name} = {_literal(entry)}" for name, entry in value.items())]
        elif key != "name":
            lines.append(f"{key} = {_literal(value)}")
    return "\n".join([*lines, *tables]) + "\n"


def _find(preset: str, beside: Path) -> Path:
    for path in (beside / f"{preset}.toml", PRESETS / f"{preset}.toml", Path(preset)):
        if path.is_file():
            return path
    raise NotFound(
        f"training preset {preset}",
        found="no such name or file",
        expected=nearest(preset, names()),
        remedy="give one of these, or the path of a TOML file",
    )


def _resolve(path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    """The file's tables laid over those of the preset that it extends."""
    if path in above:
        raise BadRequest(str(path), found="extends in a circle", expected="an end of the chain")
    own = read_toml(path)
    base = own.pop("extends", None)
    if base is None:
        return own
    if not isinstance(base, str):
        raise BadRequest(f"{path}: extends", found=repr(base), expected="the name of a preset")
    merged = _resolve(_find(base, path.parent), (*above, path))
    for key in ("why", "compensates"):
        merged.pop(key, None)
    for key, value in own.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = {**merged[key], **value} if both else value
    return merged


def _check(settings: Settings, path: Path) -> None:
    """Refuses numbers that no training can work with."""
    least = {
        "data.batch": (settings.data.batch, 2),
        "model.dim": (settings.model.dim, 2),
        "model.width": (settings.model.width, 1),
        "model.members": (settings.model.members, 1),
        "model.floor": (settings.model.floor, 1e-30),
        "loss.temperature": (settings.loss.temperature, 1e-3),
        "treatment.ratio": (settings.treatment.ratio, 1.0),
        "run.steps": (settings.run.steps, 1),
        "run.evaluate_every": (settings.run.evaluate_every, 1),
        "run.n_queries": (settings.run.n_queries, 1),
    }
    for key, (value, bound) in least.items():
        if not value >= bound:
            raise BadRequest(f"{path}: {key}", found=f"{value:g}", expected=f"at least {bound:g}")
    if settings.model.dim % settings.model.members:
        raise BadRequest(
            f"{path}: model.members",
            found=f"{settings.model.members} for dim = {settings.model.dim}",
            expected="a number that divides dim",
        )


def _literal(value: Any) -> str:
    """A TOML scalar."""
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'"{escaped}"'
    return repr(value)
