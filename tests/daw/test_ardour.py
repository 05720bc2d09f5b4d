"""From a press in the real Ardour to a hit at the right sample of the saved session."""

from __future__ import annotations

import json
import time

import pytest

from daw.ardour import PATIENCE_S, SAMPLE_RATE
from daw.studio import SONG_START, Studio, answer, complaint, hits, press, push, saved

FIRST_BUTTON_X, FIRST_BUTTON_Y = 127, 44
"""Where the toolbar shows the script of slot 1: pixels from the window's right edge and its top."""


@pytest.fixture(autouse=True)
def _fresh(studio: Studio) -> None:
    """Before each test: nothing selected or muted, and no hit."""
    studio.ardour.run("""
        Editor:set_selection (ArdourUI.SelectionList (), ArdourUI.SelectionOp.Set)
        Editor:access_action ("Common", "deselect-all")
        local suggestion = Session:route_by_name ("Suggestion")
        if not suggestion:isnil () then
            local playlist = suggestion:to_track ():playlist ()
            for region in playlist:region_list ():iter () do playlist:remove_region (region) end
        end""")
    mute(studio, False)


def answers(studio: Studio) -> list[dict[str, str]]:
    """The hits of the last answer."""
    columns, *rows = answer(studio).read_text().splitlines()
    return [dict(zip(columns.split("\t"), row.split("\t"), strict=True)) for row in rows]


def mute(studio: Studio, muted: bool) -> None:
    """Mutes all tracks or none, and waits until the engine has heard of it."""
    studio.ardour.run(f"""
        for route in Session:get_tracks ():iter () do
            route:mute_control ():set_value ({int(muted)}, PBD.GroupControlDisposition.NoGroup)
            while route:muted () ~= {str(muted).lower()} do ARDOUR.LuaAPI.usleep (1000) end
        end""")


def select_track(studio: Studio, name: str) -> None:
    studio.ardour.run(f"""
        for _ = 1, 10 do
            Editor:access_action ("Editor", "select-next-route")
            for route in Editor:get_selection ().tracks:routelist ():iter () do
                if route:name () == "{name}" then return end
            end
        end
        error ("cannot select {name}")""")


def test_a_press_puts_the_best_hit_of_all_types_at_the_start(studio: Studio) -> None:
    press(studio, "suggest")
    ((name, first),) = hits(studio)
    found = answers(studio)
    assert first == SONG_START
    assert name == found[0]["name"] + ".wav" or found[0]["path"].endswith(name)
    assert {hit["type"] for hit in found} == {"kick", "snare", "hihat"}


@pytest.mark.parametrize("how", ["key", "toolbar"])
def test_by_hand(studio: Studio, how: str) -> None:
    x = studio.ardour.x
    (window,) = (line.split()[0] for line in x("wmctrl", "-l").splitlines() if line.endswith("Song - Ardour"))
    right = int(x("xdotool", "getwindowgeometry", "--shell", window).partition("WIDTH=")[2].split()[0])
    at = ("600", "400") if how == "key" else (str(right - FIRST_BUTTON_X), str(FIRST_BUTTON_Y))
    hand = ("key", "ctrl+alt+d") if how == "key" else ("click", "1")
    x("xdotool", "windowactivate", "--sync", window, "mousemove", "--window", window, *at)
    studio.ardour.run("")  # Ardour has seen the pointer come in
    until, next_try = time.monotonic() + PATIENCE_S, 0.0
    while not (found := hits(studio)) and time.monotonic() < until:
        if time.monotonic() >= next_try:  # nothing says when it has arrived, and a busy X may lose it
            x("xdotool", *hand)
            next_try = time.monotonic() + PATIENCE_S / 8
    assert [first for _, first in found] == [SONG_START]


def test_next_previous_and_numbers_step_through_the_hits_in_one_place(studio: Studio) -> None:
    press(studio, "suggest")
    shown = [hits(studio)]
    for what in ("next", "next", "previous", "5", "1", "previous"):
        press(studio, what)
        shown.append(hits(studio))
    assert all(len(now) == 1 and now[0][1] == SONG_START for now in shown)
    names = [now[0][0] for now in shown]
    assert names[1] == names[3] and names[0] == names[5] and len(set(names[:3])) == 3
    best = answers(studio)
    in_order = sorted(best, key=lambda hit: int(hit["rank"]))
    assert names[2] in in_order[2]["path"] and names[4] in in_order[4]["path"]
    assert names[6] in in_order[-1]["path"], "before the first comes the last"


