/* Elements without markup strings, so that no name of a file is ever read as HTML. */

const SVG = "http://www.w3.org/2000/svg";

export const $ = (selector, root = document) => root.querySelector(selector);
export const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

/** An element: properties, attributes (aria-*, data-*, role, for) and on* listeners, then children. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  set(element, properties);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function set(element, properties) {
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) element.removeAttribute(key);
    else if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  return element;
}

/** New children for an element, as the user left the old: the same control has the focus, the same details are open. */
export const refill = (element, ...children) => keeping(element, () => element.replaceChildren(...children));

/** Draws within an element without taking from the user what has the focus there and what was opened, by data-key. */
export function keeping(element, draw) {
  const focused = element.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  const open = new Set($$("details[open] > summary", element).map((each) => each.dataset.key));
  draw();
  for (const each of $$("summary", element)) each.parentElement.open = open.has(each.dataset.key);
  if (focused) $(`[data-key="${CSS.escape(focused)}"]`, element)?.focus({ preventScroll: true });
}

const PATHS = {
  play: "M4 2.5v11l9-5.5z",
  stop: "M3.5 3.5h9v9h-9z",
  like: "M8 13.6 2.9 8.5a3.2 3.2 0 0 1 4.5-4.6l.6.6.6-.6a3.2 3.2 0 0 1 4.5 4.6z",
  dislike: "M3 3l10 10M13 3 3 13",
  use: "M2.5 8.5 6.3 12.5 13.5 4",
  pick: "M8 2v8M4.7 6.9 8 10.2l3.3-3.3M2.5 13.5h11",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  folder: "M1.8 12.7v-9.4h4.200l1.5 1.7h6.7v7.7z",
  similar: "M6.5 11a4.5 4.5 0 1 1 0-9 4.5 4.5 0 0 1 0 9zM9.8 9.8l4 4",
  lock: "M3.5 7.5h9v6h-9zM5.5 7.5v-2.300a2.5 2.5 0 0 1 5 0v2.300",
  unlock: "M3.5 7.5h9v6h-9zM5.5 7.5v-2.300a2.5 2.5 0 0 1 4.8-1",
  undo: "M5.5 3 2.5 6l3 3M2.8 6h6.7a3.7 3.7 0 0 1 0 7.4H6",
  again: "M13 4v3.5H9.5M12.7 7.200A5 5 0 1 0 13 9.5",
  kit: "M2.5 2.5h4.5v4.5h-4.5zM9 2.5h4.5v4.5H9zM2.5 9h4.5v4.5h-4.5zM9 9h4.5v4.5H9z",
  columns: "M2.5 2.5h3v11h-3zM6.7 2.5h3v11h-3zM10.900 2.5h3v11h-3z",
  remove: "M3.5 4.5h9M6.5 4.5v-2h3v2M4.5 4.5l.6 9h5.8l.6-9",
  send: "M2.5 8h8M7 4.5l3.5 3.5L7 11.5M13.5 2.5v11",
  upload: "M8 11V2.5M4.7 5.8 8 2.5l3.300 3.300M2.5 13.5h11",
};
const FILLED = new Set(["play", "stop"]);

export function icon(name) {
  const picture = document.createElementNS(SVG, "svg");
  set(picture, { viewBox: "0 0 16 16", class: `icon${FILLED.has(name) ? " filled" : ""}`, "aria-hidden": "true" });
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name]);
  picture.append(path);
  return picture;
}

/** Peaks, 0 to 255, as a mirrored outline. */
export function wave(peaks) {
  const picture = document.createElementNS(SVG, "svg");
  set(picture, { viewBox: `0 0 ${peaks.length} 64`, class: "wave", preserveAspectRatio: "none", "aria-hidden": "true" });
  const path = document.createElementNS(SVG, "path");
  const height = (peak) => Math.max(0.6, (peak / 255) * 31);
  const over = peaks.map((peak, x) => `${x + 0.5} ${(32 - height(peak)).toFixed(1)}`);
  const under = peaks.map((peak, x) => `${x + 0.5} ${(32 + height(peak)).toFixed(1)}`).reverse();
  path.setAttribute("d", `M0 32L${[...over, `${peaks.length} 32`, ...under].join("L")}z`);
  picture.append(path);
  return picture;
}

export function button(name, label, onclick, extra = {}) {
  return h("button", { type: "button", class: "button", "data-key": name, onclick, ...extra }, icon(name), h("span", {}, label));
}

let hints = 0;

/** A word with its explanation, shown on hover and focus (style.css) and read out with it. */
export function explained(word, because, extra = {}) {
  const id = `hint-${(hints += 1)}`;
  return h("span", { class: "explained" },
    h("button", { type: "button", "data-key": word, "aria-describedby": id, ...extra }, word),
    h("span", { class: "tooltip", role: "tooltip", id }, because));
}

export function announce(text) {
  $("#announcer").textContent = text;
}

export function toast(text, action = null) {
  const shown = h("div", { class: "toast" }, h("p", {}, text));
  if (action) {
    shown.append(h("button", { type: "button", class: "link", onclick: () => (action.run(), shown.remove()) }, action.label));
  }
  $("#toasts").replaceChildren(shown);
  setTimeout(() => shown.remove(), 6000);
}

const NAMES = { hihat: ["hi-hat", "hi-hats"], crash: ["crash", "crashes"], percussion: ["percussion", "percussion hits"],
  other: ["other", "others"] };
export const typeName = (type) => (NAMES[type] ?? [type])[0];
export const typeNames = (type) => (NAMES[type] ?? [type, `${type}s`])[1];
export const title = (text) => text.charAt(0).toUpperCase() + text.slice(1);
export const seconds = (s) => (s < 10 ? `${s.toFixed(2)} s` : `${s.toFixed(0)} s`);
export const clock = (s) => `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")}`;
export const count = (n) => n.toLocaleString("en");
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;
export const list = (words) => (words.length < 2 ? words.join() : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`);
export const baseName = (path) => path.split(/[\\/]/).filter(Boolean).at(-1) ?? path;
