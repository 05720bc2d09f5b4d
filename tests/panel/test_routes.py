"""What the routes answer: presses, choices, the library and its map, by a real panel over real sockets."""

from __future__ import annotations

import http.client
import io
import json
import threading
from contextlib import closing, contextmanager
from urllib.parse import quote

import numpy as np
import pytest
import soundfile
from conftest import SAMPLE_RATE, tone
from panels import serving_panel

from encoders.audio import read_audio
from encoders.drum_types import SIX, TYPES
from plugin_bridge.panel.guard import cookie_name
from plugin_bridge.panel.loudness import integrated_lufs
from plugin_bridge.panel.one_shots import make_shelf
from plugin_bridge.press import Press, Stem, stamp_of
from plugin_bridge.settings import load_preset, wanted


@pytest.fixture(scope="module")
def song(sounds):
    """(T,) bass and chords, and the lead."""
    bass, chords, lead = (read_audio(sounds / "stems" / f"{name}.wav") for name in ("bass", "chords", "lead"))
    return bass + chords, lead


@pytest.fixture
def own(sounds, tmp_path):
    """A panel of this test's own."""
    with serving_panel(tmp_path / "state", sounds / "model", sounds / "samples") as served:
        yield served


def wave_of(reply):
    samples, rate = soundfile.read(io.BytesIO(reply.body), dtype="float32", always_2d=True)
    assert rate == SAMPLE_RATE and reply.headers["content-type"] == "audio/wav"
    return samples


def test_a_press_is_shown_with_everything_about_it(served, song):
    number = served.press(song[0])
    shown = served.get("/api/presses").json[0]
    assert shown["press"] == number and len(shown["peaks"]) == 480
    assert [hit["type"] for hit in shown["hits"]] == [type_ for type_ in SIX for _ in range(5)]
    assert shown["seconds"] == pytest.approx(len(song[0]) / SAMPLE_RATE, abs=0.001)
    described = served.get(f"/api/presses/{number}/hits").json
    assert described.keys() == {hit["id"] for hit in shown["hits"]}
    assert all(len(one["peaks"]) == 64 for one in described.values())


def test_hits_of_different_levels_are_heard_alike(served, song):
    number = served.press(song[0], replaced=song[1])
    target = integrated_lufs(wave_of(served.get(f"/api/presses/{number}/original")))
    for hit in served.get("/api/presses").json[0]["hits"][::4]:
        for pattern in ("onsets", "8ths"):
            reply = served.get(f"/api/presses/{number}/hits/{hit['id']}?pattern={pattern}")
            assert integrated_lufs(wave_of(reply)) == pytest.approx(target, abs=0.5)


def test_what_was_recorded_in_stereo_is_heard_in_stereo(own, song, tmp_path):
    """A wide bounce and wide one-shots keep their sides, at the level that mono ones have."""
    bass, lead = song
    wide = np.stack([bass, 0.5 * lead], axis=1)
    soundfile.write(tmp_path / "wide.wav", wide, SAMPLE_RATE, subtype="FLOAT")
    (tmp_path / "more").mkdir()
    panned = np.stack([tone(0.2, 60), -0.25 * tone(0.2, 60)], axis=1)
    soundfile.write(tmp_path / "more" / "kick wide.wav", panned, SAMPLE_RATE, subtype="FLOAT")
    own.panel.library.add(str(tmp_path / "more"))
    want = wanted(load_preset(own.state, "plain"), types=("kick",))
    own.panel.press(Press("wide", (Stem(path=str(tmp_path / "wide.wav")),), want))
    shown = own.get("/api/presses").json[0]
    here = f"/api/presses/{shown['press']}"
    loop = own.get(f"{here}/loop").json
    n, start = round(loop["length_s"] * SAMPLE_RATE), round(loop["start_s"] * SAMPLE_RATE)
    music = wave_of(own.get(f"{here}/music"))
    assert np.abs(music - wide[start : start + n])[: n - 300].max() < 1e-6
    (hit,) = [hit for hit in shown["hits"] if hit["name"] == "kick wide.wav"]
    dry = wave_of(own.get(f"/api/one-shots/{hit['id']}/sound"))
    assert np.array_equal(dry, panned)
    heard = own.panel.presses.get(shown["press"])
    assert np.abs(heard.music.mean(axis=1) - heard.answer.bounce).max() < 1e-6, (
        "ears and encoder hear one mix"
    )
    for one in shown["hits"]:
        track = wave_of(own.get(f"{here}/hits/{one['id']}?pattern=1%20and%203"))
        assert integrated_lufs(track) == pytest.approx(integrated_lufs(music) - 7, abs=0.5)
        if one is hit:
            assert np.abs(track[:, 1] + 0.25 * track[:, 0]).max() < 1e-6 * np.abs(track).max() + 1e-9


