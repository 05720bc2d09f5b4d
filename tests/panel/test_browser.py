"""The page in a real browser beside a real daemon: pressed over OSC, heard, chosen, left open over a restart."""

from __future__ import annotations

import json
import os
import socket
import sys

import numpy as np
import pytest
import soundfile
from browsers import another_press, drop, fetched, open_panel, press, shown
from daemon import samplefit, serving, wait_until

from encoders.audio import SAMPLE_RATE, read_audio
from plugin_bridge.panel.loudness import integrated_lufs


def test_a_page_without_a_token_says_how_to_open_it(page, daemon):
    port = json.loads((daemon.state / "daemon.json").read_text())["web_port"]
    page.goto(f"http://127.0.0.1:{port}/")
    page.wait_for_selector("text=samplefit panel")
    assert page.locator(".hit, .folders li").count() == 0, "nothing of the library is told"
    page.faults.clear()  # the browser logs the refusal


def test_a_press_over_osc_appears_and_the_keys_do_it_all(page, daemon, sounds):
    page.goto(samplefit("panel", "--print", state=daemon.state).stdout.strip())
    page.wait_for_selector("#status[data-state=live]")
    shown(page, daemon, sounds, "bass", "chords", "lead", id="keys")
    assert page.locator(".column").count() == 6
    assert page.locator("#page-suggest .hit").count() == 30
    page.wait_for_selector(".transport [data-key=play]:not([disabled])")

    page.locator(".hit.here").focus()
    here = lambda: page.locator(".hit.here").get_attribute("id")  # noqa: E731
    assert here() == "hit-kick-1"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    assert here() == "hit-snare-1"
    assert page.evaluate("document.activeElement.id") == "hit-snare-1"
    page.keyboard.press("ArrowLeft")
    assert here() == "hit-kick-2"

    page.keyboard.press("Space")
    page.wait_for_selector(".transport .main:has-text('Stop')")
    began = page.evaluate("import('/static/suggest.js').then(({ player }) => player.loop.began)")
    for _ in range(3):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("o")
    page.wait_for_selector("[data-key=original][aria-pressed=true]")
    page.keyboard.press("o")
    assert page.evaluate("import('/static/suggest.js').then(({ player }) => player.loop.began)") == began, (
        "stepping and comparing never stop the music"
    )
    page.keyboard.press("Space")
    page.wait_for_selector(".transport .main:has-text('Play')")

    page.keyboard.press("l")
    page.wait_for_selector(".hit.here[data-taste=like]")
    page.keyboard.press("d")
    page.wait_for_selector(".hit.here[data-taste=dislike]")
    page.keyboard.press("z")
    page.wait_for_selector("text=Taken back")
    page.wait_for_selector(".hit.here[data-taste=like]")
    page.keyboard.press("p")
    page.wait_for_selector("text=In the picks folder")
    picked = f"kick {page.locator('.hit.here .name').text_content()}"
    assert picked in [path.name for path in (daemon.state / "picks").iterdir()]
    page.keyboard.press("v")
    page.wait_for_selector("[data-view=one]")
    page.keyboard.press("v")
    page.keyboard.press("?")
    page.wait_for_selector("dialog[open]")
    page.keyboard.press("Escape")


LATE = """
    const listen = EventSource.prototype.addEventListener, late_ms = [400, 1600];
    let at = 0;
    EventSource.prototype.addEventListener = function (event, handler) {
        listen.call(this, event, event !== "marks" ? handler : (message) => {
            at = Math.max(at, performance.now() + (late_ms.shift() ?? 0));
            setTimeout(handler, at - performance.now(), message);
        });
    };
"""
"""The first two events that tell of marks come late, in order all the same."""


def test_undo_takes_back_the_last_mark_however_late_the_page_is_told(page, daemon, sounds):
    page.add_init_script(LATE)
    open_panel(page, daemon)
    shown(page, daemon, sounds, "bass", "chords", "lead", id="late")
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "l"):
        page.keyboard.press(key)
    page.wait_for_selector(".hit.here[data-type=hihat][data-taste=like]")
    page.keyboard.press("d")
    page.wait_for_selector(".hit.here[data-taste=dislike]")
    page.wait_for_timeout(800)
    page.keyboard.press("z")
    page.wait_for_selector(".toast:has-text('Taken back: disliked')")
    page.wait_for_selector(".hit.here[data-taste=like]")
    marks = page.evaluate("fetch('/api/marks').then((answer) => answer.json())")
    assert marks[0]["what"] == "like"


