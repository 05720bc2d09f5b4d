"""The starter corpus's sound: kits, productions, FluidSynth, and whole songs on disk."""

from __future__ import annotations

import ctypes.util
import tomllib
from dataclasses import replace
from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.starter import Sources, render_starter
from trainer.starter.drums import play_kit
from trainer.starter.kits import DRUMS, Kit, cell_of_song, choose, drum_of, list_kits, side
from trainer.starter.production import Production, draw_production, produce
from trainer.starter.score import as_notes
from trainer.starter.synth import DRUM_BANK, Channel, play
from trainer.starter.synthetic import synthesise
from trainer.stems import read_song

RATE = 44_100
FLAT = Production(0.0, 0.0, (1000.0, 0.0), None, None, None, None, None, None, None, None, None, -3.0)
SOUNDFONT = next(
    (path for path in sorted(Path("/usr/share/sounds").rglob("*.sf[23]")) if "TimGM" not in path.name), None
)
needs_synth = pytest.mark.skipif(
    ctypes.util.find_library("fluidsynth") is None or SOUNDFONT is None,
    reason="FluidSynth and a General MIDI soundfont are not installed",
)


def spectral_centre(sound: np.ndarray) -> float:
    power = np.abs(np.fft.rfft(sound)) ** 2
    return float((np.fft.rfftfreq(len(sound), 1 / RATE) * power).sum() / power.sum())


def write_kit(folder: Path) -> Path:
    """One-shots of a known acoustic kit and a known electronic one, and a file that is no sound."""
    for kit, prefix in (("hydrogen", "ForzeeStereo"), ("hydrogen", "HardElectro1")):
        for drum in ("kick", "snare", "hihat", "crash", "tom", "ride"):
            (folder / kit / drum).mkdir(parents=True, exist_ok=True)
            soundfile.write(
                folder / kit / drum / f"{prefix}_{drum}.flac", synthesise(len(prefix), drum), RATE
            )
    (folder / "hydrogen" / "kick" / "ForzeeStereo_kick_2.flac").write_bytes(b"fLaC but no more")
    return folder


