"""The main job by the real daemon: one bounce by every way in, one answer; and every failure by its code."""

from __future__ import annotations

import json
import os
import signal
import socket

import numpy as np
import pytest
import soundfile
from conftest import tone
from daemon import samplefit, serving, stem_messages, udp, wait_until
from packages import make_package

from encoders.audio import read_audio
from plugin_bridge.client import Failed
from plugin_bridge.demo_sounds import write_library, write_stems
from plugin_bridge.framing import LENGTH, SLIP
from plugin_bridge.osc import Message, encode, unpack


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("daemon")
    make_package(folder / "model")
    write_library(folder / "samples")
    write_stems(folder / "stems")
    return folder


@pytest.fixture(scope="module")
def daemon(folder):
    samplefit("model", "use", folder / "model", state=folder / "state")
    with serving(folder / "state") as daemon:
        daemon.ask("/samplefit/folder/add", str(folder / "samples"))
        yield daemon


@pytest.fixture(scope="module")
def bounce(folder):
    """A stereo file of 7.9 s at 48 kHz: two of the stems, so played a little faster."""
    left, right = (read_audio(folder / "stems" / name) for name in ("bass.wav", "chords.wav"))
    path = folder / "bounce.wav"
    soundfile.write(path, np.stack([left, right], axis=1), 48_000, subtype="FLOAT")
    return path


def hits_of(replies):
    """(type, rank, path, score) of each hit."""
    hits = [reply.arguments for reply in replies if reply.address == "/samplefit/hit"]
    return [(type_, rank, path, score) for _, rank, _, type_, score, path, _, _ in hits]


def same(hits, others):
    assert [hit[:3] for hit in hits] == [hit[:3] for hit in others]
    assert np.allclose([hit[3] for hit in hits], [hit[3] for hit in others], atol=1e-6)


def from_json(document):
    return [(hit["type"], hit["rank"], hit["path"], hit["score"]) for hit in document["hits"]]


def test_one_bounce_by_every_way_in_has_one_answer(daemon, folder, bounce):
    by_path = hits_of(daemon.ask("/samplefit/suggest/file", str(bounce), "k", 4))
    assert [hit[:2] for hit in by_path[:8]] == [("kick", n) for n in (1, 2, 3, 4)] + [
        ("snare", n) for n in (1, 2, 3, 4)
    ]
    assert {hit[0] for hit in by_path} == {"kick", "snare", "hihat", "ride", "crash", "tom"}
    assert len({hit[3] for hit in by_path}) > 12, "the scores tell the hits apart"

    samples, rate = soundfile.read(bounce, dtype="float32")
    pieces = stem_messages("udp", "mix", samples, rate, 30_000)
    begin, *data, end = pieces
    udp(daemon, begin)
    while (last := udp(daemon, end)[-1]).address == "/samplefit/stem/missing":
        _, _, first, n = last.arguments  # some of them at a time: buffers may be small
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for piece in [piece for piece in data if first <= piece.arguments[2] < first + n][:4]:
                sock.sendto(encode(piece), ("127.0.0.1", daemon.port))
    assert last == Message("/samplefit/stem/ready", ("udp", "mix", len(samples)))
    same(by_path, hits_of(udp(daemon, Message("/samplefit/suggest", ("udp", "k", 4)))))

    for framing in (LENGTH, SLIP):
        with daemon.client(framing) as client:
            for message in stem_messages(framing.name, "mix", samples, rate, 60_000):
                client.send(message.address, *message.arguments)
            same(by_path, hits_of(client.ask("/samplefit/suggest", "k", 4, id=framing.name)))

    by_shell = samplefit("suggest", bounce, "-k", 4, "--json", state=daemon.state)
    same(by_path, from_json(json.loads(by_shell.stdout)))
    alone = samplefit(
        "suggest", bounce, "-k", 4, "--json", "--folder", folder / "samples", "--model", folder / "model",
        state=folder / "other",
    )  # fmt: skip
    same(by_path, from_json(json.loads(alone.stdout)))


