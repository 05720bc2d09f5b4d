"""The trainer's commands as a user runs them: real processes, made songs, a model retrained on them."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from daemon import COMMAND, ENVIRONMENT
from packages import make_package

from plugin_bridge.cli_trainer import _free_run

if importlib.util.find_spec("torch") is None:
    pytest.skip("the `train` extra is not installed", allow_module_level=True)

TINY = [
    word
    for change in (
        "data.batch=6",
        "run.steps=2",
        "run.evaluate_every=2",
        "run.n_queries=2",
        'run.precision="float32"',
    )
    for word in ("--set", change)
]
FIGURES = {
    "loss", "mean_normalised_rank", "median_normalised_rank", "query_likelihood", "key_likelihood", "n_queries",
    "within_type",
}  # fmt: skip


def samplefit(*arguments, state, code=0, program=COMMAND):
    """Runs a command; returns its stdout and stderr."""
    done = subprocess.run(
        [*program, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**ENVIRONMENT, "SAMPLEFIT_STATE": str(state), "OMP_WAIT_POLICY": "passive"},
        timeout=600,
    )
    assert done.returncode == code, done.stderr
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """stems/, a model of random weights in model/, and a state folder."""
    path = Path(__file__).resolve().parents[1] / "trainer" / "songs.py"
    spec = importlib.util.spec_from_file_location("cli_test_songs", path)
    songs = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(songs)
    folder = tmp_path_factory.mktemp("cli-trainer")
    songs.make_songs(folder / "stems", n_songs=8)
    make_package(folder / "model")
    return folder


@pytest.fixture(scope="module")
def corpus(made):
    out, _ = samplefit(
        "corpus", "prepare", made / "stems", "--out", made / "corpus", "--json", state=made / "state"
    )
    report = json.loads(out)
    assert report["n_songs"] == 8 and report["by_type"] == {"hihat": 8, "kick": 8, "snare": 8}
    return made / "corpus"


def test_evaluate_gives_the_contracts_figures_and_nothing_else(made, corpus):
    arguments = ("evaluate", "--model", made / "model", "--json", "--queries", 3, "--seed", 5)
    out, err = samplefit(*arguments, "--corpus", corpus, state=made / "state")
    found = json.loads(out)
    assert list(found) == ["n_songs", "n_one_shots", "seed", "full", "sparse"]
    assert (found["n_songs"], found["n_one_shots"], found["seed"]) == (8, 24, 5)
    assert "test on all songs" in err, "no song was heard by a model that was trained elsewhere"
    for mode in ("full", "sparse"):
        assert found[mode].keys() == FIGURES and found[mode]["n_queries"] == 24
        assert found[mode]["within_type"].keys() == {"kick", "snare", "hihat"}
        assert (
            found[mode]["within_type"]["kick"].keys() == FIGURES & found[mode]["within_type"]["kick"].keys()
        )
        assert 0 < found[mode]["mean_normalised_rank"] <= 1
    raw, _ = samplefit(*arguments, "--corpus", made / "stems", state=made / "state")
    assert json.loads(raw) == found, "stems give what their corpus gives"
    assert len(list((made / "state" / "corpora").iterdir())) == 1


def test_evaluate_for_eyes_and_its_picture(made, corpus):
    out, _ = samplefit(
        "evaluate", "--model", made / "model", "--corpus", corpus, "--queries", 2, "--split", "test", "--picture",
        made / "keys.png", state=made / "state",
    )  # fmt: skip
    assert out.startswith("1 songs, 3 one-shots") and "null" in out
    assert (made / "keys.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.timeout(900)  # two exports, seven processes; a machine may be busy with a training beside
def test_a_model_is_trained_used_and_retrained_on_the_users_stems(made, corpus):
    state = made / "retrained"
    out, _ = samplefit(
        "train", "--preset", "small", corpus, "--out", made / "first", *TINY, "--set", "model.width=4", "--set",
        "model.dim=16", "--device", "cpu", state=state,
    )  # fmt: skip
    assert out.splitlines()[-1] == "samplefit model use first"
    samplefit(*out.splitlines()[-1].split()[1:], state=state)
    out, err = samplefit(
        "train", "--preset", "finetune", made / "stems", *TINY, "--max-minutes", 3, state=state
    )
    assert out.splitlines()[-1] == "samplefit model use finetune-stems"
    figures = re.search(r"normalised rank (\S+) on the eval songs, before (\S+)\n", out)
    assert ("nothing was gained" in err) == (float(figures[1]) >= float(figures[2])) or figures[1] == figures[
        2
    ]
    assert "fewer than 8 eval songs: not calibrated, so no hit has a fit" in err
    samplefit(*out.splitlines()[-1].split()[1:], state=state)
    card = json.loads(samplefit("model", "info", "--json", state=state)[0])
    assert (card["name"], card["dim"], card["training"]["preset"]) == ("finetune-stems", 16, "finetune")
    assert Path(card["path"]) == state / "models" / "finetune-stems" and card["calibration"] is None
    run = json.loads((state / "runs" / "finetune-stems" / "run.json").read_text())
    assert run["start"] == str(state / "models" / "first" / "weights.safetensors")
    _, err = samplefit("evaluate", "--corpus", corpus, "--queries", 1, "--json", state=state)
    assert "finetune-stems on the test songs" in err, (
        "a model trained on these songs is asked about the others"
    )


def test_a_run_folder_serves_until_its_model_is_exported(tmp_path):
    assert _free_run(tmp_path, "finetune", "/music/my stems").name == "finetune-my stems"
    (tmp_path / "models" / "finetune-my stems").mkdir(parents=True)
    assert _free_run(tmp_path, "finetune", "/music/my stems").name == "finetune-my stems-2"


MISTAKES = (
    (("train", "STEMS", "--preset", "smal"), "expected small"),
    (
        ("train", "STEMS", "--preset", "small", "--set", "data.bacth=3"),
        "data.bacth: found an unknown key; expected batch",
    ),
    (("train", "STEMS", "--preset", "small", "--set", "data.batch"), "found no =; expected TABLE.KEY=VALUE"),
    (("train", "/nowhere", "--preset", "small"), "/nowhere: found no such folder"),
    (("train", "STEMS", "--start", "MODEL"), "no weights.safetensors"),
    (("export", "STEMS"), "found no run.json"),
    (("evaluate", "--model", "MODEL", "--corpus", "/nowhere", "--json"), "/nowhere: found no such folder"),
    (("corpus", "starter", "--out", "OUT", "--sources", "/nowhere"), "/nowhere: found no such folder"),
    (("analyse", "/nowhere", "--model", "MODEL", "--out", "OUT"), "/nowhere: found no such folder"),
    (("ablate", "STEMS", "--out", "OUT", "--row", "plian"), "row plian: found no such row"),
    (("study", "report", "/nowhere.csv"), "/nowhere.csv"),
)
EACH = """
import json, sys
{}
from plugin_bridge.cli import main
for arguments in json.loads(sys.argv[1]):
    print(main(arguments))
