// SPDX-License-Identifier: Apache-2.0
// The page of the agent: asks for /api/v1/status every interval and shows it, or says that it is out of date.
import { showConnects } from "./connects.js";
import {
  badge, byId, clock, count, duration, element, figureList, isKnown, kStates, orNull, percent, perSecond, reasonFor,
  setFigure, setText, subjectText, whenChanged, words,
} from "./page.js";

const kMeanings = {
  GREEN: "Sessions are stable.",
  YELLOW: "Port pressure is rising.",
  ORANGE: "A burst of retries or the end of the ports is close.",
  RED: "Ports run out: connects pay for it.",
  STALE: "The agent has no fresh look; connection limits are those of YELLOW or stricter.",
};
const kConditions = {
  p_stress: ["Probability of port stress", "ratio"],
  ppr_preferred: ["Use of the preferred half of the ports", "ratio"],
  ppr: ["Ports in use", "ratio"],
  twr: ["Ports in TIME_WAIT", "ratio"],
  time_to_cliff: ["Time until plain connects turn slow", "s"],
  past_cliff: ["Windows in which plain connects are slow", "count"],
  time_to_exhaustion: ["Time until the ports run out", "s"],
  ctl95: ["Connect time (p95), times its GREEN median", "count"],
  dsd95: ["Decision-to-send delay (p95), times its GREEN median", "count"],
  cfr: ["Connects that failed", "ratio"],
  cfr_local: ["Connects that failed on this machine", "ratio"],
  cfr_peer: ["Connects that the peer failed", "ratio"],
  rbi: ["Retry burst index", "ratio"],
  local_failures: ["Connects refused by this machine", "count"],
  local_failure_windows: ["Windows with connects refused by this machine", "count"],
  since_local_failure: ["Time since a connect was refused by this machine", "s"],
  free_margin: ["Ports left in 30 s, after demand", "count"],
  tail_blowout: ["Windows with a blown-out tail", "count"],
  operator_hold: ["Holds by an operator", "count"],
};
const kOperators = { ">=": "at least", ">": "above", "<": "below", "<=": "at most" };
const kParameters = [
  ["clip_scale", "order", "Child size", percent],
  ["launch_jitter_max_ms", "order", "Launch jitter, at most", (v) => `${v} ms`],
  ["catch_up_cap", "order", "Catch-up, at most", (v) => `${v} × schedule`],
  ["non_urgent_flow", "order", "Flow that is not urgent", words],
  ["urgency_override", "order", "Raising the urgency", words],
  ["retry_rate_per_s", "connection", "Retries per destination", perSecond],
  ["retry_burst", "connection", "Retries at once", String],
  ["max_new_connects", "connection", "New connects in flight", String],
  ["connect_rate_per_s", "connection", "New connects", perSecond],
  ["pool_reuse", "connection", "Re-use of connections", words],
  ["optional_reconnects", "connection", "Optional reconnects", words],
];
const kSparkPoints = 180;
const kSchema = "tidewaiter.status/1";

function reasonText(reason) {
  const [name, unit] = kConditions[reason.condition] ?? [words(reason.condition), "count"];
  const show = (value) => {
    if (!isKnown(value)) return unit === "s" ? "never" : "not known";
    return unit === "ratio" ? percent(value) : unit === "s" ? duration(Math.max(value, 0)) : count(value);
  };
  const operator = kOperators[reason.op] ?? reason.op;
  const about = reason.subject ? `, ${subjectText(reason.subject)}` : "";
  return `${name}: ${show(reason.value)} (${operator} ${show(reason.threshold)})${about}`;
}

// ---- sections --------------------------------------------------------------------------------------------------

function showIdentity(status) {
  const parts = [status.instance, status.version && `version ${status.version}`,
    status.netns && status.netns !== "self" && `namespace ${status.netns}`,
    isKnown(status.interval_ms) && `every ${duration(status.interval_ms / 1000)}`,
    status.at && `seen ${clock(status.at)}`];
  setText(byId("identity"), parts.filter(Boolean).join(" · "));
  byId("identity").title = status.at ?? "";
}

