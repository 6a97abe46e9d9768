// SPDX-License-Identifier: Apache-2.0
// The table of connects: how often, how they ended and why, how long they took, how bunched retries are, and who makes
// them.
import {
  byId, count, element, isKnown, orNull, percent, perSecond, reasonFor, setText, subjectText, words,
} from "./page.js";

const kDoing = { addr_not_available: "local", addr_in_use: "local", resources: "local", timeout: "peer", refused: "peer",
  reset: "peer", unreachable: "peer", aborted: "aborted" }; // of whom; of a rule or nobody knows otherwise
const kWidths = ["20ms", "100ms", "250ms", "500ms"];
const kProcessesShown = 3;

// ---- words -----------------------------------------------------------------------------------------------------

/// Two significant digits at least.
function brief(us) {
  const [value, unit] = us < 999.5 ? [us, "µs"] : us < 999.5e3 ? [us / 1e3, "ms"] : [us / 1e6, "s"];
  return `${value.toFixed(value < 9.95 ? 1 : 0)} ${unit}`;
}

const percentile = (us, isBound) => orNull(us, (value) => `${isBound ? "≥ " : ""}${brief(value)}`);

/// [cause, how many, whose doing], the most frequent first.
function endings(connects) {
  const causes = Object.entries(connects.failures ?? {})
    .map(([cause, n]) => [words(cause), n, kDoing[cause] ?? "other"]);
  causes.push(["before a SYN", connects.pre_syn_unattributed ?? 0, "peer"]);
  return causes.filter(([, n]) => n > 0).sort((a, b) => b[1] - a[1]);
}

// ---- cells -----------------------------------------------------------------------------------------------------

/// A text, or a dash with the reason.
function known(text, why) {
  if (isKnown(text)) return element("span", {}, text);
  const dash = element("span", { class: "unknown", title: why || "not known" }, "–");
  dash.setAttribute("aria-label", `not known: ${why}`);
  return dash;
}

const note = (text) => element("small", {}, text);

function failing(tuple, why) {
  const isBad = tuple.cfr > 0;
  const cell = element("span", { class: isBad ? "bad" : "" }, known(orNull(tuple.cfr, percent), why("cfr")));
  if (isKnown(tuple.attempts)) cell.append(element("br"), note(`of the last ${count(tuple.attempts)}`));
  if (tuple.cfr_local > 0) cell.append(element("br"), note(`${percent(tuple.cfr_local)} on this machine`));
  return cell;
}

function outcomes(connects, why) {
  if (!isKnown(connects)) return known(null, why("connects"));
  const ended = endings(connects);
  const all = connects.established + ended.reduce((sum, [, n]) => sum + n, 0);
  const bar = element("div", { class: "track endings" });
  bar.setAttribute("role", "img");
  bar.setAttribute("aria-label", `${count(connects.established)} of ${count(all)} established`);
  for (const [name, n, kind] of [["established", connects.established, "established"], ...ended]) {
    const part = element("span", { class: kind, title: `${name}: ${count(n)}` });
    part.style.width = `${all > 0 ? (n / all) * 100 : 0}%`;
    bar.append(part);
  }
  const list = element("ul", { class: "causes" }, element("li", {}, `${count(connects.established)} established`));
  for (const [name, n, kind] of ended) list.append(element("li", { class: kind }, `${count(n)} ${name}`));
  const more = [[connects.syn_retransmits, "SYNs sent again"], [connects.port_probes, "one-port probes"]];
  for (const [n, name] of more) if (n > 0) list.append(element("li", { class: "quiet" }, `${count(n)} ${name}`));
  return element("div", {}, bar, list);
}

function connectTime(tuple, why) {
  const cell = element("span", {}, known(percentile(tuple.ctl95_us, tuple.ctl95_at_least), why("ctl95_us")));
  if (isKnown(tuple.ctl99_us)) cell.append(element("br"), note(`p99 ${percentile(tuple.ctl99_us, tuple.ctl99_at_least)}`));
  return cell;
}

function portSearch(tuple, why) {
  const cell = element("span", {}, known(percentile(tuple.port_search_p95_us), why("port_search_p95_us")));
  if (tuple.port_search_cores >= 0.0005) cell.append(element("br"), note(`${percent(tuple.port_search_cores)} of a core`));
  return cell;
}

