/* What the user does with a one-shot, wherever it is shown: hear, like, dislike, use, undo, pick, copy, reveal. */

import { Failure, get, post } from "./api.js";
import { announce, toast } from "./dom.js";

export const marks = { list: [], of: new Map() };
const watchers = new Set();
export const onMarks = (watcher) => watchers.add(watcher);

/** Every change comes as an event, ours too: answers beside them could be overtaken, and undo take back the wrong mark. */
export function takeMarks(list) {
  marks.list = list;
  marks.of = new Map();
  for (const mark of [...list].reverse()) {
    const now = marks.of.get(mark.id) ?? {};
    if (mark.what === "used") now.used = true;
    else now.taste = mark.what;
    marks.of.set(mark.id, now);
  }
  for (const watcher of watchers) watcher();
}

export async function loadMarks() {
  takeMarks(await get("/api/marks"));
}

const DONE = { like: "Liked", dislike: "Disliked", used: "Used" };

export async function mark(one, what) {
  const last = marks.list.find((each) => each.id === one.id && each.what !== "used");
  if (what !== "used" && last?.what === what) {
    await post("/api/marks/remove", { mark: last.mark });
    announce(`${one.name}: no longer ${DONE[what].toLowerCase()}`);
    return;
  }
  await post("/api/marks/add", { id: one.id, what });
  announce(`${DONE[what]} ${one.name}`);
  if (what === "used") toast(`${DONE[what]}: ${one.name}`, { label: "Undo", run: () => guarded(undo) });
}

export async function undo() {
  const [last] = marks.list;
  if (!last) return toast("Nothing to undo");
  await post("/api/marks/remove", { mark: last.mark });
  toast(`Taken back: ${DONE[last.what].toLowerCase()} ${last.name}`);
}

export async function pick(one) {
  const picks = await post("/api/picks/add", { id: one.id, type: one.type });
  toast(`In the picks folder: ${one.name}`, { label: "Copy its path", run: () => copy(picks.folder) });
}

export async function copy(text) {
  await navigator.clipboard.writeText(text);
  toast("Path copied");
}

export async function reveal(one) {
  await post(`/api/one-shots/${one.id}/reveal`);
}

/** Runs work whose failure the user is told of. */
export async function guarded(work, ...args) {
  try {
    return await work(...args);
  } catch (error) {
    if (!(error instanceof Failure || error instanceof DOMException)) console.error(error); /* a bug of ours */
    toast(error.message);
    return undefined;
  }
}
