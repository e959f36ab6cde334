// SPDX-License-Identifier: GPL-3.0-or-later
// The live picture of the cluster. For screen readers there is its summary, and the agents' table.

import {calm, keyed, set, shape, write, zoom} from "./dom.js";
import {count, percent, step} from "./format.js";
import {ICONS, icon} from "./icons.js";
import {RUNNING, latest} from "./jobs.js";
import {entrance, flow, layout, route, slots, wire} from "./layout.js";
import {niceCeiling} from "./scales.js";
import {STATES, summary} from "./standing.js";

const LEAVING_MS = 900;
const BEAD = 14;
const LEAST_TOP = 20;  // requests a second: less is not drawn as a torrent

/** Beads that move along a line. */
class Beads {
  constructor(cls) {
    this.node = shape("path", {class: `beads ${cls}`});
    this.run = null;
    this.speed = 0;
    this.space(BEAD);
  }

  space(gap) {
    if (gap === this.gap) return;
    this.gap = gap;
    set(this.node, {"stroke-dasharray": `0.1 ${gap - 0.1}`});
    this.go(0);
  }

  draw(path, rate, top, thickest, gap = BEAD) {
    const {width, speed} = flow(rate, top, thickest);
    this.space(gap);
    set(this.node, {d: path, "stroke-width": Math.min(width + 1.6, 8)});
    this.go(calm.matches ? 0 : speed);
  }

  go(speed) {
    if (speed === this.speed) return;
    this.speed = speed;
    if (!speed) {
      this.run?.cancel();
      this.run = null;
      this.node.classList.add("none");
      return;
    }
    this.node.classList.remove("none");
    this.run ??= this.node.animate(
      [{strokeDashoffset: this.gap}, {strokeDashoffset: 0}], {duration: 1000, iterations: Infinity},
    );
    this.run.updatePlaybackRate(speed / this.gap);
  }
}

function text(cls, attributes = {}) {
  return shape("text", {class: cls, ...attributes});
}

/** Write, cut off where it would be wider than its box. */
function fit(node, words, width, letter = 6.3) {
  const most = Math.max(Math.floor(width / letter), 3);
  write(node, words.length > most ? `${words.slice(0, most - 1)}…` : words);
}

/** A part of the control node or of the host: icon, name, and one line of what it does. */
class Box {
  constructor(name, title) {
    this.frame = shape("rect", {class: "part", rx: 9});
    this.mark = icon(name, 16);
    this.title = text("title");
    this.note = text("note");
    this.node = shape("g", {class: `box ${name}`}, this.frame, this.mark, this.title, this.note);
    write(this.title, title);
  }

  place({x, y, w, h}) {
    this.width = w;
    set(this.frame, {x, y, width: w, height: h});
    const middle = y + h / 2;
    const low = h < 34;
    set(this.mark, {x: x + 10, y: middle - 8});
    set(this.title, {x: x + 34, y: low ? middle + 4 : middle - 3});
    set(this.note, {x: x + 34, y: middle + 12});
    this.note.classList.toggle("none", low);
  }

  say(words) {
    fit(this.note, words, this.width - 40);
  }
}

function bar(name) {
  const track = shape("rect", {class: `track ${name}`, height: 5, rx: 2.5});
  const fill = shape("rect", {class: `fill ${name}`, height: 5, rx: 2.5});
  const label = text(`tiny ${name}`), value = text(`tiny number ${name}`, {"text-anchor": "end"});
  write(label, name === "cpu" ? "CPU" : "MEM");
  return {
    nodes: [track, fill, label, value],
    place(x, y, width, labelled) {
      const from = labelled ? x + 30 : x, room = labelled ? width - 66 : width;
      set(track, {x: from, y, width: room});
      set(fill, {x: from, y, width: room});
      set(label, {x, y: y + 6});
      set(value, {x: x + width, y: y + 6});
      for (const node of [label, value]) node.classList.toggle("none", !labelled);
    },
    show(share, limit) {
      const known = typeof share === "number";
      fill.style.transform = `scaleX(${known ? Math.min(Math.max(share, 0), 100) / 100 : 0})`;
      fill.classList.toggle("hot", known && share > limit);
      write(value, percent(share));
    },
  };
}

