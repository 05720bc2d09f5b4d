/* The page: what is shown, the daemon's events, and the keys. */

import * as api from "./api.js";
import * as choices from "./choices.js";
import { $, $$, count, h, set } from "./dom.js";
import * as library from "./library.js";
import * as models from "./models.js";
import * as suggest from "./suggest.js";

const PAGES = { suggest, library, models };
let shown = "suggest";

function go(name) {
  shown = name;
  for (const tab of $$(".tab")) set(tab, { "aria-current": tab.dataset.page === name ? "page" : null });
  for (const page of Object.keys(PAGES)) $(`#page-${page}`).hidden = page !== name;
  if (name !== "suggest") choices.guarded(PAGES[name].load);
  location.hash = name;
}

function status(text, state) {
  const shownStatus = $("#status");
  shownStatus.dataset.state = state;
  $(".text", shownStatus).replaceChildren(...[text].flat());
}

async function showLibrary() {
  const { one_shots: n, pending } = await library.refresh();
  suggest.knows(n);
  status([count(n), h("span", { class: "more" }, `${n === 1 ? " one-shot" : " one-shots"}${pending ? `, ${count(pending)} to read` : ""}`)], "live");
}

function setUp() {
  suggest.setUp($("#page-suggest"), { library: () => (go("library"), $("#folder-path").focus()), similar: (one) => (go("library"), choices.guarded(library.similar, one)) });
  library.setUp($("#page-library"), { press: suggest.currentPress });
  models.setUp($("#page-models"));
  const wanted = location.hash.slice(1);
  if (wanted in PAGES && wanted !== shown) go(wanted);
}

/** The daemon is there, for the first time or again: what happened meanwhile is fetched. */
async function hello({ run }) {
  if (run !== api.session.run) await api.begin();
  await Promise.all([suggest.load(), choices.loadMarks(), showLibrary()]);
}

function errand({ what, done, total, ended, failure }) {
  const line = $("#errand");
  line.hidden = Boolean(ended) && !failure;
  line.textContent = failure ?? (total ? `${what}: ${count(done)} of ${count(total)}` : `${what}…`);
  line.classList.toggle("bad", Boolean(failure));
  if (ended) {
    choices.guarded(showLibrary);
    if (shown === "library") choices.guarded(library.load);
  }
}

function closed(error) {
  status("Not opened", "away");
  $("#main").replaceChildren(h("div", { class: "empty" }, h("h2", {}, "This page is not opened yet"),
    h("p", {}, "Run ", h("code", {}, "samplefit panel"), " in a terminal: it opens the page with a token of its own."),
    h("p", { class: "quiet" }, error.message)));
}

function onKey(event) {
  const target = event.target;
  if (event.ctrlKey || event.metaKey || event.altKey || $("#help").open) return;
  const typing = target.matches("input:not([type=checkbox]), textarea, select");
  if (event.key === "Escape") return typing ? target.blur() : document.body.classList.add("no-hints");
  if (typing) return;
  const { commands } = PAGES[shown];
  const onButton = target.matches("button, summary, a");
  const keys = {
    " ": onButton ? null : "play", ArrowUp: ["step", -1], ArrowDown: ["step", 1], ArrowLeft: ["turn", -1], ArrowRight: ["turn", 1],
    m: "mode", o: "original", l: "like", d: "dislike", u: "use", z: "undo", k: "lock", i: "send", p: "pick", c: "copy", r: "reveal", s: "similar", v: "view", a: "again", g: "kit",
  };
  const pages = { 1: "suggest", 2: "library", 3: "models" };
  if (event.key === "?") $("#help").showModal();
  else if (event.key === "/") (go("library"), library.focusSearch());
  else if (pages[event.key]) go(pages[event.key]);
  else {
    const [name, ...given] = [keys[event.key] ?? []].flat();
    const command = commands?.[name];
    if (!command) return;
    command(...given);
  }
  event.preventDefault();
}

function onDrop() {
  const veil = $("#drop");
  let depth = 0;
  const files = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragenter", (event) => files(event) && ((depth += 1), (veil.hidden = false)));
  addEventListener("dragleave", (event) => files(event) && (depth -= 1) <= 0 && (veil.hidden = true));
  addEventListener("dragover", (event) => files(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    if (!files(event)) return;
    event.preventDefault();
    depth = 0;
    veil.hidden = true;
    go("suggest");
    suggest.pressFiles([...event.dataTransfer.files]);
  });
}

for (const tab of $$(".tab")) tab.addEventListener("click", () => go(tab.dataset.page));
$("#help-button").addEventListener("click", () => $("#help").showModal());
addEventListener("keydown", onKey);
for (const event of ["pointermove", "focusin"]) addEventListener(event, () => document.body.classList.remove("no-hints"));
onDrop();
/* What the daemon follows on the disk by itself, no event tells of. */
setInterval(() => !document.hidden && $("#status").dataset.state === "live" && choices.guarded(showLibrary), 15000);

try {
  await api.begin();
  setUp();
  api.listen({
    hello: (told) => choices.guarded(hello, told),
    lost: () => status("Reconnecting…", "away"),
    press: suggest.add,
    marks: choices.takeMarks,
    errand,
  });
} catch (error) {
  closed(error);
}
