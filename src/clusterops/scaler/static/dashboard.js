// The scaler's page: asks the API each second and shows what it says.
"use strict";
import {draw} from "./chart.js";

const SPAN_MS = 600_000, HISTORY_EVERY_MS = 5000;
const $ = (id) => document.getElementById(id);

// Everything goes in as text, never as markup: names and messages come from the cluster.
function el(tag, cls, ...children) {
  const node = document.createElement(tag);
  if (cls) node.className = cls;
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}
/** Write only what changed, so that a selection or a screen reader is not disturbed. */
function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

let skewMs = 0;  // the cluster's clock may differ from this one
const now = () => Date.now() + skewMs;
const clock = (at) => new Date(at).toLocaleTimeString([], {hour12: false});
const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
const secondsTo = (at) => (at ? Math.ceil((Date.parse(at) - now()) / 1000) : 0);
const duration = (s) => (s < 120 ? `${s} s` : s < 7200 ? `${Math.round(s / 60)} min` : `${Math.round(s / 3600)} h`);
const ago = (at) => `${duration(Math.max(0, Math.round((now() - Date.parse(at)) / 1000)))} ago`;
/** "clusterops.playground.application : Run it" as "application: Run it". */
const stepWords = (step) => String(step).replace(/^(?:\w+\.)*(\w+) : /, "$1: ");
const spaced = (text) => String(text).replaceAll("scale_up", "scale up").replaceAll("scale_down", "scale down");

// --- agents ----------------------------------------------------------------------------------

/** How an agent is named and coloured: [word, colour, class of its card, belongs to the pool]. */
function standing(agent, action) {
  const pooled = agent.in_service || agent.pool === "draining";
  if (action?.agent === agent.name) {
    const word = action.kind === "scale_up" ? "joining" : agent.pool === "draining" ? "draining" : "leaving";
    return [word, word === "joining" ? "blue" : "amber", "moves", pooled];
  }
  if (agent.pool === "draining") return ["draining", "amber", "moves", true];
  if (agent.in_service) {
    return agent.healthy ? ["in service", "green", "serves", true] : ["unhealthy", "red", "", true];
  }
  if (agent.state === "running") return ["running", "blue", "", false];
  return [agent.state, agent.state === "error" ? "red" : "soft", "", false];
}

function meter(title, cls) {
  const fill = el("div", "fill"), number = el("output");
  const node = el("div", `meter ${cls}`, el("span", "soft", title), el("div", "track", fill), number);
  return {node, set(value) {
    node.hidden = typeof value !== "number";
    if (node.hidden) return;
    fill.style.width = `${Math.min(Math.max(value, 0), 100)}%`;
    fill.classList.toggle("hot", value > (cls === "cpu" ? 70 : 80));
    write(number, `${Math.round(value)} %`);
  }};
}

const cards = new Map();

function makeCard(name) {
  const badge = el("span", "pill"), note = el("div", "note");
  const cpu = meter("CPU", "cpu"), memory = meter("memory", "memory");
  const node = el("li", "agent arriving", el("div", "top", el("strong", "", name), badge),
    cpu.node, memory.node, note);
  requestAnimationFrame(() => requestAnimationFrame(() => node.classList.remove("arriving")));
  return {node, set(agent, action) {
    const [word, colour, cls, pooled] = standing(agent, action);
    write(badge, word);
    badge.className = `pill ${colour}`;
    node.classList.toggle("serves", cls === "serves");
    node.classList.toggle("moves", cls === "moves");
    cpu.set(agent.cpu_percent);
    memory.set(agent.memory_percent);
    const mine = action?.agent === agent.name;
    const address = agent.address || "no address";
    write(note, mine ? stepWords(action.step) : pooled ? `${address}, ${agent.in_flight ?? 0} in flight` : address);
    return pooled;
  }};
}

/** Put cards in order, moving only those that stand elsewhere. */
function arrange(list, nodes) {
  nodes.forEach((node, at) => {
    if (list.children[at] !== node) list.insertBefore(node, list.children[at] || null);
  });
}

function showAgents(agents, action) {
  const known = agents.slice();
  if (action && !known.some((agent) => agent.name === action.agent)) {
    known.push({name: action.agent, state: "absent", in_service: false});  // its machine comes yet
  }
  known.sort((a, b) => a.name.localeCompare(b.name, undefined, {numeric: true}));
  for (const [name, card] of cards) {
    if (known.some((agent) => agent.name === name)) continue;
    cards.delete(name);
    card.node.classList.add("going");
    setTimeout(() => card.node.remove(), 400);
  }
  const pool = [], bench = [];
  for (const agent of known) {
    if (!cards.has(agent.name)) cards.set(agent.name, makeCard(agent.name));
    const card = cards.get(agent.name);
    (card.set(agent, action) ? pool : bench).push(card.node);
  }
  $("pool").querySelector(".empty")?.remove();
  arrange($("pool"), pool);
  arrange($("bench"), bench);
  if (!pool.length) $("pool").append(el("li", "empty", "No agent gets traffic."));
  $("bench-title").hidden = !bench.length;
}

