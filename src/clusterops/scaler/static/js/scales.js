// SPDX-License-Identifier: GPL-3.0-or-later
// From numbers to places on a chart. Pure.

/** A function from ``[from, to]`` to ``[low, high]``. */
export function linear(from, to, low, high) {
  const factor = to === from ? 0 : (high - low) / (to - from);
  return (value) => low + (value - from) * factor;
}

/** The next number up that reads well: 1, 2, 2.5 or 5 times a power of ten. */
export function niceCeiling(value, least = 1) {
  const wanted = Math.max(value, least);
  const power = 10 ** Math.floor(Math.log10(wanted));
  return power * [1, 2, 2.5, 5, 10].find((each) => each * power >= wanted - 1e-9);
}

/** Marks of an axis from 0 to ``top``, ``parts`` at most. */
export function marks(top, parts = 4, whole = false) {
  const step = niceCeiling(top / parts, whole ? 1 : 1e-9);
  const found = [];
  for (let at = 0; at <= top + 1e-9; at += step) found.push(+at.toFixed(6));
  return found;
}

/** Times (ms) for labels between ``from`` and ``to``, on whole minutes. */
export function timeMarks(from, to, most) {
  const minutes = [1, 2, 5, 10, 15, 20, 30, 60];
  const step = 60_000 * (minutes.find((each) => (to - from) / 60_000 / each <= most) ?? 60);
  const found = [];
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) found.push(at);
  return found;
}

/** Split points where nobody measured: a line across a gap would be made up. */
export function unbroken(points, key, gap) {
  const runs = [];
  for (const point of points) {
    if (typeof point[key] !== "number") continue;
    const last = runs.at(-1);
    if (last && point.at - last.at(-1).at <= gap) last.push(point);
    else runs.push([point]);
  }
  return runs;
}

const r = (value) => Math.round(value * 10) / 10;

/** The path of a curve through points. */
export function line(points, key, x, y, gap) {
  return unbroken(points, key, gap).map((run) =>
    run.map((point, at) => `${at ? "L" : "M"}${r(x(point.at))} ${r(y(point[key]))}`).join("") +
    (run.length === 1 ? "h.1" : "")).join("");
}

/** As ``line``, closed down to ``base``. */
export function area(points, key, x, y, gap, base) {
  return unbroken(points, key, gap).map((run) =>
    `M${r(x(run[0].at))} ${r(base)}` +
    run.map((point) => `L${r(x(point.at))} ${r(y(point[key]))}`).join("") +
    `L${r(x(run.at(-1).at))} ${r(base)}Z`).join("");
}

/** A staircase; ``base`` closes it. The last step lasts until ``end``. */
export function stairs(points, key, x, y, gap, end, base) {
  return unbroken(points, key, gap).map((run, index, all) => {
    const stop = index === all.length - 1 ? Math.max(end, run.at(-1).at) : run.at(-1).at;
    const steps = run.map((point, at) =>
      (at ? `H${r(x(point.at))}V` : `M${r(x(point.at))} `) + r(y(point[key]))).join("");
    return `${steps}H${r(x(stop))}` + (base === undefined ? "" : `V${r(base)}H${r(x(run[0].at))}Z`);
  }).join("");
}

/** The usual distance of points that lie in time, in milliseconds. */
export function pace(points) {
  if (points.length < 2) return 10_000;
  return Math.max((points.at(-1).at - points[0].at) / (points.length - 1), 100);
}

/** The point next to a time; points lie in time. */
export function nearest(points, at) {
  let low = 0, high = points.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (points[middle].at < at) low = middle + 1;
    else high = middle;
  }
  const before = points[low - 1], after = points[low];
  if (!before || !after) return after ?? before ?? null;
  return at - before.at < after.at - at ? before : after;
}
