"""Scripts land where each DAW looks, merge with what is there, and leave it as it was."""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoders.errors import BadRequest, NotFound
from plugin_bridge import cli_daw
from plugin_bridge.daw.ardour_scripts import Action, slots, with_actions, without_actions
from plugin_bridge.daw.daws import DAWS, Machine, find
from plugin_bridge.daw.install import BACKUP, install, is_installed, uninstall

FOLDERS = {
    "linux": {
        "ardour": [".config/ardour7", ".config/ardour8"],
        "pd": ["Documents/Pd", "Documents/plugdata/Patches"],
        "reaper": [".config/REAPER"],
        "ableton": ["Documents/Ableton/User Library"],
        "bitwig": ["Bitwig Studio/Controller Scripts"],
    },
    "darwin": {
        "ardour": ["Library/Preferences/Ardour8"],
        "pd": ["Documents/Pd"],
        "reaper": ["Library/Application Support/REAPER"],
        "ableton": ["Music/Ableton/User Library"],
        "bitwig": ["Documents/Bitwig Studio/Controller Scripts"],
    },
    "win32": {
        "ardour": ["AppData/Local/ardour7"],
        "pd": ["Documents/plugdata/Patches"],
        "reaper": ["AppData/Roaming/REAPER"],
        "ableton": ["Documents/Ableton/User Library"],
        "bitwig": ["Documents/Bitwig Studio/Controller Scripts"],
    },
}
MINE = "the user's own"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    (tmp_path / 'state "of" mine').mkdir()
    return Machine(tmp_path / "home", "linux", {}, tmp_path / 'state "of" mine', "samplefit")


def users_scripts() -> bytes:
    """A ui_scripts with one action of the user's, in slot 2."""
    lua = rb'scripts = {} scripts[2] = {} scripts[2]["n"] = "Mine" scripts[2]["s"] = "a \" \\ \0 b\
c" scripts[2]["c"] = true'
    text = base64.b64encode(lua).decode()
    return f'<UIScripts><ActionScript lua="Lua 5.3">{text}</ActionScript><ActionHooks/></UIScripts>'.encode()


def lua_of(text: bytes) -> bytes:
    return base64.b64decode(ElementTree.fromstring(text).findtext("ActionScript"))


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("platform", FOLDERS)
@pytest.mark.parametrize("name", DAWS)
def test_every_daw_on_every_platform_comes_and_goes(tmp_path: Path, platform: str, name: str) -> None:
    machine = Machine(tmp_path / "home", platform, {}, tmp_path / "state", "samplefit")
    machine.state.mkdir()
    with pytest.raises(NotFound, match="start"):
        install(DAWS[name], machine)
    for folder in FOLDERS[platform][name]:
        (machine.home / folder).mkdir(parents=True)
    paths = install(DAWS[name], machine)
    assert {path for path in paths} == {Path(path) for path in tree(machine.home)}
    assert len(DAWS[name].where(machine)) == len(FOLDERS[platform][name])
    assert not any("@STATE@" in path.read_text() or "@COMMAND@" in path.read_text() for path in paths)
    assert is_installed(DAWS[name], machine)
    assert install(DAWS[name], machine) == paths, "a second time changes nothing"
    assert uninstall(DAWS[name], machine) == (paths, [])
    assert tree(machine.home) == {} and not is_installed(DAWS[name], machine)


def test_a_users_file_comes_back(machine: Machine) -> None:
    target = machine.home / ".config/REAPER/Scripts/samplefit/samplefit.lua"
    target.parent.mkdir(parents=True)
    target.write_text(MINE)
    install(DAWS["reaper"], machine)
    assert target.read_text() != MINE and Path(str(target) + BACKUP).read_text() == MINE
    uninstall(DAWS["reaper"], machine)
    assert tree(machine.home) == {str(target): MINE.encode()}


def test_a_script_that_the_user_changed_stays(machine: Machine) -> None:
    (machine.home / ".config/REAPER").mkdir(parents=True)
    (path,) = install(DAWS["reaper"], machine)
    path.write_text(MINE)
    assert uninstall(DAWS["reaper"], machine) == ([], [path])
    assert path.read_text() == MINE


def test_ardours_scripts_are_merged_and_restored_to_the_byte(machine: Machine) -> None:
    scripts = machine.home / ".config/ardour7/ui_scripts"
    scripts.parent.mkdir(parents=True)
    scripts.write_bytes(users_scripts())
    install(DAWS["ardour"], machine)
    merged = scripts.read_bytes()
    assert slots(merged, str(scripts.parent / "scripts/samplefit.lua")) == (1, *range(3, 13))
    assert lua_of(users_scripts()) == lua_of(merged)[: len(lua_of(users_scripts()))]
    uninstall(DAWS["ardour"], machine)
    assert tree(machine.home) == {str(scripts): users_scripts()}


def test_what_ardour_saved_since_stays(machine: Machine) -> None:
    scripts = machine.home / ".config/ardour7/ui_scripts"
    scripts.parent.mkdir(parents=True)
    install(DAWS["ardour"], machine)
    added = with_actions(scripts.read_bytes(), "-- theirs", "theirs.lua", [Action("Theirs", {})])
    scripts.write_bytes(added)
    install(DAWS["ardour"], machine)
    assert slots(scripts.read_bytes(), "theirs.lua") == (12,)
    scripts.write_bytes(scripts.read_bytes() + b"\n")
    uninstall(DAWS["ardour"], machine)
    assert slots(scripts.read_bytes(), "theirs.lua") == (12,)
    assert slots(scripts.read_bytes(), str(scripts.parent / "scripts/samplefit.lua")) == ()


def test_an_older_ardour_is_left_alone(machine: Machine) -> None:
    (machine.home / ".config/ardour6").mkdir(parents=True)
    with pytest.raises(NotFound):
        install(DAWS["ardour"], machine)


PARAMETERS = st.dictionaries(st.text().filter(lambda key: key != "x-script-origin"), st.text())


@given(st.lists(st.builds(Action, st.text(), PARAMETERS), max_size=5))
def test_actions_come_and_go(actions: list[Action]) -> None:
    before = users_scripts()
    merged = with_actions(before, "x = 1\r\n", "ours.lua", actions)
    assert len(slots(merged, "ours.lua")) == len(actions)
    assert lua_of(without_actions(merged, "ours.lua")) == lua_of(before)


@pytest.mark.parametrize(
    "text", [b"", b"<UIScripts/>", b"no xml", users_scripts().replace(b"c2NyaXB0", b"b3Blbgo9")]
)
def test_scripts_of_another_form_are_refused(text: bytes) -> None:
    with pytest.raises(BadRequest, match="move the file away"):
        without_actions(text, "ours.lua")


def test_full_slots_are_refused() -> None:
    many = [Action(str(number), {}) for number in range(30)]
    full = with_actions(None, "", "theirs.lua", many)
    with pytest.raises(BadRequest, match="2 free slots"):
        with_actions(full, "", "ours.lua", many[:3])


def test_an_unknown_daw_is_told_with_the_nearest() -> None:
    with pytest.raises(NotFound, match="ardour"):
        find("ardor")


def test_the_commands(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import argparse

    (machine.home / ".config/REAPER").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(machine.home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    top = argparse.ArgumentParser()
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--state")
    cli_daw.register(top.add_subparsers(), common)
    for words in ("install reaper", "list", "uninstall reaper", "list"):
        chosen = top.parse_args(["daw", *words.split(), "--state", str(machine.state)])
        chosen.run(chosen)
    out = capsys.readouterr().out
    assert "samplefit.lua" in out and "New action" in out
    assert out.count("*") == 1
