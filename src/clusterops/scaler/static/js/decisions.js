// SPDX-License-Identifier: GPL-3.0-or-later
// Decisions of the scaler in plain words. Pure.

import {duration, plural} from "./format.js";

const METRICS = {cpu: "CPU", memory: "memory", in_flight: "requests in flight"};

/** A rule of a policy: {metric, kind: above|below|target, words}. */
export function rule(name) {
  const plain = name.slice(name.lastIndexOf(".") + 1);
  const match = /^(\w+)_(above|below|target)$/.exec(plain);
  const metric = match ? match[1] : plain;
  const kind = match ? match[2] : "other";
  return {metric, kind, words: METRICS[metric] ?? plain.replaceAll("_", " ")};
}

const unit = (metric) => (metric === "in_flight" ? "" : " %");

/** One rule's verdict in words: "CPU 83 % is above 70 %". */
export function verdict([name, value, limit, fired]) {
  const {metric, kind, words} = rule(name);
  const what = typeof value === "number" ? `${words} ${Math.round(value)}${unit(metric)}` :
    `${words} unknown`;
  const against = `${+limit.toFixed(1)}${unit(metric)}`;
  const said = {
    above: fired ? `is above ${against}` : `is not above ${against}`,
    below: fired ? `is below ${against}` : `is not below ${against}`,
    target: fired ? `is away from its target ${against}` : `is near its target ${against}`,
  }[kind] ?? `against ${against}`;
  return `${what} ${said}`;
}

/** What was decided: {kind: up|down|blocked|calm, title, detail}. */
export function decision(point) {
  const change = point.wanted - point.was;
  if (change !== 0) {
    const words = `${Math.abs(change)} ${change > 0 ? "more" : "fewer"}`;
    return {
      kind: change > 0 ? "up" : "down",
      title: `${words}: ${plural(point.wanted, "agent")} wanted instead of ${point.was}`,
      detail: sentence(point.reason),
    };
  }
  const wished = wishes(point);
  if (point.blocked_by === "min" || point.blocked_by === "max") {
    return {
      kind: "calm",
      title: `Stays with ${plural(point.wanted, "agent")}, the ${point.blocked_by === "min" ? "least" : "most"} allowed`,
      detail: sentence(point.reason),
    };
  }
  if (point.blocked_by && wished) {
    return {
      kind: "blocked",
      title: `Would like ${wished}, but waits`,
      detail: sentence(point.reason),
    };
  }
  return {
    kind: point.blocked_by ? "blocked" : "calm",
    title: `Stays with ${plural(point.wanted, "agent")}`,
    detail: sentence(point.reason),
  };
}

/** What the rules alone would have done: "more agents", "fewer agents", or nothing. */
export function wishes(point) {
  const fired = point.verdicts.filter((each) => each[3]).map((each) => rule(each[0]).kind);
  if (fired.includes("above")) return "more agents";
  const below = point.verdicts.filter((each) => rule(each[0]).kind === "below");
  return below.length && below.every((each) => each[3]) ? "fewer agents" : null;
}

/** The verdicts that matter: those that fired, and those that kept others from having their way. */
export function telling({verdicts}) {
  const fired = verdicts.filter((each) => each[3]);
  const lows = verdicts.filter((each) => rule(each[0]).kind === "below");
  const halfway = lows.some((each) => each[3]) && !fired.some((each) => rule(each[0]).kind === "above");
  return halfway ? [...new Set([...fired, ...lows])] : fired;
}

export function sentence(text) {
  const plain = String(text ?? "");
  return plain ? plain[0].toUpperCase() + plain.slice(1) + (/[.!?]$/.test(plain) ? "" : ".") : "";
}

/** What makes two ticks in a row the same story. */
function story(point) {
  const fired = point.verdicts.map((each) => `${each[0]}${each[3] ? "!" : ""}`).join();
  return [point.wanted, point.was, point.blocked_by, fired].join("|");
}

