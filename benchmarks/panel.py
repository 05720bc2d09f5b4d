"""Is the page as quick as the ear? A real daemon, a real press over OSC, headless Chromium, 63,000 one-shots on the map.

    python benchmarks/panel.py [--n-keys 63000] [--rounds 20]

hits_ms: from `/samplefit/done` at the client until the page has drawn the hits. paint_ms: within the page, from the
event until the frame with 60 hits is out. preview_ms: from the key until the new hit sounds. why_ms: what sets the hits
apart and goes with the score, once the others of each type were measured. kit_ms: the best kit of a million. map_ms:
from asking for the map until its first frame is out; map_frame_ms: one more frame of it, as while zooming, and
map_draw_ms what of that the drawing takes.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[1] / "tests")]

from daemon import Daemon, serving
from packages import make_package
from playwright.sync_api import Page, sync_playwright

from benchmarks.filled import fill
from benchmarks.measure import machine, spread, write
from encoders.package import read_card
from plugin_bridge.demo_sounds import write_library, write_stems
from plugin_bridge.panel.access import make_token, read_key
from plugin_bridge.panel.server import address

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"]

WATCH = """() => {
    window.seen = [];
    new MutationObserver(() => {
        if (document.querySelectorAll("#page-suggest .hit").length !== 60) return;
        const began = performance.now();
        requestAnimationFrame(() => setTimeout(() => window.seen.push([Date.now(), performance.now() - began])));
    }).observe(document.querySelector("#page-suggest"), { childList: true });
}"""

PAINT = """async (number) => {
    const suggest = await import("/static/suggest.js");
    const press = (await (await fetch("/api/presses")).json())[0];
    const began = performance.now();
    suggest.add({ ...press, press: number });
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    return performance.now() - began;
}"""

PREVIEW = """async () => {
    const { player } = await import("/static/suggest.js");
    const before = player.tracks.hit;
    const began = performance.now();
    document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowDown", bubbles: true }));
    while (player.tracks.hit === before) await new Promise((done) => setTimeout(done, 1));
    return performance.now() - began;
}"""

ASKED = """async (what) => {
    const began = performance.now();
    await (await fetch(`/api/presses/${document.querySelector("#press").value}/${what}`)).arrayBuffer();
    return performance.now() - began;
}"""

MAP = """async () => {
    const { LibraryMap } = await import("/static/map.js");
    const place = document.createElement("div");
    place.style.cssText = "width: 1000px; height: 600px; display: flex; flex-direction: column";
    document.body.append(place);
    const map = new LibraryMap(place, { chosen() {}, press: () => null });
    const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    const began = performance.now();
    await map.load();
    await frame();
    const first = performance.now() - began;
    const again = performance.now();
    map.draw();
    const drawn = performance.now() - again;
    await frame();
    const next = performance.now() - again;
    place.remove();
    return [map.points.n, first, next, drawn];
}"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n-keys", type=int, default=63_000, help="one-shots on the map")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    about = machine()
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        folder = Path(place)
        model = make_package(folder / "model")
        for take in range(2):
            write_library(folder / "samples" / str(take), seed=take)
        write_stems(folder / "stems")
        fill(folder / "large", folder / "many", options.n_keys, read_card(model).digest, read_card(model).dim)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        result: dict[str, Any] = {"rounds": options.rounds}
        with serving(folder / "small", "--model", model, "--web", "127.0.0.1:0") as daemon:
            daemon.ask("/samplefit/folder/add", str(folder / "samples"))
            page = opened(browser.new_page(), daemon)
            result |= pressing(page, daemon, folder / "stems" / "bass.wav", options.rounds)
        with serving(folder / "large", "--model", model, "--web", "127.0.0.1:0") as daemon:
            rounds = [opened(browser.new_page(), daemon).evaluate(MAP) for _ in range(5)]
            result |= {
                "n_on_map": rounds[0][0],
                "map_first_ms": round(rounds[0][1], 1),
                "map_ms": spread([first for _, first, *_ in rounds[1:]]),
                "map_draw_ms": spread([drawn for *_, drawn in rounds]),
                "map_frame_ms": spread([frame for *_, frame, _ in rounds]),
            }
        browser.close()
    write("panel", result, about)


def opened(page: Page, daemon: Daemon) -> Page:
    """A page that is in and live."""
    web = json.loads((daemon.state / "daemon.json").read_text())
    page.goto(address(web["web_host"], web["web_port"], make_token(read_key(daemon.state))))
    page.wait_for_selector("#status[data-state=live]")
    return page


def pressing(page: Page, daemon: Daemon, bounce: Path, rounds: int) -> dict[str, Any]:
    """Presses, and steps through the hits of the last one while the mix plays."""
    page.evaluate(WATCH)
    behind = []
    for n in range(1, rounds + 1):
        daemon.ask("/samplefit/suggest/file", str(bounce))
        done_s = time.time()
        while page.evaluate("window.seen.length") < n:
            time.sleep(0.01)
        behind.append(page.evaluate("window.seen.at(-1)[0]") - 1000 * done_s)
    paints = [page.evaluate(PAINT, 1000 + n) for n in range(rounds)]
    page.reload()
    page.wait_for_selector(".transport [data-key=play]:not([disabled])")
    page.keyboard.press("Space")
    page.wait_for_selector(".transport .main:has-text('Stop')")
    steps = []
    for n in range(rounds):
        if n % 8 == 0:
            page.click(f".column:nth-child({n // 8 % 6 + 1}) .hit")
        steps.append(page.evaluate(PREVIEW))
    page.keyboard.press("Space")
    return {
        "hits_ms": spread(behind),
        "paint_ms": spread(paints),
        "preview_ms": spread(steps),
        "why_ms": spread([page.evaluate(ASKED, "why") for _ in range(rounds)]),
        "kit_ms": spread([page.evaluate(ASKED, "kit") for _ in range(rounds)]),
    }


if __name__ == "__main__":
    main()