def test_a_selected_drum_track_is_left_out_and_its_type_asked_for(studio: Studio) -> None:
    select_track(studio, "Old Kick")
    press(studio, "suggest")
    assert len(hits(studio)) == 1
    assert {hit["type"] for hit in answers(studio)} == {"kick"}
    found = json.loads(answer(studio).with_suffix(".json").read_text())
    assert found["query"]["stems"] == 3  # bass, keys left and right


def test_a_selected_region_is_the_part(studio: Studio) -> None:
    studio.ardour.run(f"""
        local playlist = Session:route_by_name ("Keys"):to_track ():playlist ()
        local list = ArdourUI.SelectionList ()
        for region in playlist:region_list ():iter () do
            if region:position ():samples () == {SONG_START} then
                playlist:split_region (region, Temporal.timepos_t ({3 * SAMPLE_RATE}))
            end
        end
        for region in playlist:region_list ():iter () do
            if region:position ():samples () > {SONG_START} then
                list:push_back (Editor:regionview_from_region (region))
            end
        end
        Editor:set_selection (list, ArdourUI.SelectionOp.Set)""")
    press(studio, "suggest")
    assert [first for _, first in hits(studio)] == [3 * SAMPLE_RATE]
    found = json.loads(answer(studio).with_suffix(".json").read_text())
    assert found["query"]["seconds"] == pytest.approx(6.0, abs=0.01)


def test_twenty_presses_leave_one_hit_and_no_audio_of_the_bounces(studio: Studio) -> None:
    for _ in range(20):
        press(studio, "suggest")
    ((_, first),) = hits(studio)
    assert first == SONG_START
    bounced = list(studio.ardour.session.glob("interchange/*/audiofiles/samplefit*"))
    assert len(bounced) >= 20 * 4
    assert max(path.stat().st_size for path in bounced) < 100
    assert len(list((studio.state / "answers").iterdir())) == 2
    imported = [source.get("name") for source in saved(studio).iterfind("Sources/Source")]
    assert len([name for name in imported if name.startswith(("Kick", "Snare", "Hat"))]) <= len(set(imported))


def test_a_muted_song_is_told(studio: Studio) -> None:
    mute(studio, True)
    with complaint(studio) as titles:
        push(studio, "suggest")
    assert titles == ["Suggest Drums: no audio track can be heard in this part"]
    assert hits(studio) == []


def test_without_a_daemon_the_message_says_so(studio: Studio) -> None:
    here = studio.state / "daemon.json"
    aside = here.rename(here.with_suffix(".aside"))
    try:
        with complaint(studio) as titles:
            push(studio, "suggest")
    finally:
        aside.rename(here)
    assert titles == ["Suggest Drums: samplefit is not running"]


def test_a_failure_of_the_daemon_is_shown(studio: Studio) -> None:
    answer(studio).write_text("fail\tno-samples\tnothing of the types wanted\n")
    with complaint(studio) as titles:
        push(studio, "1")
    assert titles == ["Suggest Drums: nothing of the types wanted"]


def test_a_selected_range_is_the_part(studio: Studio) -> None:
    start, end = 4 * SAMPLE_RATE, 6 * SAMPLE_RATE
    for at, action in ((start, "start-range-from-playhead"), (end, "finish-range-from-playhead")):
        studio.ardour.run(f"""
            Session:request_locate ({at}, false, ARDOUR.LocateTransportDisposition.MustStop,
                ARDOUR.TransportRequestSource.TRS_UI)
            while Session:transport_sample () ~= {at} do ARDOUR.LuaAPI.usleep (1000) end""")
        studio.ardour.run(f'Editor:access_action ("Common", "{action}")')
    press(studio, "suggest")
    assert [first for _, first in hits(studio)] == [start]
    found = json.loads(answer(studio).with_suffix(".json").read_text())
    assert found["query"]["seconds"] == pytest.approx(2.0, abs=0.01)


def test_a_track_named_as_the_one_being_replaced_is_left_out(studio: Studio) -> None:
    script = studio.ardour.config / "scripts" / "samplefit.lua"
    studio.ardour.run(f"""
        local env = setmetatable ({{ ardour = function () end }}, {{ __index = _ENV }})
        load (io.open ("{script}"):read ("a"), "samplefit", "t", env) ()
        env.factory ({{ ["do"] = "suggest", state = "{studio.state}", replace = "Keys" }}) ()""")
    assert len(hits(studio)) == 1
    found = json.loads(answer(studio).with_suffix(".json").read_text())
    assert found["query"]["stems"] == 2  # bass and old kick