def write_song(path: Path, n_bars: int = 14) -> Path:
    """A kick and a snare to a bar of two seconds, and two held parts."""
    file = mido.MidiFile(ticks_per_beat=480)
    for channel, notes in ((9, (36, 38)), (0, (48,)), (1, (64,))):
        track = mido.MidiTrack()
        for _ in range(n_bars):
            for note in notes:
                track.append(mido.Message("note_on", channel=channel, note=note, velocity=100))
                track.append(mido.Message("note_off", channel=channel, note=note, time=1920 // len(notes)))
        file.tracks.append(track)
    path.parent.mkdir(parents=True, exist_ok=True)
    file.save(path)
    return path


def test_versions_of_a_tune_lie_in_one_cell_and_left_out_sources_in_theirs() -> None:
    assert cell_of_song("simutrans", "anything") == "held-out" == cell_of_song("modules", "x")
    assert cell_of_song("madadog", "anything") == "train" == cell_of_song("game-modules", "x")
    cells = [cell_of_song("openmsx", f"song-{number}") for number in range(2000)]
    shares = {cell: cells.count(cell) / 2000 for cell in set(cells)}
    assert shares == pytest.approx({"train": 0.72, "eval": 0.06, "test": 0.17, "held-out": 0.05}, abs=0.03)
    assert [side(cell) for cell in ("train", "eval", "test", "held-out")] == [
        "train",
        "eval",
        "test",
        "test",
    ]


@pytest.mark.parametrize(
    ("name", "drum"),
    [
        ("snare/EE_Clap_Hard", "clap"),
        ("snare/avl_37-SideStick-1", "percussion"),
        ("hihat/oh_10_oh_switchangel", "openhat"),
        ("hihat/EE_Hat_Op_Dirty", "openhat"),
        ("crash/drum_cymbal_pedal", "hihat"),
        ("crash/China-3", "crash"),
        ("kick/Audio_7", "kick"),
        ("tom/lt_10_lt_mot4i", "tom"),
    ],
)
def test_a_kits_sound_is_known_by_its_name_before_its_folder(name: str, drum: str) -> None:
    assert drum_of(Path(name + ".flac")) == drum


def test_every_cell_of_the_real_one_shots_has_both_origins_and_the_common_drums(shared: Path) -> None:
    kits = list_kits(shared / "corpus" / "one-shots", ())
    for cell in ("train", "eval", "test", "held-out"):
        here = [kit for kit in kits if kit.cell == cell]
        assert {kit.origin for kit in here} == {"electronic", "acoustic"}
        assert {"kick", "snare", "hihat", "crash", "tom", "ride"} <= {
            drum for kit in here for drum in kit.sounds
        }


def test_a_damaged_one_shot_costs_itself_alone(tmp_path: Path) -> None:
    (forzee, electro) = list_kits(write_kit(tmp_path), ())
    assert (forzee.name, electro.name) == ("forzee", "hard-electro")
    assert [path.name for path in forzee.sounds["kick"]] == ["ForzeeStereo_kick.flac"]


@given(
    seed=st.integers(0, 10_000),
    cell=st.sampled_from(["train", "test"]),
    origin=st.sampled_from(["electronic", "acoustic"]),
)
def test_no_kit_plays_outside_of_its_cell(seed: int, cell: str, origin: str) -> None:
    sounds = {"kick": (Path("x"),)}
    kits = tuple(
        Kit(f"{c}-{o}", c, o, "", sounds) for c in ("train", "test") for o in ("electronic", "acoustic")
    )
    chosen = choose(kits, cell, origin, np.random.default_rng(seed))
    assert {kit.cell for kit in chosen} == {cell}
    assert chosen[0].origin == origin


def test_a_calculated_drum_is_its_seeds_alone_and_sounds_its_type() -> None:
    for drum in DRUMS:
        sound = synthesise(7, drum)
        np.testing.assert_array_equal(sound, synthesise(7, drum))
        assert np.abs(sound).max() == pytest.approx(1.0)
        assert len(sound) <= 2.5 * RATE and abs(sound[-1]) < 1e-3
    for seed in range(12):
        centres = [spectral_centre(synthesise(seed, drum)) for drum in ("kick", "snare", "hihat")]
        assert centres[0] < 900 and centres[0] < centres[1] and centres[2] > 4000


def test_hits_lie_at_their_notes_and_loud_ones_are_louder(tmp_path: Path) -> None:
    kits = list_kits(write_kit(tmp_path), ())
    notes = as_notes([(0.5, 0.5, 38, 127), (1.5, 0.5, 38, 40)])
    stems, names = play_kit(kits[:1], {"snare": notes}, 3 * RATE, np.random.default_rng(0))
    assert names == ("forzee",)
    snare = np.abs(stems["snare"])
    assert not snare[: round(0.5 * RATE)].any()
    assert snare[round(0.5 * RATE) : round(0.51 * RATE)].max() > 0.1
    assert snare[round(1.5 * RATE) :].max() == pytest.approx((40 / 127) ** 1.6 * snare.max(), rel=0.02)


def test_a_closed_hihat_ends_the_open_one() -> None:
    kit = Kit("k", "train", "electronic", "", {}, synthetic=5)
    open_only = as_notes([(0.0, 0.5, 46, 127)])
    both = as_notes([(0.0, 0.5, 46, 127), (0.1, 0.5, 42, 1)])
    alone, choked = (
        play_kit((kit,), {"hihat": notes}, RATE, np.random.default_rng(0))[0]["hihat"]
        for notes in (open_only, both)
    )
    late = slice(round(0.12 * RATE), round(0.3 * RATE))
    assert np.abs(choked[late]).max() < 0.2 * np.abs(alone[late]).max()


def test_what_a_kit_lacks_the_next_one_lends(tmp_path: Path) -> None:
    forzee, electro = list_kits(write_kit(tmp_path), ())
    poor = replace(forzee, sounds={"kick": forzee.sounds["kick"]})
    drums = {
        "kick": as_notes([(0, 1, 36, 100)]),
        "snare": as_notes([(0, 1, 38, 100)]),
        "clap": as_notes([(0, 1, 39, 100)]),
    }
    stems, names = play_kit((poor, electro), drums, RATE, np.random.default_rng(0))
    assert set(stems) == {"kick", "snare"}  # no clap anywhere
    assert names == ("forzee", "hard-electro")


def clicks() -> tuple[dict[str, np.ndarray], dict[str, str | None]]:
    """Stems of two seconds: a hit at 0.5 s, and a tone with a gap."""
    hit = np.zeros(2 * RATE, np.float32)
    sound = synthesise(1, "snare")[: RATE // 2]
    hit[RATE // 2 : RATE // 2 + len(sound)] = sound
    tone = (0.3 * np.sin(2 * np.pi * 220 * np.arange(2 * RATE) / RATE)).astype(np.float32)
    return {"snare": hit, "part-01": tone, "kick": hit[::-1].copy()}, {
        "snare": "snare",
        "part-01": None,
        "kick": "kick",
    }


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"drive_db": 12.0},
        {"tape_hz": 5000.0},
        {"bus": (-6.0, 4.0)},
        {"clip_db": 6.0},
        {"bits": 8},
        {"rate_hz": 12000.0},
        {"codec": 0.5},
        {"room": (0.3, 6000.0, -25.0)},
    ],
    ids=lambda change: next(iter(change), "flat"),
)
def test_no_treatment_moves_a_hit_or_changes_the_length(change: dict) -> None:
    stems, kinds = clicks()
    done = produce(stems, kinds, replace(FLAT, **change), np.random.default_rng(4))
    snare = np.abs(done["snare"])
    assert {len(audio) for audio in done.values()} == {2 * RATE}
    begins = int(np.argmax(snare > 0.25 * snare.max()))
    assert abs(begins - int(np.argmax(np.abs(stems["snare"]) > 0.25))) < 0.003 * RATE


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000), origin=st.sampled_from(["electronic", "acoustic"]))
def test_a_produced_mix_is_finite_and_peaks_where_it_should(seed: int, origin: str) -> None:
    stems, kinds = clicks()
    production = draw_production(np.random.default_rng(seed), origin)
    done = produce(stems, kinds, production, np.random.default_rng(seed))
    mix = sum(done.values())
    assert 20 * np.log10(np.abs(mix).max()) == pytest.approx(production.peak_db, abs=0.01)
    again = produce(stems, kinds, production, np.random.default_rng(seed))
    for name, audio in done.items():
        np.testing.assert_array_equal(audio, again[name])