def test_the_preview_is_the_mix_that_it_should_be(page, daemon, sounds):
    open_panel(page, daemon)
    shown(page, daemon, sounds, "bass", "chords", "lead", id="numbers")
    number = page.input_value("#press")
    n = round(16 * 60 / 112 * SAMPLE_RATE)

    music = fetched(page, f"/api/presses/{number}/music")
    expected = sum(read_audio(sounds / "stems" / f"{name}.wav")[:n] for name in ("bass", "chords"))
    assert music.shape == (n, 1)
    assert np.abs(music[:, 0] - expected)[: n - 300].max() < 1e-6
    original = fetched(page, f"/api/presses/{number}/original")
    assert np.abs(original[:, 0] - read_audio(sounds / "stems" / "lead.wav")[:n])[: n - 300].max() < 1e-6

    one = page.locator(".hit").first.get_attribute("data-id")
    hit = fetched(page, f"/api/one-shots/{one}/sound")[:, 0]
    track = fetched(page, f"/api/presses/{number}/hits/{one}?pattern=1%20and%203")[:, 0]
    silent = np.zeros(n, np.float32)
    attack = int(np.argmax(np.abs(hit) > 0.02 * np.abs(hit).max()))
    heard = hit[max(0, attack - 44) :]
    for beat in range(0, 16, 2):
        start = round(beat * 60 / 112 * SAMPLE_RATE)
        silent[start : start + len(heard)] += heard[: n - start]
        silent[: max(0, start + len(heard) - n)] += heard[n - start :]
    gain = np.dot(track, silent) / np.dot(silent, silent)
    assert np.abs(track - gain * silent).max() < 1e-4 * np.abs(track).max()
    assert gain > 0

    assert integrated_lufs(track[:, None]) == pytest.approx(integrated_lufs(original), abs=0.5)


def test_files_that_are_chosen_press_and_a_locked_type_stays(page, daemon, sounds):
    open_panel(page, daemon)
    page.set_input_files(
        "input[type=file]", [sounds / "stems" / f"{name}.wav" for name in ("bass", "chords")]
    )
    page.wait_for_selector("#press option:has-text('bass, chords')", state="attached")
    page.locator(".hit.here").focus()
    page.keyboard.press("k")
    page.wait_for_selector(".column .locked")
    with another_press(page):
        page.click("text=Press again for the others")
    assert page.locator(".column").count() == 5, "the kick is settled"


def test_a_bounce_that_is_dropped_presses_and_is_heard_in_stereo(page, daemon, sounds, tmp_path):
    open_panel(page, daemon)
    sides = [read_audio(sounds / "stems" / f"{name}.wav") for name in ("bass", "lead")]
    soundfile.write(tmp_path / "Ré mix #1.wav", np.stack(sides, axis=1), SAMPLE_RATE, subtype="FLOAT")
    drop(page, tmp_path / "Ré mix #1.wav")
    page.wait_for_selector("#press option:checked:has-text('Ré mix #1.wav')", state="attached")
    page.wait_for_selector(".hit.here .wave")
    page.wait_for_selector(".transport [data-key=play]:not([disabled])")
    music = fetched(page, f"/api/presses/{page.input_value('#press')}/music")
    n = len(music) - 300
    assert np.abs(music[:n] - np.stack(sides, axis=1)[:n]).max() < 1e-6


def test_several_stems_that_are_dropped_are_one_press(page, daemon, sounds):
    open_panel(page, daemon)
    drop(page, *(sounds / "stems" / f"{name}.wav" for name in ("chords", "lead", "bass")))
    page.wait_for_selector("#press option:checked:has-text('chords, lead, bass')", state="attached")
    page.wait_for_selector(".press-name:has-text('3 stems')")
    assert page.locator("#press option:has-text('chords, lead, bass')").count() == 1


def test_what_is_dropped_and_is_no_sound_says_so(page, daemon, tmp_path):
    open_panel(page, daemon)
    (tmp_path / "notes.txt").write_text("not a sound")
    drop(page, tmp_path / "notes.txt")
    page.wait_for_selector(".toast:has-text('notes.txt')")
    page.wait_for_selector(".toast:has-text('wav, aiff, flac')")
    assert page.locator("#press option:has-text('notes')").count() == 0
    page.faults.clear()  # the browser logs the refusal


def test_the_whole_kit_is_chosen_explained_and_left(page, daemon, sounds):
    open_panel(page, daemon)
    shown(page, daemon, sounds, "bass", "chords", "lead", id="kit")
    page.keyboard.press("g")
    page.wait_for_selector(".kit:has-text('best of 15,625 combinations')")
    kit = page.evaluate(
        "fetch(`/api/presses/${document.querySelector('#press').value}/kit`).then((r) => r.json())"
    )
    chosen = page.locator(".hit[aria-selected=true]").evaluate_all(
        "rows => rows.map((row) => row.dataset.id)"
    )
    assert set(chosen) == set(kit["hits"].values())
    page.focus(".kit .explained button")
    page.wait_for_selector(".kit .tooltip:has-text('mean likeness')")
    page.keyboard.press("Escape")
    page.wait_for_selector(".kit .tooltip", state="hidden")
    page.click("text=Back to the first of each")
    page.wait_for_selector(".kit", state="hidden")
    ranks = page.locator(".hit[aria-selected=true] .rank").all_text_contents()
    assert ranks == ["1"] * 6