function showHost(status, isStale) {
  const state = isStale ? "STALE" : status.state ?? "NOT KNOWN";
  byId("host").className = kStates.includes(state) ? state : "";
  setText(byId("state"), state);
  setText(byId("meaning"), isStale ? `The last state known was ${status.state ?? "none"}.` : kMeanings[state] ?? "");
  document.title = `${state} – Tidewaiter`;
  if (status.since) {
    const seconds = Math.max(0, (new Date(status.at) - new Date(status.since)) / 1000);
    setText(byId("since"), `${status.state} since ${clock(status.since)} (${duration(seconds)})`);
    byId("since").title = status.since;
  } else {
    setText(byId("since"), "Since when is not known.");
  }
  whenChanged("reasons", status.reasons ?? [], (reasons) => reasons.map((r) => element("li", {}, reasonText(r))));
  figureList("host-figures", [
    ["Probability of port stress", orNull(status.p_stress, percent), reasonFor(status, "p_stress")],
    ["Model", status.model ?? null],
    ["Ports in use, worst destination", orNull(status.host?.ppr, percent), reasonFor(status, "host.ppr")],
    ["In TIME_WAIT, worst destination", orNull(status.host?.twr, percent), reasonFor(status, "host.twr")],
    ["Connects since the start", orNull(status.host?.connects, (all) => `${count(all.attempts)} (${count(all.established)} established)`),
      reasonFor(status, "host.connects")],
    ["Ports of the range", orNull(status.range?.capacity, (v) => `${count(v)} (${status.range.lo}–${status.range.hi})`),
      reasonFor(status, "range")],
  ]);
}

function parameterText(value, show) {
  return isKnown(value) ? show(value) : "as without Tidewaiter";
}

function showParameters(status) {
  const { parameters, enforced, mode } = status;
  const modeWords = { enforce: "enforced", shadow: "shadow: recorded, not acted upon", off: "off" };
  const modeText = (name) => modeWords[mode?.[name]] ?? "not known";
  setText(byId("modes"), `Connections: ${modeText("connection")}. Orders: ${modeText("order")}.`);
  whenChanged("parameter-rows", [parameters, enforced, mode], () => kParameters.map(([key, group, name, show]) => {
    const wanted = element("td");
    const inForce = element("td");
    setFigure(wanted, parameters && key in parameters ? parameterText(parameters[key], show) : null, "the agent did not say");
    setFigure(inForce, enforced && key in enforced ? parameterText(enforced[key], show) : null, "the agent did not say");
    if (wanted.textContent !== inForce.textContent && !inForce.classList.contains("unknown")) {
      wanted.className = "differs";
      inForce.append(" ", element("small", {}, `(${mode?.[group] ?? "other"})`));
    }
    const title = element("th", {}, name);
    title.scope = "row";
    return element("tr", {}, title, wanted, inForce);
  }));
}

function transitionItem(transition) {
  const time = element("time", { title: transition.at ?? "" }, clock(transition.at));
  time.dateTime = transition.at ?? "";
  const note = transition.enforced === false ? "not enforced" : transition.trigger && transition.trigger !== "window" ? words(transition.trigger) : "";
  const item = element("li", {}, time, badge(transition.from), " → ", badge(transition.to), " ",
    subjectText(transition.subject), note ? element("small", {}, ` ${note}`) : "");
  for (const reason of transition.reasons ?? []) {
    const ofSame = { ...reason, subject: null };
    item.append(element("br"), element("small", {}, reasonText(transition.subject ? ofSame : reason)));
  }
  return item;
}

function showTransitions(transitions) {
  if (transitions === null) {
    whenChanged("transitions", "unknown", () => [element("li", { class: "quiet" }, "not known: the agent did not say")]);
    return;
  }
  const latest = [...transitions].sort((a, b) => String(b.at).localeCompare(String(a.at))).slice(0, 50);
  whenChanged("transitions", latest, () => (latest.length ? latest.map(transitionItem)
    : [element("li", { class: "quiet" }, "None since the journal began.")]));
}

