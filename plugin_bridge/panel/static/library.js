/* Library: its folders, what was left out, search by name, what is similar, the map, and the picks. */

import { get, post, session } from "./api.js";
import * as choices from "./choices.js";
import { guarded, marks } from "./choices.js";
import { $, $$, baseName, button, count, h, plural, refill, seconds, title, toast, typeName, typeNames } from "./dom.js";
import { LibraryMap } from "./map.js";
import { player } from "./suggest.js";

const state = { status: null, results: [], history: true, chosen: null };
const DONE = { like: "liked", dislike: "disliked", used: "used" };
let page, map;

export function setUp(root, actions) {
  page = root;
  page.replaceChildren(
    h("div", { class: "summary" }),
    h("div", { class: "library" },
      h("div", { class: "library-side" },
        h("form", { class: "search", role: "search", onsubmit: (event) => (event.preventDefault(), guarded(search)) },
          h("label", { class: "unseen", for: "search" }, "Search by name"),
          h("input", { id: "search", type: "search", placeholder: "Search by name", autocomplete: "off", oninput: () => guarded(search) }),
          h("select", { id: "search-type", "aria-label": "Type", onchange: () => guarded(search) }, h("option", { value: "" }, "all types"), session.types.map((type) => h("option", { value: type }, typeNames(type)))),
          h("select", { id: "search-folder", "aria-label": "Folder", onchange: () => (filterMap(), guarded(search)) }),
          h("select", { id: "search-length", "aria-label": "Duration", onchange: () => (filterMap(), guarded(search)) },
            [["", "any length"], ["0.25", "up to ¼ s"], ["0.5", "up to ½ s"], ["1", "up to 1 s"], ["2", "up to 2 s"]].map(([value, label]) => h("option", { value }, label)))),
        h("h2", { class: "results-heading", "aria-live": "polite" }),
        h("ol", { class: "hits results", role: "listbox", "aria-label": "Results" }),
        h("div", { class: "about-one" })),
      h("div", { class: "map-place" })),
    h("div", { class: "folders" }, h("h2", {}, "Folders"), h("ul", { class: "rows" }), folderForm()), h("div", { class: "picks" }), h("div", { class: "learned" }), h("div", { class: "left-out" }));
  map = new LibraryMap($(".map-place", page), { chosen: (one) => showOne(one), press: actions.press });
  choices.onMarks(() => {
    if (state.chosen) drawOne();
    if (state.history && marks.list.length) showHistory();
    guarded(drawLearned);
  });
}

export async function load() {
  await Promise.all([refresh().then(() => state.history && search()), map.load(), drawPicks(), drawLearned(), drawLeftOut()]);
}

export async function refresh() {
  state.status = await get("/api/library");
  drawSummary();
  drawFolders();
  return state.status;
}

export const focusSearch = () => $("#search", page).focus();

function drawSummary() {
  const { one_shots: n, by_type: by, pending, skipped, trouble } = state.status;
  $(".summary", page).replaceChildren(
    h("h2", {}, plural(n, "one-shot")),
    h("p", { class: "quiet" }, [pending ? `${count(pending)} still to be read` : n ? "all searchable" : "", skipped ? `${count(skipped)} left out` : ""].filter(Boolean).join(" · ")),
    ...trouble.map((text) => h("p", { class: "bad" }, text)),
    h("div", { class: "bar", role: "img", "aria-label": Object.entries(by).map(([type, m]) => `${m} ${typeNames(type)}`).join(", ") },
      Object.entries(by).filter(([, m]) => m).map(([type, m]) => {
        const part = h("span", { "data-type": type, title: `${count(m)} ${typeNames(type)}` });
        part.style.flexGrow = m;
        return part;
      })));
}

/** Made once: what is typed here must outlive every refresh. */
function folderForm() {
  const path = h("input", { type: "text", id: "folder-path", placeholder: "/path/of/a/sample/folder", autocomplete: "off", spellcheck: "false" });
  const add = async () => (await post("/api/library/folders/add", { path: path.value.trim() }), (path.value = ""));
  return h("form", { class: "inline", onsubmit: (event) => (event.preventDefault(), guarded(add)) },
    h("label", { for: "folder-path", class: "unseen" }, "Path of a folder"), path,
    h("button", { class: "button", type: "submit" }, h("span", {}, "Add folder")),
    button("again", "Look for changes", () => guarded(post, "/api/library/sync")));
}

