"""Training presets: what they resolve to, and how they refuse."""

from __future__ import annotations

import tomllib
from dataclasses import asdict

import pytest

from encoders.errors import BadRequest, NotFound
from trainer.settings import PRESETS, Settings, load, names, to_toml

# Preset → the one difference that it makes to samplematch, as its row of the paper's Table 1 has it.
TABLE_1 = {
    "samplematch": {},
    "qsinv": {"loss.invariance": 1.0},
    "no-sparse-mix": {"data.mix": "full"},
    "no-augmentation": {"augment.probability": 0.0},
    "no-vcreg": {"loss.variance": 0.0, "loss.covariance": 0.0},
    "no-pretraining": {"model.weights": ""},
    "no-pretraining-qsinv": {"model.weights": "", "loss.invariance": 1.0},
    "one-encoder": {"model.n_encoders": 1},
    "plain": {"data.mix": "full", "augment.probability": 0.0, "loss.variance": 0.0, "loss.covariance": 0.0},
}


def flat(settings: Settings) -> dict:
    return {
        f"{table}.{key}": value
        for table, values in asdict(settings).items()
        if isinstance(values, dict)
        for key, value in values.items()
    }


def test_the_paper():
    paper = load("samplematch")
    assert (paper.model.backbone, paper.model.dim, paper.data.batch) == ("efficientnet_b4", 256, 190)
    assert (paper.optimiser.learning_rate, paper.optimiser.weight_decay) == (3e-4, 3e-5)
    assert asdict(paper.loss) == {
        "temperature": 0.2,
        "variance": 1.0,
        "covariance": 1.0,
        "norm": 10.0,
        "norm_limit": 4.0,
        "invariance": 0.0,
    }


@pytest.mark.parametrize("name", TABLE_1)
def test_a_row_of_table_1_is_one_difference(name):
    paper, row = flat(load("samplematch")), flat(load(name))
    assert {key: row[key] for key in row if row[key] != paper[key]} == TABLE_1[name]


@pytest.mark.parametrize("name", names())
def test_every_preset_loads_says_why_and_comes_back(name, tmp_path):
    settings = load(name)
    assert settings.why
    (tmp_path / f"{name}.toml").write_text(to_toml(settings))
    assert load(str(tmp_path / f"{name}.toml")) == settings


def test_samplematch_spells_out_what_the_paper_says():
    written = tomllib.loads((PRESETS / "samplematch.toml").read_text())
    assert {*written["loss"]} == {*asdict(Settings().loss)} and {*written["augment"]} == {
        *asdict(Settings().augment)
    }


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[loss]\ntemprature = 0.1", ("loss.temprature", "expected temperature")),
        ("[los]\n", ("mine.toml: los", "expected loss")),
        ('[data]\nbatch = "many"', ("data.batch", "'many'", "a whole number")),
        ("[data]\nbatch = true", ("data.batch", "True", "a whole number")),
        ("[data]\nbatch = 1", ("data.batch", "found 1", "at least 2")),
        ('[data]\nmix = "sparce"', ("data.mix", "'sparce'", "'sparse' or 'full'")),
        ("[model]\nn_encoders = true", ("model.n_encoders", "True", "1 or 2")),
        ("loss = 3", ("mine.toml: loss", "found 3", "a table")),
        ("[loss\n", ("mine.toml", "expected TOML")),
        ('extends = "mine"', ("mine.toml", "circle")),
    ],
)
def test_a_preset_that_is_wrong_is_refused(tmp_path, text, parts):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(BadRequest) as error:
        load(str(path))
    assert all(part in error.value.text for part in parts), error.value.text


def test_an_integer_serves_as_a_number(tmp_path):
    (tmp_path / "mine.toml").write_text('extends = "small"\n[loss]\ntemperature = 1')
    settings = load(str(tmp_path / "mine.toml"))
    assert settings.loss.temperature == 1.0 and settings.model.backbone == "residual"


def test_an_unknown_preset_names_the_nearest():
    with pytest.raises(NotFound, match="expected samplematch"):
        load("sample-match")


def test_the_docs_name_every_preset_and_key():
    text = (PRESETS.parents[1] / "docs" / "training.md").read_text("utf-8")
    missing = [word for word in (*names(), *flat(Settings())) if f"`{word}`" not in text]
    assert not missing
