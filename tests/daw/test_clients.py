"""REAPER, Live and Bitwig: each script's logic against a stub of what its host's documentation promises."""

from __future__ import annotations

import importlib.util
import json
import shutil
import socket
import subprocess
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from plugin_bridge.daw.daws import DAWS, Machine
from plugin_bridge.osc import decode

DAW = Path(__file__).parents[2] / "plugin_bridge" / "daw"
HITS = [
    {"type": kind, "rank": rank, "score": 0.5, "path": path, "name": Path(path).stem, "duration_s": 0.5}
    for kind, rank, path in (
        ("kick", 1, '/s/Kick "1".wav'),
        ("kick", 2, "/s/é\udcff 🥁|2.wav"),
        ("snare", 1, "/s/back\\slash.wav"),
    )
]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    (tmp_path / "state" / "answers").mkdir(parents=True)
    return Machine(tmp_path / "home", "linux", {}, tmp_path / "state", "samplefit")


# REAPER


class Reaper:
    """The functions of ReaScript that the script calls, and what they were called with."""

    def __init__(self, output: str, chosen: int = 1, selection: tuple[float, float] = (2.0, 6.0)) -> None:
        self.output, self.chosen, self.selection = output, chosen, selection
        self.settings = {"RENDER_SRATE": 48_000.0, "RENDER_FILE": "/mine", "RENDER_PATTERN": "take"}
        self.at_render: dict[str, object] = {}
        self.mutes = {"Kick in": 0.0, "Bass": 0.0}
        self.calls: list[tuple[object, ...]] = []
        self.menu = ""

    def table(self) -> dict[str, object]:
        return {
            "GetSet_LoopTimeRange2": lambda *_: self.selection,
            "CountSelectedTracks": lambda _: len(self.mutes),
            "GetSelectedTrack": lambda _, i: list(self.mutes)[int(i)],
            "GetTrackName": lambda track: (True, track),
            "GetSetProjectInfo_String": self.string,
            "GetSetProjectInfo": self.number,
            "TimeMap_GetTimeSigAtTime": lambda _, at: (4, 4, 120.0 + at),
            "GetMediaTrackInfo_Value": lambda track, _: self.mutes[track],
            "SetMediaTrackInfo_Value": lambda track, _, value: self.mutes.update({track: value}),
            "Main_OnCommand": self.render,
            "ExecProcess": lambda command, _: self.calls.append(("run", command)) or self.output,
            "Undo_BeginBlock": lambda: None,
            "Undo_EndBlock": lambda *_: None,
            "SetEditCurPos": lambda at, *_: self.calls.append(("at", at)),
            "InsertMedia": lambda path, mode: self.calls.append(("insert", path, mode)),
            "MB": lambda text, *_: self.calls.append(("message", text)),
        }

    def string(self, _: object, key: str, value: str, is_set: bool) -> tuple[bool, object]:
        if is_set:
            self.settings[key] = value
        return True, self.settings.get(key, "")

    def number(self, _: object, key: str, value: float, is_set: bool) -> object:
        if is_set:
            self.settings[key] = value
        return self.settings.get(key, 0.0)

    def render(self, action: int, _: int) -> None:
        self.at_render = {**self.settings, **self.mutes, "action": action}

    def show(self, menu: str) -> int:
        self.menu = menu
        return self.chosen


def in_reaper(machine: Machine, reaper: Reaper) -> None:
    """Runs the installed script in Lua with the stub as its host."""
    lupa = pytest.importorskip("lupa", reason="lupa, a Lua for tests, is not installed")
    (script,) = DAWS["reaper"].files(machine, Path("REAPER")).values()
    lua = lupa.LuaRuntime(unpack_returned_tuples=True, encoding="latin-1")  # bytes, as REAPER hands them on
    lua.globals().reaper = lua.table_from(reaper.table())
    lua.globals().gfx = lua.table_from(
        {"init": lambda *_: None, "quit": lambda: None, "showmenu": reaper.show}
    )
    lua.execute(script.decode("latin-1"))


def said(code: int, text: str) -> str:
    return f"{code}\n{text}"