def test_how_well_a_hit_fits_stands_in_words(page, daemon, sounds):
    """As a calibrated model tells it: the answer is as it comes, with `fit` put in."""

    def calibrated(route):
        presses = route.fetch().json()
        for one in presses:
            for hit in one["hits"]:
                hit["fit"] = 1 - hit["rank"] / 100
        route.fulfill(json=presses)

    later = []
    press(daemon, sounds, "bass", "chords", "lead", id="words")
    page.route("**/api/presses", calibrated)
    page.route("**/why", lambda route: later.append(route))
    open_panel(page, daemon)
    page.wait_for_selector(".hit.here:has-text('99 %')")
    page.wait_for_selector(".dock:has-text('better than 99 % of your kicks')")
    assert "better than 99 % of your kicks" in page.get_attribute(".hit.here", "aria-label")
    page.focus(".dock-facts button")
    page.wait_for_selector(".dock-facts .tooltip:has-text('place in your library')")
    wait_until(lambda: page.wait_for_timeout(10) or later)
    later[0].continue_()
    page.wait_for_selector(".dock-why .explained")
    assert page.is_visible(".dock-facts .tooltip"), "what is drawn anew keeps the focus"


def test_why_a_hit_fits_is_told_with_what_was_measured(page, daemon, sounds):
    open_panel(page, daemon)
    shown(page, daemon, sounds, "bass", "chords", "lead", id="why")
    page.wait_for_selector(".dock-why .explained")
    assert "Too few kicks to compare it with." in page.inner_text(".dock-why")
    page.focus(".dock-why button")
    page.wait_for_selector(".dock-why .tooltip:has-text('against all 5 one-shots of this type')")
    assert page.locator(".favours").first.text_content() == "Too few to compare"


def test_what_is_learned_is_shown_and_forgotten(page, sounds, tmp_path):
    with serving(tmp_path / "state", "--model", sounds / "model", "--web", "127.0.0.1:0") as daemon:
        daemon.ask("/samplefit/folder/add", str(sounds / "samples"))
        open_panel(page, daemon)
        page.keyboard.press("2")
        page.wait_for_selector(".learned:has-text('Off so far: 0 of 20 choices')")
        assert page.is_disabled(".learned button")
        press(daemon, sounds, "bass", "chords", "lead")
        page.keyboard.press("1")
        page.wait_for_selector(".hit.here .wave")
        page.keyboard.press("l")
        page.wait_for_selector(".hit.here[data-taste=like]")
        page.keyboard.press("2")
        page.wait_for_selector(".learned:has-text('Off so far: 1 of 20 choices')")
        page.click("text=Forget what was learned")
        page.wait_for_selector(".learned:has-text('Off so far: 0 of 20 choices')")
        page.wait_for_selector(".results .hit:has-text('liked')")
        page.goto("about:blank")  # nothing is asked for any more


@pytest.mark.skipif(sys.platform != "linux", reason="xdg-open is Linux's")
def test_a_hit_is_shown_in_its_folder(page, sounds, tmp_path):
    """With a stand-in for xdg-open that writes down what it is asked to open."""
    tools = tmp_path / "tools"
    tools.mkdir()
    shown = tmp_path / "shown"
    (tools / "xdg-open").write_text(
        f'#!/bin/sh\nprintf %s "$1" > "{shown}.new" && mv "{shown}.new" "{shown}"\n'
    )
    (tools / "xdg-open").chmod(0o755)
    path = f"{tools}:{os.environ['PATH']}"
    with serving(
        tmp_path / "state", "--model", sounds / "model", "--web", "127.0.0.1:0", PATH=path
    ) as daemon:
        daemon.ask("/samplefit/folder/add", str(sounds / "samples"))
        open_panel(page, daemon)
        press(daemon, sounds, "bass", "lead")
        page.wait_for_selector(".hit.here .wave")
        page.keyboard.press("r")
        wait_until(shown.exists)
        assert shown.read_text() == str(sounds / "samples" / "kick")
        page.goto("about:blank")  # nothing is asked for any more


