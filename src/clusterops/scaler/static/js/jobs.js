// SPDX-License-Identifier: GPL-3.0-or-later
// Jobs of the host (load, deploy, rollback) in words. Pure.

import {count, duration, milliseconds} from "./format.js";

export const RUNNING = "running";

export function latest(jobs, kind) {
  return (jobs ?? []).filter((job) => job.kind === kind)
    .sort((a, b) => String(b.started_at).localeCompare(String(a.started_at)))[0] ?? null;
}

/** How far a job is, 0 to 1; null where nobody knows. */
export function share(job) {
  const {elapsed_s: elapsed, duration_s: whole} = job?.progress ?? {};
  return typeof elapsed === "number" && whole > 0 ? Math.min(elapsed / whole, 1) : null;
}

/** A job in one line. */
export function words(job) {
  if (!job) return "";
  const progress = job.progress ?? {};
  const about = {
    load: () => `${job.arguments?.profile ?? ""} load`.trim(),
    deploy: () => `Deploying ${job.arguments?.application ?? ""}`.trim(),
    rollback: () => "Rolling back",
  }[job.kind]?.() ?? job.kind;
  const title = about[0].toUpperCase() + about.slice(1);
  const parts = [`${title}: ${job.state}`];
  if (job.kind === "load" && typeof progress.requests === "number") {
    parts.push(`${count(progress.requests)} requests, ${count(progress.failures ?? 0)} failed`);
    if (typeof progress.requests_per_s === "number") parts.push(`${count(progress.requests_per_s)} a second`);
    if (typeof progress.p95_ms === "number") parts.push(`p95 ${milliseconds(progress.p95_ms)}`);
    if (job.state === RUNNING && progress.duration_s) {
      parts.push(`${duration(progress.duration_s - progress.elapsed_s)} left`);
    }
  }
  // While a load runs, its message says the same figures in the words of a terminal.
  if (job.message && !(job.kind === "load" && parts.length > 1)) parts.push(job.message);
  return parts.join(" · ");
}
