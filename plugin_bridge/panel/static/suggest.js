/* Suggest: every press as it comes, its hits in columns, heard dry or in the mix, and chosen. */

import { get, post, session, upload } from "./api.js";
import * as choices from "./choices.js";
import { guarded, marks } from "./choices.js";
import { $, $$, announce, explained, h, icon, keeping, plural, refill, set, title, toast, typeName, typeNames } from "./dom.js";
import * as hits from "./hits.js";
import { Player } from "./player.js";
import * as pressing from "./pressing.js";
import { favoursOf, kitWords } from "./words.js";

const state = {
  presses: [], press: null, details: new Map(), why: null, kit: null, loop: null, type: null, chosen: new Map(),
  mode: "mix", original: false, patterns: {}, bpm: null, shift: 0, locked: new Map(), view: "six", n: null, preset: "default", presets: [], run: null,
  arrived: null, /* while the presses are asked for: the answer may be older than what comes meanwhile */
};
const player = new Player(() => drawTransport());
let page, openSimilar, openLibrary;

export function setUp(root, actions) {
  page = root;
  [openSimilar, openLibrary] = [actions.similar, actions.library];
  choices.onMarks(drawDetails);
  draw();
  requestAnimationFrame(tick);
}

/** What was pressed so far; what is shown already stays, music and all. */
export async function load() {
  const arrived = (state.arrived = []);
  const [told, presets] = await Promise.all([get("/api/presses"), get("/api/presets")]);
  const presses = [...arrived.filter(({ press }) => told.every((each) => each.press !== press)), ...told];
  state.arrived = null;
  const same = (arrived.length || state.run === session.run) && presses[0]?.press === state.presses[0]?.press;
  Object.assign(state, { presses, presets, run: session.run });
  if (!same) show(presses[0] ?? null);
  else if (!state.press) draw();
}

/** A press that just came in. */
export function add(press) {
  state.arrived?.unshift(press);
  state.presses = [press, ...state.presses.filter((each) => each.press !== press.press)].slice(0, 24);
  show(press);
  announce(`New press: ${plural(press.hits.length, "hit")}`);
}

function show(press) {
  const playing = player.playing;
  Object.assign(state, { press, details: new Map(), why: null, kit: null, loop: null, bpm: null, shift: 0, original: false });
  state.chosen = firstOfEach(press);
  for (const type of state.locked.keys()) if (!press) state.locked.delete(type);
  if (!state.chosen.has(state.type)) state.type = state.chosen.keys().next().value ?? null;
  if (press) state.patterns = { ...session.usual, ...(press.replaces ? Object.fromEntries(types().map((t) => [t, "onsets"])) : {}) };
  player.stop();
  draw();
  if (!press) return;
  guarded(loadDetails, press);
  guarded(loadLoop, press, playing);
}

const firstOfEach = (press) => new Map((press?.hits ?? []).filter((hit) => hit.rank === 1).map((hit) => [hit.type, hit]));

async function loadDetails(press) {
  const details = await get(`/api/presses/${press.press}/hits`);
  if (state.press !== press) return;
  state.details = new Map(Object.entries(details));
  drawDetails();
  const why = await get(`/api/presses/${press.press}/why`);
  if (state.press !== press) return;
  state.why = why;
  drawDetails();
}

async function loadLoop(press, playing = false) {
  const loop = await get(`/api/presses/${press.press}/loop?${tempo()}`);
  if (state.press !== press) return;
  state.loop = loop;
  if (!loop.has_original) for (const type of types()) if (state.patterns[type] === "onsets") state.patterns[type] = session.usual[type];
  drawTransport();
  drawLoop();
  if (playing) await play();
  else prefetch();
}

const types = () => [...state.chosen.keys()];
const hitsOf = (type) => (state.press ? state.press.hits.filter((hit) => hit.type === type) : []);
const current = () => state.chosen.get(state.type);
const tempo = () => new URLSearchParams({ ...(state.bpm ? { bpm: state.bpm } : {}), ...(state.shift ? { shift: state.shift } : {}) });

function urlOf(hit) {
  const query = tempo();
  query.set("pattern", state.patterns[hit.type]);
  return `/api/presses/${state.press.press}/hits/${hit.id}?${query}`;
}

