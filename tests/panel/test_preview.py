"""What is heard, by numbers: loudness, beats, onsets, and hits in the mix."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
from conftest import SAMPLE_RATE
from hypothesis import given, settings
from hypothesis import strategies as st

from encoders.audio import read_audio, read_frames
from plugin_bridge.panel.loudness import SILENT_LUFS, integrated_lufs
from plugin_bridge.panel.preview import cut_loop, matched, place, target_lufs, wav
from plugin_bridge.panel.rhythm import (
    PATTERNS,
    USUAL_PATTERN,
    Beat,
    Loop,
    choose_loop,
    find_beat,
    find_onsets,
    grid,
)
from plugin_bridge.panel.sounds import from_attack, outline


def tone(seconds, hz=997.0, level=1.0):
    return (level * np.sin(2 * np.pi * hz * np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE)).astype(
        np.float32
    )


def click(seconds=0.05, seed=0):
    n = round(seconds * SAMPLE_RATE)
    noise = np.random.default_rng(seed).standard_normal(n)
    return (noise * np.exp(-np.arange(n) / (0.01 * SAMPLE_RATE))).astype(np.float32)


def mono(samples):
    """(T,) → (T, 1)."""
    return samples[:, None]


def test_a_sine_on_both_loudspeakers_is_as_loud_as_its_peak_and_mono_comes_out_of_both():
    """EBU 3341, the first case: 1 kHz at -23 dBFS in both channels is -23 LUFS."""
    sine = mono(tone(20, 1000, 10 ** (-23 / 20)))
    assert integrated_lufs(np.repeat(sine, 2, axis=1)) == pytest.approx(-23, abs=0.1)
    assert integrated_lufs(sine) == pytest.approx(-23, abs=0.1)
    left = np.concatenate([sine, np.zeros_like(sine)], axis=1)
    assert integrated_lufs(left) == pytest.approx(-23 - 3.01, abs=0.1)
    assert integrated_lufs(np.concatenate([sine, -sine], axis=1)) == pytest.approx(-23, abs=0.1)


def recommended_gain_db(hz):
    """BS.1770-4, tables 1 and 2: the two filters at 48 kHz."""
    z = np.exp(-2j * np.pi * hz / 48_000)
    shelf = np.polyval((1.19839281085285, -2.69169618940638, 1.53512485958697), z)
    shelf /= np.polyval((0.73248077421585, -1.69065929318241, 1.0), z)
    high_pass = np.polyval((1.0, -2.0, 1.0), z) / np.polyval((0.99007225036621, -1.99004745483398, 1.0), z)
    return 20 * np.log10(abs(shelf * high_pass))


@pytest.mark.parametrize("hz", [40, 100, 500, 2000, 5000])
def test_the_weighting_follows_the_recommendation(hz):
    found = integrated_lufs(mono(tone(10, hz))) - integrated_lufs(mono(tone(10)))
    assert found == pytest.approx(recommended_gain_db(hz) - recommended_gain_db(997), abs=0.05)


def test_silence_between_does_not_make_it_softer():
    """EBU 3341, the gate: what is 10 LU below the rest does not count."""
    loud, soft = mono(tone(20, level=0.1)), mono(tone(20, level=0.001))
    assert integrated_lufs(np.concatenate([soft, loud, soft])) == pytest.approx(
        integrated_lufs(loud), abs=0.1
    )
    assert integrated_lufs(np.zeros((SAMPLE_RATE, 2), np.float32)) == SILENT_LUFS


@settings(max_examples=20)
@given(st.floats(-40, -6), st.integers(1, 40), st.sampled_from([(1.0,), (1.0, 1.0), (1.0, 0.2), (1.0, -1.0)]))
def test_a_hit_comes_out_as_loud_as_it_should(lufs, n, pan):
    loop = Loop(0, 4 * SAMPLE_RATE, 120, 2)
    at = np.linspace(0, loop.length, n, endpoint=False).astype(int)
    track = matched(mono(click()) * np.float32(pan), at, loop.length, lufs)
    assert track.shape == (loop.length, len(pan))
    assert integrated_lufs(track) == pytest.approx(lufs, abs=0.05)


def test_a_hit_takes_the_level_of_the_track_that_it_replaces():
    music, soft = mono(tone(4, level=0.5)), mono(tone(4, level=0.1))
    assert target_lufs(music, soft) == pytest.approx(integrated_lufs(soft))
    assert target_lufs(music, np.zeros_like(music)) == target_lufs(music, None) < integrated_lufs(music)


def test_a_hit_rings_on_across_the_end_of_the_loop():
    hit = np.arange(1, 8, dtype=np.float32)[:, None] * np.float32([1, -1])
    assert place(hit, np.array([3]), 5)[:, 0].tolist() == [3, 4, 5, 1 + 6, 2 + 7]
    assert place(hit, np.array([0, 1]), 100)[:8, 1].tolist() == [-1, -3, -5, -7, -9, -11, -13, -7]


def test_the_loop_closes_without_a_step():
    samples = mono(tone(3, 100)) * np.float32([1, 0.5])
    loop = cut_loop(samples, Loop(SAMPLE_RATE, SAMPLE_RATE + 123, 120, 0))
    largest = np.abs(np.diff(samples, axis=0)).max(axis=0)
    assert (np.abs(loop[0] - loop[-1]) < 2 * largest).all()
    assert np.array_equal(loop[: SAMPLE_RATE - 200], samples[SAMPLE_RATE : 2 * SAMPLE_RATE - 200])


@pytest.mark.parametrize(("n_channels", "kept"), [(1, 1), (2, 2), (6, 1)])
@pytest.mark.parametrize("sample_rate", [SAMPLE_RATE, 48_000])
def test_ears_hear_the_channels_whose_mean_the_encoders_hear(tmp_path, n_channels, kept, sample_rate):
    path = tmp_path / "a.wav"
    frames = np.random.default_rng(n_channels).uniform(-0.5, 0.5, (sample_rate, n_channels))
    soundfile.write(path, frames, sample_rate, subtype="FLOAT")
    heard = read_frames(path)
    assert heard.shape[1] == kept
    assert np.abs(heard.mean(axis=1) - read_audio(path)).max() < 1e-6


def test_a_sound_goes_out_as_it_is():
    samples = np.random.default_rng(1).standard_normal((1000, 2)).astype(np.float32)
    back, rate = soundfile.read(io.BytesIO(wav(samples)), dtype="float32")
    assert rate == SAMPLE_RATE and np.array_equal(back, samples)


@pytest.mark.parametrize("bpm", [80.0, 90.0, 112.0, 128.0, 140.0, 174.0])
@pytest.mark.parametrize("first_s", [0.0, 0.13])
def test_the_beat_of_a_clicking_song_is_found(bpm, first_s):
    samples = 0.01 * np.random.default_rng(2).standard_normal(20 * SAMPLE_RATE).astype(np.float32)
    beat_s = 60 / bpm
    for n in range(int((20 - first_s) / (beat_s / 2)) - 1):
        start = round((first_s + n * beat_s / 2) * SAMPLE_RATE)
        hit = click(seed=n % 2) * (1.0 if n % 2 == 0 else 0.15)
        samples[start : start + len(hit)] += hit
    beat = find_beat(samples)
    assert beat.bpm == bpm
    assert beat.first / SAMPLE_RATE == pytest.approx(first_s, abs=0.02)


def test_the_beat_is_looked_for_where_something_plays():
    samples = np.zeros(100 * SAMPLE_RATE, np.float32)
    for n in range(150, 190):
        start = round(n * 60 / 125 * SAMPLE_RATE)
        samples[start : start + len(click())] += click()
    assert find_beat(samples) == Beat(125.0, 0)


def test_the_beat_of_the_demo_song_is_found(sounds):
    stems = [read_audio(path) for path in sorted((sounds / "stems").glob("*.wav"))]
    beat = find_beat(sum(stems))
    assert beat == Beat(112.0, 0)
    loop = choose_loop(sum(stems), beat)
    assert (loop.start, loop.n_bars) == (0, 4)
    assert loop.length / SAMPLE_RATE == pytest.approx(16 * 60 / 112, abs=0.001)


def test_the_loudest_bars_are_chosen_and_a_short_bounce_is_played_whole():
    beat = Beat(120.0, 0)
    samples = 0.01 * tone(32)
    samples[16 * SAMPLE_RATE : 24 * SAMPLE_RATE] *= 50
    assert choose_loop(samples, beat) == Loop(16 * SAMPLE_RATE, 8 * SAMPLE_RATE, 120.0, 4)
    assert choose_loop(tone(1.5), beat) == Loop(0, round(1.5 * SAMPLE_RATE), 120.0, 0)


@settings(max_examples=30)
@given(st.lists(st.integers(0, 38), min_size=1, max_size=12, unique=True), st.integers(0, 3))
def test_onsets_are_found_where_they_are(places, seed):
    at = np.array(sorted(places)) * SAMPLE_RATE // 10 + 2000
    samples = place(mono(click(0.09, seed)), at, 4 * SAMPLE_RATE)[:, 0]
    found = find_onsets(samples)
    assert len(found) == len(at)
    assert np.abs(found - at).max() < 0.003 * SAMPLE_RATE


def test_patterns_strike_where_they_say():
    loop = Loop(0, 2 * 2 * SAMPLE_RATE, 120.0, 2)
    beats = lambda pattern: (grid(loop, pattern) / (SAMPLE_RATE / 2)).tolist()  # noqa: E731
    assert beats(USUAL_PATTERN["kick"]) == [0, 2, 4, 6]
    assert beats(USUAL_PATTERN["snare"]) == [1, 3, 5, 7]
    assert len(beats(USUAL_PATTERN["hihat"])) == 16
    assert set(USUAL_PATTERN.values()) <= set(PATTERNS)


def test_a_hit_begins_at_its_attack():
    silent, hit = np.zeros((5000, 2), np.float32), mono(click()) * np.float32([0, 1])
    assert len(from_attack(np.concatenate([silent, hit]))) == pytest.approx(len(hit), abs=50)
    assert len(from_attack(silent)) == 5000


@given(st.integers(1, 3000), st.integers(1, 500))
def test_an_outline_holds_the_largest_peak(n_samples, n_peaks):
    samples = np.random.default_rng(n_samples).standard_normal((n_samples, 2)).astype(np.float32)
    peaks = outline(samples, n_peaks)
    assert len(peaks) == n_peaks and max(peaks) == 255 and min(peaks) >= 0
