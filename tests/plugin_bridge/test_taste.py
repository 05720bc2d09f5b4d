"""Learning from marks by the real daemon: marks over OSC lean a later press, plain stays, unlearn restores."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import soundfile
from daemon import samplefit, serving
from packages import make_package
from scipy.signal import lfilter

SAMPLE_RATE = 44_100
N_KICKS = 80


def noise(seed: int, colour: float, seconds: float) -> np.ndarray:
    """(T,) float32: noise through a one-pole filter, dull at colour .95, bright at 0."""
    white = np.random.default_rng(seed).standard_normal(round(seconds * SAMPLE_RATE))
    sound = lfilter([1], [1, -colour], white)
    return (0.3 * sound / np.abs(sound).max()).astype(np.float32)


def colour_of(path: str) -> float:
    """As `library` wrote it into the name."""
    return float(os.path.basename(path).split()[1].removesuffix(".wav"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model; kicks from dull to bright; bounces of as many colours."""
    folder = tmp_path_factory.mktemp("taste")
    make_package(folder / "model")
    (folder / "samples").mkdir()
    colours = np.linspace(0, 0.95, N_KICKS)
    for number, colour in enumerate(np.random.default_rng(0).permutation(colours)):
        name = f"kick {colour:.4f}.wav"
        soundfile.write(folder / "samples" / name, noise(number, colour, 0.1), SAMPLE_RATE, subtype="FLOAT")
    for number, colour in enumerate(np.linspace(0.05, 0.9, 15)):
        soundfile.write(folder / f"bounce {number}.wav", noise(1000 + number, colour, 1.0), SAMPLE_RATE)
    return folder


def press(daemon, folder, number: int, *options: object) -> list[tuple[str, float]]:
    """Path and score of each kick, by rank."""
    bounce = str(folder / f"bounce {number}.wav")
    replies = daemon.ask("/samplefit/suggest/file", bounce, "type", "kick", *options)
    return [(reply.arguments[5], reply.arguments[4]) for reply in replies[:-1]]


def told(daemon, folder, number: int, *options: object) -> dict:
    """The same press as JSON."""
    press(daemon, folder, number, "answer", "told", *options)
    return json.loads((daemon.state / "answers/told.json").read_text())


def test_a_producer_who_likes_it_dull(folder):
    samplefit("model", "use", folder / "model", state=folder / "state")
    with serving(folder / "state") as daemon:
        daemon.ask("/samplefit/folder/add", str(folder / "samples"))
        before, plain = press(daemon, folder, 7), press(daemon, folder, 7, "preset", "plain")
        assert told(daemon, folder, 7)["learned"] == 0
        marked: set[str] = set()
        for number in range(15):
            paths = sorted((path for path, _ in press(daemon, folder, number)), key=colour_of)
            for path, word in ((paths[-1], "like"), (paths[-2], "used"), (paths[0], "dislike")):
                if path not in marked:
                    marked.add(path)
                    daemon.ask(f"/samplefit/{word}", path)
        assert len(marked) >= 20
        after = press(daemon, folder, 7)
        assert np.mean([colour_of(path) for path, _ in after]) > np.mean(
            [colour_of(path) for path, _ in before]
        )
        scores = dict(press(daemon, folder, 7, "preset", "plain", "k", 1000))
        assert len(scores) == N_KICKS
        assert all(score == pytest.approx(scores[path], abs=1e-6) for path, score in after), (
            "still the cosine"
        )
        assert press(daemon, folder, 7, "preset", "plain") == plain
        assert len(press(daemon, folder, 7, "k", 1000)) == N_KICKS, "no hit is hidden"
        document = told(daemon, folder, 7)
        assert document["learned"] == len(marked)
        assert [hit["path"] for hit in document["hits"]] == [path for path, _ in after]
        assert told(daemon, folder, 7, "preset", "plain")["learned"] == 0
        shell = samplefit("suggest", folder / "bounce 7.wav", state=daemon.state)
        assert f"order learned from {len(marked)} marks" in shell.stdout

    with serving(folder / "state") as daemon:  # a restart keeps it
        assert press(daemon, folder, 7) == after
        gone = sorted(marked)[:5]
        for path in gone:
            os.rename(path, f"{path}.away")
        daemon.ask("/samplefit/sync")
        still = told(daemon, folder, 7)
        assert still["learned"] == len(marked)
        assert not {hit["path"] for hit in still["hits"]} & set(gone)
        for path in gone:
            os.rename(f"{path}.away", path)
        daemon.ask("/samplefit/sync")
        assert press(daemon, folder, 7) == after
        done = samplefit("unlearn", state=daemon.state)
        assert done.returncode == 0 and done.stdout.startswith(f"{len(marked)} marks"), done.stderr
        assert press(daemon, folder, 7) == before
        assert told(daemon, folder, 7)["learned"] == 0
    assert samplefit("unlearn", state=folder / "state").stdout == "0 marks count no longer\n"
