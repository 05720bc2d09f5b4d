"""The starter corpus's sources: notes out of MIDI files, LMMS projects, grooves and modules, and what is left out."""

from __future__ import annotations

import ctypes.util
import zlib
from pathlib import Path

import mido
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoders.errors import NotFound
from trainer.starter import Sources
from trainer.starter.finished import kind_of
from trainer.starter.grooves import _song, list_grooves
from trainer.starter.kits import cell_of_song
from trainer.starter.lmms import read_lmms
from trainer.starter.midi import read_midi
from trainer.starter.modules import take_module
from trainer.starter.plan import list_songs
from trainer.starter.score import Control, Part, Score, Unusable, as_notes, cut, excerpt


def write_midi(path: Path, n_bars: int = 16, programs: tuple[int, ...] = (33, 0)) -> Path:
    """A song at 120 beats a minute that slows to 60 after half of its bars: kick on one, snare on three."""
    file = mido.MidiFile(ticks_per_beat=480)
    head = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=500_000)])
    head.append(mido.MetaMessage("set_tempo", tempo=1_000_000, time=480 * 4 * (n_bars // 2)))
    drums = mido.MidiTrack()
    for _ in range(n_bars):
        for note in (36, 38):
            drums.append(mido.Message("note_on", channel=9, note=note, velocity=100))
            drums.append(mido.Message("note_on", channel=9, note=note, velocity=0, time=960))
    file.tracks += [head, drums]
    for channel, program in enumerate(programs):
        track = mido.MidiTrack([mido.Message("program_change", channel=channel, program=program)])
        for _ in range(n_bars):
            track.append(mido.Message("note_on", channel=channel, note=48 + 12 * channel, velocity=90))
            track.append(mido.Message("note_off", channel=channel, note=48 + 12 * channel, time=1920))
        file.tracks.append(track)
    file.save(path)
    return path


def test_midi_notes_come_at_their_seconds_through_a_change_of_tempo(tmp_path: Path) -> None:
    score = read_midi(write_midi(tmp_path / "song.mid", n_bars=4))
    assert score.drums["kick"][:, 0].tolist() == [0.0, 2.0, 4.0, 8.0]
    assert score.drums["snare"][:, 0].tolist() == [1.0, 3.0, 6.0, 10.0]
    assert [part.program for part in score.parts] == [33, 0]
    assert score.parts[0].notes[2].tolist() == [4.0, 4.0, 48.0, 90.0]
    assert score.origin == "acoustic"


def test_a_midi_song_of_synthesisers_is_electronic(tmp_path: Path) -> None:
    assert read_midi(write_midi(tmp_path / "song.mid", programs=(38, 81))).origin == "electronic"


@pytest.mark.parametrize("content", [b"", b"MThd", b"RIFF" + bytes(40)])
def test_what_is_no_midi_file_is_unusable(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "song.mid").write_bytes(content)
    with pytest.raises(Unusable):
        read_midi(tmp_path / "song.mid")


def write_project(path: Path, clip: str, beat: str, block: str) -> Path:
    """A project at 120 beats a minute in one of LMMS's two dialects: two synthesisers and a beat of one bar."""

    def synth(key: int) -> str:
        return (
            '<track type="0" muted="0" name="x"><instrumenttrack basenote="57"><instrument name="tripleoscillator">'
            f'<tripleoscillator/></instrument></instrumenttrack><{clip} pos="192">'
            f'<note pos="0" len="768" key="{key}" vol="100"/></{clip}></track>'
        )

    sample = '<audiofileprocessor src="drums/36kick.flac"/>'
    drum = (
        '<track type="0" name="d"><instrumenttrack basenote="57"><instrument name="audiofileprocessor">'
        f'{sample}</instrument></instrumenttrack><{clip} pos="0" steps="16"><note pos="0" len="-192" key="57"/>'
        f'<note pos="96" len="-192" key="57"/></{clip}></track>'
    )
    text = (
        '<lmms-project><head bpm="120"/><song><trackcontainer>'
        f"{synth(57)}{synth(33)}"
        f'<track type="1" muted="0"><{beat}><trackcontainer>{drum}</trackcontainer></{beat}>'
        f'<{block} pos="384" len="480" muted="0"/></track></trackcontainer></song></lmms-project>'
    )
    path.write_bytes(len(text).to_bytes(4, "big") + zlib.compress(text.encode()))
    return path


@pytest.mark.parametrize(
    "dialect",
    [("pattern", "bbtrack", "bbtco"), ("midiclip", "patterntrack", "patternclip")],
    ids=["1.2", "1.3"],
)
def test_a_beat_repeats_for_its_block_and_is_cut_off_with_it(
    tmp_path: Path, dialect: tuple[str, str, str]
) -> None:
    score = read_lmms(write_project(tmp_path / "song.mmpz", *dialect))
    assert score.drums["kick"][:, 0].tolist() == [4.0, 5.0, 6.0, 7.0, 8.0]  # a block of two bars and a half
    assert score.origin == "electronic"


def test_lmms_keys_sound_where_its_base_note_puts_them(tmp_path: Path) -> None:
    score = read_lmms(write_project(tmp_path / "song.mmpz", "pattern", "bbtrack", "bbtco"))
    assert [part.notes[0].tolist() for part in score.parts] == [
        [2.0, 8.0, 69.0, 100.0],
        [2.0, 8.0, 45.0, 100.0],
    ]
    assert [part.program for part in score.parts] == [89, 38]  # long notes a pad, low ones a bass


def test_a_broken_project_is_unusable(tmp_path: Path) -> None:
    (tmp_path / "song.mmpz").write_bytes(b"\0\0\0\x10no project at all")
    with pytest.raises(Unusable, match="no LMMS project"):
        read_lmms(tmp_path / "song.mmpz")


@given(
    starts=st.lists(st.floats(0, 60), min_size=1, max_size=30),
    start_s=st.floats(0, 40),
    length_s=st.floats(5, 40),
)
def test_an_excerpt_holds_exactly_the_hits_that_begin_in_it(
    starts: list[float], start_s: float, length_s: float
) -> None:
    notes = as_notes([(at, 0.1, 36, 100) for at in starts])
    inside = [at for at in sorted(starts) if start_s <= at < start_s + length_s - 0.05]
    found = cut(Score((), {"kick": notes}, "acoustic"), start_s, length_s).score.drums
    assert ("kick" in found) == (len(inside) >= 2)
    if "kick" in found:
        np.testing.assert_allclose(found["kick"][:, 0] + start_s, inside, atol=1e-9)


def test_a_held_note_begins_anew_with_its_controllers_as_they_stand() -> None:
    part = Part(0, as_notes([(0, 30, 60, 90)]), (Control(1, 7, 50), Control(2, 7, 80), Control(15, -1, 99)))
    (kept,) = cut(Score((part,), {}, "acoustic"), 10, 20).score.parts
    assert kept.notes.tolist() == [[0.0, 20.0, 60.0, 90.0]]
    assert kept.controls == (Control(0.0, 7, 80), Control(5.0, -1, 99))


def test_a_song_whose_drums_play_alone_is_unusable() -> None:
    part = Part(0, as_notes([(60, 30, 60, 90)]))
    drums = {"kick": as_notes([(at, 0.1, 36, 100) for at in range(30)])}
    with pytest.raises(Unusable, match="never sound together"):
        excerpt(Score((part, part), drums, "acoustic"), np.random.default_rng(0))


def test_percussion_alone_does_not_carry_a_song() -> None:
    parts = (Part(0, as_notes([(0, 60, 60, 90)])),) * 2
    notes = as_notes([(at, 0.1, 70, 100) for at in range(60)])
    assert excerpt(Score(parts, {"snare": notes}, "acoustic"), np.random.default_rng(0)).length_s >= 20
    with pytest.raises(Unusable):
        excerpt(Score(parts, {"percussion": notes}, "acoustic"), np.random.default_rng(0))


def test_grooves_that_only_begin_or_end_a_song_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "stdlib").mkdir()
    text = "DefGroove Swing Plain.\n  DefGroove SwingIntro x\nDEFGROOVE SwingSus y\nDefGroove SwingEnd2\n"
    (tmp_path / "stdlib" / "swing.mma").write_text(text)
    assert list_grooves(tmp_path) == (("stdlib/swing", ("Swing", "SwingSus")),)


def test_a_groove_song_hangs_on_its_seed_alone() -> None:
    first, again, other = (_song("a/b", ("X", "Y"), np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == again != other
    assert first.count("\nGroove a/b:") == 4


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("BassDrum.rave", "kick"),
        ("TinyHihat.2", "hihat"),
        ("SUS2CH", None),
        ("ReverseSnare", None),
        ("Strings", None),
    ],
)
def test_a_module_instrument_is_a_drum_by_its_name(name: str, kind: str | None) -> None:
    assert kind_of(name) == kind


@pytest.mark.skipif(ctypes.util.find_library("openmpt") is None, reason="libopenmpt is not installed")
def test_a_module_comes_apart_into_aligned_stems_the_same_each_time(shared: Path) -> None:
    path = shared / "corpus" / "modules" / "biniax2-data" / "biniax_common05.it"
    one, two = (take_module(path, np.random.default_rng(3)) for _ in range(2))
    assert {"hihat", "snare"} <= set(one.kinds.values())
    assert len({len(audio) for audio in one.stems.values()}) == 1
    for name, audio in one.stems.items():
        np.testing.assert_array_equal(audio, two.stems[name])


def test_songs_of_unknown_licence_and_covers_are_not_taken(tmp_path: Path) -> None:
    for name in ("freedoom-history/a.mid", "openmsx/b.mid", "tannerhelland/Aerith's Theme.mid"):
        (tmp_path / "midi" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "midi" / name).touch()
    sources = Sources(tmp_path / "midi", None, None, None, tmp_path, (tmp_path,))
    assert [song.name for song in list_songs(sources)] == ["b"]


def test_modules_are_taken_from_known_packages_and_lie_on_their_side(tmp_path: Path) -> None:
    for name in ("gweled/a.xm", "pingus-data/b.it", "pingus-data/copyright", "unheard-of/c.mod"):
        (tmp_path / "modules" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "modules" / name).touch()
    sources = Sources(None, None, tmp_path / "modules", None, tmp_path, (tmp_path,))
    cells = {song.name: cell_of_song(song.source, song.family) for song in list_songs(sources)}
    assert cells == {"gweled-a": "held-out", "pingus-data-b": "train"}


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        list_songs(Sources(tmp_path / "nowhere", None, None, None, tmp_path, (tmp_path,)))
