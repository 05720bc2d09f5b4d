"""LMMS projects as LMMS plays them: taken apart as XML, and rendered by the program where it is installed."""

from __future__ import annotations

import shutil
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from trainer.starter import Sources
from trainer.starter.kits import Kit, cell_of_song
from trainer.starter.lmms_stems import Window, as_1_2, stem_project, voices
from trainer.starter.lmms_take import _furnished, take_project
from trainer.starter.plan import collection_of, licence_of, list_songs
from trainer.starter.score import Unusable

RATE = 44_100
BAR = 192
needs_lmms = pytest.mark.skipif(shutil.which("lmms") is None, reason="LMMS is not installed")


def note(pos: int, length: int = 48, key: int = 57) -> str:
    return f'<note pos="{pos}" len="{length}" key="{key}" vol="100" pan="0"/>'


def track(name: str, plugin: str, sound: str, notes: str, *, channel: int = 0, base: int = 57) -> str:
    return (
        f'<track type="0" muted="0" name="{name}"><instrumenttrack basenote="{base}" vol="100" pitch="0" '
        f'pitchrange="1" fxch="{channel}"><instrument name="{plugin}">{sound}</instrument></instrumenttrack>'
        f'<pattern type="1" pos="0" steps="16" muted="0">{notes}</pattern></track>'
    )


def project(tracks: str, rest: str = "", version: str = "1.0") -> ElementTree.Element:
    """A project at 120 beats a minute: a bar is two seconds."""
    return ElementTree.fromstring(
        f'<lmms-project version="{version}" type="song" creator="LMMS" creatorversion="1.2.2">'
        '<head bpm="120" timesig_numerator="4" timesig_denominator="4" mastervol="100" masterpitch="0"/>'
        f'<song><trackcontainer type="song">{tracks}</trackcontainer>{rest}</song></lmms-project>'
    )


def placed(stem: bytes) -> list[tuple[int, int]]:
    """(tick, length) of every note of a stem."""
    return sorted(
        (int(clip.get("pos", 0)) + int(one.get("pos", 0)), int(one.get("len", 0)))
        for clip in ElementTree.fromstring(stem).iter("pattern")
        for one in clip.iter("note")
    )


def test_a_project_of_1_3_is_put_in_the_words_of_1_2() -> None:
    root = as_1_2(
        ElementTree.fromstring(
            '<lmms-project version="23" creatorversion="1.3.0"><song><trackcontainer>'
            '<track type="0" name="a"><instrumenttrack basenote="69" mixch="2"><instrument name="freeboy">'
            '<freeboy/></instrument></instrumenttrack><midiclip pos="0"><note key="72" pos="0" len="48"/>'
            '</midiclip></track><track type="0" name="z"><instrumenttrack basenote="69"><instrument '
            'name="zynaddsubfx"><zynaddsubfx/></instrument></instrumenttrack><midiclip pos="0">'
            '<note key="72" pos="0" len="48"/></midiclip></track></trackcontainer><mixer><mixerchannel num="0">'
            '<fxchain numofeffects="2"><effect name="lv2effect"/><effect name="reverbsc"/></fxchain>'
            "</mixerchannel></mixer></song></lmms-project>"
        )
    )
    ours, zyn = root.findall("song/trackcontainer/track")
    assert ours.find("instrumenttrack").attrib == {"basenote": "57.0", "fxch": "2"}
    assert ours.find("instrumenttrack/instrument[@name='papu']/papu") is not None
    assert ours.find("pattern/note").get("key") == "60"
    assert zyn.find("pattern/note").get("key") == "72"  # its keys were an octave low before
    chain = root.find("song/fxmixer/fxchannel/fxchain")
    assert [effect.get("name") for effect in chain] == ["reverbsc"] and chain.get("numofeffects") == "1"
    assert root.get("creatorversion") == "1.2.2"  # else LMMS upgrades it once more


def test_knobs_do_not_follow_a_track_that_the_stem_does_not_hold() -> None:
    knobs = '<connection><vol id="1"/><pan id="0"/></connection>'
    rest = f"<controllers><lfocontroller/><peakcontroller/></controllers><fxmixer>{knobs}</fxmixer>"
    assert [knob.tag for knob in as_1_2(project("", rest)).find("song/fxmixer/connection")] == ["pan"]


def test_a_drum_kit_of_a_soundfont_comes_apart_by_its_pitches() -> None:
    keys = "".join(note(48 * place, key=key - 12) for place, key in enumerate((36, 38, 36, 57)))
    found = list(voices(project(track("drums", "sf2player", '<sf2player bank="128"/>', keys))))
    assert {voice.drum[0]: [at for at, _ in voice.notes] for voice in found} == {
        "kick": [0.0, 96.0],
        "snare": [48.0],
        "crash": [144.0],
    }


