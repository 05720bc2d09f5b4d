"""The page for everybody: by keyboard alone, by screen reader, in light and dark, narrow, and with odd libraries."""

from __future__ import annotations

import shutil

import pytest
import soundfile
from browsers import CONTRAST, UNREACHED, another_press, nameless, open_panel, press, shown, tabbed
from conftest import SAMPLE_RATE, tone
from daemon import serving

LONG = "A very long name of a one-shot that some pack thought to be a good idea (24 bit, mono, 120 bpm, C#min) v2"


@pytest.fixture
def pressed(page, daemon, sounds, request):
    """The page with a press, a kit and something liked."""
    open_panel(page, daemon)
    shown(page, daemon, sounds, "bass", "chords", "lead", id=request.node.name[:60])
    page.wait_for_selector(".dock-why .explained")
    page.keyboard.press("g")
    page.wait_for_selector(".kit:not([hidden])")
    return page


def pages(page):
    """Each page in turn, once it has drawn itself."""
    for key, drawn in (("1", ".hit.here"), ("2", ".legend .type"), ("3", ".cards .card")):
        page.keyboard.press(key)
        page.wait_for_selector(drawn)
        yield key


@pytest.mark.parametrize("width", [360, 800])
def test_nothing_runs_out_of_a_narrow_page(pressed, width):
    pressed.set_viewport_size({"width": width, "height": 740})
    for _ in pages(pressed):
        assert pressed.evaluate("document.documentElement.scrollWidth") == width
        for place in range(pressed.locator(".explained:visible").count()):
            pressed.locator(".explained:visible button").nth(place).focus()
            box = pressed.locator(".explained:visible .tooltip").nth(place).bounding_box()
            assert box["x"] >= 0 and box["x"] + box["width"] <= width
            assert pressed.evaluate("document.documentElement.scrollWidth") == width
        pressed.evaluate("document.activeElement.blur()")
    pressed.keyboard.press("?")
    pressed.wait_for_selector("dialog[open]")
    assert pressed.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_as_the_guidelines_ask(pressed, scheme):
    """WCAG 2.2, 1.4.3: 4.5 to 1, of every text against the ground that it is on."""
    pressed.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # no colour on its way to another
    for _ in pages(pressed):
        for hint in pressed.locator(".explained:visible button").all():
            hint.focus()
            assert pressed.evaluate(CONTRAST) == []
        assert pressed.evaluate(CONTRAST) == []
    pressed.keyboard.press("1")
    pressed.keyboard.press("d")
    pressed.wait_for_selector(".hit.here[data-taste=dislike]")
    pressed.keyboard.press("z")
    pressed.wait_for_selector(".toast")
    pressed.keyboard.press("?")
    pressed.wait_for_selector("dialog[open]")
    assert pressed.evaluate(CONTRAST) == []


def test_a_screen_reader_has_a_name_for_everything(pressed):
    for _ in pages(pressed):
        assert nameless(pressed) == []
    pressed.keyboard.press("?")
    pressed.wait_for_selector("dialog[open]")
    assert nameless(pressed) == []


def test_the_keyboard_alone_comes_to_everything(pressed):
    """WCAG 2.2, 2.1.1 and 2.4.7: Tab reaches each control, and shows where it is."""
    for _ in pages(pressed):
        for _ in range(3):  # what is drawn anew behind the Tab key is reached the next time
            reached, unseen = tabbed(pressed)
            assert len(reached) > 5 and unseen == []
            if not (unreached := pressed.evaluate(UNREACHED)):
                break
        assert unreached == []


def test_the_keyboard_alone_presses_locks_searches_and_picks(pressed, daemon):
    page = pressed
    page.keyboard.press("k")
    page.wait_for_selector(".column .locked")
    with another_press(page):
        page.keyboard.press("a")
    page.keyboard.press("/")
    page.keyboard.type("tom")
    page.wait_for_selector(".results .hit:has-text('tom_')")
    while not page.evaluate("document.activeElement.matches('.results .hit')"):
        page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    page.wait_for_selector(".about-one .dock-name")
    name = page.inner_text(".about-one .dock-name")
    page.keyboard.press("u")
    page.wait_for_selector(".about-one [aria-pressed=true]:has-text('Use')")
    page.keyboard.press("p")
    page.wait_for_selector(f".picks li:has-text('{name}')")
    assert f"tom {name}" in [path.name for path in (daemon.state / "picks").iterdir()]


FOCUSED = "document.activeElement.dataset.key"