def test_stems_are_mixed_and_one_can_be_left_out(daemon, folder):
    with daemon.client() as client:
        for name in ("bass", "chords", "lead"):
            ready = client.ask("/samplefit/stem/file", name, str(folder / "stems" / f"{name}.wav"), id=7)
            assert ready[-1].address == "/samplefit/stem/ready"
        all_three = hits_of(client.ask("/samplefit/suggest", "preset", "plain", id=7))
        without = hits_of(client.ask("/samplefit/suggest", "preset", "plain", "exclude", "lead", id=7))
        client.ask("/samplefit/stem/drop", "lead", id=7)
        same(without, hits_of(client.ask("/samplefit/suggest", "preset", "plain", id=7)))
    assert all_three != without
    shell = samplefit(
        "suggest", *(folder / "stems").glob("*.wav"), "--preset", "plain", "--json", state=daemon.state
    )
    document = json.loads(shell.stdout)
    assert document["query"]["stems"] == 3
    assert sorted(hit[2] for hit in all_three) == sorted(hit[2] for hit in from_json(document))


def test_the_json_is_the_contracts(daemon, bounce):
    document = json.loads(
        samplefit("suggest", bounce, "--type", "any", "-k", 3, "--json", state=daemon.state).stdout
    )
    assert document.keys() == {"model", "library", "query", "timings_ms", "learned", "hits"}
    assert document["model"]["name"] == "test" and len(document["model"]["digest"]) == 64
    assert document["library"]["one_shots"] == 30 and document["library"]["revision"] > 0
    assert document["query"] == {"stems": 1, "windows": 2, "seconds": 7.875}
    assert document["timings_ms"].keys() == {"load", "encode", "search", "total"}
    hit = document["hits"][0]
    assert hit.keys() == {"type", "rank", "score", "path", "name", "duration_s", "guessed", "fit"}
    assert [hit["rank"] for hit in document["hits"]] == [1, 2, 3] and os.path.isabs(hit["path"])
    assert [hit["score"] for hit in document["hits"]] == sorted(
        (h["score"] for h in document["hits"]), reverse=True
    )


def test_a_part_of_the_bounce(daemon, folder, bounce, tmp_path):
    soundfile.write(tmp_path / "part.wav", read_audio(bounce)[44100 : 3 * 44100], 44100, subtype="FLOAT")
    part = hits_of(daemon.ask("/samplefit/suggest/file", str(tmp_path / "part.wav"), "preset", "plain"))
    assert part != hits_of(daemon.ask("/samplefit/suggest/file", str(bounce), "preset", "plain"))
    same(
        part,
        hits_of(
            daemon.ask("/samplefit/suggest/file", str(bounce), "start", 1.0, "length", 2.0, "preset", "plain")
        ),
    )


def test_replies_go_where_the_request_says(daemon, bounce):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        other.settimeout(60)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            request = Message(
                "/samplefit/suggest/file", (3, str(bounce), "reply_port", other.getsockname()[1], "k", 1)
            )
            sender.sendto(encode(request), ("127.0.0.1", daemon.port))
        addresses = [unpack(other.recv(4096))[0].address for _ in range(7)]
    assert addresses == ["/samplefit/hit"] * 6 + ["/samplefit/done"]


def test_an_answer_file_for_hosts_that_hear_nothing(daemon, bounce):
    hits = hits_of(daemon.ask("/samplefit/suggest/file", str(bounce), "answer", "reaper", "k", 2))
    same(hits, from_json(json.loads((daemon.state / "answers/reaper.json").read_text())))
    lines = (daemon.state / "answers/reaper.tsv").read_text().splitlines()
    assert len(lines) == 13 and lines[1].split("\t")[:2] == ["kick", "1"]
    with pytest.raises(Failed):
        daemon.ask("/samplefit/suggest/file", "/gone.wav", "answer", "reaper")
    assert (daemon.state / "answers/reaper.tsv").read_text().startswith("fail\tnot-found\t/gone.wav")
    with pytest.raises(Failed, match="expected a plain name"):
        daemon.ask("/samplefit/suggest/file", str(bounce), "answer", "../reaper")


