/* Models and presets: what hears, and with which settings. */

import { get, post } from "./api.js";
import { guarded } from "./choices.js";
import { h, toast } from "./dom.js";

let page;

export function setUp(root) {
  page = root;
}

export async function load() {
  const [{ device, models }, presets] = await Promise.all([get("/api/models"), get("/api/presets")]);
  page.replaceChildren(
    h("h2", {}, "Models"),
    h("p", { class: "quiet" }, `Encoding runs on ${device}. A model that you switch to serves once it has read the library; until then the one in use answers.`),
    h("div", { class: "cards" }, models.map((model) => h("article", { class: "card" },
      h("h3", {}, model.name, model.serving ? h("span", { class: "badge" }, "in use") : null),
      h("dl", { class: "facts" },
        fact("Licence", model.licence), fact("Embedding", `${model.dim} floats`), fact("Trained with", model.training.preset ?? "–"),
        ...Object.entries(model.training.metrics ?? {}).filter(([, value]) => typeof value === "number").map(([name, value]) => fact(name.replaceAll("_", " "), value.toFixed(3))),
        ...(model.path ? [fact("Folder", model.path)] : []), fact("Digest", model.digest.slice(0, 16))),
      model.serving ? null : h("button", { type: "button", class: "button", onclick: () => guarded(use, model) }, h("span", {}, "Use this model"))))),
    h("h2", {}, "Presets of a press"),
    h("div", { class: "cards" }, presets.map(({ name, text, settings }) => h("article", { class: "card" },
      h("h3", {}, name), h("p", {}, text),
      h("dl", { class: "facts" }, Object.entries(settings).filter(([key]) => key !== "text").map(([key, value]) => fact(MEANS[key] ?? key, Array.isArray(value) ? value.join(", ") : String(value))))))));
}

const MEANS = { k: "Hits of each type", types: "Types", n_windows: "Excerpts heard, at most", diversity: "Diversity, 0 to 1", longest_s: "Longest hit, s", shortest_s: "Shortest hit, s", folders: "Folders" };
const fact = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, String(value)));

async function use(model) {
  await post("/api/models/use", { name: model.name });
  toast(`${model.name} reads the library now, and serves once it is done`);
}
