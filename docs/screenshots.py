"""Makes docs/screenshots/: a real daemon, a real press of stems over OSC, headless Chromium.

    python docs/screenshots.py --state DIR --stems STEM... --replaces STEM [--folder DIR] [--model DIR]

What is shown is what is there: choose folders whose paths may be read by everybody.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from daemon import serving
from playwright.sync_api import Page, sync_playwright

from plugin_bridge.panel.access import make_token, read_key
from plugin_bridge.panel.server import address

OUT = ROOT / "docs" / "screenshots"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"]
WIDE, NARROW = (1440, 900), (360, 760)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--stems", nargs="+", type=Path, required=True)
    parser.add_argument(
        "--replaces", type=Path, required=True, help="the stem that a hit is to take the place of"
    )
    parser.add_argument("--folder", help="sample folder to follow first")
    parser.add_argument("--model", help="instead of the one in use")
    options = parser.parse_args()
    OUT.mkdir(exist_ok=True)
    given = ["--model", options.model] if options.model else []
    with serving(options.state, "--web", "127.0.0.1:0", *given) as daemon, sync_playwright() as playwright:
        with daemon.client() as client:
            if options.folder:
                client.ask("/samplefit/folder/add", options.folder)
            for path in (*options.stems, options.replaces):
                client.ask("/samplefit/stem/file", path.stem, str(path), id="song")
            client.ask(
                "/samplefit/suggest",
                "exclude",
                options.replaces.stem,
                "start",
                50.0,
                "length",
                24.0,
                id="song",
            )
        web = json.loads((daemon.state / "daemon.json").read_text())
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for scheme in ("light", "dark"):
            for name, (width, height) in (("wide", WIDE), ("narrow", NARROW)):
                page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
                page.set_default_timeout(120_000)  # the first press measures hundreds of one-shots
                page.goto(address(web["web_host"], web["web_port"], make_token(read_key(daemon.state))))
                shoot(page, f"{name}-{scheme}")
                page.close()
        browser.close()


def shoot(page: Page, name: str) -> None:
    """Suggest while the mix plays, then the library."""
    page.wait_for_selector(".transport [data-key=play]:not([disabled])")
    page.wait_for_selector(".hit.here .wave")
    page.wait_for_selector(".dock-why .explained")
    page.keyboard.press("Space")
    page.wait_for_selector(".bounce .head:not([hidden])")
    page.screenshot(path=OUT / f"suggest-{name}.png")
    page.keyboard.press("Space")
    page.keyboard.press("2")
    page.wait_for_selector(".legend .type")
    page.wait_for_selector(".results .hit")
    page.wait_for_timeout(500)
    page.screenshot(path=OUT / f"library-{name}.png")


if __name__ == "__main__":
    main()