def test_a_bounce_whose_files_are_gone_is_heard_in_mono(served, song, tmp_path):
    path = tmp_path / "bounce.wav"
    soundfile.write(path, np.stack([song[0], song[1]], axis=1), SAMPLE_RATE)
    want = wanted(load_preset(served.state, "plain"))
    found, _ = served.panel.press(Press("gone", (Stem(path=str(path)),), want))
    path.unlink()
    assert np.array_equal(served.panel.presses.all()[0].music, found.bounce[:, None])


def test_stems_that_lie_in_memory_are_kept_once_as_their_bounce(served, song):
    """With the track being replaced beside it, from the same moment on."""
    bass, lead = song
    stems = tuple(Stem(samples=samples) for samples in (bass, lead, 0.5 * bass))
    want = wanted(load_preset(served.state, "plain"))
    press = Press("in memory", stems, want, start_s=1.0, length_s=2.0, replaced=Stem(samples=lead))
    found, told = served.panel.press(press)
    heard = served.panel.presses.all()[0]
    assert [stem.samples is found.bounce for stem in heard.press.stems] == [True]
    assert np.array_equal(heard.music, found.bounce[:, None])
    assert np.array_equal(heard.original, lead[SAMPLE_RATE : 3 * SAMPLE_RATE, None])
    assert told["query"]["stems"] == 3


