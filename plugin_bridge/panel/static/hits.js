/* A hit as a row of its column, and in the dock once it is chosen. */

import { marks } from "./choices.js";
import { $, button, explained, h, icon, seconds, title, typeName, wave } from "./dom.js";
import { FIT_BECAUSE, fitShort, fitWords, traitsShort, whyOf } from "./words.js";

const SECOND = new Set(["copy", "reveal", "similar", "undo"]); /* as pictures alone where there is little room */

export function row(hit, choose) {
  return h("li", { class: "hit", role: "option", id: `hit-${hit.type}-${hit.rank}`, "data-id": hit.id, "data-type": hit.type, tabindex: "-1", onclick: () => choose(hit) },
    h("span", { class: "rank" }, String(hit.rank)),
    h("span", { class: "picture" }),
    h("span", { class: "name", title: hit.path }, hit.name),
    h("span", { class: "about" }, h("span", { class: "from" }, hit.folder), h("span", {}, seconds(hit.duration_s))),
    h("span", { class: "how" }, h("span", { class: "traits" }), hit.fit === null ? null : h("span", { class: "fit", title: title(fitWords(hit)) }, fitShort(hit))),
    h("span", { class: "mark" }));
}

/** Writes into a row what came later: its outline, its traits, its marks. */
export function fill(element, hit, { details, why }) {
  const outline = details.get(hit.id);
  const traits = why?.hits[hit.id] ?? [];
  const { taste, used } = marks.of.get(hit.id) ?? {};
  if (outline && !$(".wave", element)) $(".picture", element).replaceChildren(wave(outline.peaks));
  $(".traits", element).textContent = traitsShort(traits);
  $(".mark", element).replaceChildren(...[taste && icon(taste), used && icon("use")].filter(Boolean));
  element.dataset.taste = taste ?? "";
  element.setAttribute("aria-label", [`${hit.rank}. ${hit.name}`, hit.folder, seconds(hit.duration_s), fitWords(hit), traitsShort(traits), taste, used && "used"].filter(Boolean).join(", "));
}

/** The chosen hit: what is known of it, and what can be done with it. */
export function dock(hit, { commands, details, hostReads, locked, why }) {
  const { taste, used } = marks.of.get(hit.id) ?? {};
  const outline = details.get(hit.id);
  const reason = whyOf(hit, why);
  const facts = [`${title(typeName(hit.type))} ${hit.rank}`, hit.guessed && "type by its sound", seconds(hit.duration_s)].filter(Boolean).join(" · ");
  const act = (key, name, label, run, pressed) => button(name, label, run, { "data-key": key, title: label, class: `button${SECOND.has(key) ? " second" : ""}`, "aria-pressed": pressed === undefined ? null : String(pressed) });
  return [
    h("div", { class: "dock-picture" }, outline ? wave(outline.peaks) : null),
    h("div", { class: "dock-text" },
      h("p", { class: "dock-name", title: hit.path }, hit.name),
      h("p", { class: "quiet dock-facts" }, facts, " · ",
        hit.fit === null ? `score ${hit.score.toFixed(2)}` : explained(fitWords(hit), FIT_BECAUSE, { class: "link", "data-key": "fit" })),
      h("p", { class: "dock-why" }, reason ? [reason.text, " ", explained("How we know", reason.because, { class: "link", "data-key": "why" })] : "Listening to what sets it apart…"),
      h("p", { class: "dock-path" }, hit.path)),
    h("div", { class: "dock-actions", role: "group", "aria-label": `Choose ${hit.name}` },
      act("like", "like", "Like", commands.like, taste === "like"),
      act("dislike", "dislike", "Dislike", commands.dislike, taste === "dislike"),
      act("use", "use", "Use", commands.use, Boolean(used)),
      hostReads ? act("send", "send", "To the DAW", commands.send) : null,
      act("lock", locked ? "lock" : "unlock", locked ? "Locked" : "Lock", commands.lock, locked),
      act("pick", "pick", "Pick", commands.pick),
      act("copy", "copy", "Copy path", commands.copy),
      act("reveal", "folder", "Show in folder", commands.reveal),
      act("similar", "similar", "Similar", commands.similar),
      act("undo", "undo", "Undo", commands.undo)),
  ];
}
