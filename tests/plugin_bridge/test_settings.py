import json

import pytest
from packages import make_package

from encoders.drum_types import SIX
from encoders.errors import BadRequest, NoModel, NotFound
from encoders.package import STARTER
from plugin_bridge.settings import (
    Preset,
    find_model,
    load_preset,
    model_in_use,
    models,
    preset_files,
    state_folder,
    use_model,
    wanted,
)


def test_the_state_folder_is_the_flag_then_the_environment_then_the_platforms(tmp_path, monkeypatch):
    monkeypatch.setenv("SAMPLEFIT_STATE", str(tmp_path / "env"))
    assert state_folder(str(tmp_path / "flag")) == tmp_path / "flag"
    assert state_folder() == tmp_path / "env" and (tmp_path / "env").is_dir()
    monkeypatch.delenv("SAMPLEFIT_STATE")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert state_folder().is_relative_to(tmp_path)


def test_a_state_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BadRequest, match="choose another with --state"):
        state_folder(str(tmp_path / "file"))


def test_every_bundled_preset_loads_and_says_what_it_is_for(tmp_path):
    names = preset_files(tmp_path, "suggest")
    assert {"default", "plain", "sketch", "explore"} <= names.keys()
    for name in names:
        assert load_preset(tmp_path, name).text.endswith(".")


def test_plain_is_the_pure_order_of_the_score(tmp_path):
    plain = load_preset(tmp_path, "plain")
    assert (plain.diversity, plain.types, plain.k) == (0.0, SIX, 10)
    assert wanted(plain).diversity == 0 and wanted(plain).shortest_s is None and wanted(plain).folders == ()


def test_the_users_preset_goes_before_ours(tmp_path):
    folder = tmp_path / "presets" / "suggest"
    folder.mkdir(parents=True)
    (folder / "default.toml").write_text('text = "Mine."\nk = 3')
    assert load_preset(tmp_path, "default") == Preset("Mine.", k=3)


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ("k = 5", "text: found nothing"),
        ('text = "a"\ndiversty = 1.0', "diversty: found an unknown key; expected diversity"),
        ('text = "a"\nk = 0', r"bad\.toml: k: found 0; expected 1 to 1000"),
        ('text = "a"\ntypes = ["kik"]', "type: found 'kik'; expected kick"),
        ('text = "a"\ntypes = ["any", "kick"]', "type: found any, kick"),
        ('text = "a"\ndiversity = 2', "diversity: found 2"),
        ('text = "a"\nn_windows = 0', "n_windows: found 0"),
        ('text = "a', "expected TOML"),
    ],
)
def test_a_wrong_preset_names_file_and_key(tmp_path, toml, says):
    folder = tmp_path / "presets" / "suggest"
    folder.mkdir(parents=True)
    (folder / "bad.toml").write_text(toml)
    with pytest.raises(BadRequest, match=says) as caught:
        load_preset(tmp_path, "bad")
    assert "bad.toml" in caught.value.text


def test_no_such_preset_names_the_nearest(tmp_path):
    with pytest.raises(NotFound, match="preset 'plian': found no such preset; expected plain"):
        load_preset(tmp_path, "plian")


@pytest.mark.parametrize("k", [0, -1, 10_000])
def test_k_out_of_range(k):
    with pytest.raises(BadRequest, match=rf"k: found {k}; expected 1 to 1000"):
        wanted(Preset("x"), k)


def test_a_press_says_more_than_its_preset():
    want = wanted(Preset("x", k=5, folders=("/a",)), 7, ("ride",), "/caf\udce9")
    assert (want.k, want.types, want.folders) == (7, ("ride",), (b"/caf\xe9",))
    assert wanted(Preset("x", k=5, folders=("/a",))).folders == (b"/a",)


def test_choosing_a_model(tmp_path):
    package = make_package(tmp_path / "mine", dim=16)
    assert model_in_use(tmp_path) == STARTER
    use_model(tmp_path, find_model(tmp_path, str(package)))
    assert model_in_use(tmp_path) == package
    assert package in [model.path for model in models(tmp_path)]
    use_model(tmp_path, STARTER)
    assert json.loads((tmp_path / "settings.json").read_text())["model"] == "starter"
    assert model_in_use(tmp_path) == STARTER


def test_models_of_the_state_folder_go_by_name(tmp_path):
    package = make_package(tmp_path / "models" / "mine", dim=16)
    assert find_model(tmp_path, "mine") == package
    with pytest.raises(NoModel, match=r"found no such model; expected a folder with model\.json, or .*mine"):
        find_model(tmp_path, "other")


@pytest.mark.parametrize("text", ["", "[]", '{"format": 2, "model": "starter"}', '{"format": 1}', "\0"])
def test_damaged_settings_say_so(tmp_path, text):
    (tmp_path / "settings.json").write_text(text)
    with pytest.raises(BadRequest, match="delete the file"):
        model_in_use(tmp_path)