@pytest.mark.parametrize(
    ("plugin", "name", "kind"),
    [
        ("tripleoscillator", "noisesnare", "snare"),
        ("tripleoscillator", "3rd", None),
        ("zynaddsubfx", "Ghost Whistle", None),
        ("kicker", "Kicker", "kick"),
        ("kicker", "Bass High", None),
    ],
)
def test_a_synthesiser_is_a_drum_by_its_tracks_name(plugin: str, name: str, kind: str | None) -> None:
    (voice,) = voices(project(track(name, plugin, f"<{plugin}/>", note(0))))
    assert (voice.drum and voice.drum[0]) == kind


@given(
    notes=st.lists(st.tuples(st.integers(0, 20 * BAR), st.integers(1, 3 * BAR)), min_size=1, max_size=30),
    first=st.integers(0, 12),
    n_bars=st.integers(1, 8),
)
def test_a_stem_holds_what_sounds_in_the_window_and_nothing_else(
    notes: list[tuple[int, int]], first: int, n_bars: int
) -> None:
    start, stop = first * BAR, (first + n_bars) * BAR
    (voice,) = voices(project(track("a", "monstro", "<monstro/>", "".join(note(*one) for one in notes))))
    stem = stem_project(project(""), [voice], Window(start, stop, BAR))
    expected = sorted(
        (max(at, start) - start, min(at + length, stop) - max(at, start))
        for at, length in notes
        if at < stop and at + length > start
    )
    assert placed(stem) == expected
    bars = {int(clip.get("pos")) for clip in ElementTree.fromstring(stem).iter("pattern")}
    assert (n_bars - 1) * BAR in bars  # LMMS plays to the end of the last clip


def test_a_hit_that_began_before_the_window_is_left_out() -> None:
    hits = note(0, -192) + note(BAR - 1, 400) + note(BAR, -192)
    (voice,) = voices(project(track("Kicker", "kicker", "<kicker/>", hits)))
    assert placed(stem_project(project(""), [voice], Window(BAR, 3 * BAR, BAR))) == [(0, -192)]


def test_automation_goes_on_from_where_it_stands_and_only_for_what_is_left() -> None:
    def clip(knob: int, pos: int, *points: tuple[int, float], prog: int = 1) -> str:
        times = "".join(f'<time pos="{at}" value="{value}"/>' for at, value in points)
        return f'<automationpattern pos="{pos}" prog="{prog}" len="{BAR}">{times}<object id="{knob}"/></automationpattern>'

    clips = clip(7, 0, (0, 9.0)) + clip(7, BAR, (0, 0.0), (2 * BAR, 1.0)) + clip(8, 0, (0, 5.0))
    automation = f'<track type="5" muted="0"><automationtrack/>{clips}</track>'
    sound = '<monstro><vol id="7" value="0"/></monstro>'
    root = project(track("a", "monstro", sound, note(2 * BAR)) + automation)
    (voice,) = voices(root)
    stem = ElementTree.fromstring(stem_project(root, [voice], Window(2 * BAR, 6 * BAR, BAR)))
    (kept,) = stem.iter("automationpattern")
    assert [(one.get("pos"), float(one.get("value"))) for one in kept.findall("time")] == [
        ("0", 0.5),
        (str(BAR), 1.0),
    ]


def test_a_channel_through_which_nothing_comes_loses_its_effects() -> None:
    chain = '<fxchain enabled="1" numofeffects="1"><effect name="reverbsc"/></fxchain>'
    sends = {0: "", 1: '<send channel="3"/>', 2: '<send channel="0"/>', 3: '<send channel="0"/>'}
    mixer = "".join(f'<fxchannel num="{n}">{chain}{send}</fxchannel>' for n, send in sends.items())
    root = project(track("a", "monstro", "<monstro/>", note(0), channel=1), f"<fxmixer>{mixer}</fxmixer>")
    stem = ElementTree.fromstring(stem_project(root, list(voices(root)), Window(0, BAR, BAR)))
    heard = [one.get("num") for one in stem.iter("fxchannel") if one.find("fxchain/effect") is not None]
    assert heard == ["0", "1", "3"]


def test_samples_that_are_not_here_are_lent_each_name_the_same_one(tmp_path: Path) -> None:
    (tmp_path / "drums").mkdir()
    (tmp_path / "drums" / "snare01.ogg").touch()
    kit = Kit("k", "train", "electronic", "", {"kick": tuple(map(Path, "abcdefgh")), "snare": (Path("s"),)})

    names = ("drums/snare01.ogg", "usersample:x/36kick.flac", "usersample:x/36kick.flac", "strings.wav")
    tracks = [
        track("t", "audiofileprocessor", f'<audiofileprocessor src="{name}"/>', note(0)) for name in names
    ]
    rng = np.random.default_rng(1)
    furnished, lent = _furnished(voices(project("".join(tracks))), tmp_path, (kit,), Path("font.sf2"), rng)
    assert lent == {"k"}
    snare, kick, again = (voice.instrument.find("instrument")[0].get("src") for voice in furnished)
    assert snare == str(tmp_path / "drums" / "snare01.ogg")
    assert kick == again in map(str, kit.sounds["kick"]), "nothing stands in for the strings"


