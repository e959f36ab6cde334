// SPDX-License-Identifier: GPL-3.0-or-later
// The decision log: what was decided, by which rule, which guard blocked it, and what was done.

import {decision, happening, stories, telling, verdict} from "./decisions.js";
import {$, el, keyed, set, write} from "./dom.js";
import {clock, spaced} from "./format.js";

const SHOWN = 80;

export class Log {
  constructor(list) {
    this.list = list;
    this.filter = "all";
    this.key = "";
    this.arrange = keyed(list, (entry) => entry.key, (entry) => this.entry(entry));
    for (const radio of document.querySelectorAll("input[name=log]")) {
      radio.addEventListener("change", () => {
        this.filter = radio.value;
        this.key = "";
        if (this.store) this.draw(this.store);
      });
    }
  }

  draw(store) {
    this.store = store;
    const key = [this.filter, store.points.length, store.points.at(-1)?.at, store.events[0]?.id, store.points[0]?.at].join();
    if (key === this.key) return;
    this.key = key;
    this.guards = store.guards;
    const told = stories(store.points).map((story) => ({
      key: story.key, at: story.to, from: story.from, times: story.times, point: story.point,
      ...decision(story.point), tone: null,
    }));
    // A decision that changed something is in both: the tick says more.
    const done = store.events.filter((event) => event.kind !== "decision").map((event) => ({
      key: `e${event.id}`, at: event.at, from: event.at, times: 1, kind: "event", ...happening(event),
    }));
    const wanted = {
      all: () => true,
      changes: (entry) => entry.kind === "up" || entry.kind === "down" || entry.kind === "event",
      blocked: (entry) => entry.kind === "blocked",
    }[this.filter];
    const entries = [...told, ...done].filter(wanted).sort((a, b) => b.at - a.at || (a.kind === "event" ? -1 : 1));
    this.arrange(entries.slice(0, SHOWN));
    $("log-empty").hidden = entries.length > 0;
  }

  entry() {
    const time = el("time"), title = el("strong"), detail = el("span", "detail");
    const chips = el("ul", "chips"), guard = el("p", "guard");
    const words = el("div", "words", title, detail, chips, guard);
    const sign = el("span", "sign");
    sign.setAttribute("aria-hidden", "true");
    const node = el("li", "", time, sign, words);
    return {node, update: (entry) => {
      set(node, {"data-kind": entry.kind, "data-tone": entry.tone});
      write(sign, {up: "▲", down: "▼", blocked: "‖", calm: "·", event: "•"}[entry.kind]);
      const from = clock(entry.from);
      write(time, entry.times > 1 ? `${from} – ${clock(entry.at)}` : from);
      time.dateTime = new Date(entry.at).toISOString();
      write(title, entry.title);
      write(detail, entry.detail);
      const rules = entry.point ? telling(entry.point) : [];
      if (chips.dataset.rules !== JSON.stringify(rules)) {
        chips.dataset.rules = JSON.stringify(rules);
        chips.replaceChildren(...rules.map((each) => el("li", each[3] ? "chip" : "chip not", verdict(each))));
      }
      chips.hidden = !rules.length;
      const blocked = entry.point?.blocked_by;
      guard.hidden = !blocked;
      if (blocked) {
        write(guard, `Guard: ${spaced(blocked)}. ${this.guards[blocked] ?? ""}`);
      }
    }};
  }
}