function showObservation(status) {
  const observer = status.observer ?? {};
  const lost = Object.entries(observer.lost_events ?? {}).filter(([, number]) => number > 0);
  const share = isKnown(observer.pass_us) && observer.interval_ms > 0 ? observer.pass_us / 1000 / observer.interval_ms : null;
  figureList("observer", [
    ["One look takes", orNull(observer.pass_us, (us) => duration(us / 1e6)), reasonFor(status, "observer.pass_us")],
    ["Of the interval", orNull(share, percent)],
    ["Windows missed", orNull(observer.missed_windows, count)],
    ["Events lost", isKnown(observer.lost_events) ? lost.map(([source, n]) => `${source} ${count(n)}`).join(", ") || "none" : null],
    ["Last error", observer.last_error === null ? "none" : observer.last_error ?? null],
    ["Tier", orNull(status.tiers?.active, String)],
  ]);
  const blind = status.blind?.processes ?? [];
  byId("blind-part").hidden = blind.length === 0;
  whenChanged("blind", blind, (processes) => processes.map((process) => element("li", {}, `${process.comm} (${process.pid}) `,
    element("span", { class: "badge ORANGE" }, "blind here"), " ", element("small", {}, `${process.kind}: ${process.evidence}`))));
  whenChanged("sources", status.tiers?.sources ?? [], (sources) => sources.map((source) => element("tr", {},
    element("td", {}, source.name), element("td", { class: "number" }, String(source.tier)),
    element("td", {}, element("span", { class: `badge ${source.active ? "GREEN" : ""}` }, source.active ? "on" : "off")),
    element("td", {}, source.needs ?? ""))));
  whenChanged("conditions-off", status.conditions_off ?? null, (conditions) => {
    if (!conditions) return [element("li", { class: "quiet" }, "not known")];
    if (!conditions.length) return [element("li", { class: "quiet" }, "None: every condition takes part.")];
    return conditions.map((off) => element("li", {}, `${kConditions[off.condition]?.[0] ?? words(off.condition)} `,
      element("small", {}, [off.effect && `for ${words(off.effect)}`, off.needs && `needs ${off.needs}`].filter(Boolean).join(", "))));
  });
}

// ---- destinations ----------------------------------------------------------------------------------------------

const rows = new Map(); // tuple → its row, its cells, its history

function track(parent, label, isPreferred) {
  const fill = element("span");
  const bar = element("div", { class: `track${isPreferred ? " preferred" : ""}` }, fill);
  bar.setAttribute("role", "img");
  const text = element("span");
  parent.append(bar, text);
  return (ratio, why) => {
    bar.classList.toggle("is-unknown", !isKnown(ratio));
    fill.style.width = `${Math.min(Math.max(ratio ?? 0, 0), 1) * 100}%`;
    bar.setAttribute("aria-label", label);
    setFigure(text, isKnown(ratio) ? `${percent(ratio)} ${label}` : null, why);
  };
}