const urlOfMix = (what) => `/api/presses/${state.press.press}/${what}?${tempo()}`;

async function play() {
  const hit = current();
  if (!hit) return;
  if (state.mode === "dry") return player.once(`/api/one-shots/${hit.id}/sound`);
  if (!state.loop) return;
  await player.start({ music: urlOfMix("music"), hit: urlOf(hit), original: state.loop.has_original ? urlOfMix("original") : null }, state.original);
  prefetch();
}

/** The neighbours of the chosen hit, so that the next step is heard at once. */
function prefetch() {
  if (state.mode !== "mix" || !player.playing) return;
  const row = hitsOf(state.type);
  const at = row.indexOf(current());
  for (const near of [at + 1, at - 1, at + 2]) if (row[near]) player.load(urlOf(row[near])).catch(() => {});
}

function preview() {
  const hit = current();
  if (!hit) return;
  if (player.playing && state.mode === "mix") guarded(() => player.swap(urlOf(hit), state.original)).then(prefetch);
  else guarded(() => player.once(`/api/one-shots/${hit.id}/sound`));
}

function choose(hit, { focus = true, sound = true } = {}) {
  state.type = hit.type;
  state.chosen.set(hit.type, hit);
  drawChosen();
  if (focus) $(`#hit-${hit.type}-${hit.rank}`)?.focus({ preventScroll: false });
  if (sound) preview();
}

/* What the keys do. */

export const commands = {
  play: () => {
    if (state.mode === "mix" && player.playing) player.stop();
    else guarded(play);
  },
  step: (by) => {
    const row = hitsOf(state.type);
    const next = row[row.indexOf(current()) + by];
    if (next) choose(next);
  },
  turn: (by) => {
    const all = types();
    const type = all[all.indexOf(state.type) + by];
    if (type) choose(state.chosen.get(type));
  },
  mode: () => setMode(state.mode === "mix" ? "dry" : "mix"),
  original: () => {
    state.original = !state.original;
    player.compare(state.original);
    announce(state.original ? "Original" : "Suggestion");
    drawTransport();
  },
  like: () => current() && guarded(choices.mark, current(), "like"),
  dislike: () => current() && guarded(choices.mark, current(), "dislike"),
  use: () => current() && guarded(choices.mark, current(), "used"),
  undo: () => guarded(choices.undo),
  pick: () => current() && guarded(choices.pick, current()),
  copy: () => current() && guarded(choices.copy, current().path),
  reveal: () => current() && guarded(choices.reveal, current()),
  similar: () => current() && openSimilar(current()),
  send: () => current() && state.press.host_reads && guarded(sendToHost, current()),
  lock: () => {
    const hit = current();
    if (!hit) return;
    if (state.locked.get(hit.type)?.id === hit.id) state.locked.delete(hit.type);
    else state.locked.set(hit.type, hit);
    announce(state.locked.has(hit.type) ? `${hit.name} is locked: press again for the others` : `${typeName(hit.type)} unlocked`);
    draw();
    focusChosen();
  },
  again: () => state.press && guarded(pressAgain),
  kit: () => state.press && guarded(chooseKit),
  view: () => {
    state.view = state.view === "six" ? "one" : "six";
    draw();
    focusChosen();
  },
};

const focusChosen = () => state.type && current() && $(`#hit-${state.type}-${current().rank}`)?.focus();

function setMode(mode) {
  const playing = player.playing;
  state.mode = mode;
  player.stop();
  drawTransport();
  if (playing && mode === "mix") guarded(play);
}

async function sendToHost(hit) {
  const { name } = await post(`/api/presses/${state.press.press}/send`, { id: hit.id });
  await choices.mark(hit, "used");
  toast(`${hit.name} is suggestion 1 of ${name} now: choose Insert Suggestion 1 there`);
}

async function pressAgain() {
  const open = types().filter((type) => !state.locked.has(type));
  if (!open.length) return toast("Every type is locked: unlock one to press again");
  const locked = [...state.locked.values()].map((hit) => ({ id: hit.id, pattern: state.patterns[hit.type] }));
  await post(`/api/presses/${state.press.press}/again`, { types: state.locked.size ? open : [], preset: state.preset, locked });
}

