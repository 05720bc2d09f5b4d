"""The panel in a real browser, for tests: opened, pressed, heard, dropped upon, and looked at."""

from __future__ import annotations

import base64
import json
import shutil
from contextlib import contextmanager

import numpy as np

from plugin_bridge.panel.access import make_token, read_key
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
TIMEOUT_MS = 60_000


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


def shown(page, daemon, sounds, *names, id):
    """Presses under an id of the test's own, and waits until the page shows that press."""
    press(daemon, sounds, *names, id=id)
    page.wait_for_selector(f"#press option:checked:has-text('{id}')", state="attached")
    page.wait_for_selector("#page-suggest .hit.here .wave")


@contextmanager
def another_press(page):
    """What is done in here presses: waits until the page shows that press."""
    shown_before = page.input_value("#press")
    yield
    page.wait_for_function("before => document.querySelector('#press').value !== before", arg=shown_before)


def fetched(page, path):
    """(T, C) float32: a sound, decoded by the browser that plays it."""
    channels = page.evaluate(
        """async (path) => {
            const context = new OfflineAudioContext(1, 1, 44100);
            const sound = await context.decodeAudioData(await (await fetch(path)).arrayBuffer());
            return Array.from({ length: sound.numberOfChannels }, (_, channel) => {
                const bytes = new Uint8Array(sound.getChannelData(channel).slice().buffer);
                let text = "";
                for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode(...bytes.subarray(i, i + 4096));
                return btoa(text);
            });
        }""",
        path,
    )
    return np.stack([np.frombuffer(base64.b64decode(text), np.float32) for text in channels], axis=1)


def drop(page, *paths):
    """Drags files over the page and lets them go, as from a file manager."""
    files = [[path.name, base64.b64encode(path.read_bytes()).decode()] for path in paths]
    held = page.evaluate_handle(
        """(files) => {
            const held = new DataTransfer();
            for (const [name, text] of files) {
                held.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], name));
            }
            return held;
        }""",
        files,
    )
    page.dispatch_event("main", "dragenter", {"dataTransfer": held})
    page.wait_for_selector("#drop:not([hidden])")
    page.dispatch_event("main", "dragover", {"dataTransfer": held})
    page.dispatch_event("main", "drop", {"dataTransfer": held})
    page.wait_for_selector("#drop", state="hidden")


CONTRAST = """() => {
    /* Texts that stand out from their ground by less than 4.5 to 1. */
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


def nameless(page):
    """Controls that a screen reader has no name for, as the browser computes names and roles."""
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    session.detach()
    return [
        node["role"]["value"]
        for node in nodes
        if not node["ignored"]
        and node["role"]["value"] in ROLES
        and not node.get("name", {}).get("value", "").strip()
    ]


ROLES = {
    "application", "button", "checkbox", "combobox", "dialog", "image", "link", "listbox", "navigation", "option",
    "region", "searchbox", "spinbutton", "textbox", "toolbar",
}  # fmt: skip
"""What needs a name."""


def tabbed(page):
    """Each control that Tab reaches, in order, once round; and those of them whose focus cannot be seen."""
    page.evaluate("document.activeElement.blur()")
    reached, unseen = [], []
    for _ in range(400):
        page.keyboard.press("Tab")
        text, seen = page.evaluate(
            """() => {
                const at = document.activeElement;
                at.dataset.reached = "";
                const style = getComputedStyle(at);
                const text = `${at.tagName} ${at.id || at.dataset.key || at.ariaLabel || at.textContent.trim()}`.slice(0, 60);
                return [at === document.body ? "" : text, style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2];
            }"""
        )
        if not text or (reached and text == reached[0]):
            return reached, unseen
        reached.append(text)
        if not seen:
            unseen.append(text)
    raise AssertionError("Tab never came round")


UNREACHED = """() => [...document.querySelectorAll("button, input, select, summary, a[href], canvas[tabindex]")]
    .filter((each) => each.checkVisibility() && !each.disabled && each.tabIndex >= 0 && !("reached" in each.dataset)
        && !each.closest("dialog, .skip"))
    .map((each) => each.outerHTML.slice(0, 120))"""
"""Controls that Tab did not come to."""
