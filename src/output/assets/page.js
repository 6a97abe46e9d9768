// SPDX-License-Identifier: Apache-2.0
// How the page writes numbers, times and tuples, and how it makes elements. What is not known is shown as such with the
// reason, never as 0. All text goes in as text, never as markup.

export const kStates = ["RED", "ORANGE", "YELLOW", "GREEN", "STALE"];

// ---- words -----------------------------------------------------------------------------------------------------

export const isKnown = (value) => value !== null && value !== undefined;
export const count = (value) => value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 2 : 0 });
export function words(value) { return String(value).replaceAll("_", " "); }
export function percent(ratio) { return `${(ratio * 100).toLocaleString("en", { maximumFractionDigits: 1 })} %`; }
export function perSecond(rate) { return `${rate.toLocaleString("en", { maximumFractionDigits: rate < 10 ? 1 : 0 })}/s`; }

export function duration(seconds) {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${Number(seconds.toFixed(1))} s`;
  const s = Math.floor(seconds);
  if (s < 120) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor(s / 3600) % 24} h`;
}

export function clock(iso) {
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return "an unknown time";
  const time = at.toLocaleTimeString("en-GB");
  return Date.now() - at < 20 * 3600e3 ? time : `${at.toLocaleDateString("en-CA")} ${time}`;
}

const host = (address) => (String(address).includes(":") ? `[${address}]` : String(address));
export function subjectText(subject) {
  if (!subject) return "host";
  const netns = subject.netns && subject.netns !== "self" ? ` (${subject.netns})` : "";
  return `${subject.src} → ${host(subject.dst)}:${subject.dport}${netns}`;
}

// ---- elements --------------------------------------------------------------------------------------------------

export const byId = (id) => document.getElementById(id);

export function element(tag, options = {}, ...children) {
  const node = document.createElement(tag);
  if (options.class) node.className = options.class;
  if (options.title) node.title = options.title;
  node.append(...children);
  return node;
}

export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/// Shows a value, or that it is not known and why.
export function setFigure(node, text, why) {
  const known = isKnown(text);
  setText(node, known ? text : "not known");
  node.classList.toggle("unknown", !known);
  const title = known || !why ? "" : why;
  if (node.title !== title) title ? (node.title = title) : node.removeAttribute("title");
}

export function badge(state) {
  return element("span", { class: `badge ${kStates.includes(state) ? state : ""}` }, String(state));
}

/// Builds a part of the page anew only when its data changed: selections and tooltips survive.
const shown = new Map();
export function whenChanged(id, data, build) {
  const key = JSON.stringify(data) ?? "";
  if (shown.get(id) === key) return;
  shown.set(id, key);
  byId(id).replaceChildren(...build(data));
}

export function figureList(id, entries) {
  whenChanged(id, entries, () => entries.map(([name, text, why]) => {
    const value = element("dd");
    setFigure(value, text, why);
    return element("div", {}, element("dt", {}, name), value);
  }));
}

export const orNull = (value, show) => (isKnown(value) ? show(value) : null);
export const reasonFor = (status, field) => status.absent?.[field] ?? status.absent?.[`tuples.${field}`] ?? "";
