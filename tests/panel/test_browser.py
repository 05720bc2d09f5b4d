"""The page in a real browser beside a real daemon: pressed over OSC, heard, chosen, left open over a restart."""

from __future__ import annotations

import base64
import json
import shutil
import socket

import numpy as np
import pytest
from daemon import samplefit, serving

from encoders.audio import SAMPLE_RATE, read_audio
from plugin_bridge.panel.access import make_token, read_key
from plugin_bridge.panel.loudness import integrated_lufs
from plugin_bridge.panel.server import address

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--autoplay-policy=no-user-gesture-required",
]
TIMEOUT_MS = 20_000

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium here; on Debian: apt-get install chromium"
)


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="no Playwright here: pip install playwright"
    )
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser):
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    context.set_default_timeout(TIMEOUT_MS)
    page = context.new_page()
    page.faults = []
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.on("console", lambda told: told.type == "error" and page.faults.append(told.text))
    yield page
    context.close()
    assert not [fault for fault in page.faults if "ERR_CONNECTION_REFUSED" not in fault]


@pytest.fixture(scope="module")
def daemon(sounds, tmp_path_factory):
    state = tmp_path_factory.mktemp("browser") / "state"
    with serving(state, "--model", sounds / "model", "--web", "127.0.0.1:0") as daemon:
        daemon.ask("/samplefit/folder/add", str(sounds / "samples"))
        yield daemon


def open_panel(page, daemon):
    web = json.loads((daemon.state / "daemon.json").read_text())
    page.goto(address(web["web_host"], web["web_port"], make_token(read_key(daemon.state))))
    page.wait_for_selector("#status[data-state=live]")


def press(daemon, sounds, *names, id="song"):
    """Presses with stems; the last one is the track that is being replaced."""
    *_, last = names
    with daemon.client() as client:
        for name in names:
            client.ask("/samplefit/stem/file", name, str(sounds / "stems" / f"{name}.wav"), id=id)
        client.ask("/samplefit/suggest", "exclude", last, "preset", "plain", id=id)


def fetched(page, path):
    """(T,) float32: a sound, decoded by the browser that plays it."""
    text = page.evaluate(
        """async (path) => {
            const context = new OfflineAudioContext(1, 1, 44100);
            const sound = await context.decodeAudioData(await (await fetch(path)).arrayBuffer());
            const bytes = new Uint8Array(sound.getChannelData(0).slice().buffer);
            let text = "";
            for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode(...bytes.subarray(i, i + 4096));
            return btoa(text);
        }""",
        path,
    )
    return np.frombuffer(base64.b64decode(text), np.float32)


def test_a_page_without_a_token_says_how_to_open_it(page, daemon):
    port = json.loads((daemon.state / "daemon.json").read_text())["web_port"]
    page.goto(f"http://127.0.0.1:{port}/")
    page.wait_for_selector("text=samplefit panel")
    page.faults.clear()  # the browser logs the refusal


def test_a_press_over_osc_appears_and_the_keys_do_it_all(page, daemon, sounds):
    page.goto(samplefit("panel", "--print", state=daemon.state).stdout.strip())
    page.wait_for_selector("#status[data-state=live]")
    press(daemon, sounds, "bass", "chords", "lead")
    page.wait_for_selector(".hit.here .wave")
    assert page.locator(".column").count() == 6
    assert page.locator(".hit").count() == 30
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
    page.wait_for_selector(".hit.here[data-taste=like]")
    page.keyboard.press("p")
    page.wait_for_selector("text=In the picks folder")
    assert [path.name for path in (daemon.state / "picks").iterdir()] == [
        f"kick {page.locator('.hit.here .name').text_content()}"
    ]
    page.keyboard.press("v")
    page.wait_for_selector("[data-view=one]")
    page.keyboard.press("v")
    page.keyboard.press("?")
    page.wait_for_selector("dialog[open]")
    page.keyboard.press("Escape")