/** One agent, or the place of one that may come. */
class Card {
  constructor(picture) {
    this.picture = picture;
    this.frame = shape("rect", {class: "frame", rx: 9});
    this.stripe = shape("rect", {class: "stripe", width: 4, rx: 2});
    this.mark = shape("svg", {class: "icon", viewBox: "0 0 16 16", width: 13, height: 13});
    this.path = shape("path", {d: ICONS.off});
    this.mark.append(this.path);
    this.name = text("title");
    this.word = text("word", {"text-anchor": "end"});
    this.note = text("tiny number");
    this.cpu = bar("cpu");
    this.memory = bar("memory");
    this.tip = shape("title");
    this.inner = shape("g", {class: "inner"}, this.tip, this.frame, this.stripe, this.mark,
      this.name, this.word, ...this.cpu.nodes, ...this.memory.nodes, this.note);
    this.node = shape("g", {class: "agent arriving"}, this.inner);
    this.size = "";
    requestAnimationFrame(() => requestAnimationFrame(() => this.node.classList.remove("arriving")));
  }

  leave(done) {
    this.node.setAttribute("data-leaving", "");
    this.node.classList.add("going");
    setTimeout(done, LEAVING_MS);
  }

  place({x, y, w, h}, size) {
    const where = `translate(${x}px,${y}px)`;
    if (this.node.style.transform !== where) this.node.style.transform = where;
    if (this.size === `${size}${w}`) return;
    this.size = `${size}${w}`;
    this.width = w;
    set(this.node, {"data-size": size});
    set(this.frame, {width: w, height: h});
    set(this.stripe, {x: 0.5, y: 8, height: h - 16});
    const small = size === "small";
    set(this.mark, {x: small ? 7 : 12, y: small ? 6 : 10});
    set(this.name, {x: small ? 23 : 31, y: small ? 17 : 21});
    set(this.word, {x: w - 11, y: 21});
    this.cpu.place(small ? 8 : 12, small ? h - 12 : size === "medium" ? 31 : 35, w - (small ? 16 : 24), size === "large");
    this.memory.place(small ? 8 : 12, small ? h - 12 : 50, w - 24, size === "large");
    set(this.note, {x: 12, y: h - 10});
  }

  show(slot) {
    const {agent, alive, number} = slot;
    const small = this.size.startsWith("small"), large = this.size.startsWith("large");
    const {cpu, memory} = this.picture.limits;
    // What is drawn, in one text: nothing is touched where it is as before.
    const drawn = agent ? [alive, agent.standing, Math.round(agent.cpu_percent ?? -1), cpu, memory, this.size,
      ...(small ? [] : [Math.round(agent.memory_percent ?? -1), agent.step, count(agent.rate), agent.flight])].join() : `${this.size}`;
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    const state = agent ? agent.standing : "empty";
    const [word, colour] = agent ? STATES[state] : ["free", "soft"];
    set(this.node, {"data-state": state, "data-colour": colour});
    set(this.path, {d: ICONS[state] ?? ICONS.off});
    write(this.name, small ? String(number) : `agent-${number}`);
    write(this.word, large && alive ? word : "");
    write(this.tip, agent ? `agent-${number}: ${word}` : `agent-${number}: not there; it may come`);
    this.cpu.show(alive ? agent?.cpu_percent : null, cpu);
    if (small) return;
    this.memory.show(alive ? agent?.memory_percent : null, memory);
    if (!agent) return write(this.note, "");
    const busy = agent.pool ? `${count(agent.rate)} req/s` : "";
    const flight = large && agent.pool ? ` · ${agent.flight} in flight` : "";
    fit(this.note, !alive ? "unknown" : agent.step ? step(agent.step) : busy ? busy + flight : word, this.width - 20, 5.7);
  }
}

