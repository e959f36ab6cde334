// SPDX-License-Identifier: GPL-3.0-or-later
// The controls: each is one request to the scaler, with the reader's token, and says what came of it.

import {$, set, write} from "./dom.js";
import {RUNNING, latest, share, words} from "./jobs.js";

const JOBS_EVERY_MS = 1000;
const UNKNOWN = "This scaler does not offer it.";

export class Controls {
  constructor(access) {
    this.access = access;
    this.store = null;
    this.applications = null;
    this.offered = null;  // whether there are jobs: null is not known
    this.touched = new Set();
    this.form("unlock", () => this.unlock());
    this.click("lock", () => access.forget());
    this.click("pause", () => this.pause());
    this.form("scale", () => this.send("scale-said", "POST", "desired", {desired: number("desired")},
      (answer) => `${answer.desired} wanted.`));
    this.form("bounds", () => this.send("bounds-said", "POST", "bounds", {min: number("min"), max: number("max")},
      (answer) => `${answer.min} to ${answer.max} agents.`));
    this.click("bounds-reset", () => {
      this.touched.delete("min");
      this.touched.delete("max");
      this.send("bounds-said", "DELETE", "bounds", undefined, (answer) => `As in cluster.yml: ${answer.min} to ${answer.max}.`);
    });
    this.form("load", () => this.job("load-said", {kind: "load", profile: $("profile").value,
      duration_s: number("load-duration"), rate: number("load-rate")}));
    this.click("load-stop", () => this.send("load-said", "DELETE", "jobs/load", undefined, () => "Stopped."));
    this.form("deploy", () => this.job("deploy-said", {kind: "deploy", application: $("deploy-what").value.trim()}));
    this.click("rollback", () => this.job("deploy-said", {kind: "rollback"}));
    for (const fault of ["freeze", "thaw", "kill"]) this.click(`chaos-${fault}`, () => this.fault($("victim").value, fault));
    for (const id of ["desired", "min", "max"]) $(id).addEventListener("input", () => this.touched.add(id));
    if (access.token) access.use(access.token, false);
    setInterval(() => this.look(), JOBS_EVERY_MS);
  }

  form(id, act) {
    $(id).addEventListener("submit", (event) => { event.preventDefault(); act(); });
  }

  click(id, act) {
    $(id).addEventListener("click", act);
  }

  async unlock() {
    const field = $("control-token");
    const why = await this.access.use(field.value.trim(), true);
    write($("unlock-said"), why ?? "");
    set(field, {"aria-invalid": why ? "true" : null});
    if (why) return field.focus();
    field.value = "";
    await this.look();
    $("pause").focus();
  }

  pause() {
    const stopped = this.store?.status?.mode === "paused";
    return this.send("pause-said", stopped ? "DELETE" : "POST", "pause", undefined,
      (answer) => (answer.paused ? "Paused: agents that die are still replaced." : "It goes on."));
  }

  job(said, body) {
    // What it does is in the line above, as the stream tells it.
    return this.send(said, "POST", "jobs", body, () => "").then(() => this.look());
  }

  fault(agent, fault) {
    return this.send("chaos-said", "POST", `agents/${encodeURIComponent(agent)}/faults`, {fault},
      (answer) => answer.status ?? `${fault} ${agent}: done.`);
  }

  /** One request; its outcome is said in the line ``said``. */
  async send(said, method, path, body, tell) {
    write($(said), "…");
    try {
      const answer = await fetch(`api/v1/${path}`, {
        method, cache: "no-store", signal: AbortSignal.timeout(30_000),
        headers: {...this.access.headers(), ...(body ? {"Content-Type": "application/json"} : {})},
        body: body && JSON.stringify(body),
      });
      const data = await answer.json().catch(() => ({}));
      if (answer.status === 401) this.access.forget();
      if (answer.ok) {
        for (const id of ["desired", "min", "max"]) this.touched.delete(id);
        write($(said), tell(data));
      } else {
        write($(said), answer.status === 404 && !data.error ? UNKNOWN : `Refused: ${data.error ?? answer.status}`);
      }
      $(said).classList.toggle("red", !answer.ok);
    } catch (error) {
      write($(said), `Not done: ${error.name === "TimeoutError" ? "no answer within 30 s" : "there is no connection"}`);
      $(said).classList.add("red");
    }
  }

