"""A model that breaks under a running daemon: the press says so by its code, and a good model answers the next."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from daemon import Daemon, log_of, samplefit, serving, wait_until
from onnx import TensorProto, helper, numpy_helper
from packages import make_package

from plugin_bridge.client import Failed
from plugin_bridge.demo_sounds import write_library, write_stems

LOUD = 100.0
"""Sum of a window's magnitudes from which the broken graphs are broken: the click that warms them up has 1."""


def break_query(package: Path, how: str) -> None:
    """Puts a factor behind the query graph's output: 1 as long as a window is quiet, and then what breaks it."""
    model = onnx.load(package / "query.onnx")
    graph = model.graph
    graph.node[-1].output[0] = "sound"
    broken = {
        "runs into an error": helper.make_node("Gather", ["one", "far"], ["factor"]),
        "gives no numbers": helper.make_node("Div", ["one", "quiet"], ["factor"]),
    }
    graph.node.extend(
        [
            helper.make_node("Abs", ["audio"], ["magnitudes"]),
            helper.make_node("ReduceSum", ["magnitudes"], ["sum"], keepdims=0),
            helper.make_node("Greater", ["sum", "loud"], ["is_loud"]),
            helper.make_node("Cast", ["is_loud"], ["far"], to=TensorProto.INT64),
            helper.make_node("Less", ["sum", "loud"], ["is_quiet"]),
            helper.make_node("Cast", ["is_quiet"], ["quiet"], to=TensorProto.FLOAT),
            broken[how],
            helper.make_node("Mul", ["sound", "factor"], ["embedding"]),
        ]
    )
    constants = {"loud": np.float32(LOUD), "one": np.ones(1, np.float32)}
    graph.initializer.extend(numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items())
    data = model.SerializeToString()
    (package / "query.onnx").write_bytes(data)
    card = json.loads((package / "model.json").read_text())
    card["sha256"]["query.onnx"] = hashlib.sha256(data).hexdigest()
    (package / "model.json").write_text(json.dumps(card))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A library, a bounce and a good model."""
    write_library(tmp_path / "samples")
    write_stems(tmp_path / "stems")
    make_package(tmp_path / "good", name="good")
    return tmp_path


def presses(daemon: Daemon, folder: Path, *options: object) -> int:
    """How many hits a press gets."""
    return len(daemon.ask("/samplefit/suggest/file", str(folder / "stems/bass.wav"), *options)) - 1


@pytest.mark.parametrize("how", ["runs into an error", "gives no numbers"])
def test_a_press_is_told_and_a_good_model_takes_over(folder: Path, how: str) -> None:
    state, package = folder / "state", make_package(folder / "bad", name="bad")
    break_query(package, how)
    assert samplefit("model", "use", package, state=state).returncode == 0
    with serving(state, "--web", "off") as daemon:
        assert daemon.ask("/samplefit/folder/add", str(folder / "samples"))[-1].arguments[2] == 30
        for _ in range(3):
            with pytest.raises(Failed, match=r"^bad: query\.onnx: ") as caught:
                presses(daemon, folder, "answer", "reaper")
            assert caught.value.code == "no-model"
        assert (state / "answers/reaper.tsv").read_text().startswith("fail\tno-model\tbad: query.onnx")
        assert daemon.ask("/samplefit/status")[0].arguments[2] == "bad"
        assert samplefit("model", "use", folder / "good", state=state).returncode == 0
        wait_until(lambda: daemon.ask("/samplefit/status")[0].arguments[2] == "good")
        assert presses(daemon, folder, "answer", "reaper") == 30
    assert "Traceback" not in log_of(state).read_text()


def test_a_package_deleted_under_the_daemon_is_missed_at_the_next_start(folder: Path) -> None:
    state, package = folder / "state", make_package(folder / "gone", name="gone")
    assert samplefit("model", "use", package, state=state).returncode == 0
    with serving(state, "--web", "off") as daemon:
        daemon.ask("/samplefit/folder/add", str(folder / "samples"))
        shutil.rmtree(package)
        assert presses(daemon, folder) == 30, "it holds the graphs that it checked"
        assert samplefit("model", "use", folder / "good", state=state).returncode == 0
        wait_until(lambda: daemon.ask("/samplefit/status")[0].arguments[2] == "good")
        assert presses(daemon, folder) == 30
    shutil.rmtree(folder / "good")
    done = samplefit("serve", "--osc", "127.0.0.1:0", state=state)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "good: found no model.json" in done.stderr and "samplefit model" in done.stderr