def test_the_bus_gives_every_stem_one_gain() -> None:
    stems, kinds = clicks()
    plain = produce(stems, kinds, FLAT, np.random.default_rng(2))
    pressed = produce(stems, kinds, replace(FLAT, clip_db=12.0), np.random.default_rng(2))
    heard = (np.abs(plain["snare"]) > 1e-2) & (np.abs(plain["part-01"]) > 1e-2)
    gains = [pressed[name][heard] / plain[name][heard] for name in ("snare", "part-01")]
    assert heard.sum() > 100 and np.ptp(gains[0]) > 0.1
    np.testing.assert_allclose(gains[0], gains[1], rtol=1e-3)


@needs_synth
def test_channels_sound_apart_and_the_same_each_time() -> None:
    channels = [
        Channel(0, 0, as_notes([(0.5, 0.5, 60, 100)])),
        Channel(DRUM_BANK, 0, as_notes([(1.0, 0.5, 36, 120)])),
        Channel(0, 48, as_notes([])),
    ]
    one, two = (play(SOUNDFONT, channels, 2 * RATE) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert one.shape == (3, 2 * RATE)
    assert not np.abs(one[0, : round(0.499 * RATE)]).max() > 1e-4 and np.abs(one[0]).max() > 0.01
    assert not np.abs(one[1, : round(0.999 * RATE)]).max() > 1e-4 and np.abs(one[1]).max() > 0.01
    assert np.abs(one[2]).max() < 1e-4


@needs_synth
def test_a_corpus_renders_resumes_and_comes_out_the_same_again(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_song(tmp_path / "midi" / "openmsx" / f"{name}.mid")
    write_song(tmp_path / "midi" / "openmsx" / "short.mid", n_bars=2)
    sources = Sources(tmp_path / "midi", None, None, None, write_kit(tmp_path / "kits"), (SOUNDFONT,))
    told = []
    report = render_starter(tmp_path / "out", sources, 5, 1, told.append, n_variants=1)
    assert [told[-1].n_done, told[-1].n_total, told[-1].n_dropped] == [3, 3, 1]
    assert report.dropped[0][0] == "openmsx__short__v1" and "s long" in report.dropped[0][1]
    assert (report.n_variants, report.n_songs) == (2, 2) and report.n_stems >= 6

    folder = tmp_path / "out" / "openmsx__one__v1"
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    kept = (tmp_path / "out" / "openmsx__two__v1" / "song.toml").stat().st_mtime_ns
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    render_starter(tmp_path / "out", sources, 5, 1, n_variants=1)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first
    assert (tmp_path / "out" / "openmsx__two__v1" / "song.toml").stat().st_mtime_ns == kept

    song = read_song(folder)
    assert song.notes == ()  # the trainer knows every key
    assert (song.source, song.song, song.held_out_source) == ("openmsx", "openmsx/one", False)
    assert {stem.type for stem in song.stems} <= {"kick", "snare", None}
    assert sum(stem.type is None for stem in song.stems) == 2
    facts = tomllib.loads((folder / "song.toml").read_text())
    assert set(facts["stems"]) == {f"{stem.name}.flac" for stem in song.stems if stem.type}
    mix = sum(soundfile.read(stem.path)[0] for stem in song.stems)
    assert 0.3 < np.abs(mix).max() < 1.0