  /** What runs on the host, where the stream does not tell: an older Server Manager has no jobs. */
  async look() {
    const known = this.store?.jobsTold && this.applications;
    if (!this.access.mayChange || !this.store || known || document.hidden) return;
    try {
      const answer = await fetch("api/v1/jobs", {headers: this.access.headers(), cache: "no-store", signal: AbortSignal.timeout(4000)});
      this.offered = answer.ok ? true : answer.status === 404 ? false : this.offered;
      if (answer.ok) {
        const told = await answer.json();
        if (!this.store.jobsTold) this.store.jobs = told.jobs;
        this.learn(told);
      }
      this.store.changed();
    } catch {
      // The stream tells that the scaler does not answer.
    }
  }

  /** What may be asked for. */
  learn({applications, rate_max: rate, duration_max_s: seconds}) {
    this.applications = applications ?? [];
    if (this.applications.length) {
      $("applications").replaceChildren(...this.applications.map((name) => new Option(name, name)));
    }
    if (rate) set($("load-rate"), {max: rate});
    if (seconds) set($("load-duration"), {max: seconds});
  }

  /** Why a control cannot be used; null where it can. */
  reason(jobs = false) {
    if (!this.access.mayChange) return "Unlock the controls with the cluster's token.";
    if (!this.store?.alive) return "The cluster does not answer.";
    if (jobs && this.offered === false) return UNKNOWN;
    return null;
  }

  draw(store) {
    this.store = store;
    if (store.jobsTold) this.offered = true;
    const {status, alive} = store;
    const unlocked = this.access.mayChange;
    $("unlock").hidden = unlocked;
    $("lock").hidden = !unlocked;
    for (const [id, jobs] of [["scaler-controls", false], ["load-controls", true], ["deploy-controls", true], ["chaos-controls", true]]) {
      const why = this.reason(jobs);
      $(id).disabled = why !== null;
      write($(`${id}-why`), unlocked && why ? why : "");
    }
    if (!alive) return;
    const paused = status.mode === "paused";
    write($("pause"), paused ? "Resume" : "Pause");
    set($("pause"), {"aria-pressed": String(paused)});
    for (const [id, value] of [["desired", status.desired], ["min", status.min], ["max", status.max]]) {
      if (!this.touched.has(id) && document.activeElement !== $(id) && value !== null) $(id).value = value;
    }
    set($("desired"), {min: status.min, max: status.max});
    const {min, max} = status.configured;
    for (const id of ["min", "max"]) set($(id), {min: id === "max" ? 1 : Math.min(1, min), max});
    $("bounds-reset").hidden = status.min === min && status.max === max;
    write($("configured"), `cluster.yml: ${min} to ${max}`);
    this.victims(store.agents);
    this.showJobs(store.jobs);
  }

  victims(agents) {
    const names = agents.filter((agent) => agent.state !== "absent").map((agent) => agent.name);
    const list = $("victim");
    if (list.dataset.names === names.join()) return;
    const chosen = list.value;
    list.dataset.names = names.join();
    list.replaceChildren(...names.map((name) => new Option(name)));
    if (names.includes(chosen)) list.value = chosen;
  }

  showJobs(jobs) {
    const load = latest(jobs, "load");
    const running = load?.state === RUNNING;
    $("load-stop").disabled = !running;
    $("load-start").disabled = running;
    $("load-progress").hidden = !running;
    const done = share(load);
    if (done !== null) $("load-progress").value = done;
    write($("load-now"), words(load));
    const roll = [latest(jobs, "deploy"), latest(jobs, "rollback")].filter(Boolean)
      .sort((a, b) => String(b.started_at).localeCompare(String(a.started_at)))[0];
    write($("deploy-now"), words(roll));
    $("deploy-go").disabled = $("rollback").disabled = roll?.state === RUNNING;
  }
}

function number(id) {
  const value = $(id).value.trim();
  return value === "" ? null : Number(value);
}