// --- scaler ----------------------------------------------------------------------------------

const MODES = {auto: ["automatic", "green"], held: ["held", "amber"], paused: ["paused", "red"]};

/** When the number of agents may change next, in one line or two. */
function nextChange(status) {
  if (status.alarms.length && status.mode === "paused") return ["when the alarm is over"];
  if (status.hold) {
    const left = duration(Math.max(secondsTo(status.hold.expires_at), 0));
    return [`when '${status.hold.holder}' lets go, in ${left} at most`];
  }
  if (status.action) return [`after ${status.action.agent} has ${status.action.kind === "scale_up" ? "joined" : "left"}`];
  const up = status.desired < status.max, down = status.desired > status.min;
  const cooldown = secondsTo(status.cooldown_ends_at);
  if (cooldown > 0) return [`in ${duration(cooldown)} (cooldown)`];
  const floor = status.floor && status.desired <= status.floor.agents ? secondsTo(status.floor.ends_at) : 0;
  const asked = `fewer: in ${duration(floor)}, ${plural(status.floor?.agents, "agent")} asked for by hand`;
  const waits = status.last_decision?.blocked_by === "hold_floor";
  return [
    up ? "more: at once, when the load asks for it" : `more: never, ${status.max} is the maximum`,
    !down ? `fewer: never, ${status.min} is the minimum` : floor > 0 ? asked
      : waits ? "fewer: not yet" : "fewer: at once, when the load allows it",
  ];
}

function decisionWords(decision) {
  if (!decision) return "none yet";
  const verb = {scale_up: "one more agent: ", scale_down: "one agent fewer: "}[decision.action] ?? "no change: ";
  return verb + decision.reason;
}

let announced = "";

function showScaler(status) {
  const serving = status.agents.filter((agent) => agent.in_service).length;
  const [mode, colour] = MODES[status.mode] || [status.mode, "soft"];
  write($("mode"), status.hold ? `${mode} by ${status.hold.holder}` : mode);
  $("mode").className = `pill ${colour}`;
  write($("serving"), String(serving));
  write($("desired"), String(status.desired ?? "–"));
  write($("limits"), `${status.min}–${status.max}`);
  const slots = Math.max(status.max, serving);
  $("slots").hidden = slots > 20;
  $("slots").replaceChildren(...Array.from({length: Math.min(slots, 20)}, (_, at) =>
    el("i", at < serving ? (at < status.desired ? "serves" : "over") : at < status.desired ? "wanted" : "")));
  const {action, last_decision: decision} = status;
  $("doing-row").hidden = !action;
  if (action) {
    const seconds = Math.max(0, Math.round((now() - Date.parse(action.started_at)) / 1000));
    write($("doing"), `${action.kind === "scale_up" ? "adding" : "removing"} ${action.agent}: ${stepWords(action.step)} (${seconds} s)`);
  }
  write($("decided"), decision ? ago(decision.at) : "");
  write($("decision"), decisionWords(decision));
  const [first, second = ""] = nextChange(status);
  write($("next"), first);
  write($("next-less"), second);
  // Said aloud when the gist changes, not at each countdown.
  const gist = [decision?.action, decision?.blocked_by, status.desired, action?.agent].join();
  if (gist !== announced) {
    announced = gist;
    write($("announce"), `${plural(serving, "agent")} in service, ${status.desired} wanted. ${decisionWords(decision)}`);
  }
}

// --- the page --------------------------------------------------------------------------------

const KINDS = {ejected: "red", failed: "red", alarm: "red", held: "amber", finished: "green",
  alarm_cleared: "green", decision: "blue", started: "blue", desired: "blue"};

function showEvents(events) {
  const newest = `${events[0]?.id}`;
  if ($("events").dataset.newest === newest) return;
  $("events").dataset.newest = newest;
  // The same thing again and again is one line with a count.
  const rows = [];
  for (const event of events) {
    const text = `${event.agent ? `${event.agent}: ` : ""}${spaced(event.message)}`;
    const last = rows.at(-1);
    if (last && last.event.kind === event.kind && last.text === text) last.times += 1;
    else rows.push({event, text, times: 1});
  }
  $("events").replaceChildren(...rows.map(({event, text, times}) => {
    const time = el("time", "", clock(event.at));
    time.dateTime = event.at;
    const kind = event.kind.replaceAll("_", " ");
    const rest = text.startsWith(kind) ? text.slice(kind.length) : ` ${text}`;
    return el("li", "", time, el("p", "", el("strong", KINDS[event.kind] || "soft", kind), rest,
      times > 1 ? el("span", "soft", ` (${times} times)`) : null));
  }));
}

