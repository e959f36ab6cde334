// SPDX-License-Identifier: GPL-3.0-or-later
// What an agent is doing, in one word, and what words mean. Pure.

/** State -> [word, colour, what it means]. Icons are of the same names. */
export const STATES = {
  serving: ["in service", "green", "It gets requests."],
  draining: ["draining", "amber", "It finishes its requests and gets no new ones."],
  starting: ["starting", "blue", "It is being powered on, prepared and given the application."],
  leaving: ["leaving", "amber", "Its application is stopped and its machine powered off."],
  unhealthy: ["unhealthy", "red", "It is in the load balancer and does not answer as it should."],
  frozen: ["frozen", "cyan", "Its machine stands still: everything it was doing waits."],
  aside: ["quarantined", "violet", "It failed too often and is not used for a while."],
  running: ["running", "blue", "Its machine runs, and it gets no requests."],
  failed: ["failed", "red", "Its machine is in error."],
  off: ["off", "soft", "Its machine is stopped: it starts faster than a new one."],
  gone: ["gone", "soft", "There is no such machine any more."],
};

/** The state of an agent of the status document; ``action`` is what is done to it. */
export function standing(agent, action) {
  if (agent.state === "paused") return "frozen";
  if (action?.kind === "scale_up" || action?.kind === "prepare") return "starting";
  if (agent.pool === "draining") return "draining";
  if (action?.kind === "scale_down") return "leaving";
  if (agent.in_service) return agent.healthy ? "serving" : "unhealthy";
  if (agent.set_aside_until) return "aside";
  if (agent.state === "error") return "failed";
  if (agent.state === "starting") return "starting";
  if (agent.state === "stopping") return "leaving";
  if (agent.state === "running") return "running";
  return agent.state === "absent" ? "gone" : "off";
}

export const numberOf = (name) => Number(name.slice(name.lastIndexOf("-") + 1)) || 0;

/**
 * Agents as the page shows them, in the order of their numbers: those of the status document, and
 * those whose machine is still to come.
 */
export function agentsOf(status, traffic) {
  const actions = new Map((status.actions ?? []).map((action) => [action.agent, action]));
  const found = status.agents.map((agent) => ({...agent}));
  for (const [name, action] of actions) {
    if (!found.some((agent) => agent.name === name)) {
      found.push({name, state: "absent", in_service: false, pool: null, kind: action.kind});
    }
  }
  for (const agent of found) {
    const action = actions.get(agent.name);
    const told = traffic?.agents?.[agent.name];
    agent.number = numberOf(agent.name);
    agent.standing = standing(agent, action);
    agent.step = action?.step ?? null;
    agent.rate = told ? told.requests_per_s : agent.pool ? null : 0;
    agent.errors = told?.errors_per_s ?? null;
    agent.flight = told?.in_flight ?? agent.in_flight ?? 0;
    agent.p95 = told?.p95_ms ?? null;
  }
  return found.sort((a, b) => a.number - b.number);
}

/** The picture in one sentence, for those who do not see it. */
export function summary(status, agents, traffic) {
  const words = new Map();
  for (const agent of agents) {
    const word = STATES[agent.standing][0];
    words.set(word, [...(words.get(word) ?? []), agent.name]);
  }
  const parts = [...words].map(([word, names]) =>
    names.length > 4 ? `${names.length} agents ${word}` : `${names.join(", ")} ${word}`);
  const rate = traffic ? `${Math.round(traffic.requests_per_s)} requests a second pass the load ` +
    "balancer" : "The load balancer does not tell its traffic";
  return `${rate}. ${parts.length ? parts.join("; ") : "No agent exists"}. ` +
    `${status.desired ?? "Unknown"} wanted, ${status.min} to ${status.max} allowed.`;
}