/** Ticks that tell the same, told once: {from, to, times, point} with the last of them. */
export function stories(points) {
  const found = [];
  for (const point of points) {
    const last = found.at(-1);
    if (last && point.wanted === point.was && story(last.point) === story(point)) {
      Object.assign(last, {to: point.at, times: last.times + 1, point});
    } else {
      found.push({key: `d${point.at}`, from: point.at, to: point.at, times: 1, point});
    }
  }
  return found;
}

/** Thresholds that the policy named last: [{metric, kind, limit}]. */
export function thresholds(points) {
  const last = points.findLast((point) => point.verdicts.length);
  return (last?.verdicts ?? []).map(([name, value, limit, fired]) =>
    ({...rule(name), value, limit, fired}));
}

const KINDS = {
  decision: ["change", "Decided"], desired: ["change", "Asked for"], started: ["act", "Started"],
  finished: ["good", "Done"], failed: ["bad", "Failed"], ejected: ["bad", "Taken out"],
  alarm: ["bad", "Alarm"], alarm_cleared: ["good", "Alarm over"], held: ["note", "Held"],
  released: ["note", "Released"], paused: ["note", "Paused"], resumed: ["note", "Goes on"],
  restored: ["good", "Back in service"], cancelling: ["note", "Calling off"],
  cancelled: ["note", "Called off"], bounds: ["change", "New limits"],
};
const ACTIONS = {
  scale_up: "bringing it into service", scale_down: "taking it out of service",
  prepare: "preparing it",
};

/** An event in words: {tone, title, detail}. */
export function happening(event) {
  const [tone, word] = KINDS[event.kind] ?? ["note", event.kind.replaceAll("_", " ")];
  const doing = ACTIONS[event.action];
  const text = String(event.message)
    .replace(/^(scale_up|scale_down|prepare)\b/, (kind) => ACTIONS[kind]);
  const who = event.agent ? `${event.agent}: ` : "";
  return {tone, title: `${who}${word.toLowerCase()}`, detail: sentence(text), doing};
}

/** Events that belong on a chart: the number of agents changed, or should have. */
export function isMark(event) {
  return ["decision", "desired", "ejected", "failed", "restored", "bounds", "alarm"]
    .includes(event.kind);
}

/** The sign of a mark: what happened to the number of agents. */
export function markKind(event) {
  if (["ejected", "failed", "alarm"].includes(event.kind)) return "bad";
  if (event.direction) return event.direction;
  return event.kind === "restored" ? "up" : "note";
}

/** When the number of agents may change next. ``now`` in milliseconds. */
export function nextChange(status, now) {
  const left = (at) => (at ? Math.ceil((Date.parse(at) - now) / 1000) : 0);
  if (status.alarms.length && status.mode === "paused") return "When the alarm is over.";
  if (status.hold) {
    const most = duration(Math.max(left(status.hold.expires_at), 0));
    return `When '${status.hold.holder}' lets go, in ${most} at most.`;
  }
  if (status.mode === "paused") return "When somebody lets the scaler go on.";
  if (status.action) {
    const done = status.action.kind === "scale_up" ? "has joined" : "has left";
    return `After ${status.action.agent} ${done}.`;
  }
  const rest = left(status.cooldown_ends_at);
  if (rest > 0) return `In ${duration(rest)}, after the cooldown.`;
  const up = status.desired < status.max ? "More: at once, when the load asks for it" :
    `More: never, ${status.max} is the maximum`;
  const floor = status.floor && status.desired <= status.floor.agents ?
    left(status.floor.ends_at) : 0;
  let down = "fewer: at once, when the load allows it";
  if (status.desired <= status.min) down = `fewer: never, ${status.min} is the minimum`;
  else if (floor > 0) down = `fewer: in ${duration(floor)}, ${status.floor.agents} were asked for`;
  return `${up}; ${down}.`;
}
