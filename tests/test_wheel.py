"""What a user installs: the wheel, in a clean environment, away from the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("encoders", "index", "trainer", "plugin_bridge")


def run(*command: object, cwd: Path, **environment: str) -> str:
    kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "SAMPLEFIT_STATE")}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    left = shutil.ignore_patterns(
        ".*", "build", "dist", "*.egg-info", "__pycache__", "tests", "runs", "corpus"
    )
    shutil.copytree(ROOT, out / "source", ignore=left)  # setuptools would leave its build/ in the checkout
    run(sys.executable, "-m", "build", "--wheel", "--outdir", out, out / "source", cwd=out)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The bin folder of a new environment that holds the wheel and what it asks for, nothing else."""
    home = tmp_path_factory.mktemp("clean")
    venv.create(home / "env", with_pip=True)
    bin_folder = home / "env" / ("Scripts" if os.name == "nt" else "bin")
    flags = "-D_CRT_SECURE_NO_WARNINGS,-DANNOYLIB_MULTITHREADED_BUILD,-std=c++14,-O3"
    run(
        bin_folder / "python", "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", wheel,
        cwd=home, ANNOY_COMPILER_ARGS=flags,
    )  # fmt: skip
    return bin_folder


def test_the_wheel_holds_every_module_and_no_more(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert path.relative_to(ROOT).as_posix() in names, path
    for path in (ROOT / "presets").rglob("*.toml"):
        assert path.relative_to(ROOT).as_posix() in names, path
    assert {name.partition("/")[0] for name in names if ".dist-info" not in name} == {*PACKAGES, "presets"}
    assert wheel.stat().st_size < 30e6


@pytest.mark.timeout(600)
def test_the_installed_demo_goes_from_nothing_to_an_answer(installed, tmp_path):
    out = run(installed / "samplefit", "demo", cwd=tmp_path)
    for drum_type in ("kick", "snare", "hihat", "ride", "crash", "tom"):
        assert f"\n{drum_type}" in out
    assert "18 hits in" in out
    assert not list(tmp_path.iterdir())


@pytest.mark.timeout(600)
def test_the_installed_doctor_finds_nothing_and_every_module_imports(installed, tmp_path):
    out = run(installed / "samplefit", "doctor", "--state", tmp_path / "state", cwd=tmp_path)
    assert "BAD" not in out
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if "trainer" not in path.parts and "panel" not in path.parts and "daw" not in path.parts
    ]
    code = "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]; assert 'torch' not in sys.modules"
    run(installed / "python", "-W", "error", "-c", code, *modules, cwd=tmp_path)