def test_a_hit_can_be_marked(daemon, bounce, folder):
    path = hits_of(daemon.ask("/samplefit/suggest/file", str(bounce), "k", 1))[0][2]
    for word in ("used", "like", "dislike"):
        assert daemon.ask(f"/samplefit/{word}", path)[-1].arguments[1:3] == (f"/samplefit/{word}", 1)
    with pytest.raises(Failed, match="not in the library") as caught:
        daemon.ask("/samplefit/like", str(folder / "stems/bass.wav"))
    assert caught.value.code == "not-found"


def test_status_says_what_runs(daemon):
    (reply,) = daemon.ask("/samplefit/status", id="s")
    assert reply.address == "/samplefit/status.reply"
    assert reply.arguments[0] == "s" and reply.arguments[2:] == ("test", "cpu", 30, 1, 0, 0)
    status = json.loads(samplefit("status", "--json", state=daemon.state).stdout)
    assert status["one_shots"] == 30 and status["by_type"]["kick"] == 5 and status["device"] == "cpu"
    assert status.keys() == {
        "version", "model", "device", "one_shots", "by_type", "pending", "skipped", "revision", "watching", "forests", "noise", "trouble", "folders",
    }  # fmt: skip
    assert [folder["state"] for folder in status["folders"]] == ["online"] and status["trouble"] == []


def sound(tmp_path, name, samples, rate=44100):
    soundfile.write(tmp_path / name, samples, rate, subtype="FLOAT")
    return str(tmp_path / name)


def nan(tmp_path):
    samples = tone(1.0)
    samples[5] = np.nan
    return sound(tmp_path, "nan.wav", samples)


def text(tmp_path):
    (tmp_path / "notes.wav").write_text("words")
    return str(tmp_path / "notes.wav")


def long(tmp_path):
    soundfile.write(tmp_path / "long.flac", np.zeros(3 * 3600 * 8000, np.int16), 8000)
    return str(tmp_path / "long.flac")


@pytest.mark.parametrize(
    ("make", "options", "code", "says"),
    [
        (lambda t: str(t / "gone.wav"), (), "not-found", "no such file"),
        (str, (), "refused", "a folder"),
        (text, (), "unreadable-audio", "expected wav, aiff"),
        (long, (), "too-long", "at most 900 s"),
        (nan, (), "no-signal", "NaN"),
        (lambda t: sound(t, "a.wav", np.zeros(0)), (), "no-signal", "no samples"),
        (lambda t: sound(t, "a.wav", np.ones(1)), (), "no-signal", "nothing above"),
        (lambda t: sound(t, "a.wav", np.zeros(44100)), (), "no-signal", "nothing above"),
        (lambda t: sound(t, "a.wav", np.full(44100, 0.5)), (), "no-signal", "nothing above"),
        (lambda t: sound(t, "a.wav", tone(1.0)), ("start", 5.0), "no-signal", "an end at 1.000 s"),
        (lambda t: sound(t, "a.wav", tone(1.0)), ("start", -1.0), "bad-request", "start from 0"),
        (lambda t: sound(t, "a.wav", tone(1.0)), ("length", 0.0), "bad-request", "length above 0"),
        (lambda t: sound(t, "a.wav", tone(1.0)), ("length", float("nan")), "bad-request", "length"),
        (lambda t: sound(t, "a.wav", tone(1.0)), ("k", 0), "bad-request", "k: found 0; expected 1 to 1000"),
        (lambda t: sound(t, "a.wav", tone(1.0)), ("k", -1), "bad-request", "k: found -1"),
        (lambda t: sound(t, "a.wav", tone(1.0)), ("k", 10_000), "bad-request", "k: found 10000"),
        (lambda t: sound(t, "a.wav", tone(1.0)), ("type", "kik"), "bad-request", "expected kick"),
        (lambda t: sound(t, "a.wav", tone(1.0)), ("preset", "plian"), "not-found", "expected plain"),
        (lambda t: sound(t, "a.wav", tone(1.0)), ("volume", 3), "bad-request", "unknown key"),
        (lambda t: sound(t, "a.wav", tone(1.0)), ("type", "clap"), "no-samples", "of this type"),
        (lambda t: sound(t, "a.wav", tone(1.0)), ("folder", "/nowhere"), "no-samples", "widen"),
    ],
)
def test_what_cannot_be_answered_says_why_and_the_next_press_is_answered(
    daemon, tmp_path, make, options, code, says
):
    with pytest.raises(Failed, match=says) as caught:
        daemon.ask("/samplefit/suggest/file", make(tmp_path), *options)
    assert caught.value.code == code
    good = sound(tmp_path, "good.wav", tone(1.0))
    assert len(daemon.ask("/samplefit/suggest/file", good, "k", 1)) == 7


