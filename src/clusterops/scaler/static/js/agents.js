// SPDX-License-Identifier: GPL-3.0-or-later
// The agents as a table: the picture in words and numbers.

import {$, el, keyed, set, write} from "./dom.js";
import {DASH, count, percent, step} from "./format.js";
import {ICONS, icon} from "./icons.js";
import {STATES} from "./standing.js";

const OUT_OF_SIGHT_MS = 3000;

function meter(name) {
  const fill = el("span", `fill ${name}`), value = el("span", "value");
  const node = el("td", "meter", el("span", "track", fill), value);
  return {node, show(share, limit) {
    fill.style.transform = `scaleX(${typeof share === "number" ? Math.min(Math.max(share, 0), 100) / 100 : 0})`;
    fill.classList.toggle("hot", typeof share === "number" && share > limit);
    write(value, percent(share));
  }};
}

export class Agents {
  /** ``act(agent, fault)`` is asked for by a row's buttons. */
  constructor(table, act, limits) {
    this.act = act;
    this.limits = limits;
    this.body = table.tBodies[0];
    this.arrange = keyed(this.body, (row) => row.agent.name, ({agent}) => this.row(agent.name));
    this.allowed = () => null;
    this.seen = true;
    this.drawn = 0;
    new IntersectionObserver(([entry]) => { this.seen = entry.isIntersecting; }, {rootMargin: "300px"}).observe(table);
  }

  draw(store) {
    const alive = store.alive;
    // Where nobody looks, now and then is enough.
    const due = this.seen || performance.now() - this.drawn > OUT_OF_SIGHT_MS || alive !== this.alive;
    if (!due) return;
    this.drawn = performance.now();
    this.alive = alive;
    this.arrange(store.agents.map((agent) => ({agent, alive})));
    $("no-agents").hidden = store.agents.length > 0;
    const serving = store.agents.filter((agent) => agent.in_service).length;
    write($("agents-count"), alive ? `${serving} of ${store.agents.length} in service` : "unknown");
  }

  row(name) {
    const head = el("th", "", name);
    head.scope = "row";
    const mark = icon("off", 14), word = el("span"), badge = el("span", "state", mark, word);
    const cpu = meter("cpu"), memory = meter("memory");
    const flight = el("td", "number"), rate = el("td", "number");
    const note = el("span", "step");
    const buttons = [["freeze", "Freeze"], ["thaw", "Thaw"], ["kill", "Kill"]].map(([fault, words]) => {
      const button = el("button", `small ${fault}`, words);
      button.type = "button";
      button.setAttribute("aria-label", `${words} ${name}`);
      button.addEventListener("click", () => this.act(name, fault));
      return [fault, button];
    });
    const cell = el("td", "chaos", ...buttons.map(([, button]) => button));
    const node = el("tr", "", head, el("td", "", badge, note), cpu.node, memory.node, flight, rate, cell);
    return {node, update: ({agent, alive}) => {
      const [words, colour, about] = alive ? STATES[agent.standing] : ["unknown", "soft", "The cluster does not answer."];
      write(word, words);
      set(badge, {"data-colour": colour, title: about});
      set(mark.firstChild, {d: ICONS[alive ? agent.standing : "off"]});
      write(note, alive && agent.step ? step(agent.step) : "");
      cpu.show(alive ? agent.cpu_percent : null, this.limits().cpu);
      memory.show(alive ? agent.memory_percent : null, this.limits().memory);
      write(flight, alive ? String(agent.flight) : DASH);
      write(rate, alive ? count(agent.rate) : DASH);
      const locked = this.allowed();
      cell.hidden = false;
      for (const [fault, button] of buttons) {
        const fits = fault === "thaw" ? agent.standing === "frozen" : agent.state === "running" || agent.state === "starting";
        button.hidden = fault === "thaw" ? !fits : agent.standing === "frozen" && fault === "freeze";
        button.disabled = locked !== null || !fits && !(fault === "kill" && agent.standing === "frozen");
        set(button, {title: locked});
      }
    }};
  }
}
