/* A press: what was pressed, and the ways to press from here. */

import { button, clock, count, explained, h, plural, wave } from "./dom.js";

/** What stands there before the first press. */
export function empty(n, { openLibrary, pressFiles }) {
  if (n === 0) {
    return h("div", { class: "empty" },
      h("h2", {}, "Add a folder of drum samples"),
      h("p", {}, "samplefit suggests one-shots of your own, and knows none yet."),
      button("folder", "Go to the library", openLibrary));
  }
  return h("div", { class: "empty" },
    h("h2", {}, "Waiting for a press"),
    h("p", {}, "Press “suggest drums” in your DAW, and its hits appear here at once. Or drop a bounce, or its stems, anywhere on this page."),
    fileButton(pressFiles));
}

/** The presses, what is known of the one shown, what to do with it, and its bounce. */
export function head(state, { commands, pressFiles, show }) {
  const { locked, preset, presets, press, presses } = state;
  const select = h("select", { id: "press", "data-key": "press", "aria-label": "Press", onchange: () => show(presses.find((each) => String(each.press) === select.value)) },
    presses.map((each) => h("option", { value: each.press, selected: each.press === press.press }, nameOf(each))));
  const next = h("select", { id: "preset", "data-key": "preset", "aria-label": "Preset for the next press", onchange: () => (state.preset = next.value) },
    presets.map(({ name, text }) => h("option", { value: name, selected: name === preset, title: text }, name)));
  return h("div", { class: "press" },
    h("div", { class: "press-head" },
      h("div", { class: "press-name" }, select, leaning(press), h("p", { class: "quiet" }, ...about(press))),
      h("div", { class: "press-actions" }, next,
        button("again", locked.size ? "Press again for the others" : "Press again", commands.again, { title: "Press again (A)" }),
        button("kit", "Whole kit", commands.kit, { class: "button compact", title: "The hits that fit the mix and one another (G)" }),
        fileButton(pressFiles))),
    h("div", { class: "bounce", role: "img", "aria-label": `Waveform of the bounce, ${clock(press.seconds)} long` }, wave(press.peaks), h("div", { class: "loop", hidden: true }), h("div", { class: "head", hidden: true })));
}

function leaning({ learned }) {
  return learned ? explained("Leans to your likes", `The order of these hits leans a little towards what ${plural(learned, "one-shot")} that you marked ${learned === 1 ? "has" : "have"} in common. The scores do not change, and the preset plain leaves it out. Library: forget what was learned.`, { class: "badge" }) : null;
}

function about({ library, model, query, seconds, timings_ms: took }) {
  const unread = library.pending ? ` (${count(library.pending)} still unread)` : "";
  return [`${plural(query.stems, "stem")} · ${clock(seconds)}`, h("span", { class: "more" }, ` · ${took.total.toFixed(0)} ms against ${plural(library.one_shots, "one-shot")}${unread} · ${model}`)];
}

function nameOf(press) {
  const time = new Date(press.at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return `${press.title} · ${time}`;
}

function fileButton(pressFiles) {
  const input = h("input", { type: "file", multiple: true, accept: "audio/*,.aif,.aiff,.flac", class: "unseen", tabindex: "-1", "aria-hidden": "true" });
  input.addEventListener("change", () => input.files.length && pressFiles([...input.files]));
  return h("span", {}, button("upload", "Choose files", () => input.click(), { class: "button compact", title: "A bounce, or its stems; or drop them on this page" }), input);
}