"""


def test_what_cannot_be_done_is_one_line(made, corpus):
    given = {"STEMS": str(corpus), "MODEL": str(made / "model"), "OUT": str(made / "out")}
    commands = [[given.get(word, word) for word in arguments] for arguments, _ in MISTAKES]
    out, err = samplefit(
        json.dumps(commands), state=made / "state", program=[sys.executable, "-c", EACH.format("")]
    )
    assert out.split() == ["2"] * len(MISTAKES)
    for line, (arguments, says) in zip(err.splitlines(), MISTAKES, strict=True):
        assert says in line, arguments


COMMANDS = (
    ("corpus", "prepare", "x", "--out", "y"),
    ("corpus", "starter", "--out", "y"),
    ("train", "x"),
    ("evaluate", "--corpus", "x", "--json"),
    ("ablate", "x", "--out", "y"),
    ("export", "x"),
    ("analyse", "x", "--out", "y"),
    ("study", "build", "x", "--out", "y"),
    ("study", "report", "x"),
)


def test_without_the_extra_each_says_how_to_get_it(tmp_path):
    program = [sys.executable, "-c", EACH.format("sys.modules['torch'] = None")]
    out, err = samplefit(json.dumps(COMMANDS), state=tmp_path, program=program)
    assert out.split() == ["2"] * len(COMMANDS)
    lines = err.splitlines()
    assert len(lines) == len(COMMANDS)
    assert all(
        "found no torch; expected the `train` extra" in line and '-m pip install "torch' in line
        for line in lines
    )
    assert os.listdir(tmp_path) == []


def test_the_studies_end_to_end(made, corpus):
    model = ("--model", made / "model")
    out, _ = samplefit(
        "study", "build", corpus, *model, "--out", made / "study", "--sessions", 2, state=made / "state"
    )
    pages = [Path(line) for line in out.splitlines()]
    assert [page.name for page in pages] == ["session-01.html", "session-02.html"] and pages[
        0
    ].stat().st_size > 100_000
    answers = made / "answers.csv"
    answers.write_text("study,listener,number,type,song,choice\ns,l,1,tom,x,best\ns,l,2,tom,x,skip\n")
    found = json.loads(samplefit("study", "report", answers, "--json", state=made / "state")[0])
    assert found["by_type"]["tom"]["best"]["share"] == 1.0 and found["n_skipped"] == 1
    assert "tom  100.0%" in samplefit("study", "report", answers, state=made / "state")[0]


def test_a_sample_folder_is_analysed(made):
    rng = np.random.default_rng(0)
    (made / "samples").mkdir()
    for number in range(12):
        decay = np.exp(-np.arange(11025) / (500 + 300 * number))
        sound = np.convolve(rng.standard_normal(11025) * decay, np.ones(1 + 5 * number), "same")
        for gain, kind in ((0.5, "snare"), (0.4, "crash")):  # nearly one sound: their keys lie together
            path = made / "samples" / f"{kind} {number}.wav"
            soundfile.write(path, gain * sound / np.abs(sound).max(), 44_100)
    out, _ = samplefit(
        "analyse", made / "samples", "--model", made / "model", "--out", made / "analysis", "--clusters", 8,
        "--workers", 1, "--json", state=made / "state",
    )  # fmt: skip
    found = json.loads(out)
    assert found["n_one_shots"] == 24 and [pair["types"] for pair in found["pairs"]] == [["snare", "crash"]]
    assert found == json.loads((made / "analysis" / "analysis.json").read_text())
    assert {path.name for path in (made / "analysis").iterdir()} == {
        "analysis.json",
        "index.html",
        "snare-crash.png",
    }
