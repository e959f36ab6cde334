// SPDX-License-Identifier: GPL-3.0-or-later
// What the scaler thinks at this moment: numbers at the top, rules as gauges, the guard, what is next.

import {decision, nextChange, sentence, thresholds, verdict} from "./decisions.js";
import {$, el, keyed, set, shape, write} from "./dom.js";
import {DASH, clock, count, duration, milliseconds, percent, plural, spaced, step} from "./format.js";
import {line, linear, niceCeiling} from "./scales.js";

const MODES = {auto: ["automatic", "green"], held: ["held", "amber"], paused: ["paused", "red"]};

const TILES = [
  {id: "requests", key: "requests", format: count, least: 10},
  {id: "p95", key: "p95", format: milliseconds, least: 10},
  {id: "errors", key: "errors", format: count, least: 1},
  {id: "cpu", key: "cpu", format: percent, least: 100},
];

/** The large numbers, each with its last two minutes. */
export class Tiles {
  constructor() {
    this.tiles = TILES.map((tile) => {
      const box = $(`tile-${tile.id}`);
      const curve = shape("path");
      const svg = shape("svg", {class: "spark", viewBox: "0 0 100 28", preserveAspectRatio: "none", "aria-hidden": "true"}, curve);
      box.append(svg);
      return {...tile, box, curve, value: box.querySelector("b")};
    });
  }

  draw({alive, live, status, agents}) {
    const last = live.at(-1);
    for (const {key, format, least, value, curve, box} of this.tiles) {
      write(value, alive ? format(last?.[key]) : DASH);
      const known = live.filter((point) => typeof point[key] === "number");
      const top = niceCeiling(Math.max(...known.map((point) => point[key]), 0), least);
      const end = last?.at ?? 0;
      set(curve, {d: line(live, key, linear(end - 120_000, end, 0, 100), linear(0, top, 27, 2), 30_000)});
      box.classList.toggle("bad", alive && key === "errors" && last?.errors > 0);
    }
    const serving = status?.agents.filter((agent) => agent.in_service).length;
    write($("serving"), alive ? String(serving) : DASH);
    const ill = agents.filter((agent) => ["unhealthy", "frozen"].includes(agent.standing)).length;
    write($("wanted"), alive ? `${status.desired ?? DASH} wanted, ${status.min}–${status.max} allowed` : "unknown");
    write($("ill"), alive && ill ? `${ill} unhealthy` : "");
  }
}

function gauge() {
  const name = el("span", "name"), value = el("b"), verdictText = el("span", "soft");
  const track = el("span", "rail"), low = el("i", "low"), high = el("i", "high"), needle = el("i", "needle");
  track.append(low, high, needle);
  track.setAttribute("aria-hidden", "true");
  const node = el("li", "", name, value, track, verdictText);
  return {node, update: (one) => {
    write(name, one.words[0].toUpperCase() + one.words.slice(1));
    write(value, typeof one.value === "number" ? `${Math.round(one.value)}${one.unit}` : "unknown");
    const at = (limit) => `${Math.min(limit / one.top, 1) * 100}%`;
    low.style.width = one.below === undefined ? "0" : at(one.below);
    high.style.left = one.above === undefined ? "100%" : at(one.above);
    needle.style.left = at(one.value ?? 0);
    needle.hidden = typeof one.value !== "number";
    const said = [one.below !== undefined ? `fewer below ${one.below}${one.unit}` : null,
      one.target !== undefined ? `target ${one.target}${one.unit}` : null,
      one.above !== undefined ? `more above ${one.above}${one.unit}` : null].filter(Boolean).join(", ");
    write(verdictText, said);
    set(node, {"data-fired": one.fired});
  }};
}

/** One gauge for each metric that the policy's rules look at. */
function gaugesOf(points) {
  const found = new Map();
  for (const {metric, kind, words, value, limit, fired} of thresholds(points)) {
    const one = found.get(metric) ?? {metric, words, unit: metric === "in_flight" ? "" : " %", value, fired: null};
    one[kind] = kind === "above" ? Math.min(one.above ?? Infinity, limit) : Math.max(one[kind] ?? 0, limit);
    one.top = metric === "in_flight" ? niceCeiling(Math.max(limit * 1.5, value ?? 0, one.top ?? 0)) : 100;
    if (fired) one.fired = kind;
    found.set(metric, one);
  }
  return [...found.values()];
}

