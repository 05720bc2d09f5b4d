"""Table 1: the rows' settings, a tiny run that is taken up again, and verdicts on ranks that are known."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from encoders.errors import BadRequest
from trainer.ablate import ablate, spent_min, variants
from trainer.settings import changed, load
from trainer.table1 import TABLE, Result, table, verdicts

TINY = changed(
    load("ablation-small"),
    {"model.width": 4, "model.dim": 16, "data.batch": 6, "run.steps": 2, "run.evaluate_every": 2,
     "run.n_queries": 2, "run.precision": "float32"},
)  # fmt: skip
ROWS = ("samplematch", "no-pretraining", "one-encoder")


def test_on_the_papers_base_the_rows_are_the_presets():
    rows = variants(load("samplematch"))
    assert len(rows) == len(TABLE) == 9
    for name, settings in rows.items():
        own = load(name)
        assert replace(settings, why=own.why) == own


def test_on_another_base_each_row_keeps_its_one_difference():
    rows = variants(TINY)
    assert rows["one-encoder"].model == replace(TINY.model, n_encoders=1)
    assert rows["one-encoder"].loss == TINY.loss and rows["plain"].augment.probability == 0


@pytest.fixture(scope="module")
def done(small_corpus, tmp_path_factory):
    out, said = tmp_path_factory.mktemp("ablation"), []
    text = ablate(TINY, small_corpus.path, out, rows=ROWS, n_queries=2, device="cpu", report=said.append)
    return out, text, said


def test_rows_are_trained_measured_and_tabled(done):
    out, text, _ = done
    assert (out / "table.md").read_text() == text
    assert "| 2Enc+PTrain+Aug+VCReg+SMix (samplematch) | 2 |" in text and "0.105 / 0.032" in text
    assert "| 2Enc+Aug+VCReg+SMix (no-pretraining) | as samplematch |" in text
    assert not (out / "no-pretraining").exists(), "an equal row is trained once"
    assert "**not tested**, since no row of this base was pre-trained" in text
    assert "**not decided (1 test songs, 6 are needed)**" in text
    rows = json.loads((out / "table.json").read_text())["rows"]
    assert [row["preset"] for row in rows] == list(ROWS)


def test_what_was_done_is_taken_up_again(done, small_corpus):
    out, text, _ = done
    stamps = {path: path.stat().st_mtime_ns for path in out.rglob("*.npz")}
    said: list[str] = []
    assert (
        ablate(TINY, small_corpus.path, out, rows=ROWS, n_queries=2, device="cpu", report=said.append) == text
    )
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.npz")} == stamps and len(stamps) == 2
    assert not any(line.startswith("step") for line in said)


def test_a_folder_of_other_settings_is_refused(done, small_corpus):
    other = changed(TINY, {"loss.temperature": 0.5})
    with pytest.raises(BadRequest, match=r"ranks.npz: settings: found another"):
        ablate(other, small_corpus.path, done[0], rows=ROWS[:1], report=lambda line: None)
    with pytest.raises(BadRequest, match="row plian"):
        ablate(TINY, small_corpus.path, done[0], rows=("plian",), report=lambda line: None)


def test_minutes_that_were_spent_count(tmp_path):
    lines = [
        {"step": 20, "loss": 1.0, "pairs_per_s": 2.0},
        {"step": 20, "rank": 0.5},
        {"step": 40, "pairs_per_s": 1.0},
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 6')
    assert spent_min(tmp_path, TINY) == pytest.approx((20 * 6 / 2 + 20 * 6 / 1) / 60)
    assert spent_min(tmp_path / "none", TINY) == 0


def results(n_songs: int = 40, **means: float) -> dict[str, Result]:
    """Rows with these mean ranks; all share the songs' own difficulty, and each question has a little noise."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(n_songs), 20)
    song = rng.uniform(-0.1, 0.1, n_songs)[groups]
    figures = {
        mode: {"loss": 1.0, "query_likelihood": None, "key_likelihood": None} for mode in ("full", "sparse")
    }
    found = {}
    for name, mean in means.items():
        noise = {mode: rng.uniform(-0.03, 0.03, len(groups)) for mode in figures}
        ranks = {mode: mean + song + own - own.mean() for mode, own in noise.items()}
        found[name.replace("_", "-")] = Result(ranks, groups, figures, 10)
    return found


def said(found: dict[str, Result]) -> dict[str, str]:
    """Each claim's verdict."""
    lines = list(verdicts(found, {name: name for name in found}))
    return {line.split(":")[0]: line.split("**")[1] for line in lines}


def test_an_ordering_holds_where_every_interval_says_so():
    found = results(samplematch=0.2, no_sparse_mix=0.3, no_vcreg=0.25, one_encoder=0.24, plain=0.35)
    assert said(found) == {
        "The full recipe is best": "held",
        "Of single differences, missing sparse mixing costs most on sparse mixes": "held",
    }


def test_it_is_reversed_where_an_interval_says_the_opposite():
    assert (
        said(results(samplematch=0.3, plain=0.2))["The full recipe is best"]
        == "reversed for samplematch and plain"
    )


def test_it_is_not_decided_where_an_interval_holds_zero_or_songs_are_few():
    assert said(results(samplematch=0.2, plain=0.2))["The full recipe is best"] == "not decided"
    few = said(results(n_songs=3, samplematch=0.2, plain=0.4))["The full recipe is best"]
    assert few == "not decided (3 test songs, 6 are needed)"


def test_learning_nothing_is_a_rank_near_chance():
    rows = results(samplematch=0.2, no_pretraining=0.48, no_pretraining_qsinv=0.3)
    assert said(rows)["Without pre-training nothing is learned"] == "held"
    assert said(rows)["Without pre-training, QSInv makes it learn"] == "held"
    learns = results(samplematch=0.2, no_pretraining=0.2)
    assert said(learns)["Without pre-training nothing is learned"] == "reversed: it learns"


def test_differences_are_paired_by_question():
    # The songs differ by .1 either way, the rows by .01: only the paired interval can tell.
    rows = results(samplematch=0.2, plain=0.21)
    assert said(rows)["The full recipe is best"] == "held"
    (line,) = [line for line in table(rows, {n: n for n in rows}, dict(budget="2 steps", backbone="b", batch=1, n_songs=40,
               corpus="c")).splitlines() if line.startswith("  - plain less samplematch, full")]  # fmt: skip
    low, high = (float(part) for part in line.split("[")[1].rstrip("]").split(", "))
    assert 0.005 < low < 0.01 < high < 0.015