def test_a_press_without_stems(daemon):
    with pytest.raises(Failed, match="send a stem first") as caught:
        daemon.ask("/samplefit/suggest", id="nobody")
    assert caught.value.code == "not-found"


def test_a_damaged_model_refuses_to_serve(folder, tmp_path):
    package = make_package(tmp_path / "bad")
    (package / "key.onnx").write_bytes((package / "query.onnx").read_bytes()[:-1])
    done = samplefit("serve", "--osc", "127.0.0.1:0", "--model", package, state=tmp_path / "state")
    assert done.returncode == 2 and done.stdout == ""
    assert "key.onnx: found sha256" in done.stderr and done.stderr.count("\n") == 1


def test_an_empty_library_says_what_to_do(folder, tmp_path):
    with (
        serving(tmp_path / "state", "--model", folder / "model") as daemon,
        pytest.raises(Failed, match="samplefit add") as caught,
    ):
        daemon.ask("/samplefit/suggest/file", str(folder / "stems/bass.wav"))
    assert caught.value.code == "no-samples"


def test_a_bounce_that_is_no_audio_is_told_before_a_library_is_scanned_for_it(folder, tmp_path):
    bounce = tmp_path / "bounce.wav"
    bounce.write_text("no audio")
    done = samplefit("suggest", bounce, "--folder", folder / "samples", state=tmp_path / "state")
    assert done.returncode == 2 and str(bounce) in done.stderr
    assert json.loads(samplefit("folders", "--json", state=tmp_path / "state").stdout) == []


def test_two_daemons_on_one_state_folder(daemon, folder):
    done = samplefit("serve", "--osc", "127.0.0.1:0", state=daemon.state)
    assert done.returncode == 2 and str(daemon.process.pid) in done.stderr and done.stderr.count("\n") == 1


def test_a_port_in_use(daemon, folder, tmp_path):
    done = samplefit(
        "serve", "--osc", f"127.0.0.1:{daemon.port}", "--model", folder / "model", state=tmp_path / "state"
    )
    assert done.returncode == 2 and str(daemon.port) in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "address", ["7040", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "127.0.0.1:-1", "0.0.0.0:0"]
)
def test_addresses_that_cannot_be(folder, tmp_path, address):
    done = samplefit("serve", "--osc", address, "--model", folder / "model", state=tmp_path / "state")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and address.split(":")[0] in done.stderr


def test_noise_is_counted_and_harms_nobody(daemon):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for seed in range(50):
            sock.sendto(np.random.default_rng(seed).bytes(seed * 7 + 1), ("127.0.0.1", daemon.port))
    assert daemon.ask("/samplefit/status")[0].arguments[4] == 30
    wait_until(lambda: json.loads(samplefit("status", "--json", state=daemon.state).stdout)["noise"] == 50)


def test_a_daemon_that_was_killed_starts_again_with_everything(folder, tmp_path):
    state = tmp_path / "state"
    bounce = str(folder / "stems/bass.wav")
    with serving(state, "--model", folder / "model") as daemon:
        daemon.ask("/samplefit/folder/add", str(folder / "samples"))
        before = hits_of(daemon.ask("/samplefit/suggest/file", bounce))
        revision = daemon.ask("/samplefit/sync")[0].arguments[1]
        daemon.process.send_signal(signal.SIGKILL)
        daemon.process.wait(60)
    assert (state / "daemon.json").exists(), "nobody was there to withdraw it"
    assert samplefit("folders", "--json", state=state).returncode == 0
    with serving(state, "--model", folder / "model") as daemon:
        same(before, hits_of(daemon.ask("/samplefit/suggest/file", bounce)))
        assert daemon.ask("/samplefit/sync")[0].arguments[1] == revision, "nothing was encoded anew"
    assert not (state / "daemon.json").exists()


