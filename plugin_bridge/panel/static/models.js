/* Models and presets: what hears, and with which settings. */

import { get, post } from "./api.js";
import { guarded } from "./choices.js";
import { h, plural, toast } from "./dom.js";

let page;

export function setUp(root) {
  page = root;
}

export async function load() {
  const [{ device, models }, presets] = await Promise.all([get("/api/models"), get("/api/presets")]);
  page.replaceChildren(
    h("h2", {}, "Models"),
    h("p", { class: "quiet" }, `Encoding runs on the ${device === "cpu" ? "processor" : device}. A model that you switch to serves once it has read the library; until then the one in use answers.`),
    h("div", { class: "cards" }, models.map((model) => h("article", { class: "card" },
      h("h3", {}, model.name, model.serving ? h("span", { class: "badge" }, "in use") : null),
      h("dl", { class: "facts" },
        fact("Licence", model.licence), fact("Embedding", `${model.dim} floats`), fact("Trained with", model.training.preset ?? "–"),
        ...heldBack(model), fact("Tells how well a hit fits", model.calibrated), ...(model.path ? [fact("Folder", model.path, "path")] : []), fact("Digest", model.digest.slice(0, 16), "path")),
      model.serving ? null : h("button", { type: "button", class: "button", onclick: () => guarded(use, model) }, h("span", {}, "Use this model"))))),
    h("h2", {}, "Presets of a press"),
    h("div", { class: "cards" }, presets.map(({ name, text, settings }) => h("article", { class: "card" },
      h("h3", {}, name), h("p", {}, text),
      h("dl", { class: "facts" }, Object.entries(settings).filter(([key]) => key !== "text").map(([key, value]) => fact(MEANS[key] ?? key, Array.isArray(value) ? value.join(", ") : String(value))))))));
}

const MEANS = { k: "Hits of each type", types: "Types", n_windows: "Excerpts heard, at most", diversity: "Diversity, 0 to 1", longest_s: "Longest hit, s", shortest_s: "Shortest hit, s", folders: "Folders", learned: "Leans to your likes" };
const fact = (name, value, kind = null) => h("div", {}, h("dt", {}, name), h("dd", { class: kind }, { true: "yes", false: "no" }[value] ?? String(value)));

/** How early a song's own one-shots stand in the order that it gives; nothing where nobody measured it. */
function heldBack({ training }) {
  const held = training.metrics?.test;
  if (!held?.sparse) return [];
  return [fact("Heard on songs held back", `${plural(held.n_songs, "song")}, ${plural(held.n_one_shots, "one-shot")}`),
    fact("Their own one-shots stand", `at ${(100 * held.sparse.median_normalised_rank).toFixed(1)} % of the list (median; chance 50 %)`)];
}

async function use(model) {
  await post("/api/models/use", { name: model.name });
  toast(`${model.name} reads the library now, and serves once it is done`);
}
