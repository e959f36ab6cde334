// SPDX-License-Identifier: GPL-3.0-or-later
// The charts of the last hour, on one time axis, with marks for what the scaler did.

import {happening, isMark, markKind, thresholds} from "./decisions.js";
import {$, el, keyed, set, shape, write, zoom} from "./dom.js";
import {DASH, clock, count, milliseconds, percent} from "./format.js";
import {area, line, linear, marks, nearest, niceCeiling, pace, stairs, timeMarks} from "./scales.js";

const LEFT = 44, RIGHT = 12, TOP = 12, AXIS = 20;

const CHARTS = [
  {
    id: "load", title: "Load of the agents in service", format: percent, top: () => 100, from: "points",
    series: [
      {key: "memory", name: "memory", kind: "line"},
      {key: "cpu", name: "CPU", kind: "line"},
    ],
  },
  {
    id: "latency", title: "Latency", format: milliseconds, least: 10, from: "trafficPoints",
    series: [
      {key: "p99_ms", name: "p99", kind: "line"},
      {key: "p95_ms", name: "p95", kind: "line"},
      {key: "p50_ms", name: "p50", kind: "line"},
    ],
  },
  {
    id: "requests", title: "Requests and errors a second", format: count, least: 10, from: "trafficPoints",
    series: [
      {key: "requests_per_s", name: "requests", kind: "area"},
      {key: "errors_per_s", name: "errors", kind: "line"},
    ],
  },
  {
    id: "agents", title: "Agents", format: count, whole: true, from: "points", marks: true,
    top: (store, points) => Math.max(store.status?.max ?? 1, ...points.map((p) => Math.max(p.serving, p.wanted))),
    series: [
      {key: "serving", name: "in service", kind: "block"},
      {key: "wanted", name: "wanted", kind: "stairs"},
    ],
  },
];

class Chart {
  constructor(about, charts) {
    this.about = about;
    this.charts = charts;
    this.values = new Map();
    const legend = el("p", "legend");
    for (const one of about.series.toReversed()) {
      const value = el("b", "", DASH);
      this.values.set(one.key, value);
      legend.append(el("span", `key ${about.id}-${one.key}`, `${one.name} `, value));
    }
    this.box = el("div", "plot");
    this.node = el("section", "chart", el("h3", "", about.title), legend, this.box);
    this.grid = shape("g", {class: "grid"});
    this.curves = new Map();
    this.limits = shape("g", {class: "limits"});
    this.hair = shape("line", {class: "hair", y1: TOP});
    this.signs = shape("g", {class: "signs"});
    this.svg = shape("svg", {role: "img"}, this.grid);
    for (const one of about.series) {
      const curve = shape("path", {class: `curve ${one.kind} ${about.id}-${one.key}`});
      this.curves.set(one.key, curve);
      this.svg.append(curve);
    }
    this.lines = shape("g", {class: "mark-lines"});
    this.svg.append(this.lines, this.limits, this.hair);
    this.box.append(this.svg);
    if (about.marks) {
      // Marks are reached by keyboard, which nothing inside of an image would be.
      this.flags = el("div", "flags");
      this.flags.setAttribute("role", "group");
      this.flags.setAttribute("aria-label", "What the scaler did, arrow keys go through it");
      this.box.append(this.flags);
      this.arrange = keyed(this.flags, (mark) => mark.id, (mark) => charts.flag(mark));
    }
    this.box.addEventListener("pointermove", (event) => charts.point((event.clientX - this.box.getBoundingClientRect().left) / this.zoom, this));
    this.box.addEventListener("pointerleave", () => charts.point(null, this));
  }

  measure() {
    this.zoom = zoom();
    this.width = Math.max(Math.floor(this.box.clientWidth / this.zoom), 200);
    this.height = Math.max(Math.floor(this.box.clientHeight / this.zoom), 110);
  }

  draw(store, span, now) {
    const {about} = this, width = this.width, height = this.height;
    const all = store[about.from];
    const points = all.filter((point) => point.at >= now - span - 30_000);
    this.points = points;
    const gap = Math.max(4 * pace(points), 45_000);
    const highest = Math.max(...points.flatMap((point) => about.series.map((one) => point[one.key] ?? 0)), 0);
    const top = about.top ? about.top(store, points) : niceCeiling(highest, about.least);
    const base = height - AXIS;
    const x = this.x = linear(now - span, now, LEFT, width - RIGHT);
    const y = linear(0, top, base, TOP);
    set(this.svg, {viewBox: `0 0 ${width} ${height}`, width: width * this.zoom, height: height * this.zoom});
    this.axes(x, y, top, span, now);
    for (const one of about.series) {
      const draw = {line: () => line(points, one.key, x, y, gap), area: () => area(points, one.key, x, y, gap, base),
        stairs: () => stairs(points, one.key, x, y, gap, store.alive ? now : 0),
        block: () => stairs(points, one.key, x, y, gap, store.alive ? now : 0, base)}[one.kind];
      set(this.curves.get(one.key), {d: draw()});
    }
    this.thresholds(store, x, y);
    set(this.hair, {y2: base});
    this.tell(this.points.at(-1));
    const last = points.at(-1);
    set(this.svg, {"aria-label": last ? `${about.title}. At the end: ${about.series.map((one) =>
      `${one.name} ${about.format(last[one.key])}`).join(", ")}.` : `${about.title}. Nothing was recorded yet.`});
    this.box.classList.toggle("bare", !last);
  }