async function chooseKit() {
  const press = state.press;
  const kit = await get(`/api/presses/${press.press}/kit`);
  if (state.press !== press) return;
  state.kit = kit;
  for (const hit of press.hits) if (kit.hits[hit.type] === hit.id) state.chosen.set(hit.type, hit);
  drawChosen();
  preview();
  announce(kitWords(kit).text);
}

function leaveKit() {
  state.kit = null;
  state.chosen = firstOfEach(state.press);
  drawChosen();
  focusChosen();
}

export const pressFiles = (files) => guarded(async () => {
  const form = new FormData();
  for (const file of files) form.append("stem", file);
  form.append("preset", state.preset);
  toast(`Pressing with ${plural(files.length, "file")}…`);
  await upload("/api/presses", form);
});

/* Drawing. */

function draw() {
  page.dataset.view = state.view;
  if (!state.press) return page.replaceChildren(pressing.empty(state.n, { openLibrary, pressFiles }));
  const onHit = document.activeElement?.matches(".column .hit");
  keeping(page, () => {
    page.replaceChildren(pressing.head(state, { commands, pressFiles, show }), h("div", { class: "transport", role: "toolbar", "aria-label": "Hear it" }), h("div", { class: "kit", hidden: true }), drawTypes(), drawColumns(), h("div", { class: "dock", role: "region", "aria-label": "Chosen hit" }));
    drawDetails();
    drawChosen();
    drawLoop();
  });
  if (onHit) focusChosen();
}

/** How many one-shots there are to suggest: with none, that is what to mend first. */
export function knows(n) {
  const was = state.n;
  state.n = n;
  if (!state.press && (was === 0) !== (n === 0)) draw();
}

function drawTransport() {
  const bar = $(".transport", page);
  if (!bar) return;
  const looping = player.playing;
  const loop = state.loop;
  const pattern = h("select", { "data-key": "pattern", "aria-label": "Where the hit is placed", onchange: () => {
    state.patterns[state.type] = pattern.value;
    if (player.playing) preview();
  } }, [...(loop?.has_original ? ["onsets"] : []), ...session.patterns].map((name) =>
    h("option", { value: name, selected: state.patterns[state.type] === name }, name === "onsets" ? "where the track plays" : name)));
  const bpm = h("input", { "data-key": "bpm", type: "number", min: 30, max: 300, step: "any", value: loop ? +loop.bpm.toFixed(2) : "", "aria-label": "Tempo in beats a minute", onchange: () => retime({ bpm: Number(bpm.value) || null }) });
  refill(bar,
    h("button", { type: "button", class: "button main", "data-key": "play", onclick: commands.play, disabled: state.mode === "mix" && !loop }, icon(looping ? "stop" : "play"), h("span", {}, looping ? "Stop" : "Play"), h("kbd", {}, "Space")),
    h("div", { class: "segments", role: "group", "aria-label": "How hits are heard" },
      [["dry", "Dry"], ["mix", "In the mix"]].map(([mode, label]) =>
        h("button", { type: "button", "data-key": mode, "aria-pressed": String(state.mode === mode), onclick: () => setMode(mode) }, label))),
    h("button", { type: "button", class: "button", "data-key": "original", "aria-pressed": String(state.original), onclick: commands.original, disabled: state.mode !== "mix", title: loop?.has_original ? "The track that is being replaced (O)" : "The mix without the hit (O)" }, h("span", {}, "Original"), h("kbd", {}, "O")),
    h("label", { class: "field" }, h("span", {}, `${title(typeName(state.type ?? ""))} on`), pattern),
    h("label", { class: "field" }, h("span", {}, "Tempo"), bpm),
    h("div", { class: "segments small", role: "group", "aria-label": "Mend the tempo" },
      h("button", { type: "button", "data-key": "half", title: "Half the tempo", onclick: () => loop && retime({ bpm: loop.bpm / 2 }) }, "÷2"),
      h("button", { type: "button", "data-key": "double", title: "Twice the tempo", onclick: () => loop && retime({ bpm: loop.bpm * 2 }) }, "×2"),
      h("button", { type: "button", "data-key": "shift", title: "The bar begins a beat later", onclick: () => retime({ shift: (state.shift + 1) % 4 }) }, "+1 beat")),
    h("button", { type: "button", class: "button view", "data-key": "view", "aria-pressed": String(state.view === "one"), onclick: commands.view, title: "Six columns, or one (V)" }, icon("columns"), h("span", {}, state.view === "six" ? "Six columns" : "One column")));
}