export class Why {
  constructor() {
    this.gauges = keyed($("gauges"), (one) => one.metric, gauge);
    this.announced = "";
  }

  draw(store) {
    const {alive, status, points} = store;
    const now = store.now();
    const [mode, colour] = alive ? MODES[status.mode] ?? [status.mode, "soft"] : ["unknown", "soft"];
    write($("mode"), alive && status.hold ? `${mode} by ${status.hold.holder}` : mode);
    set($("mode"), {"data-colour": colour});
    $("doing").hidden = !alive || !status.actions.length;
    if (!alive) {
      write($("headline"), "Unknown");
      set($("headline"), {"data-kind": null});
      write($("reason"), "The scaler does not answer.");
      for (const id of ["guard", "decided", "next"]) write($(id), "");
      this.gauges([]);
      return;
    }
    const last = points.at(-1);
    const told = last ? decision(last) : {title: "Nothing was decided yet", detail: "", kind: "calm"};
    write($("headline"), told.title);
    set($("headline"), {"data-kind": told.kind});
    write($("reason"), told.detail);
    const blocked = last?.blocked_by;
    write($("guard"), blocked ? `Guard: ${spaced(blocked)}. ${store.guards[blocked] ?? ""}` : "");
    write($("decided"), last ? `${duration((now - last.at) / 1000)} ago, policy ${status.policy.replaceAll("_", " ")}` : "");
    write($("next"), nextChange(status, now));
    this.gauges(gaugesOf(points));
    const doing = status.actions.map((action) => `${{scale_up: "Adding", scale_down: "Removing", prepare: "Preparing"}[action.kind]} ` +
      `${action.agent}: ${step(action.step)} (${duration((now - Date.parse(action.started_at)) / 1000)})`);
    write($("doing"), doing.join("\n"));
    this.announce(status, last, told);
  }

  /** Said aloud when the gist changes, not at each countdown. */
  announce(status, last, told) {
    const gist = [last?.direction, last?.blocked_by, status.desired, status.actions.map((each) => each.agent + each.kind)].join();
    if (gist === this.announced) return;
    const first = this.announced === "";
    this.announced = gist;
    if (first) return;
    const serving = status.agents.filter((agent) => agent.in_service).length;
    const fired = (last?.verdicts ?? []).filter((each) => each[3]).map(verdict);
    write($("announce"), `${plural(serving, "agent")} in service, ${status.desired} wanted. ${told.title}. ${sentence(fired.join(", "))}`);
  }
}

/** Where the page stands with the cluster: the pill, and a notice where something is wrong. */
export class Link {
  draw(store) {
    const {link, status, alive} = store;
    const since = clock(link.since);
    const [words, colour] = {
      connecting: ["connecting", "amber"], live: ["live", "green"], lost: ["not connected", "red"], locked: ["locked", "amber"],
    }[link.state];
    write($("link-word"), words);
    set($("link"), {"data-colour": colour, "data-state": link.state});
    set(document.body, {"data-link": link.state});
    const texts = [];
    if (link.state === "lost") {
      texts.push(status ? `The cluster does not answer since ${since} (${link.why}). It is stopped, or on its way up: ` +
        "./playground up starts it. No number here is current; this page goes on by itself." :
        `The scaler does not answer (${link.why}). ./playground up starts the cluster; this page goes on by itself.`);
    }
    if (alive) {
      texts.push(...status.alarms.map((text) => `Alarm: ${text}`));
      if (status.observed_at && !status.agents.some((agent) => agent.in_service)) {
        texts.push("No agent is in service: requests are answered with 503.");
      }
    }
    const key = texts.join("\n");
    const box = $("notices");
    if (box.dataset.texts !== key) {
      box.dataset.texts = key;
      box.replaceChildren(...texts.map((text) => el("p", "notice", text)));
    }
    if (!status) return;
    write($("name"), status.cluster);
    const serving = status.agents.filter((agent) => agent.in_service).length;
    document.title = alive ? `${status.cluster}: ${plural(serving, "agent")}` : `${status.cluster}: not connected`;
    const {name, release, healthy} = status.application;
    write($("application"), !alive ? "" : name ? `${name} · release ${(release || "none").slice(0, 12)} · ${healthy ? "healthy" : "not healthy"}` : "no application yet");
  }
}