function drawFolders() {
  const { folders } = state.status;
  const choose = $("#search-folder", page);
  if (choose.length !== folders.length + 1) choose.replaceChildren(h("option", { value: "255" }, "all folders"), ...folders.map((folder, i) => h("option", { value: String(i) }, baseName(folder.path))));
  refill($(".folders .rows", page), ...folders.map((folder) => h("li", {},
    h("span", { class: "grow path" }, folder.path),
    h("span", { class: `state ${folder.state}` }, folder.state),
    h("span", { class: "quiet" }, aboutFolder(folder)),
    button("remove", "Remove", () => guarded(post, "/api/library/folders/remove", { path: folder.path }), { "data-key": folder.path, "aria-label": `Remove ${folder.path}`, title: "Follow it no more; its files stay as they are" }))));
}

function aboutFolder({ one_shots: n, skipped, state: now, emptied_at: emptied }) {
  if (now === "online") return plural(n, "one-shot") + (skipped ? `, ${count(skipped)} left out` : "");
  return emptied ? `empty now; what is known of its ${plural(n, "one-shot")} is kept for a day` : `its ${plural(n, "one-shot")} ${n === 1 ? "comes" : "come"} back with ${n === 1 ? "its" : "the"} drive`;
}

async function drawPicks() {
  const { folder, names } = await get("/api/picks");
  refill($(".picks", page),
    h("h2", {}, "Picks"),
    h("p", { class: "quiet" }, "Copies of what you picked, in one folder: add it to your DAW’s browser once."),
    h("p", { class: "inline" }, h("span", { class: "path grow" }, folder), button("copy", "Copy path", () => guarded(choices.copy, folder))),
    h("ul", { class: "rows" }, names.map((name) => h("li", {}, h("span", { class: "grow" }, name),
      button("remove", "Remove", () => guarded(async () => (await post("/api/picks/remove", { name }), drawPicks())), { "data-key": name, "aria-label": `Remove ${name}` })))));
}

async function drawLearned() {
  showLearned(await get("/api/learned"));
}

function showLearned({ n_marks: n, n_choices: choices, least, trust }) {
  const forget = async () => (showLearned(await post("/api/learned/forget")), toast("Forgotten: the order of hits is the model’s own again. Your marks stay listed."));
  const now = n ? `The order of hits leans towards ${plural(n, "one-shot")} that you liked, used or passed over; what they have in common is trusted to ${Math.round(100 * trust)} %.`
    : choices < least ? `Off so far: ${choices} of ${least} choices. Like, dislike or use hits of a press, and later presses lean a little towards what you choose.`
      : `Off: your ${plural(choices, "choice")} ${choices === 1 ? "has" : "have"} nothing in common that is more than chance.`;
  refill($(".learned", page), h("h2", {}, "Learning from your choices"), h("p", { class: "quiet" }, now, " The preset plain never does."),
    h("p", { class: "inline" }, button("undo", "Forget what was learned", () => guarded(forget), { disabled: !choices })));
}

async function drawLeftOut() {
  const [skipped, copies] = await Promise.all([get("/api/library/skipped"), get("/api/library/copies")]);
  refill($(".left-out", page),
    h("details", {}, h("summary", { "data-key": "skipped" }, `Left out: ${plural(skipped.n, "file")}`),
      h("ul", { class: "rows" }, skipped.files.map((file) => h("li", {}, h("span", { class: "grow path" }, file.path), h("span", { class: "quiet" }, file.text || file.code))))),
    h("details", {}, h("summary", { "data-key": "copies" }, `Copies: ${plural(copies.n, "file")} that ${copies.n === 1 ? "is" : "are"} there already`),
      h("ul", { class: "rows" }, copies.groups.map((group) => h("li", { class: "stack" }, group.map((one) => h("span", { class: "path" }, one.path)))))));
}

function filterMap() {
  map.filter = { folder: Number($("#search-folder", page).value || 255), longest: Number($("#search-length", page).value) || Infinity };
  map.draw();
}