export class Picture {
  constructor(box, about) {
    this.box = box;
    this.about = about;
    this.limits = {cpu: 70, memory: 80};
    this.top = LEAST_TOP;
    this.total = LEAST_TOP;
    this.host = shape("rect", {class: "host", rx: 14});
    this.hostName = text("region");
    this.control = shape("rect", {class: "control", rx: 12});
    this.controlName = text("region");
    write(this.controlName, "control-1");
    this.boxes = {
      balancer: new Box("balancer", "Load balancer"), scaler: new Box("scaler", "Scaler"),
      datastore: new Box("datastore", "Datastore"), manager: new Box("manager", "Server Manager"),
    };
    this.clients = shape("g", {class: "clients"});
    this.clientsMark = icon("clients", 30);
    this.clientsName = text("title", {"text-anchor": "middle"});
    this.clientsRate = text("note", {"text-anchor": "middle"});
    write(this.clientsName, "Clients");
    this.clients.append(this.clientsMark, this.clientsName, this.clientsRate);
    this.order = shape("path", {class: "wire"});
    this.wires = shape("g");
    this.flows = shape("g");
    this.beads = shape("g");
    this.cards = shape("g");
    this.way = shape("path", {class: "flow all"});
    this.wayBeads = new Beads("all");
    // Two sheets, one above the other: what moves all the time is painted without the rest.
    this.sheets = [
      shape("svg", {class: "sheet", role: "img", "aria-labelledby": about.id},
        this.host, this.hostName, this.control, this.controlName, this.order, this.wires, this.way, this.flows,
        ...Object.values(this.boxes).map((each) => each.node), this.clients, this.cards),
      shape("svg", {class: "sheet moving", "aria-hidden": "true"}, this.wayBeads.node, this.beads),
    ];
    box.replaceChildren(...this.sheets);
    this.arrange = keyed(this.cards, (slot) => slot.number, () => this.card());
    this.arrangeFlows = keyed(this.flows, (slot) => slot.number, () => this.agentFlow());
    this.arrangeBeads = keyed(this.beads, (lane) => lane.key, () => this.lane());
    this.arrangeWires = keyed(this.wires, (slot) => slot.number, () => {
      const node = shape("path", {class: "wire busy"});
      return {node, update: (slot) => set(node, {d: wire(this.plan, slot.number)})};
    });
    this.key = "";
    this.said = 0;
    this.width = 0;
    this.zoom = 1;
    new ResizeObserver(([entry]) => {
      this.width = entry.contentRect.width;
      this.zoom = zoom();
    }).observe(box);
  }

  card() {
    const card = new Card(this);
    return {
      node: card.node,
      leave: (done) => card.leave(done),
      update: (slot) => {
        card.place(this.plan.places.get(slot.number), this.plan.size);
        card.show(slot);
      },
    };
  }

  agentFlow() {
    const node = shape("path");
    return {
      node,
      update: ({number, agent, alive}) => {
        const {width, speed} = flow(alive ? agent.rate : 0, this.top, this.thickest);
        const state = agent.standing === "draining" ? " draining" : speed ? "" : " still";
        set(node, {class: `flow one${state}`, d: route(this.plan, number), "stroke-width": width});
      },
    };
  }

  /** Beads of one agent; where agents are many, of a row of them. */
  lane() {
    const beads = new Beads("one");
    return {
      node: beads.node,
      update: (lane) => {
        set(beads.node, {class: `beads one${lane.draining ? " draining" : ""}${beads.speed ? "" : " none"}`});
        beads.draw(lane.path, lane.rate, lane.top, this.thickest, this.plan.size === "small" ? 3 * BEAD : BEAD);
      },
    };
  }

  get thickest() {
    return this.plan.size === "small" ? 3.5 : 6;
  }

  lanes(slots) {
    if (this.plan.size !== "small") {
      return slots.map(({number, agent, alive}) => ({
        key: number, path: route(this.plan, number), rate: alive ? agent.rate : 0, top: this.top,
        draining: agent.standing === "draining",
      }));
    }
    const rows = new Map();
    for (const {number, agent, alive} of slots) {
      const {row, column} = this.plan.places.get(number);
      const lane = rows.get(row) ?? {key: `row ${row}`, rate: 0, top: 0, last: -1, draining: false};
      lane.rate += alive ? agent.rate ?? 0 : 0;
      lane.top += this.top;
      if (column > lane.last) Object.assign(lane, {last: column, path: route(this.plan, number)});
      rows.set(row, lane);
    }
    return [...rows.values()];
  }