def test_the_daemon_ends_in_order(folder, tmp_path):
    with serving(tmp_path / "state", "--model", folder / "model") as daemon:
        daemon.process.send_signal(signal.SIGINT)
        assert daemon.process.wait(60) == 0
    assert not (tmp_path / "state/daemon.json").exists()


def test_a_folder_named_at_the_start_is_followed(folder, tmp_path):
    with serving(tmp_path / "state", "--model", folder / "model", "--folder", folder / "samples") as daemon:
        daemon.ask("/samplefit/sync")
        assert daemon.ask("/samplefit/status")[0].arguments[4] == 30, "a sync once it is ready reads it, too"


def test_beyond_this_machine_only_with_a_token(folder, tmp_path):
    model = ("--model", folder / "model")
    with serving(tmp_path / "state", *model, osc="0.0.0.0:0", SAMPLEFIT_TOKEN="sesame") as daemon:
        with pytest.raises(Failed, match="token: found none, or another") as caught:
            daemon.ask("/samplefit/status", "token", "x" * 300)  # long: no refusal is longer than its request
        assert caught.value.code == "refused"
        assert daemon.ask("/samplefit/status", "token", "sesame")[0].arguments[2] == "test"


def test_another_model_takes_over_while_the_daemon_answers(folder, tmp_path):
    state = tmp_path / "state"
    other = make_package(tmp_path / "other", dim=64, seed=9, name="other")
    samplefit("model", "use", folder / "model", state=state)
    with serving(state) as daemon:
        daemon.ask("/samplefit/folder/add", str(folder / "samples"))
        bounce = str(folder / "stems/bass.wav")
        before = hits_of(daemon.ask("/samplefit/suggest/file", bounce, "preset", "plain"))
        assert samplefit("model", "use", other, state=state).returncode == 0
        names = set()
        while "other" not in names:
            assert len(hits_of(daemon.ask("/samplefit/suggest/file", bounce, "preset", "plain"))) == 30
            names.add(daemon.ask("/samplefit/status")[0].arguments[2])
        after = hits_of(daemon.ask("/samplefit/suggest/file", bounce, "preset", "plain"))
        assert [hit[3] for hit in after] != [hit[3] for hit in before]
        wait_until(
            lambda: json.loads(samplefit("status", "--json", state=state).stdout)["model"]["name"] == "other"
        )
        samplefit("model", "use", folder / "model", state=state)
        wait_until(lambda: daemon.ask("/samplefit/status")[0].arguments[2] == "test")
        same(before, hits_of(daemon.ask("/samplefit/suggest/file", bounce, "preset", "plain")))


def test_an_index_that_travels_and_a_cleaning_to_undo(folder, tmp_path):
    samples = tmp_path / "samples"
    write_library(samples)
    serve = ("--model", folder / "model")
    with serving(tmp_path / "state", *serve) as daemon:
        assert samplefit("add", samples, "--portable", state=daemon.state).returncode == 0
        (row,) = json.loads(samplefit("folders", "--json", state=daemon.state).stdout)
        assert row == {
            "path": str(samples), "state": "online", "one_shots": 30, "skipped": 0, "portable": True, "emptied_at": None,
        }  # fmt: skip
        found = samplefit("restore", samples, state=daemon.state)
        assert found.returncode == 2 and "no folder that was cleaned" in found.stderr
    assert (samples / ".samplefit").is_dir()
    with serving(tmp_path / "another", *serve) as daemon:
        daemon.ask("/samplefit/folder/add", str(samples), "portable", 1)
        assert daemon.ask("/samplefit/status")[-1].arguments[4] == 30
