"""One panel for the tests that change nothing about it, and one daemon and browser for those of the page."""

from __future__ import annotations

import pytest
from browsers import CHROMIUM, FLAGS, TIMEOUT_MS
from daemon import serving
from packages import make_package
from panels import serving_panel

from plugin_bridge.demo_sounds import write_library, write_stems


@pytest.fixture(scope="session")
def sounds(tmp_path_factory):
    """A model, a library of thirty one-shots, and the stems of a song at 112 bpm."""
    folder = tmp_path_factory.mktemp("panel")
    make_package(folder / "model")
    write_library(folder / "samples")
    write_stems(folder / "stems")
    return folder


@pytest.fixture(scope="session")
def served(sounds):
    with serving_panel(sounds / "state", sounds / "model", sounds / "samples") as served:
        yield served


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium here; on Debian: apt-get install chromium")
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


@pytest.fixture(scope="session")
def daemon(sounds, tmp_path_factory):
    state = tmp_path_factory.mktemp("browser") / "state"
    with serving(state, "--model", sounds / "model", "--web", "127.0.0.1:0") as daemon:
        daemon.ask("/samplefit/folder/add", str(sounds / "samples"))
        yield daemon