@pytest.mark.parametrize(
    "control",
    [".dock [data-key=like]", ".transport [data-key=view]", "#preset", "#press"],
)
def test_a_new_press_takes_the_focus_from_no_control(pressed, daemon, sounds, control):
    pressed.focus(control)
    focused = pressed.evaluate(FOCUSED)
    shown(pressed, daemon, sounds, "bass", "chords", id=f"after {control[-12:]}")
    pressed.wait_for_selector(".dock-why .explained")
    assert pressed.evaluate(FOCUSED) == focused


def test_the_focus_on_a_hit_goes_to_the_first_hit_of_a_new_press(pressed, daemon, sounds):
    pressed.keyboard.press("ArrowDown")
    assert pressed.evaluate("document.activeElement.matches('.hit.here')")
    shown(pressed, daemon, sounds, "bass", "chords", id="after a hit")
    assert pressed.evaluate("document.activeElement.id") == "hit-kick-1"


def test_a_press_is_chosen_by_keys_one_after_the_other(pressed, daemon, sounds):
    shown(pressed, daemon, sounds, "bass", "chords", id="the last of them")
    pressed.focus("#press")
    for place in (1, 2):
        pressed.keyboard.press("ArrowDown")
        pressed.wait_for_function(f"document.querySelector('#press').selectedIndex === {place}")
        assert pressed.evaluate(FOCUSED) == "press"


def test_the_library_is_left_as_the_user_left_it_when_it_is_read_anew(pressed, daemon):
    page = pressed
    page.keyboard.press("u")
    page.wait_for_selector(".dock [data-key=use][aria-pressed=true]")
    page.keyboard.press("2")
    page.wait_for_selector(".results-heading:has-text('Lately chosen')")
    page.locator(".results .hit").first.click()
    page.evaluate("document.querySelector('.results .hit').id = 'old'")
    page.keyboard.press("u")
    page.wait_for_selector("#old", state="detached")
    chosen = page.get_attribute(".results .hit[aria-selected=true]", "data-key")
    assert page.evaluate(FOCUSED) == chosen, "the choice and the focus outlive a new list"
    page.click(".left-out summary >> nth=0")
    page.focus(".folders .rows button")
    focused = page.evaluate(FOCUSED)
    page.evaluate(
        "for (const each of document.querySelectorAll('.left-out details, .folders li')) each.id = 'old'"
    )
    page.evaluate("document.querySelector('.folders form .button:last-child').click()")  # and the focus stays
    page.wait_for_selector("#old", state="detached")
    assert page.evaluate("document.querySelector('.left-out details').open")
    assert page.evaluate(FOCUSED) == focused


def test_a_library_of_nothing_says_what_to_do(page, sounds, tmp_path):
    with serving(tmp_path / "state", "--model", sounds / "model", "--web", "127.0.0.1:0") as daemon:
        open_panel(page, daemon)
        page.wait_for_selector("text=Add a folder of drum samples")
        page.keyboard.press("2")
        page.wait_for_selector(".map-empty:visible")
        page.fill("#folder-path", str(sounds / "samples"))
        page.keyboard.press("Enter")
        page.wait_for_selector("#status:has-text('30')")
        page.wait_for_selector(".map-empty", state="hidden")
        assert page.locator(".folders li .path").all_text_contents() == [str(sounds / "samples")]
        page.keyboard.press("Escape")
        page.keyboard.press("1")
        page.wait_for_selector("text=Waiting for a press")
        page.goto("about:blank")  # nothing is asked for any more


def test_a_folder_that_is_away_long_names_and_sixty_hits(page, sounds, tmp_path):
    library = tmp_path / "samples"
    for n in range(60):
        folder = library / ("kick", "snare", "hihat", "ride", "crash", "tom")[n % 6]
        folder.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / f"{LONG} {n}.wav", tone(0.1 + n / 200, 80 + 40 * n), SAMPLE_RATE)
    away = tmp_path / "drive"
    shutil.copytree(sounds / "samples", away)
    with serving(tmp_path / "state", "--model", sounds / "model", "--web", "127.0.0.1:0") as daemon:
        for folder in (library, away):
            daemon.ask("/samplefit/folder/add", str(folder))
        away.rename(tmp_path / "unplugged")
        daemon.ask("/samplefit/sync")
        page.set_viewport_size({"width": 360, "height": 740})
        open_panel(page, daemon)
        press(daemon, sounds, "bass", "chords", "lead")
        page.wait_for_selector(".hit.here .wave")
        assert page.locator(".hit").count() == 60
        for _ in pages(page):
            assert page.evaluate("document.documentElement.scrollWidth") == 360
        page.keyboard.press("2")
        page.wait_for_selector(".folders .state.offline")
        page.wait_for_selector(".folders li:has-text('30 one-shots come back with the drive')")
        page.goto("about:blank")  # nothing is asked for any more
