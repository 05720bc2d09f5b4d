"""The arrows between the packages, kept by reading the imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ALLOWED = {
    "encoders": {"encoders"},
    "index": {"index", "encoders"},
    "trainer": {"trainer", "encoders"},
    "plugin_bridge": {"plugin_bridge", "index", "encoders"},
}
HEAVY = {"torch", "librosa", "matplotlib", "sklearn", "onnx", "onnxscript"}
MODULES = [path for package in ALLOWED for path in sorted((ROOT / package).rglob("*.py"))]


def imports(path: Path, everywhere: bool) -> Iterator[str]:
    """Top-level names that a module imports: when it is imported itself, or anywhere in it."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree) if everywhere else tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield (node.module or "").partition(".")[0]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_downwards_only(path):
    package = path.relative_to(ROOT).parts[0]
    allowed = ALLOWED[package] | ({"trainer"} if path.name in ("cli_trainer.py", "cli_studies.py") else set())
    assert set(imports(path, everywhere=True)) & ALLOWED.keys() <= allowed
    assert "trainer" not in set(imports(path, everywhere=False)) or package == "trainer"


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if path.relative_to(ROOT).parts[0] != "trainer"],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_the_daemon_never_imports_what_only_training_needs(path):
    assert not set(imports(path, everywhere=True)) & HEAVY


def test_only_the_session_knows_onnx_runtime():
    users = {path.name for path in MODULES if "onnxruntime" in set(imports(path, everywhere=True))}
    assert users == {"session.py"}


def test_presets_hold_no_code():
    assert not list((ROOT / "presets").rglob("*.py"))