def test_the_preview_is_the_mix_that_it_should_be(page, daemon, sounds):
    open_panel(page, daemon)
    press(daemon, sounds, "bass", "chords", "lead", id="numbers")
    page.wait_for_selector(".hit.here .wave")
    number = page.input_value("#press")
    n = round(16 * 60 / 112 * SAMPLE_RATE)

    music = fetched(page, f"/api/presses/{number}/music")
    expected = sum(read_audio(sounds / "stems" / f"{name}.wav")[:n] for name in ("bass", "chords"))
    assert len(music) == n
    assert np.abs(music - expected)[: n - 300].max() < 1e-6
    original = fetched(page, f"/api/presses/{number}/original")
    assert np.abs(original - read_audio(sounds / "stems" / "lead.wav")[:n])[: n - 300].max() < 1e-6

    one = page.locator(".hit").first.get_attribute("data-id")
    hit = fetched(page, f"/api/one-shots/{one}/sound")
    track = fetched(page, f"/api/presses/{number}/hits/{one}?pattern=1%20and%203")
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

    assert integrated_lufs(track) == pytest.approx(integrated_lufs(original), abs=0.5)


def test_files_that_are_chosen_press_and_a_locked_type_stays(page, daemon, sounds):
    open_panel(page, daemon)
    page.set_input_files(
        "input[type=file]", [sounds / "stems" / f"{name}.wav" for name in ("bass", "chords")]
    )
    page.wait_for_selector("#press option:has-text('bass, chords')", state="attached")
    page.locator(".hit.here").focus()
    page.keyboard.press("k")
    page.wait_for_selector(".column .locked")
    n_presses = page.locator("#press option").count()
    page.click("text=Press again for the others")
    page.wait_for_selector(f"#press option:nth-child({n_presses + 1})", state="attached")
    assert page.locator(".column").count() == 5, "the kick is settled"


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
        page.wait_for_selector(".hit.here .wave")
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


@pytest.mark.parametrize("width", [360, 800])
def test_nothing_runs_out_of_a_narrow_page(page, daemon, sounds, width):
    page.set_viewport_size({"width": width, "height": 740})
    open_panel(page, daemon)
    press(daemon, sounds, "bass", "chords", "lead", id=f"narrow-{width}")
    page.wait_for_selector(".hit.here .wave")
    for key in "123":
        page.keyboard.press(key)
        assert page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_as_the_guidelines_ask(page, daemon, sounds, scheme):
    """WCAG 2.2, 1.4.3: 4.5 to 1, of every text against the ground that it is on."""
    page.emulate_media(color_scheme=scheme)
    open_panel(page, daemon)
    press(daemon, sounds, "bass", "chords", "lead", id=f"contrast-{scheme}")
    page.wait_for_selector(".hit.here .wave")
    for key in "123":
        page.keyboard.press(key)
        assert page.evaluate(CONTRAST) == []


def test_everything_that_can_be_pressed_has_a_name(page, daemon, sounds):
    open_panel(page, daemon)
    press(daemon, sounds, "bass", "chords", "lead", id="names")
    page.wait_for_selector(".hit.here .wave")
    nameless = """() => [...document.querySelectorAll("button, input, select, a, [role=option], [role=listbox], canvas")]
        .filter((each) => each.checkVisibility() && !each.ariaLabel && !each.labels?.length && !each.textContent.trim()
            && each.getAttribute("aria-hidden") !== "true")
        .map((each) => each.outerHTML.slice(0, 120))"""
    for key in "123":
        page.keyboard.press(key)
        assert page.evaluate(nameless) == []


CONTRAST = """() => {
    const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    const parse = (colour) => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
        return [r, g, b, a / 255];
    };
    const luminance = (rgb) => rgb.slice(0, 3)
        .map((v) => ((v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const ground = (element) => {
        for (let each = element; each; each = each.parentElement) {
            const colour = parse(getComputedStyle(each).backgroundColor);
            if (colour[3] > 0.99) return colour;
        }
        return [255, 255, 255, 1];
    };
    const low = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement;
        if (!walker.currentNode.data.trim() || !element.checkVisibility() || element.closest("button:disabled, .unseen, option")) continue;
        const [a, b] = [luminance(parse(getComputedStyle(element).color)), luminance(ground(element))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < 4.5) low.push(`${walker.currentNode.data.trim().slice(0, 30)}: ${ratio.toFixed(2)}`);
    }
    return low;
}"""