async function search() {
  const q = $("#search", page).value.trim();
  const query = new URLSearchParams({ q });
  const type = $("#search-type", page).value;
  const longest = $("#search-length", page).value;
  const folder = state.status.folders[$("#search-folder", page).value];
  if (type) query.set("type", type);
  if (longest) query.set("longest_s", longest);
  if (folder) query.set("folder", folder.path);
  const idle = !q && !type && !folder && !longest;
  if (idle && marks.list.length) return showHistory();
  const found = await get(`/api/library/search?${query}`);
  if (q !== $("#search", page).value.trim()) return;
  showResults(found, found.length === 200 ? "The first 200 by name" : plural(found.length, "one-shot"));
  state.history = idle;
}

/** What was chosen lately, where nothing is searched for. */
function showHistory() {
  const lately = new Map();
  for (const mark of marks.list) if (!lately.has(mark.id)) lately.set(mark.id, mark);
  showResults([...lately.values()].slice(0, 100), "Lately chosen");
  state.history = true;
}

export async function similar(one) {
  const found = await get(`/api/one-shots/${one.id}/similar`);
  showOne(one, false);
  showResults(found, `Similar to ${one.name}`);
  $(".results .hit", page)?.focus();
}

function showResults(results, heading) {
  Object.assign(state, { results, history: false });
  $(".results-heading", page).textContent = heading;
  const chosen = results.findIndex((one) => one.id === state.chosen?.id);
  refill($(".results", page), ...results.map((one, i) => h("li", { class: `hit plain${i === chosen ? " here" : ""}`, role: "option", tabindex: i === Math.max(chosen, 0) ? "0" : "-1", "data-type": one.type, "data-id": one.id, "data-key": one.id, "aria-selected": String(i === chosen),
    "aria-label": `${one.name}, ${typeName(one.type)}, ${one.folder}, ${seconds(one.duration_s)}`, onclick: (event) => choose(event.currentTarget, one) },
    h("span", { class: "chip" }), h("span", { class: "name", title: one.path }, one.name),
    h("span", { class: "about" }, h("span", { class: "from" }, one.folder), h("span", {}, seconds(one.duration_s)), one.what ? h("span", { class: "fit" }, DONE[one.what]) : null))));
}

function choose(row, one) {
  for (const other of $$(".results .hit", page)) {
    other.tabIndex = other === row ? 0 : -1;
    other.setAttribute("aria-selected", String(other === row));
    other.classList.toggle("here", other === row);
  }
  row.focus();
  showOne(one);
}

function showOne(one, sound = true) {
  state.chosen = one;
  drawOne();
  if (sound) guarded(() => player.once(`/api/one-shots/${one.id}/sound`));
}

function drawOne() {
  const one = state.chosen;
  const { taste, used } = marks.of.get(one.id) ?? {};
  refill($(".about-one", page),
    h("p", { class: "dock-name", title: one.path }, one.name),
    h("p", { class: "quiet" }, `${title(typeName(one.type))}${one.guessed ? ", by its sound" : ""} · ${seconds(one.duration_s)} · ${one.folder}`),
    h("div", { class: "dock-actions", role: "toolbar", "aria-label": `Choose ${one.name}` },
      button("play", "Play", () => showOne(one)),
      button("like", "Like", commands.like, { "aria-pressed": String(taste === "like") }),
      button("dislike", "Dislike", commands.dislike, { "aria-pressed": String(taste === "dislike") }),
      button("use", "Use", commands.use, { "aria-pressed": String(Boolean(used)) }),
      button("pick", "Pick", commands.pick),
      button("copy", "Copy path", commands.copy),
      button("similar", "Similar", commands.similar)));
}

const withChosen = (work) => () => state.chosen && guarded(work, state.chosen);
export const commands = {
  play: () => state.chosen && showOne(state.chosen),
  step: (by) => {
    const rows = $$(".results .hit", page);
    const at = rows.findIndex((row) => row.tabIndex === 0);
    const row = rows[at + by];
    if (row) choose(row, state.results[at + by]);
  },
  turn: () => {},
  like: withChosen((one) => choices.mark(one, "like")),
  dislike: withChosen((one) => choices.mark(one, "dislike")),
  use: withChosen((one) => choices.mark(one, "used")),
  undo: () => guarded(choices.undo),
  pick: withChosen(async (one) => (await choices.pick(one), drawPicks())),
  copy: withChosen((one) => choices.copy(one.path)),
  reveal: withChosen(choices.reveal),
  similar: withChosen(similar),
};