  axes(x, y, top, span, now) {
    const {about, width, height} = this;
    const parts = [];
    for (const mark of marks(top, height > 170 ? 4 : 2, about.whole)) {
      const at = y(mark).toFixed(1);
      parts.push(shape("line", {x1: LEFT, x2: width - RIGHT, y1: at, y2: at}),
        label(about.format(mark), {x: LEFT - 6, y: +at + 4, "text-anchor": "end"}));
    }
    for (const at of timeMarks(now - span, now, Math.max(Math.floor(width / 90), 2))) {
      const place = x(at);
      if (place < LEFT + 14 || place > width - 58) continue;
      parts.push(label(clock(at, false), {x: place.toFixed(1), y: height - 5, "text-anchor": "middle"}));
    }
    parts.push(label("now", {x: width - RIGHT, y: height - 5, "text-anchor": "end"}));
    this.grid.replaceChildren(...parts);
  }

  thresholds(store, x, y) {
    if (this.about.id !== "load") return this.fences(store, y);
    const seen = [];
    for (const {metric, kind, words, limit} of thresholds(store.points)) {
      const sign = {above: "more above", below: "fewer below", target: "target"}[kind];
      if (!sign || metric === "in_flight") continue;
      const at = y(limit), right = metric === "memory";
      seen.push(shape("line", {class: metric, x1: LEFT, x2: this.width - RIGHT, y1: at, y2: at}),
        label(`${sign} ${limit} % ${words}`, {class: metric, x: right ? this.width - RIGHT - 4 : LEFT + 5,
          y: at - 4, "text-anchor": right ? "end" : "start"}));
    }
    this.limits.replaceChildren(...seen);
  }

  /** The least and the most agents. */
  fences(store, y) {
    if (this.about.id !== "agents" || !store.status) return;
    const {min, max} = store.status;
    this.limits.replaceChildren(...[[max, `maximum ${max}`, -4], [min, `minimum ${min}`, -4]].flatMap(([limit, words, off]) => [
      shape("line", {x1: LEFT, x2: this.width - RIGHT, y1: y(limit), y2: y(limit)}),
      label(words, {x: LEFT + 5, y: y(limit) + (limit === max && y(limit) < TOP + 12 ? 13 : off)}),
    ]));
  }

  /** Values in the legend: those at a point. */
  tell(point) {
    for (const one of this.about.series) write(this.values.get(one.key), this.about.format(point?.[one.key]));
  }
}

function label(words, attributes) {
  return shape("text", attributes, words);
}

export class Charts {
  constructor(box) {
    this.box = box;
    this.tip = el("div", "tip");
    this.tip.hidden = true;
    this.tip.id = "mark-tip";
    this.charts = CHARTS.map((about) => new Chart(about, this));
    box.replaceChildren(...this.charts.map((chart) => chart.node), this.tip);
    this.span = null;
    this.at = null;
    this.chosen = null;
    for (const radio of document.querySelectorAll("input[name=span]")) {
      radio.addEventListener("change", () => { this.span = Number(radio.value) * 60_000; this.redraw(); });
    }
    new ResizeObserver(() => this.redraw(true)).observe(box);
    this.table = $("figures");
    this.table.closest("details").addEventListener("toggle", () => this.fill());
    box.addEventListener("keydown", (event) => { if (event.key === "Escape") this.hideTip(); });
  }

  redraw(measure = false) {
    if (measure) for (const chart of this.charts) chart.measure();
    this.fresh = null;
    if (this.store) this.draw(this.store);
  }

  /** The span that suits what is known, until somebody chooses another one. */
  spanFor(store) {
    if (this.span) return this.span;
    const first = Math.min(store.points[0]?.at ?? Infinity, store.now());
    const minutes = (store.now() - first) / 60_000 > 12 ? 60 : 10;
    const radio = document.querySelector(`input[name=span][value="${minutes}"]`);
    if (radio && !radio.checked) radio.checked = true;
    return minutes * 60_000;
  }

  draw(store) {
    const fresh = [store.points.at(-1)?.at, store.trafficPoints.at(-1)?.at, store.events[0]?.id, store.alive, store.status?.max, store.status?.min].join();
    // Between two points, time alone moves: less than a pixel is not worth a painting.
    const moved = (performance.now() - this.drawn) / this.spanFor(store) * (this.charts[0].width ?? 0) > 0.7;
    if (fresh === this.fresh && !moved && this.store) return;
    this.fresh = fresh;
    this.drawn = performance.now();
    this.store = store;
    if (!this.charts[0].width) for (const chart of this.charts) chart.measure();
    const span = this.spanFor(store);
    const now = store.alive || !store.points.length ? store.now() : store.link.since + store.skew;
    for (const chart of this.charts) chart.draw(store, span, now);
    this.mark(store, span, now);
    if (this.at !== null) this.point(this.at, this.over);
    this.fill();
  }

