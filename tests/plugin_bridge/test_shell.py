"""The shell's edges: what is printed where, and what a look with another model leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from daemon import COMMAND, ENVIRONMENT, PATIENCE_S, samplefit
from packages import make_package

from plugin_bridge.cli import parser
from plugin_bridge.cli_common import print_table
from plugin_bridge.demo_sounds import write_library, write_stems
from tests.index.conftest import write_hit


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shell")
    make_package(folder / "model")
    write_library(folder / "samples")
    write_stems(folder / "stems")
    return folder


def names_of(state: Path, folder: Path, *options: object) -> set[str]:
    """Names of all folders that a press finds hits in."""
    model = folder / "model"
    done = samplefit("suggest", folder / "stems/bass.wav", "--model", model, "--json", *options, state=state)
    assert done.returncode == 0, done.stderr
    return {Path(hit["path"]).parent.name for hit in json.loads(done.stdout)["hits"]}


def test_a_look_with_another_model_finds_what_is_followed_now(folder, tmp_path):
    state = tmp_path / "state"
    first, second = tmp_path / "first", tmp_path / "second"
    write_library(first)
    write_library(second)
    everything = {path.parent.name for path in first.rglob("*.wav")}
    for path in (first, second):
        for inner in sorted(path.iterdir()):
            inner.rename(path / f"{path.name} {inner.name}")
    assert samplefit("add", first, state=state).returncode == 0
    of_first, of_second = ({f"{name} {inner}" for inner in everything} for name in ("first", "second"))
    assert names_of(state, folder) <= of_first
    assert names_of(state, folder, "--folder", second) <= of_second
    assert names_of(state, folder) <= of_first, "a folder that was wished for once"
    samplefit("remove", first, state=state)
    samplefit("add", second, state=state)
    assert names_of(state, folder) <= of_second, "a folder that is followed no more"


def test_data_is_utf_8_whatever_the_locale_says(folder, tmp_path):
    state = tmp_path / "state"
    drums = tmp_path / "キック"
    write_library(drums)
    done = subprocess.run(
        [*COMMAND, "suggest", folder / "stems/bass.wav", "--folder", drums],
        capture_output=True,
        env={**ENVIRONMENT, "SAMPLEFIT_STATE": str(state), "PYTHONIOENCODING": "cp1252"},
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    assert "キック" in done.stdout.decode()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_disk_that_is_full_under_stdout_is_told_in_one_line(tmp_path):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*COMMAND, "status", "--state", tmp_path],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
            timeout=PATIENCE_S,
        )
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "no space left" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM there")
def test_a_daemon_without_the_panel_says_so_and_how_to_get_it(tmp_path):
    code = "import sys; sys.modules['starlette'] = None; from plugin_bridge.cli import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "serve", "--osc", "127.0.0.1:0", "--state", tmp_path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["web_port"] is None
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert "no panel, for there is no starlette" in told and '-m pip install "starlette' in told


def test_a_damaged_catalogue_is_found_by_the_doctor(tmp_path):
    checks = json.loads(samplefit("doctor", "--json", state=tmp_path).stdout)
    assert {check["check"]: check["ok"] for check in checks}["catalogue"]
    (tmp_path / "catalogue.sqlite3").write_bytes(b"junk" * 1000)
    done = samplefit("doctor", "--json", state=tmp_path)
    (found,) = (check for check in json.loads(done.stdout) if check["check"] == "catalogue")
    assert not found["ok"] and "catalogue.sqlite3" in found["text"] and done.returncode == 2


def test_a_broken_preset_hides_no_other_and_is_named(tmp_path):
    bad = tmp_path / "presets/suggest/bad.toml"
    bad.parent.mkdir(parents=True)
    bad.write_bytes(b"\xff")
    done = samplefit("preset", "list", "--json", state=tmp_path)
    assert done.returncode == 0 and {"plain", "small"} <= {row["name"] for row in json.loads(done.stdout)}
    assert f"left out: {bad}: found " in done.stderr
    shown = samplefit("preset", "show", "bad", state=tmp_path)
    assert shown.returncode == 2 and "expected text in UTF-8; correct or delete" in shown.stderr


def test_the_state_folder_may_stand_before_the_command_or_behind_it():
    before, behind = (
        parser().parse_args(words.split()) for words in ("--state D status", "status --state D")
    )
    assert (before.state, behind.state, parser().parse_args(["status"]).state) == ("D", "D", None)
    assert parser().parse_args(["--state", "A", "model", "list", "--state", "B"]).state == "B"
    assert parser().parse_args(["--state", "A", "model", "list"]).state == "A"


def test_control_characters_of_names_are_shown_in_tables(capsys):
    print_table(("name", "n"), [("a\x1b[2J\nb\x07", 1)])
    assert capsys.readouterr().out == "name             n\na\\x1b[2J\\nb\\x07  1\n"


SCAN = """
import signal, sys
from pathlib import Path
from index.library import Library
from tests.index.conftest import StandIn
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are started without it
def told(done, total):
    if done == 2:
        print("under way", flush=True)
with Library(Path(sys.argv[1]), StandIn()) as library:
    try:
        library.add(sys.argv[2], told)
    except KeyboardInterrupt:
        sys.exit("interrupted")
"""


@pytest.mark.skipif(os.name == "nt", reason="no process groups there")
def test_ctrl_c_in_a_scan_is_told_once(tmp_path):
    for seed in range(400):
        write_hit(tmp_path / "drums" / f"{seed}.wav", seed)
    process = subprocess.Popen(
        [sys.executable, "-c", SCAN, str(tmp_path / "state"), str(tmp_path / "drums")],
        env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdout.readline() == "under way\n"
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert errors == "interrupted\n"