def test_reaper_renders_asks_and_inserts(machine: Machine) -> None:
    document = json.dumps({"model": {"name": "m"}, "hits": HITS}, indent=1)
    reaper = Reaper(said(0, document), chosen=3)
    in_reaper(machine, reaper)
    assert reaper.at_render["action"] == 42230
    assert (reaper.at_render["RENDER_BOUNDSFLAG"], reaper.at_render["RENDER_SRATE"]) == (2, 44_100)
    assert (reaper.at_render["Kick in"], reaper.at_render["Bass"]) == (1, 0)
    assert reaper.settings["RENDER_SRATE"] == 48_000 and reaper.settings["RENDER_FILE"] == "/mine"
    assert reaper.mutes == {"Kick in": 0, "Bass": 0}
    (_, command), *rest = reaper.calls
    assert command.startswith('"samplefit" suggest "') and command.endswith("--tempo 122.000 --type kick")
    path = HITS[1]["path"].encode("utf-8", "surrogateescape").decode("latin-1")
    assert rest == [("at", 2.0), ("insert", path, 1)]
    assert reaper.menu.count("|") == 2 and reaper.menu.startswith("1 kick  Kick ")


@pytest.mark.parametrize(
    ("reaper", "text"),
    [
        (Reaper("", selection=(1.0, 1.0)), "Select a time range first."),
        (Reaper(said(2, "samplefit: the bounce: found silence")), "samplefit: the bounce: found silence"),
        (Reaper(said(2, "")), "samplefit refused (code 2). To see why, run: samplefit doctor"),
        (Reaper(said(0, "")), "no answer; start it with: samplefit serve"),
        (Reaper(said(0, '{"hits": []}')), "No hit. Add sample folders: samplefit add FOLDER"),
    ],
)
def test_reaper_shows_what_is_wrong(machine: Machine, reaper: Reaper, text: str) -> None:
    in_reaper(machine, reaper)
    assert reaper.calls[-1] == ("message", text)


def test_reaper_inserts_nothing_when_the_menu_is_left(machine: Machine) -> None:
    reaper = Reaper(said(0, json.dumps({"hits": HITS}, indent=1)), chosen=0)
    in_reaper(machine, reaper)
    assert [call[0] for call in reaper.calls] == ["run"]


# Ableton Live