def test_stems_that_are_held_by_their_paths_are_heard_as_the_press_heard_them(served, song, tmp_path):
    """In stereo, at their gains; in mono where another file has taken the place of one."""
    paths = [tmp_path / "bass.wav", tmp_path / "lead.wav"]
    stereo = np.stack([song[0], 0.5 * song[1]], axis=1)
    for path, sound in zip(paths, (stereo, song[1][: len(song[1]) // 2]), strict=True):
        soundfile.write(path, sound, SAMPLE_RATE, subtype="FLOAT")
    stems = tuple(Stem(str(path), gain=0.5, stamp=stamp_of(str(path))) for path in paths)
    want = wanted(load_preset(served.state, "plain"))
    for is_replaced in (False, True):
        found, _ = served.panel.press(Press("by path", stems, want))
        if is_replaced:
            soundfile.write(paths[1], tone(1.0), SAMPLE_RATE, subtype="FLOAT")
        music = served.panel.presses.all()[0].music
        assert music.shape[1] == (1 if is_replaced else 2)
        assert np.abs(music.mean(axis=1) - found.bounce).max() < 1e-6


def test_why_a_hit_fits_is_told_of_each(served, song):
    number = served.press(song[0])
    why = served.get(f"/api/presses/{number}/why").json
    assert list(why["types"]) == list(SIX)
    assert why["types"]["kick"] == {"n": 5, "of": 5, "favours": []}
    assert why["hits"].keys() == {hit["id"] for hit in served.get("/api/presses").json[0]["hits"]}
    words = served.get("/api/session").json["measures"]
    assert all(one["low"] and one["higher"] for one in words)


def test_the_tempo_can_be_mended(served, song):
    number = served.press(song[0])
    loop = served.get(f"/api/presses/{number}/loop").json
    assert (loop["bpm"], loop["n_bars"], loop["has_original"]) == (112.0, 4, False)
    half = served.get(f"/api/presses/{number}/loop?bpm=56").json
    assert half["n_bars"] == 2 and half["length_s"] == pytest.approx(loop["length_s"])
    late = served.get(f"/api/presses/{number}/loop?shift=1").json
    assert late["start_s"] == pytest.approx(60 / 112, abs=0.001)
    for wrong in ("bpm=0", "bpm=x", "bpm=nan", "shift=9"):
        assert served.get(f"/api/presses/{number}/loop?{wrong}").status == 400


def test_what_cannot_be_answered_says_why(served, song):
    number = served.press(song[0])
    hit = served.get("/api/presses").json[0]["hits"][0]["id"]
    for path, status, code in (
        ("/api/presses/999999/loop", 404, "not-found"),
        (f"/api/presses/{number}/hits/{'0' * 24}?pattern=8ths", 404, "not-found"),
        (f"/api/presses/{number}/hits/{hit}?pattern=waltz", 400, "bad-request"),
        (f"/api/presses/{number}/hits/{hit}?pattern=onsets", 400, "bad-request"),
        ("/api/library/search?q=a&type=gong", 400, "bad-request"),
        ("/api/map/0/0", 404, "not-found"),
    ):
        reply = served.get(path)
        assert (reply.status, reply.json["code"]) == (status, code), path
        assert ":" in reply.json["text"]
    assert served.post("/api/marks/add", id=hit, what="adore").json["code"] == "bad-request"
    assert served.post("/api/marks/add", id=7).json["code"] == "bad-request"
    assert (
        served.post(f"/api/presses/{number}/again", types=["gong"], locked=[]).json["code"] == "bad-request"
    )


def test_a_locked_hit_is_heard_by_the_next_press(served, song):
    number = served.press(song[0])
    hit = served.get("/api/presses").json[0]["hits"][0]
    locked = [{"id": hit["id"], "pattern": "every beat"}]
    assert served.post(f"/api/presses/{number}/again", types=["snare"], locked=locked).json == {
        "pressed": True
    }
    again = served.panel.presses.all()[0]
    assert {one.type for one in again.answer.hits} == {"snare"}
    added = again.music - song[0][:, None]
    assert integrated_lufs(added) == pytest.approx(integrated_lufs(song[0][:, None]) - 7, abs=0.5)


def test_a_hit_becomes_the_first_suggestion_of_the_host_that_pressed(served, song):
    want = wanted(load_preset(served.state, "plain"), k=3)
    served.panel.press(Press("ardour-1", (Stem(samples=song[0]),), want, answer_name="ardour-song"))
    shown = served.get("/api/presses").json[0]
    chosen = next(hit for hit in shown["hits"] if (hit["type"], hit["rank"]) == ("snare", 3))
    reply = served.post(f"/api/presses/{shown['press']}/send", id=chosen["id"])
    assert reply.json == {"name": shown["host_reads"]} == {"name": "ardour-song"}
    _, first, second, *_ = (served.state / "answers" / "ardour-song.tsv").read_text().splitlines()
    assert first.split("\t")[:2] == ["snare", "1"] and first.split("\t")[3] == chosen["path"]
    assert second.split("\t")[:2] == ["kick", "1"]
    number = served.press(song[0])
    assert served.post(f"/api/presses/{number}/send", id=chosen["id"]).json["code"] == "bad-request"


def test_files_that_are_dropped_press(served, sounds):
    names = ("bass", "chords")
    parts = [
        b'--x\r\nContent-Disposition: form-data; name="stem"; filename="../%s.wav"\r\n\r\n%s\r\n'
        % (name.encode(), (sounds / "stems" / f"{name}.wav").read_bytes())
        for name in names
    ]
    body = b"".join(parts) + b'--x\r\nContent-Disposition: form-data; name="preset"\r\n\r\nplain\r\n--x--\r\n'
    headers = served.headers("POST", "multipart/form-data; boundary=x", len(body))
    assert served.send("POST", "/api/presses", headers, body).json == {"pressed": True}
    newest = served.panel.presses.all()[0]
    assert newest.press.id == "bass, chords"
    expected = sum(read_audio(sounds / "stems" / f"{name}.wav") for name in names)
    assert np.abs(newest.music[:, 0] - expected).max() < 1e-6
    assert newest.document["query"]["stems"] == 2
    (kept,) = newest.press.stems  # their sum, not each of them
    assert np.shares_memory(kept.samples, newest.music)

    noise = b'--x\r\nContent-Disposition: form-data; name="stem"; filename="a.wav"\r\n\r\nnoise\r\n--x--\r\n'
    headers = served.headers("POST", "multipart/form-data; boundary=x", len(noise))
    assert served.send("POST", "/api/presses", headers, noise).json["code"] == "unreadable-audio"


def test_choices_are_kept_taken_back_and_told_to_every_page(own, sounds, tmp_path, song):
    own.press(song[0])
    first, second = (hit["id"] for hit in own.get("/api/presses").json[0]["hits"][:2])
    own.post("/api/marks/add", id=first, what="like")
    marks = own.post("/api/marks/add", id=second, what="used").json
    assert [(mark["id"], mark["what"]) for mark in marks] == [(second, "used"), (first, "like")]
    marks = own.post("/api/marks/remove", mark=marks[0]["mark"]).json
    assert [(mark["id"], mark["what"]) for mark in marks] == [(first, "like")]
    assert own.post("/api/marks/remove", mark=999).status == 404


def test_what_was_learned_is_told_and_forgotten(own, song):
    """Of every press its softest hits are liked: something that they have in common."""
    assert own.get("/api/learned").json == {"n_marks": 0, "trust": 0.0, "n_choices": 0, "least": 20}
    own.panel.press(Press("all", (Stem(samples=song[0]),), wanted(load_preset(own.state, "default"))))
    hits = own.get("/api/presses").json[0]["hits"]
    for hit in hits:
        own.post("/api/marks/add", id=hit["id"], what="like" if hit["rank"] <= 2 else "dislike")
    learned = own.get("/api/learned").json
    assert (learned["n_choices"], learned["n_marks"]) == (30, 30) and 0 < learned["trust"] <= 1
    own.panel.press(Press("all", (Stem(samples=song[0]),), wanted(load_preset(own.state, "default"))))
    assert own.get("/api/presses").json[0]["learned"] == 30
    assert own.post("/api/learned/forget").json["n_choices"] == 0
    assert len(own.get("/api/marks").json) == 30, "the marks stay listed"
    own.panel.press(Press("all", (Stem(samples=song[0]),), wanted(load_preset(own.state, "default"))))
    assert own.get("/api/presses").json[0]["learned"] == 0


def test_picks_are_copies_that_a_browser_can_hold(own, sounds, song):
    own.press(song[0])
    hit = own.get("/api/presses").json[0]["hits"][0]
    for _ in range(2):
        picks = own.post("/api/picks/add", id=hit["id"], type="kick").json
    assert picks["names"] == [f"kick {hit['name']}"]
    copy = own.panel.picks.folder / picks["names"][0]
    assert copy.read_bytes() == (sounds / "samples" / "kick" / hit["name"]).read_bytes()
    assert own.post("/api/picks/remove", name="../catalogue.sqlite3").status == 404
    assert own.post("/api/picks/remove", name=picks["names"][0]).json["names"] == []


def test_the_map_holds_every_one_shot(served):
    data = served.get("/api/map").body
    revision, n = np.frombuffer(data, "<u4", 2)
    assert n == 30 and len(data) == 8 + 14 * n
    places = np.frombuffer(data, "<f4", 2 * n, 8).reshape(n, 2)
    types = np.frombuffer(data, np.uint8, n, 8 + 12 * n)
    assert np.abs(places).max() <= 1 and np.ptp(places, axis=0).min() > 1
    assert np.bincount(types).tolist() == [5] * 6
    assert set(np.frombuffer(data, np.uint8, n, 8 + 13 * n)) == {0}
    one = served.get(f"/api/map/{revision}/7").json
    assert TYPES[types[7]] == one["type"]
    sound = wave_of(served.get(f"/api/one-shots/{one['id']}/sound"))
    assert len(sound) / SAMPLE_RATE == pytest.approx(one["duration_s"], abs=0.001)


def test_the_library_is_searched_by_name_and_by_likeness(served):
    found = served.get("/api/library/search?q=HIHAT%2002").json
    assert [one["name"] for one in found] == ["hihat_02.wav"]
    similar = served.get(f"/api/one-shots/{found[0]['id']}/similar").json
    assert len(similar) == 4 and {one["type"] for one in similar} == {"hihat"}
    assert found[0]["id"] not in {one["id"] for one in similar}
    assert len(served.get("/api/library/search?q=&type=tom").json) == 5
    shortest = served.get("/api/library/search?q=kick&longest_s=0.2").json
    assert all(one["duration_s"] <= 0.2 for one in shortest)
    (folder,) = (each["path"] for each in served.get("/api/library").json["folders"])
    for where, n in ((f"{folder}/tom", 5), (f"{folder}/to", 0)):
        assert len(served.get(f"/api/library/search?q=&folder={quote(where)}").json) == n
    assert served.get("/api/library").json["by_type"]["kick"] == 5
    assert served.get("/api/library/copies").json["n"] == 0


def test_a_folder_is_added_and_removed_with_its_progress_told(own, tmp_path):
    more = tmp_path / "more"
    more.mkdir()
    soundfile.write(more / "Clap.wav", tone(0.2, 900), SAMPLE_RATE)
    with events_of(own) as events:
        assert next_event(events) == ("hello", {"run": own.panel.run})
        assert own.post("/api/library/folders/add", path=str(more)).status == 200
        told = until_ended(events)
        assert told[0]["what"] == "Indexing more" and told[-1]["failure"] is None
        assert own.get("/api/library").json["by_type"]["clap"] == 1
        own.post("/api/library/folders/remove", path=str(more))
        until_ended(events)
        assert own.get("/api/library").json["by_type"]["clap"] == 0
        again = own.post("/api/library/folders/remove", path=str(more))
        assert again.status == 404 and "not a folder of this library" in again.json["text"]
    assert own.post("/api/library/folders/add", path=str(tmp_path / "none")).status == 404
    assert own.post("/api/library/folders/add", path="~nosuchuser/x").status == 404
    assert own.post("/api/marks/remove", mark=1 << 70).status == 400


def test_an_errand_that_breaks_is_told_and_logged(own, caplog):
    def broken(progress):
        raise RuntimeError("a bug")

    with events_of(own) as events:
        next_event(events)
        own.panel.send("Indexing it", broken)
        assert until_ended(events)[-1]["failure"] == "Indexing it: RuntimeError: see the log"
    assert "a bug" in caplog.text


def test_a_folder_is_removed_while_an_errand_runs(own, tmp_path):
    go = threading.Event()
    own.panel.send("Indexing", lambda progress: go.wait(60))
    (folder,) = (each["path"] for each in own.get("/api/library").json["folders"])
    own.post("/api/library/folders/remove", path=folder)
    assert own.get("/api/library").json["folders"] == []
    go.set()


def test_a_broken_preset_hides_no_other(own):
    bad = own.state / "presets/suggest/bad.toml"
    bad.parent.mkdir(parents=True)
    bad.write_bytes(b"\xff")
    presets = {preset["name"]: preset for preset in own.get("/api/presets").json}
    assert "expected TOML" in presets["bad"]["text"] and presets["plain"]["settings"]["diversity"] == 0


def test_a_press_is_told_to_every_page_that_is_open(own, song):
    with events_of(own) as one, events_of(own) as other:
        assert next_event(one)[0] == next_event(other)[0] == "hello"
        number = own.press(song[0])
        assert next_event(one) == next_event(other) == ("press", own.get("/api/presses").json[0])
    assert own.panel.presses.get(number).music is not None


@contextmanager
def events_of(served):
    """The stream of server-sent events, as a page holds it open."""
    connection = http.client.HTTPConnection(served.server.host, served.server.port, timeout=60)
    with closing(connection):
        cookie = f"{cookie_name(served.server.port)}={served.cookie}"
        connection.request("GET", "/api/events", headers={"Cookie": cookie})
        with closing(connection.getresponse()) as stream:
            yield stream


def next_event(stream):
    """(name, data) of the next server-sent event."""
    name = None
    while True:
        line = stream.readline().decode().rstrip("\n")
        if line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: "):
            return name, json.loads(line[6:])


def until_ended(stream):
    told = []
    while not told or not told[-1].get("ended"):
        name, data = next_event(stream)
        told += [data] if name == "errand" else []
    return told


def test_a_kit_of_a_press_has_one_of_each_type(served, song):
    number = served.press(song[0])
    hits = {hit["id"]: hit["type"] for hit in served.get("/api/presses").json[0]["hits"]}
    kit = served.get(f"/api/presses/{number}/kit").json
    assert {hits[one] for one in kit["hits"].values()} == set(SIX) == set(kit["hits"])
    assert kit["n_kits"] == 5**6
    assert kit["score"] <= 0 <= kit["score"] + kit["likeness"]


def test_a_shelf_holds_what_the_snapshot_offers(served):
    snapshot = served.panel.library.snapshot
    shelf = make_shelf(snapshot)
    assert len(shelf) == len(snapshot) == 30
    for number in (0, 13, 29):
        assert f"/{TYPES[shelf.types[number]]}/" in shelf.paths[number]
        assert shelf.numbers[shelf.paths[number]] == number


def test_models_and_presets_say_what_they_are(served):
    models = served.get("/api/models").json
    assert [model["name"] for model in models["models"] if model["serving"]] == ["test"]
    presets = {preset["name"]: preset for preset in served.get("/api/presets").json}
    assert presets["plain"]["settings"]["diversity"] == 0
    assert served.post("/api/models/use", name="none").json["code"] == "no-model"
