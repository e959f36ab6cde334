// SPDX-License-Identifier: GPL-3.0-or-later
// All that the page knows, and what to draw when it changes: once for each frame, at most.

import {agentsOf} from "./standing.js";

const HOUR = 3600_000;
const LIVE_KEPT = 120;  // seconds; there are two messages in one at most

export class Store {
  constructor(later = (draw) => requestAnimationFrame(draw)) {
    this.later = later;
    this.listeners = [];
    this.due = false;
    this.link = {state: "connecting", since: Date.now(), why: ""};
    this.status = null;
    this.traffic = null;
    this.jobs = null;  // null: not known
    this.jobsTold = false;  // by the stream
    this.agents = [];
    this.points = [];
    this.trafficPoints = [];
    this.events = [];
    this.live = [];
    this.guards = {};
    this.skew = 0;  // the cluster's clock may differ from this one
  }

  get alive() {
    return this.link.state === "live" && this.status !== null;
  }

  now() {
    return Date.now() + this.skew;
  }

  subscribe(draw) {
    this.listeners.push(draw);
  }

  changed() {
    if (this.due) return;
    this.due = true;
    this.later(() => {
      this.due = false;
      for (const draw of this.listeners) draw(this);
    });
  }

  setLink(state, why = "") {
    if (this.link.state === state && this.link.why === why) return;
    const same = this.link.state === state;
    this.link = {state, why, since: same ? this.link.since : Date.now()};
    this.changed();
  }

  take(name, value) {
    const act = {
      snapshot: () => this.begin(value),
      state: () => this.setState(value),
      point: () => this.points.push(inMs(value)),
      traffic_point: () => this.trafficPoints.push(inMs(value)),
      events: () => { this.events = [...value.map(inMs), ...this.events].slice(0, 400); },
    }[name];
    if (!act) return;
    act();
    this.forget();
    this.changed();
  }

  begin(value) {
    this.points = value.points.map(inMs);
    this.trafficPoints = value.traffic_points.map(inMs);
    this.events = value.events.map(inMs);
    this.guards = value.guards;
    this.live = this.trafficPoints.filter((point) => point.at > value.at * 1000 - LIVE_KEPT * 1000).map((point) => ({
      at: point.at, requests: point.requests_per_s, p95: point.p95_ms, errors: point.errors_per_s,
      cpu: this.points.findLast((one) => one.at <= point.at)?.cpu,
    }));
    this.setState(value);
  }

  setState({at, status, traffic, jobs}) {
    const skew = at * 1000 - Date.now();
    this.skew = Math.abs(skew) > 1500 ? skew : 0;  // smaller ones are the way's
    this.status = status;
    this.traffic = traffic;
    this.jobsTold = Array.isArray(jobs);
    if (this.jobsTold) this.jobs = jobs;
    this.agents = agentsOf(status, traffic);
    const fresh = (key) => mean(this.agents.filter((one) => one.in_service).map((one) => one[key]));
    this.live.push({
      at: at * 1000, requests: traffic?.requests_per_s, p95: traffic?.p95_ms,
      errors: traffic?.errors_per_s, cpu: fresh("cpu_percent"),
    });
    while (this.live.length && this.live[0].at < at * 1000 - LIVE_KEPT * 1000) this.live.shift();
  }

  forget() {
    const since = this.now() - HOUR - 60_000;
    for (const list of [this.points, this.trafficPoints]) {
      let old = 0;
      while (old < list.length && list[old].at < since) old += 1;
      if (old) list.splice(0, old);
    }
  }
}

function inMs(value) {
  return {...value, at: typeof value.at === "string" ? Date.parse(value.at) : value.at * 1000};
}

function mean(values) {
  const known = values.filter((value) => typeof value === "number");
  return known.length ? known.reduce((sum, each) => sum + each, 0) / known.length : null;
}