  mark(store, span, now) {
    const chart = this.charts.at(-1);
    const events = store.events.filter((event) => isMark(event) && event.at > now - span && event.at <= now + 1000).slice(0, 80).reverse();
    this.marks = events.map((event) => ({id: event.id, event, x: chart.x(event.at) * chart.zoom, kind: markKind(event)}));
    chart.arrange(this.marks);
    const known = this.marks.some((mark) => mark.id === this.chosen);
    if (!known) this.chosen = this.marks.at(-1)?.id ?? null;
    for (const flag of chart.flags.children) flag.tabIndex = Number(flag.dataset.id) === this.chosen ? 0 : -1;
    for (const each of this.charts) {
      const base = each.height - AXIS;
      each.lines.replaceChildren(...this.marks.filter((mark) => mark.kind !== "note").map((mark) => {
        const x = each.x(mark.event.at).toFixed(1);
        return shape("line", {class: mark.kind, x1: x, x2: x, y1: TOP, y2: base});
      }));
    }
  }

  flag(mark) {
    const node = el("button", "flag");
    node.type = "button";
    node.dataset.id = mark.id;
    const show = () => this.showTip(node, mark);
    node.addEventListener("focus", () => { this.chosen = mark.id; show(); });
    node.addEventListener("pointerenter", show);
    node.addEventListener("pointerleave", () => { if (document.activeElement !== node) this.hideTip(); });
    node.addEventListener("blur", () => this.hideTip());
    node.addEventListener("keydown", (event) => this.walk(event, node));
    return {node, update: (now) => {
      mark = now;
      const {title, detail} = happening(now.event);
      set(node, {"aria-label": `${clock(now.event.at)}, ${title}: ${detail}`, "data-kind": now.kind});
      write(node, {up: "▲", down: "▼", bad: "!", note: "•"}[now.kind] ?? "•");
      node.style.left = `${now.x.toFixed(1)}px`;
    }};
  }

  walk(event, node) {
    const step = {ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1}[event.key];
    const flags = [...node.parentNode.children];
    const to = event.key === "Home" ? 0 : event.key === "End" ? flags.length - 1 :
      step ? flags.indexOf(node) + step : null;
    if (to === null) return;
    event.preventDefault();
    flags[to]?.focus();
  }

  showTip(flag, mark) {
    const {title, detail} = happening(mark.event);
    this.tip.replaceChildren(el("strong", "", `${clock(mark.event.at)}  ${title}`), el("span", "", detail));
    this.tip.hidden = false;
    const outer = this.box.getBoundingClientRect(), place = flag.getBoundingClientRect();
    const left = Math.min(Math.max(place.left - outer.left - 120, 0), Math.max(outer.width - this.tip.offsetWidth, 0));
    this.tip.style.left = `${left}px`;
    this.tip.style.top = `${place.top - outer.top - this.tip.offsetHeight - 8}px`;
  }

  hideTip() {
    this.tip.hidden = true;
  }

  /** A hair line through all charts at the pointer, and the values there in the legends. */
  point(x, over) {
    this.at = x;
    this.over = over;
    for (const chart of this.charts) {
      const inside = x !== null && x >= LEFT && x <= over.width - RIGHT;
      chart.hair.classList.toggle("shown", inside);
      if (!inside) {
        chart.tell(chart.points?.at(-1));
        continue;
      }
      const share = (x - LEFT) / (over.width - LEFT - RIGHT);
      const place = LEFT + share * (chart.width - LEFT - RIGHT);
      set(chart.hair, {x1: place.toFixed(1), x2: place.toFixed(1)});
      const span = this.spanFor(this.store), now = this.store.now();
      chart.tell(nearest(chart.points ?? [], now - span + share * span));
    }
  }

  /** The same figures as a table, minute by minute, while it is open. */
  fill() {
    if (!this.store || !this.table.closest("details").open) return;
    const rows = new Map();
    for (const list of [this.store.points, this.store.trafficPoints]) {
      for (const point of list) {
        const minute = Math.floor(point.at / 60_000) * 60_000;
        rows.set(minute, {...rows.get(minute), ...point, at: minute});
      }
    }
    const key = [...rows.keys()].join();
    if (this.filled === key) return;
    this.filled = key;
    this.table.tBodies[0].replaceChildren(...[...rows.values()].sort((a, b) => b.at - a.at).map((row) => {
      const head = el("th", "", clock(row.at, false));
      head.scope = "row";
      return el("tr", "", head, ...[percent(row.cpu), percent(row.memory), count(row.requests_per_s), count(row.errors_per_s),
        milliseconds(row.p50_ms), milliseconds(row.p95_ms), milliseconds(row.p99_ms), count(row.serving), count(row.wanted)]
        .map((words) => el("td", "", words)));
    }));
  }
}