function retries(tuple, why) {
  const cell = element("div", {}, known(orNull(tuple.retry_rate_per_s, perSecond), why("retry_rate_per_s")));
  if (isKnown(tuple.retries_per_attempt) && tuple.retries_per_attempt > 0) {
    cell.append(element("br"), note(`${count(tuple.retries_per_attempt)} an attempt`));
  }
  const index = element("div", { class: "bursts" }, element("span", {}, "burst index "), known(orNull(tuple.rbi, count), why("rbi")));
  if (isKnown(tuple.rbi)) {
    const text = kWidths.map((width) => `${width} ${orNull(tuple.rbi_widths?.[width], count) ?? "–"}`).join(", ");
    const bars = element("span", { class: "bars", title: `by width: ${text}` });
    bars.setAttribute("role", "img");
    bars.setAttribute("aria-label", `burst index by width: ${text}`);
    for (const width of kWidths) {
      const bar = element("span");
      bar.style.height = `${Math.max((tuple.rbi_widths?.[width] ?? 0) * 100, 4)}%`;
      bars.append(bar);
    }
    index.append(" ", bars);
  }
  cell.append(index);
  return cell;
}

function processes(tuple, why) {
  if (!isKnown(tuple.processes)) return known(null, why("processes"));
  const text = (process) => [[process.failures, "failed"], [process.slow, "slow"], [process.retries, "retries"]]
    .filter(([n]) => n > 0).map(([n, name]) => `${count(n)} ${name}`).join(", ");
  if (tuple.processes.length === 0) {
    return tuple.connects.pre_syn_unattributed > 0 && tuple.cfr > 0 ? known(null, "who fails before a SYN is not seen")
      : element("span", { class: "quiet" }, "none");
  }
  const list = element("ul", { class: "causes" });
  for (const process of tuple.processes.slice(0, kProcessesShown)) {
    list.append(element("li", {}, `${process.comm} `, note(`${process.pid}: ${text(process)}`)));
  }
  const rest = tuple.processes.slice(kProcessesShown);
  if (rest.length > 0) {
    const title = rest.map((process) => `${process.comm} ${process.pid}: ${text(process)}`).join("\n");
    list.append(element("li", { class: "quiet", title }, `and ${rest.length} more`));
  }
  return list;
}

// ---- the table -------------------------------------------------------------------------------------------------

const rows = new Map(); // tuple → its row and what it was made from

function rowOf(tuple, status, labels) {
  const why = (field) => reasonFor(status, field);
  const cells = [subjectText(tuple), known(orNull(tuple.attempts_per_s, perSecond), why("attempts_per_s")),
    failing(tuple, why), outcomes(tuple.connects, why), connectTime(tuple, why), portSearch(tuple, why),
    retries(tuple, why), processes(tuple, why)];
  const classes = ["address", "number", "number", "wide", "number", "number", "", "wide"];
  return element("tr", {}, ...cells.map((content, i) => {
    const cell = element("td", { class: classes[i] }, content);
    cell.dataset.label = labels[i];
    return cell;
  }));
}

const failures = (tuple) => (isKnown(tuple.cfr) ? tuple.cfr * tuple.attempts : -1);

export function showConnects(status) {
  const tuples = (Array.isArray(status.tuples) ? status.tuples : [])
    .filter((tuple) => isKnown(tuple.connects) && (tuple.connects.attempts > 0 || tuple.connects.port_probes > 0))
    .sort((a, b) => failures(b) - failures(a) || b.connects.attempts - a.connects.attempts);
  const isSeen = isKnown(status.host?.connects);
  byId("connect-table").hidden = tuples.length === 0;
  byId("no-connects").hidden = tuples.length > 0;
  setText(byId("no-connects"), isSeen ? "No connect to any of these destinations was seen."
    : `Connects are not known: ${reasonFor(status, "host.connects") || "the agent did not say why"}.`);
  const labels = [...byId("connect-table").querySelectorAll("thead th")].map((th) => th.textContent);
  const gone = new Set(rows.keys());
  const order = tuples.map((tuple) => {
    const name = subjectText(tuple);
    gone.delete(name);
    const made = JSON.stringify([tuple, labels, status.absent]);
    if (rows.get(name)?.made !== made) rows.set(name, { made, node: rowOf(tuple, status, labels) });
    return rows.get(name).node;
  });
  for (const name of gone) rows.delete(name);
  const body = byId("connect-rows");
  if (order.length !== body.children.length || order.some((node, i) => body.children[i] !== node)) body.replaceChildren(...order);
}
