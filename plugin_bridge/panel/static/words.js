/* What is known of a hit or a press, in plain words, and what those words rest on. */

import { session } from "./api.js";
import { count, list, plural, title, typeNames } from "./dom.js";

const percent = (share) => `${Math.round(100 * share)} %`;

/** How well a hit fits; "" for a model without calibration. */
export const fitWords = (hit) => (hit.fit === null ? "" : `better than ${percent(hit.fit)} of your ${typeNames(hit.type)}`);
export const FIT_BECAUSE = "Measured on songs that the model had never heard, made like those it had. For a production unlike them the share says too much: read it as the hit’s place in your library, and let your ears decide.";
export const fitShort = (hit) => (hit.fit === null ? "" : percent(hit.fit));

/** What sets a hit apart in one or two adjectives: "dark, short". */
export const traitsShort = (traits) => traits.slice(0, 2).map(({ measure, high }) => session.measures[measure][high ? "high" : "low"]).join(", ");

const FEWEST = 12; /* the daemon's: below, nothing is compared */
const comparative = ({ measure, high }) => session.measures[measure][high ? "higher" : "lower"];
const beyond = (trait) => `${comparative(trait)} than ${percent(trait.beyond)}`;

/** What the mix favours of a type, as a label and "darker, shorter"; empty until it is known. */
export function favoursOf(about) {
  if (!about) return ["", ""];
  if (about.n < FEWEST) return ["Too few to compare", ""];
  const favours = about.favours.slice(0, 3).map((one) => comparative({ measure: one.measure, high: one.r > 0 }));
  return ["Fits better: ", favours.join(", ") || "no clear trait"];
}

/** Why a hit fits, as one sentence, and what was measured against what; null until it is known. */
export function whyOf(hit, why) {
  const about = why?.types[hit.type];
  const traits = why?.hits[hit.id];
  if (!about || !traits) return null;
  const yours = `your ${typeNames(hit.type)}`;
  const fitting = traits.filter((trait) => trait.favoured);
  const others = traits.filter((trait) => !trait.favoured);
  const said = [];
  if (fitting.length) said.push(`${title(list(fitting.map(beyond)))} of ${yours}, and in this mix ${list(fitting.map(comparative))} ones score higher.`);
  if (others.length) said.push(`${fitting.length ? "Also " : ""}${list(others.map(beyond))} of ${fitting.length ? "them" : yours}${fitting.length ? "." : "; what of it fits this mix, no measure tells."}`);
  if (!said.length) said.push(about.n < FEWEST ? `Too few ${yours.replace("your ", "")} to compare it with.` : `Nothing measured sets it apart from ${yours}.`);
  const correlations = about.favours.map(({ measure, r }) => `${session.measures[measure].name} ${r > 0 ? "+" : "−"}${Math.abs(r).toFixed(2)}`);
  const against = about.n === about.of ? `all ${plural(about.n, "one-shot")} of this type` : `${count(about.n)} of your ${count(about.of)} ${typeNames(hit.type)}, drawn by chance`;
  const because = `Measured: ${list(session.measures.map((each) => each.name))}; against ${against}. `
    + (correlations.length ? `Rank correlation of a measure with the score in this mix: ${correlations.join(", ")}.` : "No measure goes clearly with the score in this mix.");
  return { text: title(said.join(" ")), because };
}

/** How the kit compares with the first hit of each type. */
export function kitWords(kit) {
  const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;
  return {
    text: `Whole kit: the best of ${count(kit.n_kits)} combinations.`,
    because: `Each combination of one hit a type is valued: the mean of its hits’ scores, plus the mean likeness of its hits in pairs beyond their type, both in standard deviations. Against the first hit of each type: score ${signed(kit.score)}, likeness ${signed(kit.likeness)}.`,
  };
}