def live_script(machine: Machine, folder: Path) -> ModuleType:
    """The installed Remote Script's module."""
    ((path, data),) = DAWS["ableton"].files(machine, folder).items()
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    spec = importlib.util.spec_from_file_location("live_samplefit", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def clip(path: str | None, start: float = 0.0) -> SimpleNamespace:
    """A clip; in the arrangement it is four beats long."""
    return SimpleNamespace(
        is_audio_clip=path is not None, file_path=path, start_time=start, end_time=start + 4
    )


class Slot:
    """A clip slot of Live 12.0.5."""

    def __init__(self) -> None:
        self.path: str | None = None

    @property
    def has_clip(self) -> bool:
        return self.path is not None

    def create_audio_clip(self, path: str) -> None:
        assert not self.has_clip
        self.path = path

    def delete_clip(self) -> None:
        self.path = None


def track(name: str, path: str | None = None, **changed: object) -> SimpleNamespace:
    playing = SimpleNamespace(clip=clip(path))
    fields = {
        "mute": False,
        "solo": False,
        "playing_slot_index": 0,
        "clip_slots": [playing],
        "arrangement_clips": (),
    }
    return SimpleNamespace(name=name, **{**fields, **changed})


@pytest.fixture
def live(machine: Machine, tmp_path: Path) -> SimpleNamespace:
    """A song in Live with our surface chosen, and a socket where the daemon would be."""
    tracks = [
        track("Bass", "/a/bass.wav"),
        track("Synth"),
        track("Kick 808", "/a/kick.wav"),
        track("Muted", "/a/muted.wav", mute=True),
        track(
            "Pad", playing_slot_index=-1, arrangement_clips=(clip("/a/pad 1.wav"), clip("/a/pad 2.wav", 4.0))
        ),
    ]
    view = SimpleNamespace(selected_track=tracks[2])
    song = SimpleNamespace(tracks=tracks, view=view, tempo=97.5, current_song_time=6.0)
    song.create_audio_track = lambda at: song.tracks.append(
        SimpleNamespace(name="Audio", clip_slots=[Slot()])
    )
    messages: list[str] = []
    instance = SimpleNamespace(song=lambda: song, show_message=messages.append)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.bind(("127.0.0.1", 0))
        daemon.settimeout(10)
        module = live_script(machine, tmp_path)
        surface = module.create_instance(instance)
        yield SimpleNamespace(
            surface=surface, song=song, messages=messages, daemon=daemon, machine=machine, module=module
        )
        surface.disconnect()


def note(live: SimpleNamespace, number: int) -> None:
    live.surface.receive_midi((0x9F, number, 100))


def start_daemon(live: SimpleNamespace) -> None:
    text = json.dumps({"osc_port": live.daemon.getsockname()[1]})
    (live.machine.state / "daemon.json").write_text(text)


def reply(live: SimpleNamespace, document: dict[str, object]) -> None:
    answers = live.machine.state / "answers"
    (answers / "ableton.json").write_text(json.dumps(document))
    (answers / "ableton.tsv").touch()


def test_live_sends_what_plays_and_inserts_the_hits(live: SimpleNamespace) -> None:
    start_daemon(live)
    reply(live, {"hits": []})  # of a press before
    note(live, 0)
    sent = [decode(live.daemon.recv(65_536)) for _ in range(5)]
    assert [message.arguments[2] for message in sent[:2]] == ["/a/bass.wav", "/a/pad 2.wav"]
    assert sent[2].address == "/samplefit/suggest" and sent[2].arguments[1:3] == ("answer", "ableton")
    assert sent[2].arguments[-4:] == ("tempo", 97.5, "type", "kick")
    assert {message.address for message in sent[3:]} == {"/samplefit/stem/drop"}
    live.surface.update_display()
    assert live.messages == []
    reply(live, {"hits": HITS})
    live.surface.update_display()
    slot = live.song.tracks[-1].clip_slots[0]
    assert live.song.tracks[-1].name == "Suggestion" and slot.path == HITS[0]["path"]
    note(live, 9)
    assert slot.path == HITS[2]["path"], "the best of each type first"
    note(live, 10)
    note(live, 10)
    assert slot.path == HITS[1]["path"] and len(live.song.tracks) == 6
    note(live, 4)
    assert live.messages[-1] == "samplefit: there are only 3 suggestions"


def test_live_says_what_is_wrong(live: SimpleNamespace) -> None:
    note(live, 1)
    note(live, 0)
    assert live.messages == [
        "samplefit: no suggestion yet",
        "samplefit: samplefit is not running; start it with: samplefit serve",
    ]
    start_daemon(live)
    note(live, 0)
    reply(live, {"fail": {"code": "no-signal", "text": "the bounce: found silence"}})
    live.surface.update_display()
    assert live.messages[-1] == "samplefit: the bounce: found silence"
    live.song.tracks[:] = [track("Synth")]
    note(live, 0)
    assert "no audio clip plays" in live.messages[-1]
    live.surface.receive_midi((0x8F, 0, 0))
    assert len(live.messages) == 4


def test_live_gives_up_waiting(live: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    start_daemon(live)
    monkeypatch.setattr(live.module, "WAIT_S", -1.0)
    note(live, 0)
    live.surface.update_display()
    live.surface.update_display()
    assert live.messages == ["samplefit: no answer; start it with: samplefit serve"]


# Bitwig Studio

BITWIG = """
const calls = [];
const observers = {};
const methods = {};
const tasks = [];
let bounced = "";
let chain = ["Polysynth"];
let moved = () => {};
const value = (get) => {
  let interested = false;
  return {
    markInterested: () => { interested = true; },
    get: () => { if (!interested) throw new Error("not interested"); return get(); },
    getRaw: () => { if (!interested) throw new Error("not interested"); return get(); },
  };
};
const lastName = value(() => chain[chain.length - 1]);
const insertion = (how, put) => ({ insertFile: (path) => { calls.push([how, path]); put("Sampler"); } });
const address = () => ({ registerMethod: (a, tags, text, f) => { methods[a] = f; } });
globalThis.CursorDeviceFollowMode = { LAST_DEVICE: "last" };
globalThis.loadAPI = () => {};
globalThis.host = {
  defineController: () => {},
  getPreferences: () => ({ getNumberSetting: () => value(() => 7040) }),
  getDocumentState: () => ({
    getStringSetting: () => value(() => bounced),
    getEnumSetting: () => value(() => "kick"),
    getSignalSetting: (label) => ({ addSignalObserver: (f) => { observers[label] = f; } }),
  }),
  createTransport: () => ({ tempo: () => ({ value: () => tempo }) }),
  createCursorTrack: () => ({
    position: () => ({ addValueObserver: (f) => { moved = f; } }),
    endOfDeviceChainInsertionPoint: () => insertion("append", (name) => chain.push(name)),
    createCursorDevice: (id, name, n, follows) => ({
      name: () => lastName,
      replaceDeviceInsertionPoint: () => insertion("replace", (name) => chain.splice(-1, 1, name)),
    }),
  }),
  getOscModule: () => ({
    createAddressSpace: address,
    createUdpServer: () => {},
    connectToUdpServer: (host, port) => ({ sendMessage: (...words) => calls.push([port, ...words]) }),
  }),
  showPopupNotification: (text) => calls.push(["popup", text]),
  scheduleTask: (f) => tasks.push(f),
};
const tempo = value(() => 97.5);
const reply = (a, ...words) => methods[a](null, { getInt: (i) => words[i], getString: (i) => words[i] });
"""
SCENE = """
init();
observers["Next hit"]();
observers["Suggest drums"]();
bounced = "/a/bounce.wav";
observers["Suggest drums"]();
reply("/samplefit/hit", 1, 2, 2, "kick", 0.4, "/s/b.wav", "b", 0.5);
reply("/samplefit/hit", 1, 1, 2, "kick", 0.5, "/s/a.wav", "a", 0.5);
reply("/samplefit/hit", 7, 1, 1, "kick", 0.9, "/s/old.wav", "old", 0.5);
reply("/samplefit/done", 1, "/samplefit/suggest/file", 2, 30);
observers["Next hit"]();
observers["Next hit"]();
chain.push("Reverb");
observers["Previous hit"]();
moved(5);
chain = ["Sampler"];
observers["Next hit"]();
tasks.forEach((task) => task());
observers["Suggest drums"]();
observers["Suggest drums"]();
reply("/samplefit/fail", 2, "/samplefit/suggest/file", "no-signal", "of the press before");
reply("/samplefit/fail", 3, "/samplefit/suggest/file", "no-signal", "found silence");
tasks.slice(1).forEach((task) => task());
console.log(JSON.stringify(calls));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not here to run the script")
def test_bitwig_asks_and_inserts(machine: Machine) -> None:
    (script,) = DAWS["bitwig"].files(machine, Path("Controller Scripts")).values()
    program = BITWIG + script.decode() + SCENE
    done = subprocess.run(["node", "-"], input=program, capture_output=True, text=True, check=True)
    calls = json.loads(done.stdout)
    assert [call for call in calls if call[0] in ("append", "replace")] == [
        ["append", "/s/a.wav"],
        ["replace", "/s/b.wav"],
        ["replace", "/s/a.wav"],
        ["append", "/s/b.wav"],  # the producer's reverb stays
        ["append", "/s/a.wav"],  # and so does another track's own sampler
    ]
    asked = [call for call in calls if call[0] == 7040]
    assert asked[0][1:] == [
        "/samplefit/suggest/file", 1, "/a/bounce.wav", "k", 8, "type", "kick", "tempo", 97.5, "reply_port", 7050,
    ]  # fmt: skip
    popups = [call[1] for call in calls if call[0] == "popup"]
    assert popups[0] == "samplefit: no suggestion yet" and "name the bounced file" in popups[1]
    assert popups[2:4] == ["1 of 2: kick a", "2 of 2: kick b"]
    late = "samplefit: no answer; start it with: samplefit serve"
    assert popups[-2:] == ["samplefit: found silence", late], "the second press alone was not answered"