def test_the_page_is_served_over_ipv6(page, sounds, tmp_path):
    with socket.socket(socket.AF_INET6) as free:
        try:
            free.bind(("::1", 0))
        except OSError:
            pytest.skip("no IPv6 on this machine")
    with serving(tmp_path / "state", "--model", sounds / "model", "--web", "[::1]:0") as daemon:
        daemon.ask("/samplefit/folder/add", str(sounds / "samples"))
        open_panel(page, daemon)
        assert page.url.startswith("http://[::1]:")
        press(daemon, sounds, "bass", "lead")
        page.wait_for_selector(".hit.here .wave")
        page.keyboard.press("l")
        page.wait_for_selector(".hit.here[data-taste=like]")
        page.goto("about:blank")  # nothing is asked for any more


def test_the_library_is_searched_mapped_and_chosen_from(page, daemon):
    open_panel(page, daemon)
    page.keyboard.press("/")
    page.keyboard.type("snare 03")
    page.wait_for_selector(".results .hit:has-text('snare_03')")
    assert page.locator(".results .hit").count() == 1
    page.click(".results .hit")
    page.wait_for_selector(".about-one:has-text('snare_03')")
    page.keyboard.press("s")
    page.wait_for_selector("text=Similar to snare_03.wav")
    page.wait_for_selector(".legend .type")
    box = page.locator(".map canvas").first.bounding_box()
    at = page.evaluate(
        """async () => {
            const data = await (await fetch("/api/map")).arrayBuffer();
            const n = new Uint32Array(data, 0, 2)[1];
            return [n, ...new Float32Array(data, 8, 2)];
        }"""
    )
    assert at[0] == 30
    x = box["x"] + box["width"] / 2 + at[1] * (box["width"] / 2 - 14)
    y = box["y"] + box["height"] / 2 + at[2] * (box["height"] / 2 - 14)
    page.mouse.move(x, y)
    page.wait_for_selector(".tip:not([hidden])")


def test_the_map_is_walked_and_chosen_from_by_keys(page, daemon):
    open_panel(page, daemon)
    page.keyboard.press("2")
    page.wait_for_selector(".legend .type")
    page.locator(".map canvas").first.focus()
    seen = []
    for key in ["ArrowRight"] * 40:  # more than there are one-shots: it ends at the right edge
        page.keyboard.press(key)
        page.wait_for_selector(".tip:not([hidden])")
        seen.append(page.locator(".tip").text_content())
    places = page.evaluate(
        """async () => {
            const data = await (await fetch("/api/map")).arrayBuffer();
            const [revision, n] = new Uint32Array(data, 0, 2);
            const across = Array.from(new Float32Array(data, 8, 2 * n)).filter((_, i) => i % 2 === 0);
            const one = (i) => fetch(`/api/map/${revision}/${i}`).then((answer) => answer.json());
            return Promise.all(across.map(async (x, i) => [x, (await one(i)).name]));
        }"""
    )
    across = {name: x for x, name in places}
    walked = [across[text.split(" · ")[0]] for text in dict.fromkeys(seen)]
    assert len(walked) > 3 and walked == sorted(walked)
    page.keyboard.press("Enter")
    page.wait_for_selector(f".about-one:has-text('{seen[-1].split(' · ')[0].removesuffix('.wav')}')")


def test_a_page_left_open_over_a_restart_reconnects_and_likes_are_kept(page, sounds, tmp_path):
    state = tmp_path / "state"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        web = f"127.0.0.1:{free.getsockname()[1]}"
    arguments = ("--model", sounds / "model", "--web", web)
    with serving(state, *arguments) as daemon:
        daemon.ask("/samplefit/folder/add", str(sounds / "samples"))
        open_panel(page, daemon)
        press(daemon, sounds, "bass", "lead")
        page.wait_for_selector(".dock-why .explained")
        page.wait_for_selector(".transport [data-key=play]:not([disabled])")  # nothing is asked for any more
        page.locator(".hit.here").focus()
        liked = page.locator(".hit.here").get_attribute("data-id")
        page.keyboard.press("l")
        page.wait_for_selector(".hit.here[data-taste=like]")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("l")
        page.wait_for_selector(".hit.here[data-taste=like]")
        page.keyboard.press("z")
        page.wait_for_selector(".hit.here[data-taste='']")
    page.wait_for_selector("#status[data-state=away]")
    with serving(state, *arguments) as daemon:
        page.wait_for_selector("#status[data-state=live]")
        page.wait_for_selector("text=Waiting for a press")
        press(daemon, sounds, "bass", "lead")
        page.wait_for_selector(".hit.here .wave")
        assert page.locator("[data-taste=like]").evaluate_all(
            "rows => rows.map((row) => row.dataset.id)"
        ) == [liked]
        page.keyboard.press("z")
        page.wait_for_selector("[data-taste=like]", state="detached")
        page.goto("about:blank")  # nothing is asked for any more
