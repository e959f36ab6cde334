// The chart of the last minutes: load above, agents below, on one time axis. Plain SVG.
"use strict";

const NS = "http://www.w3.org/2000/svg";
const LEFT = 42, RIGHT = 10, TOP = 6, GAP = 14, AXIS = 18;

function shape(tag, attributes, text) {
  const node = document.createElementNS(NS, tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

const average = (numbers) =>
  numbers.length ? numbers.reduce((sum, each) => sum + each, 0) / numbers.length : null;

/** One tick of the API as a point of the chart: averages over the agents in service. */
export function point(tick) {
  const serving = (tick.agents || []).filter((agent) => agent.pool === "in_service");
  const mean = (key) => average(serving.map((a) => a[key]).filter((v) => typeof v === "number"));
  return {
    at: Date.parse(tick.at),
    cpu: mean("cpu_percent"),
    memory: mean("memory_percent"),
    serving: serving.length,
    wanted: typeof tick.desired === "number" ? tick.desired : null,
  };
}

/** The thresholds of the CPU that the policy named in its latest verdicts: {up, down}. */
export function thresholds(ticks) {
  for (const tick of ticks) {
    const verdicts = tick.decision?.verdicts || [];
    const limit = (rule) => verdicts.find((verdict) => verdict.rule === rule)?.limit ?? null;
    if (verdicts.length) return {up: limit("cpu_above"), down: limit("cpu_below")};
  }
  return {up: null, down: null};
}

/** Split points where the scaler was silent: a line across a gap would be made up. */
function runs(points, gap) {
  const found = [];
  for (const each of points) {
    const last = found.at(-1);
    if (last && each.at - last.at(-1).at <= gap) last.push(each);
    else found.push([each]);
  }
  return found;
}

function line(points, key, x, y, gap) {
  return runs(points.filter((each) => each[key] !== null), gap).map((run) =>
    run.map((each, at) => `${at ? "L" : "M"}${x(each.at)} ${y(each[key])}`).join("")).join("");
}

/** A staircase; ``end`` is where the last step ends; closed down to ``base`` where given. */
function stairs(points, key, x, y, gap, end, base) {
  return runs(points.filter((each) => each[key] !== null), gap).map((run, index, all) => {
    const stop = index === all.length - 1 ? x(end) : x(run.at(-1).at);
    const steps = run.map((each, at) => (at ? `H${x(each.at)}V` : `M${x(each.at)} `) + y(each[key]));
    return steps.join("") + `H${stop}` + (base === undefined ? "" : `V${base}H${x(run[0].at)}Z`);
  }).join("");
}

/**
 * Draw into ``box``. ``ticks`` come newest first; ``now`` and ``spanMs`` are milliseconds;
 * ``most`` is the largest number of agents allowed.
 */
export function draw(box, ticks, {now, spanMs, gapMs, most}) {
  const width = Math.max(box.clientWidth, 240), height = Math.max(box.clientHeight, 160);
  const all = ticks.map(point).reverse().filter((each) => each.at <= now);
  const points = all.filter((each) => each.at >= now - spanMs);
  const x = (at) => (LEFT + (width - LEFT - RIGHT) * (1 - (now - at) / spanMs)).toFixed(1);
  const low = TOP + (height - TOP - GAP - AXIS) * 0.64;
  const percent = (value) => (low - (low - TOP) * Math.min(value, 100) / 100).toFixed(1);
  const base = height - AXIS;
  const top = Math.max(most || 1, ...points.map((each) => Math.max(each.serving, each.wanted ?? 0)));
  const count = (value) => (base - (base - low - GAP) * value / top).toFixed(1);
  const svg = shape("svg", {viewBox: `0 0 ${width} ${height}`, role: "img"});

  for (const mark of [0, 50, 100]) {
    svg.append(shape("line", {class: "grid", x1: LEFT, x2: width - RIGHT, y1: percent(mark), y2: percent(mark)}),
      shape("text", {x: LEFT - 5, y: +percent(mark) + 4, "text-anchor": "end"}, `${mark} %`));
  }
  for (const mark of [0, top]) {
    svg.append(shape("line", {class: "grid", x1: LEFT, x2: width - RIGHT, y1: count(mark), y2: count(mark)}),
      shape("text", {x: LEFT - 5, y: +count(mark) + 4, "text-anchor": "end"}, String(mark)));
  }
  const minutes = spanMs / 60000, step = minutes <= 6 ? 1 : width > 480 ? 2 : 5;
  for (let back = 0; back <= minutes; back += step) {
    const at = x(now - back * 60000);
    const anchor = back === 0 ? "end" : back >= minutes ? "start" : "middle";
    svg.append(shape("text", {x: at, y: height - 4, "text-anchor": anchor}, back ? `−${back} min` : "now"));
  }
  svg.append(shape("path", {class: "serving", d: stairs(points, "serving", x, count, gapMs, now, base)}),
    shape("path", {class: "wanted", d: stairs(points, "wanted", x, count, gapMs, now)}));

  const notes = [];  // drawn last, so that no curve hides them
  const limits = thresholds(ticks);
  for (const [value, words, shift] of [[limits.up, "one more above"], [limits.down, "one fewer below"]]) {
    if (value === null) continue;
    svg.append(shape("line", {class: "limit", x1: LEFT, x2: width - RIGHT, y1: percent(value), y2: percent(value)}));
    notes.push(shape("text", {class: "limit", x: LEFT + 6, y: +percent(value) - 5}, `${words} ${value} % CPU`));
  }
  for (const key of ["memory", "cpu"]) {
    svg.append(shape("path", {class: key, d: line(points, key, x, percent, gapMs)}));
    const last = points.findLast((each) => each[key] !== null);
    if (last) svg.append(shape("circle", {class: key, cx: x(last.at), cy: percent(last[key]), r: 3}));
  }
  svg.append(...notes);
  const last = points.at(-1);
  const told = (value) => (value === null ? "unknown" : `${Math.round(value)} %`);
  svg.setAttribute("aria-label", last
    ? `At the end: CPU ${told(last.cpu)}, memory ${told(last.memory)} on average, ` +
      `${last.serving} agents in service, ${last.wanted ?? "unknown"} wanted.`
    : "Nothing was recorded in this time.");
  if (!last) {
    svg.append(shape("text", {x: width / 2, y: low / 2, "text-anchor": "middle"}, "nothing recorded yet"));
  }
  box.replaceChildren(svg);
}