function notices(texts) {
  const box = $("notices");
  if (box.dataset.texts === texts.join("\n")) return;
  box.dataset.texts = texts.join("\n");
  box.replaceChildren(...texts.map((text) => el("p", "notice", text)));
}

function show(status) {
  const serving = status.agents.filter((agent) => agent.in_service).length;
  write($("name"), status.cluster || "Cluster");
  document.title = `${status.cluster}: ${plural(serving, "agent")}`;
  const {name, release, healthy} = status.application;
  write($("application"), name ? `${name}, release ${(release || "none").slice(0, 12)}, ${healthy ? "healthy" : "NOT healthy"}` : "no application yet");
  const flight = status.load_balancer.agents.reduce((sum, agent) => sum + (agent.in_flight || 0), 0);
  write($("in-flight"), `${flight} in flight`);
  document.querySelector(".flow").classList.toggle("busy", flight > 0);
  showAgents(status.agents, status.action);
  showScaler(status);
  notices(status.alarms.map((text) => `Alarm: ${text}`));
}

const KEPT = "clusterops-token";

/** The token that the reader gave, where one is needed. It goes with the tab. */
function authorization() {
  const token = sessionStorage.getItem(KEPT);
  return token ? {Authorization: `Bearer ${token}`} : {};
}

$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEPT, $("token").value.trim());
  $("token").value = "";
  $("ask").hidden = true;
});

function ask() {
  const tried = sessionStorage.getItem(KEPT) !== null;
  sessionStorage.removeItem(KEPT);
  $("ask").hidden = false;
  if (tried) throw new Error("it does not take this token");
}

async function get(path) {
  let answer;
  const headers = authorization();
  try {
    answer = await fetch(path, {headers, cache: "no-store", signal: AbortSignal.timeout(4000)});
  } catch (error) {
    throw new Error(error.name === "TimeoutError" ? "no answer within 4 s" : "no connection");
  }
  if (answer.status === 401) ask();
  if (!answer.ok) throw new Error(`it answered ${answer.status}`);
  const date = Date.parse(answer.headers.get("date"));
  // The header has whole seconds: smaller differences say nothing.
  if (date) skewMs = Math.abs(date - Date.now()) > 2000 ? date - Date.now() : 0;
  return answer.json();
}

let ticks = [], historyAt = -Infinity, most = 1, limit = 90, gapMs = 60_000;

function drawHistory() {
  draw($("chart"), ticks, {now: now(), spanMs: SPAN_MS, gapMs, most});
}

/** Ask for as many ticks as the span has: the interval is a setting, and ticks may be woken. */
function learnPace() {
  if (ticks.length < 2) return;
  const times = ticks.map((tick) => Date.parse(tick.at));
  const pace = Math.max((times[0] - times.at(-1)) / (times.length - 1), 100);
  limit = Math.min(Math.max(Math.ceil(SPAN_MS / pace * 1.2), 60), 600);
  gapMs = Math.max(4 * pace, 45_000);
}

async function refresh() {
  try {
    if ($("ask").hidden && (!document.hidden || !ticks.length)) {
      const status = await get("api/v1/status");
      most = status.max;
      show(status);
      showEvents((await get("api/v1/events?limit=40")).events);
      if (performance.now() - historyAt > HISTORY_EVERY_MS) {
        ticks = (await get(`api/v1/ticks?limit=${limit}`)).ticks;
        historyAt = performance.now();
        learnPace();
      }
      drawHistory();
      document.body.classList.remove("stale");
      write($("connection"), `updated ${clock(now())}`);
    }
  } catch (error) {
    document.body.classList.add("stale");
    if (!$("ask").hidden) {
      notices(error.message.includes("token") ? ["The scaler does not take this token."] : []);
      setTimeout(refresh, 1000);
      return;
    }
    const shown = $("connection").textContent.replace("updated", "what you see is from");
    notices([`The scaler does not answer: ${error.message}. It is asked again each second${/\d/.test(shown) ? `; ${shown}` : ""}.`]);
  }
  setTimeout(refresh, 1000);
}

new ResizeObserver(drawHistory).observe($("chart"));
refresh();
