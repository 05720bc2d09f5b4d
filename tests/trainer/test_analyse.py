"""Planted relations are found and put into words; where there are none, none are."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile

from encoders.errors import NoSamples
from trainer.analyse import (
    COLUMNS,
    adjusted,
    correlate,
    features_of_sounds,
    findings,
    keys_of_sounds,
    sounds_of_corpus,
    sounds_of_folder,
)
from trainer.heatmaps import write_analysis

N_GROUPS = 24
WARM, BRIGHT, ROUGH = (COLUMNS.index(name) for name in ("warmth", "brightness", "roughness"))


def planted(related: bool, seed: int = 0):
    """24 heaps of keys; the warmth of the snares and the brightness of the crashes in them have one cause."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((N_GROUPS, 32))
    group = np.repeat(np.arange(N_GROUPS), 10)
    types = np.array(["snare", "crash"] * 5 * N_GROUPS)
    keys = centres[group] + 0.05 * rng.standard_normal((len(group), 32))
    features = rng.standard_normal((len(group), len(COLUMNS)))
    if related:
        cause = 3 * rng.standard_normal(N_GROUPS)[group]
        features[types == "snare", WARM] += cause[types == "snare"]
        features[types == "crash", BRIGHT] -= cause[types == "crash"]
    features[:, -1] = np.nan
    keys /= np.linalg.norm(keys, axis=1, keepdims=True)
    return keys.astype(np.float32), types, features


def test_a_planted_relation_is_found_and_said():
    pairs = correlate(*planted(True))
    assert [pair.types for pair in pairs] == [("snare", "crash")] and pairs[0].n_clusters == N_GROUPS
    found = findings(pairs)
    assert found[0].features == ("warmth", "brightness") and found[0].r < -0.9
    assert found[0].text.startswith("Where the snare is warm, the crash is seldom bright: r = -0.9")
    assert len(found) == 1 and np.isnan(pairs[0].r[-1]).all(), "nobody said what is electronic"


def test_the_correlation_is_numpys_over_the_clusters():
    keys, types, features = planted(True)
    means = {
        name: [
            features[(np.arange(len(types)) // 10 == g) & (types == name)].mean(axis=0)
            for g in range(N_GROUPS)
        ]
        for name in ("snare", "crash")
    }
    snare, crash = (np.array(means[name])[:, column] for name, column in (("snare", WARM), ("crash", ROUGH)))
    assert correlate(keys, types, features)[0].r[WARM, ROUGH] == pytest.approx(
        np.corrcoef(snare, crash)[0, 1], abs=1e-9
    )


def test_without_a_relation_nothing_is_said():
    assert [len(findings(correlate(*planted(False, seed)))) for seed in range(3)] == [0, 0, 0]


def test_benjamini_and_hochberg():
    # The step-up values by hand: p * 5 / place, then the smallest of those from there on.
    q = adjusted(np.array([0.01, 0.04, np.nan, 0.03, 0.005, 0.8]))
    assert q == pytest.approx([0.025, 0.05, np.nan, 0.05, 0.025, 0.8], nan_ok=True)


@pytest.mark.parametrize(("n", "says"), [(20, "at least 24"), (None, "no two in 5 clusters")])
def test_too_little_is_refused(n, says):
    keys, types, features = planted(True)
    if n is None:
        types = np.full(len(types), "snare")
    with pytest.raises(NoSamples, match=says):
        correlate(keys[:n], types[:n], features[:n])


def test_a_corpus_gives_each_sample_once_with_its_origin(small_corpus):
    sounds = sounds_of_corpus(small_corpus, most=5)
    assert len(sounds.names) == 15 and set(sounds.electronic) == {0.0, 1.0}
    assert all(name.endswith(kind) for name, kind in zip(sounds.names, sounds.types, strict=True))
    keys = keys_of_sounds(sounds, lambda windows: windows[:, :8], lambda done, total: None)
    assert keys.shape == (15, 8)


def test_a_folder_is_typed_by_names_and_its_bad_files_are_told(songs, tmp_path):
    rng = np.random.default_rng(0)
    for kind in ("kick", "snare"):
        songs.write(tmp_path / f"{kind} 1.wav", songs.hit(kind, rng))
    songs.write(tmp_path / "voice.wav", songs.hit("kick", rng))
    (tmp_path / "crash.wav").write_bytes(b"no audio")
    sounds, skipped = sounds_of_folder(tmp_path, most=10)
    assert sounds.names == ("kick 1.wav", "snare 1.wav") and len(skipped) == 1 and "crash.wav" in skipped[0]
    table = features_of_sounds(sounds, 1, lambda done, total: None)
    assert (
        table.shape == (2, len(COLUMNS)) and np.isnan(table[:, -1]).all() and np.isfinite(table[:, :-1]).all()
    )
    with pytest.raises(NoSamples):
        sounds_of_folder(tmp_path / "none", most=10)


def test_the_page_and_the_numbers_tell_the_same(tmp_path):
    pairs = correlate(*planted(True))
    write_analysis(tmp_path, pairs, {"model": "<b>test</b>", "n_one_shots": 240})
    told = json.loads((tmp_path / "analysis.json").read_text())
    assert told["pairs"][0]["r"][WARM][BRIGHT] == pytest.approx(pairs[0].r[WARM, BRIGHT], abs=1e-6)
    page = (tmp_path / "index.html").read_text()
    assert told["findings"][0]["text"] in page and "&lt;b&gt;test" in page and "<!--" not in page
    assert "http" not in page and (tmp_path / "snare-crash.png").read_bytes().startswith(b"\x89PNG")


def test_sounds_can_be_described_in_other_processes(songs, tmp_path):
    for row in range(3):
        soundfile.write(tmp_path / f"kick {row}.wav", songs.hit("kick", np.random.default_rng(row)), 44100)
    sounds, _ = sounds_of_folder(tmp_path, most=10)
    here = features_of_sounds(sounds, 1, lambda done, total: None)
    there = features_of_sounds(sounds, 2, lambda done, total: None)
    assert np.array_equal(here, there, equal_nan=True)