function retime(change) {
  Object.assign(state, change);
  const playing = player.playing;
  player.stop();
  guarded(loadLoop, state.press, playing);
}

function drawTypes() {
  return h("div", { class: "types", role: "group", "aria-label": "Types" }, types().map((type) =>
    h("button", { type: "button", class: "type", "data-type": type, "data-key": type, onclick: () => choose(state.chosen.get(type)) },
      h("span", { class: "chip" }), title(typeName(type)), state.locked.has(type) ? icon("lock") : null)));
}

function drawColumns() {
  return h("div", { class: "columns" }, types().map((type) => {
    const lock = state.locked.get(type);
    return h("section", { class: "column", "data-type": type, "aria-label": title(typeNames(type)) },
      h("h2", {}, h("span", { class: "chip" }), h("span", {}, title(typeNames(type))), h("span", { class: "quiet" }, String(hitsOf(type).length))),
      h("p", { class: "favours" }),
      lock ? h("p", { class: "locked" }, icon("lock"), h("span", {}, lock.name),
        h("button", { type: "button", class: "link", onclick: () => (state.locked.delete(type), draw()) }, "unlock")) : null,
      h("ol", { class: "hits", role: "listbox", "aria-label": title(typeNames(type)) }, hitsOf(type).map((hit) => hits.row(hit, choose))));
  }));
}

/** What came after the rows were drawn. */
function drawDetails() {
  for (const element of $$(".hit", page)) hits.fill(element, hitAt(element), state);
  for (const column of $$(".column", page)) {
    const [label, favours] = favoursOf(state.why?.types[column.dataset.type]);
    $(".favours", column).replaceChildren(label, h("strong", {}, favours));
  }
  drawDock();
}

const hitAt = (element) => state.press.hits.find((hit) => hit.id === element.dataset.id && hit.type === element.dataset.type);

function drawChosen() {
  for (const column of $$(".column", page)) column.classList.toggle("current", column.dataset.type === state.type);
  for (const type of $$(".type", page)) set(type, { "aria-pressed": String(type.dataset.type === state.type) });
  for (const row of $$(".hit", page)) {
    const chosen = state.chosen.get(row.dataset.type)?.id === row.dataset.id;
    const here = chosen && row.dataset.type === state.type;
    row.classList.toggle("here", here);
    set(row, { "aria-selected": String(chosen), tabindex: here ? "0" : "-1" });
  }
  drawKit();
  drawTransport();
  drawDock();
}

function drawKit() {
  const note = $(".kit", page);
  note.hidden = !state.kit;
  if (!state.kit) return note.replaceChildren();
  const { text, because } = kitWords(state.kit);
  refill(note, icon("kit"), h("p", {}, text, " ", explained("How it is chosen", because, { class: "link" })),
    h("button", { type: "button", class: "link", onclick: leaveKit }, "Back to the first of each"));
}

function drawDock() {
  const dock = $(".dock", page);
  const hit = current();
  if (!dock || !hit) return;
  dock.dataset.type = hit.type;
  refill(dock, ...hits.dock(hit, { ...state, commands, hostReads: state.press.host_reads, locked: state.locked.get(hit.type)?.id === hit.id }));
}

function drawLoop() {
  const mark = $(".bounce .loop", page);
  if (!mark || !state.loop) return;
  const { start_s, length_s } = state.loop;
  const width = Math.min(1, length_s / state.press.seconds);
  mark.hidden = width >= 0.999;
  mark.style.left = `${(start_s / state.press.seconds) * 100}%`;
  mark.style.width = `${width * 100}%`;
}

function tick() {
  const head = $(".bounce .head", page);
  if (head && state.loop) {
    const phase = player.phase;
    head.hidden = phase === null;
    if (phase !== null) head.style.left = `${((state.loop.start_s + phase * state.loop.length_s) / state.press.seconds) * 100}%`;
  }
  requestAnimationFrame(tick);
}

export { player };
export const currentPress = () => state.press;
