"""What is wrong with this installation, and the remedy of each."""

from __future__ import annotations

import importlib.util
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

import soundfile

from encoders.errors import SamplefitError, one_line
from encoders.package import open_package
from encoders.session import open_encoder, probe_devices
from index.catalogue import NAME, read_only
from plugin_bridge.extras import how_to_add
from plugin_bridge.settings import model_in_use

PACKAGES = ("encoders", "index", "trainer", "plugin_bridge")
MIN_INOTIFY_WATCHES = 65_536


@dataclass(frozen=True)
class Finding:
    """One check's outcome; `remedy` is empty where nothing is to be done."""

    check: str
    ok: bool
    text: str
    remedy: str = ""


def examine(state: Path) -> tuple[Finding, ...]:
    """Runs every check; one that breaks is a finding, too."""
    return tuple(finding for name, check in _CHECKS.items() for finding in _guarded(name, check, state))


def _guarded(name: str, check: Callable[[Path], Iterator[Finding]], state: Path) -> Iterator[Finding]:
    try:
        yield from check(state)
    except SamplefitError as error:
        yield Finding(name, False, error.text, "see the text")
    except Exception as error:  # a doctor that dies of the illness helps nobody
        yield Finding(
            name, False, f"{type(error).__name__}: {error}", "report this, with the whole output of doctor"
        )


def _python(_: Path) -> Iterator[Finding]:
    ok = (3, 11) <= sys.version_info < (3, 14)
    remedy = "" if ok else "install samplefit with Python 3.11, 3.12 or 3.13"
    yield Finding("python", ok, f"{platform.python_version()} on {platform.platform()}", remedy)


def _packages(_: Path) -> Iterator[Finding]:
    """All packages from one place: PyPI has strangers called `presets` and `trainer` that overwrite ours."""
    home = Path(__file__).resolve().parent.parent
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        found = Path(spec.origin).resolve().parent.parent if spec and spec.origin else None
        ok = found == home
        remedy = "" if ok else "install samplefit alone in an environment of its own: pipx install samplefit"
        yield Finding(f"package {name}", ok, f"from {found}", remedy)
    presets = (home / "presets" / "suggest" / "default.toml").is_file()
    strange = (home / "presets" / "__init__.py").exists()
    remedy = "" if presets and not strange else "install samplefit anew, in an environment of its own"
    text = "not there" if not presets else "mixed with another package called presets" if strange else "there"
    yield Finding("presets", presets and not strange, text, remedy)


def _runtimes(_: Path) -> Iterator[Finding]:
    """onnxruntime and onnxruntime-gpu share one folder; side by side one of them is broken in silence."""
    found = [name for name in ("onnxruntime", "onnxruntime-gpu") if _installed(name)]
    ok = len(found) == 1
    remedy = "" if ok else "pip uninstall both, then install samplefit anew"
    yield Finding("onnxruntime", ok, ", ".join(f"{name} {version(name)}" for name in found) or "none", remedy)


def _device(state: Path) -> Iterator[Finding]:
    encoder = open_encoder(open_package(model_in_use(state)))
    wanted = probe_devices()[0]
    ok = encoder.device == wanted
    remedy = "" if ok else "update the GPU's driver, or go on with the slower device"
    yield Finding("model", True, f"{encoder.card.name}, {encoder.card.dim} floats, digests fit")
    yield Finding("device", ok, f"{encoder.device} (best one found: {wanted})", remedy)


def _annoy(_: Path) -> Iterator[Finding]:
    from index.vectors import annoy_works

    ok = annoy_works()
    remedy = (
        "" if ok else "build Annoy with portable flags (README, Installing); until then the search is exact"
    )
    yield Finding(
        "annoy", ok, "agrees with exact search" if ok else "answers differ from exact search", remedy
    )


def _decoders(_: Path) -> Iterator[Finding]:
    lacking = [
        name for name in ("WAV", "AIFF", "FLAC", "OGG", "MP3") if name not in soundfile.available_formats()
    ]
    text = f"libsndfile {soundfile.__libsndfile_version__}" + (
        f" without {', '.join(lacking)}" if lacking else ""
    )
    yield Finding("decoders", not lacking, text, "install a newer soundfile" if lacking else "")


def _state(state: Path) -> Iterator[Finding]:
    try:
        with tempfile.NamedTemporaryFile(dir=state):
            pass
    except OSError as error:
        yield Finding("state folder", False, f"{state}: {error.strerror}", "make it writable, or use --state")
        return
    yield Finding("state folder", True, str(state))


def _catalogue(state: Path) -> Iterator[Finding]:
    with read_only(state) as db:
        fault = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    ok = fault == "ok"
    remedy = "" if ok else f"move {state / NAME} away and sync anew"
    yield Finding("catalogue", ok, "sound" if ok else f"damaged: {one_line(fault)}", remedy)


def _watching(_: Path) -> Iterator[Finding]:
    limit_file = Path("/proc/sys/fs/inotify/max_user_watches")
    if not limit_file.exists():
        return
    limit = int(limit_file.read_text())
    ok = limit >= MIN_INOTIFY_WATCHES
    remedy = (
        ""
        if ok
        else f"sysctl fs.inotify.max_user_watches={MIN_INOTIFY_WATCHES}; folders beyond it are polled"
    )
    yield Finding("inotify", ok, f"{limit:,} folders can be watched", remedy)


def _trainer(_: Path) -> Iterator[Finding]:
    found = importlib.util.find_spec("torch") is not None
    text = f"torch {version('torch')}" if found else f"not installed; training takes {how_to_add('train')}"
    yield Finding("trainer", True, text)


_CHECKS: dict[str, Callable[[Path], Iterator[Finding]]] = {
    "python": _python,
    "packages": _packages,
    "onnxruntime": _runtimes,
    "device": _device,
    "annoy": _annoy,
    "decoders": _decoders,
    "state folder": _state,
    "catalogue": _catalogue,
    "inotify": _watching,
    "trainer": _trainer,
}


def _installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True