def test_projects_are_taken_with_their_licences_and_the_demos_are_held_out(tmp_path: Path) -> None:
    for name in ("madadog/a.mmpz", "lmms-demos/demos/Saber-x.mmpz", "lmms-demos/shorties/Crunk(Demo).mmp"):
        (tmp_path / "lmms" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "lmms" / name).touch()
    (tmp_path / "lmms" / "lmms-demos" / "demos" / "DirtyLove.mmpz").touch()  # has no licence of its own
    songs = list_songs(Sources(None, tmp_path / "lmms", None, None, tmp_path, (tmp_path,)))
    assert [(song.source, song.name, cell_of_song(song.source, song.family)) for song in songs] == [
        ("madadog", "a", "train"),
        ("madadog-lmms", "a", "train"),
        ("lmms-demos", "demos-saber-x", "held-out"),
        ("lmms-demos", "shorties-crunk-demo", "held-out"),
    ]
    assert {collection_of(song) for song in songs[:2]} == {"madadog"}
    assert [licence_of(song) for song in songs[1:]] == ["CC-BY-SA-4.0", "BSD-2-Clause", "Artistic-2.0"]


def write_song(path: Path, n_bars: int = 12) -> Path:
    """A kick on every bar, a snare of a lost sample half a bar later, and two held parts, one of them late."""
    kicks = "".join(note(bar * BAR, -192) for bar in range(n_bars))
    snares = "".join(note(bar * BAR + BAR // 2, 24) for bar in range(n_bars))
    parts = ["".join(note(bar * BAR, BAR, key) for bar in range(n_bars)) for key in (45, 57)]
    sine = '<tripleoscillator vol0="33" vol1="0" vol2="0" coarse0="0" wavetype0="0"/>'
    lost = '<audiofileprocessor src="usersample:lost/38snare.flac" amp="100"/>'
    path.write_bytes(
        ElementTree.tostring(
            project(
                track("Kicker", "kicker", "<kicker/>", kicks)
                + track("snare", "audiofileprocessor", lost, snares)
                + "".join(track("part", "tripleoscillator", sine, part) for part in parts)
            )
        )
    )
    return path


def onsets(audio: np.ndarray) -> np.ndarray:
    """Seconds at which sound comes after a tenth of silence."""
    loud = np.flatnonzero(np.abs(audio) > 0.1 * np.abs(audio).max())
    return loud[np.diff(loud, prepend=-RATE) > RATE / 10] / RATE


@needs_lmms
def test_lmms_plays_each_stem_alone_and_in_time(tmp_path: Path) -> None:
    click = np.exp(-np.arange(4000) / 400) * np.sin(np.arange(4000) / 4)
    soundfile.write(tmp_path / "click.wav", click, RATE)
    kit = Kit("clicks", "train", "electronic", "", {"snare": (tmp_path / "click.wav",)})
    song = write_song(tmp_path / "song.mmp")
    take = take_project(song, np.random.default_rng(0), (kit,), tmp_path / "none.sf2")
    assert take.kinds == {"kick": "kick", "snare": "snare"} and take.kits == ("clicks",)
    assert set(take.stems) == {"kick", "snare", "part-01", "part-02"}
    assert {len(audio) for audio in take.stems.values()} == {round(take.length_s * RATE)}
    bars = np.arange(0, take.length_s, 2.0)  # excerpts begin on a bar line
    assert take.start_s % 2 == 0
    for name, shift_s in (("kick", 0.0), ("snare", 1.0)):
        expected = (bars + shift_s)[bars + shift_s < take.length_s - 0.05]
        np.testing.assert_allclose(onsets(take.stems[name])[: len(expected)], expected, atol=0.01)
    low, high = (
        np.abs(np.fft.rfft(take.stems[name])).argmax() / take.length_s for name in ("part-01", "part-02")
    )
    assert sorted((low, high)) == pytest.approx([220, 440], rel=0.01)


@needs_lmms
def test_a_project_without_drums_is_unusable(tmp_path: Path) -> None:
    path = tmp_path / "song.mmp"
    path.write_bytes(ElementTree.tostring(project(track("a", "monstro", "<monstro/>", note(0, 20 * BAR)))))
    with pytest.raises(Unusable, match="never sound together"):
        take_project(path, np.random.default_rng(0), (), path)


def test_a_program_that_fails_makes_the_song_unusable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "lmms"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    kit = Kit("k", "train", "electronic", "", {"snare": (Path("s"),)})
    with pytest.raises(Unusable, match="status 3"):
        take_project(write_song(tmp_path / "song.mmp"), np.random.default_rng(0), (kit,), tmp_path)