const kSvg = "http://www.w3.org/2000/svg";
function sparkline() {
  const svg = document.createElementNS(kSvg, "svg");
  svg.setAttribute("class", "spark");
  svg.setAttribute("viewBox", `0 0 ${kSparkPoints - 1} 26`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  return svg;
}

/// A line for every stretch of known values: what is not known stays a gap.
function drawSparkline(svg, history) {
  const known = history.filter(isKnown);
  const base = document.createElementNS(kSvg, "line");
  Object.entries({ x1: 0, x2: kSparkPoints - 1, y1: 25, y2: 25 }).forEach(([name, value]) => base.setAttribute(name, value));
  const lines = [base];
  let points = [];
  const offset = kSparkPoints - history.length;
  const end = () => {
    if (points.length === 0) return;
    if (points.length === 1) points.push(`${Number(points[0].split(",")[0]) + 1},${points[0].split(",")[1]}`);
    const line = document.createElementNS(kSvg, "polyline");
    line.setAttribute("points", points.join(" "));
    lines.push(line);
    points = [];
  };
  history.forEach((value, i) => (isKnown(value) ? points.push(`${offset + i},${(25 - Math.min(Math.max(value, 0), 1) * 24).toFixed(2)}`) : end()));
  end();
  svg.replaceChildren(...lines);
  svg.setAttribute("aria-label", known.length ? `from ${percent(Math.min(...known))} to ${percent(Math.max(...known))}` : "not known");
}

function makeRow() {
  const labels = [...byId("tuples").querySelectorAll("thead th")].map((th) => th.textContent);
  const cells = labels.map((label) => {
    const cell = element("td");
    cell.dataset.label = label;
    return cell;
  });
  const [address, state, use, timeWait, free, demand, exhausted, spark] = cells;
  address.className = "address";
  for (const cell of [timeWait, free, demand, exhausted]) cell.className = "number";
  for (const cell of [use, spark]) cell.className = "wide";
  const bars = element("div", { class: "use" });
  use.append(bars);
  const svg = sparkline();
  spark.append(svg);
  const figures = [timeWait, free, demand, exhausted].map((cell) => cell.appendChild(element("span")));
  return { node: element("tr", {}, ...cells), address, state, figures, svg, history: [],
    setPreferred: track(bars, "of preferred", true), setAll: track(bars, "of all", false) };
}

/// A time until something happens: null with a known demand means never.
function timeTo(seconds, demand) {
  if (isKnown(seconds)) return seconds <= 0 ? "now" : duration(seconds);
  return isKnown(demand) ? "never at this rate" : null;
}

function updateRow(row, tuple, status) {
  const why = (field) => tuple.absent?.[field] ?? reasonFor(status, field);
  setText(row.address, subjectText(tuple));
  const key = JSON.stringify([tuple.state, tuple.peer_fault, tuple.since, tuple.reasons]);
  if (row.stateKey !== key) {
    row.stateKey = key;
    const stateBadge = badge(tuple.state ?? "not known");
    stateBadge.title = [tuple.since && `since ${clock(tuple.since)}`, ...(tuple.reasons ?? []).map((r) => reasonText({ ...r, subject: null }))].filter(Boolean).join("\n");
    row.state.replaceChildren(stateBadge, ...(tuple.peer_fault ? [" ", element("span", { class: "badge ORANGE", title: "the peer refuses, resets or does not answer" }, "peer fault")] : []));
  }
  row.setPreferred(tuple.ppr_preferred, why("ppr_preferred"));
  row.setAll(tuple.ppr, why("ppr"));
  const [timeWait, free, demand, exhausted] = row.figures;
  setFigure(timeWait, isKnown(tuple.twr) ? `${percent(tuple.twr)}${isKnown(tuple.time_wait) ? ` (${count(tuple.time_wait)})` : ""}` : null, why("twr"));
  setFigure(free, orNull(tuple.free, count), why("free"));
  setFigure(demand, orNull(tuple.demand_per_s, perSecond), why("demand_per_s"));
  setFigure(exhausted, timeTo(tuple.time_to_exhaustion_s, tuple.demand_per_s), why("time_to_exhaustion_s") || why("demand_per_s"));
  const details = [["live", tuple.live], ["in TIME_WAIT", tuple.time_wait], ["free", tuple.free]].filter(([, v]) => isKnown(v)).map(([n, v]) => `${count(v)} ${n}`);
  const cliff = timeTo(tuple.time_to_cliff_s, tuple.demand_per_s);
  if (cliff) details.push(`plain connects turn slow: ${cliff}`);
  if (isKnown(tuple.next_release_ms)) details.push(`next port back in ${duration(tuple.next_release_ms / 1000)}`);
  row.node.title = details.join("\n");
  row.history.push(tuple.ppr ?? null);
  if (row.history.length > kSparkPoints) row.history.shift();
  drawSparkline(row.svg, row.history);
}

function showTuples(status) {
  const known = Array.isArray(status.tuples);
  const severity = (tuple) => { const at = kStates.indexOf(tuple.state); return at < 0 ? kStates.length : at; };
  const tuples = known ? [...status.tuples].sort((a, b) => severity(a) - severity(b) || (b.ppr ?? -1) - (a.ppr ?? -1)) : [];
  byId("tuples").hidden = tuples.length === 0;
  byId("no-tuples").hidden = tuples.length > 0;
  setText(byId("no-tuples"), known ? "No outbound connection to watch: nothing holds a port of the range." : "Destinations: not known, the agent did not say.");
  const order = [];
  const gone = new Set(rows.keys());
  for (const tuple of tuples) {
    const key = subjectText(tuple);
    gone.delete(key);
    if (!rows.has(key)) rows.set(key, makeRow());
    const row = rows.get(key);
    updateRow(row, tuple, status);
    order.push(row.node);
  }
  for (const key of gone) rows.delete(key);
  const body = byId("tuple-rows");
  if (order.length !== body.children.length || order.some((node, i) => body.children[i] !== node)) body.replaceChildren(...order);
  setText(byId("omitted"), status.tuples_omitted > 0 ? `${count(status.tuples_omitted)} calmer destinations are not shown.` : "");
}

// ---- polling and freshness -------------------------------------------------------------------------------------

let last = null; // the last status that arrived
let advancedAt = null; // browser's clock when `at` last changed
let hasAdvanced = false;
let failure = "";

const intervalMs = () => Math.min(Math.max(last?.interval_ms ?? 1000, 100), 60000);

/// How old the figures are. The two clocks may differ, so once `at` was seen to advance, only this browser's counts.
function ageMs() {
  const here = performance.now() - advancedAt;
  return hasAdvanced ? here : Math.max(here, Date.now() - new Date(last.at));
}

function showFreshness() {
  const alarm = byId("alarm");
  if (!last) {
    alarm.hidden = failure === "";
    setText(alarm, failure && `No data yet: ${failure}.`);
    if (failure) {
      setText(byId("state"), "NO DATA");
      document.title = "NO DATA – Tidewaiter";
    }
    return;
  }
  const age = ageMs();
  const isStale = failure !== "" || age > 3 * intervalMs();
  document.body.classList.toggle("is-stale", isStale);
  alarm.hidden = !isStale;
  if (isStale) {
    setText(alarm, `No data for ${duration(Math.max(1, Math.round(age / 1000)))}: the numbers below are from ${clock(last.at)}.${failure ? ` (${failure})` : ""}`);
  }
  showHost(last, isStale);
}

async function ask(path) {
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), Math.max(2000, Math.min(intervalMs(), 5000)));
  try {
    const response = await fetch(path, { signal: limit.signal, cache: "no-store" });
    if (!response.ok) throw new Error(`the agent answers ${response.status}`);
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw new Error("the agent does not answer in time");
    if (error instanceof TypeError) throw new Error("the agent cannot be reached");
    if (error instanceof SyntaxError) throw new Error("the answer is not JSON");
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

async function poll() {
  try {
    const status = await ask("api/v1/status");
    if (status?.schema !== kSchema) throw new Error(`the answer is not ${kSchema}`);
    failure = "";
    const isNew = last?.at !== status.at;
    if (isNew) {
      hasAdvanced = last !== null;
      advancedAt = performance.now();
    }
    last = status;
    showIdentity(status);
    if (isNew) showTuples(status); // the history has one point for each look, not for each poll
    showConnects(status);
    showParameters(status);
    showObservation(status);
    const history = await ask("api/v1/transitions").catch(() => null);
    showTransitions(history?.transitions ?? null);
  } catch (error) {
    failure = error.message;
  }
  showFreshness();
}

async function keepPolling() {
  const begun = performance.now();
  await poll();
  setTimeout(keepPolling, Math.max(intervalMs() - (performance.now() - begun), 50));
}

setInterval(showFreshness, 500);
keepPolling();