  /** Draw the store's facts; anew where the width or the agents have changed. */
  draw(store) {
    const {status, traffic, alive} = store;
    const agents = status ? store.agents : [];
    const width = Math.max(Math.floor((this.width || this.box.clientWidth) / this.zoom), 280);
    const numbers = slots(agents, status?.max ?? 1);
    const key = `${width}:${this.zoom}:${numbers.join()}`;
    if (key !== this.key) {
      this.key = key;
      this.lay(width, numbers);
    }
    set(this.box, {"data-alive": String(alive)});
    this.measure(store.traffic);
    const byNumber = new Map(agents.map((agent) => [agent.number, agent]));
    const cards = numbers.map((number) => ({number, agent: byNumber.get(number), alive}));
    this.arrange(cards);
    const pooled = cards.filter(({agent}) => agent?.pool);
    this.arrangeFlows(pooled);
    this.arrangeBeads(this.lanes(pooled));
    this.arrangeWires(cards.filter(({agent}) => alive && agent?.step));
    const rate = alive ? traffic?.requests_per_s : 0, {width: thick, speed} = flow(rate, this.total, 8);
    set(this.way, {class: `flow all${speed ? "" : " still"}`, d: entrance(this.plan), "stroke-width": thick});
    this.wayBeads.draw(entrance(this.plan), rate, this.total, 8);
    this.order.classList.toggle("busy", alive && Boolean(status.action));
    this.say(store, agents);
  }

  lay(width, numbers) {
    const plan = this.plan = layout(width, numbers);
    for (const sheet of this.sheets) {
      set(sheet, {viewBox: `0 0 ${plan.width} ${plan.height}`, width: plan.width * this.zoom, height: plan.height * this.zoom});
    }
    set(this.box, {"data-size": plan.size});
    this.box.style.height = `${plan.height * this.zoom}px`;
    frame(this.host, plan.host);
    frame(this.control, plan.control);
    set(this.hostName, {x: plan.host.x + 14, y: plan.host.y + 21});
    set(this.controlName, {x: plan.control.x + 12, y: plan.control.y + 20});
    for (const [name, box] of Object.entries(this.boxes)) box.place(plan[name]);
    const {clients} = plan, middle = clients.x + clients.w / 2;
    const flat = plan.kind === "tall";
    set(this.clientsMark, {x: flat ? middle - 62 : middle - 15, y: flat ? clients.y + 9 : clients.y});
    set(this.clientsName, {x: middle, y: clients.y + (flat ? 20 : 50)});
    set(this.clientsRate, {x: middle, y: clients.y + (flat ? 37 : 67)});
    const {scaler, manager} = plan;
    const x = flat ? scaler.x + 26 : scaler.x + 18;
    set(this.order, {d: `M${x} ${scaler.y + scaler.h}V${manager.y}`});
  }

  /** What the thickest lines stand for; it follows the traffic up at once, and down slowly. */
  measure(traffic) {
    const rates = Object.values(traffic?.agents ?? {}).map((agent) => agent.requests_per_s);
    this.top = Math.max(niceCeiling(Math.max(...rates, LEAST_TOP)), this.top * 0.999);
    this.total = Math.max(niceCeiling(Math.max(traffic?.requests_per_s ?? 0, LEAST_TOP)), this.total * 0.999);
  }

  say(store, agents) {
    const {status, traffic, alive} = store;
    write(this.hostName, status ? `host · ${status.cluster}` : "host");
    if (!alive) {
      for (const box of Object.values(this.boxes)) box.say("does not answer");
      this.boxes.datastore.say("unknown");
      this.boxes.manager.say("unknown");
      write(this.clientsRate, "");
      write(this.about, status ? "The cluster does not answer." : "Nothing is known of the cluster yet.");
      return;
    }
    const {parts, action, application} = status;
    this.boxes.balancer.say(parts.load_balancer === false ? "does not answer" : `${traffic?.in_flight ?? 0} in flight`);
    this.boxes.scaler.say(action ? `${action.kind === "scale_up" ? "adds" : action.kind === "prepare" ? "prepares" : "removes"} ${action.agent}` :
      {auto: "watches", held: "is held", paused: "is paused"}[status.mode] ?? status.mode);
    this.boxes.datastore.say(application.name ? `of ${application.name}` : "no application");
    this.boxes.manager.say(parts.server_manager === false ? "does not answer" : "machines on, off");
    for (const [name, part] of [["balancer", "load_balancer"], ["manager", "server_manager"]]) {
      this.boxes[name].node.classList.toggle("broken", parts[part] === false);
    }
    write(this.clientsRate, traffic ? `${count(traffic.requests_per_s)} req/s` : "");
    const load = latest(store.jobs, "load");
    write(this.clientsName, load?.state === RUNNING ? load.arguments?.profile ?? "load" : "Clients");
    // A description that changes each second would never be read to its end.
    if (performance.now() - this.said > 5000) {
      this.said = performance.now();
      write(this.about, summary(status, agents, traffic));
    }
  }
}

function frame(node, {x, y, w, h}) {
  set(node, {x, y, width: w, height: h});
}
