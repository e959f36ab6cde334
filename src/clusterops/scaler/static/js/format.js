// SPDX-License-Identifier: GPL-3.0-or-later
// Numbers and times as people read them. Pure.

export const DASH = "–";

const known = (value) => typeof value === "number" && Number.isFinite(value);

export function percent(value) {
  return known(value) ? `${Math.round(value)} %` : DASH;
}

/** A rate or a count: two digits where it is small, none where it is large. */
export function count(value) {
  if (!known(value)) return DASH;
  if (value >= 10_000) return `${(value / 1000).toFixed(value >= 100_000 ? 0 : 1)} k`;
  if (value >= 1000) return Math.round(value).toLocaleString("en-US");
  if (value >= 10 || Number.isInteger(value)) return String(Math.round(value));
  return value.toFixed(1);
}

export function milliseconds(value) {
  if (!known(value)) return DASH;
  if (value >= 10_000) return `${(value / 1000).toFixed(0)} s`;
  if (value >= 1000) return `${(value / 1000).toFixed(1)} s`;
  return value >= 10 || value === 0 ? `${Math.round(value)} ms` : `${value.toFixed(1)} ms`;
}

export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 120) return `${whole} s`;
  return whole < 7200 ? `${Math.round(whole / 60)} min` : `${Math.round(whole / 3600)} h`;
}

export function plural(number, word) {
  return `${number} ${word}${number === 1 ? "" : "s"}`;
}

const time = {hour: "2-digit", minute: "2-digit", hour12: false};
const WITH_SECONDS = new Intl.DateTimeFormat("en-GB", {...time, second: "2-digit"});
const WITHOUT = new Intl.DateTimeFormat("en-GB", time);

/** The time of day; ``at`` is in milliseconds. */
export function clock(at, seconds = true) {
  return (seconds ? WITH_SECONDS : WITHOUT).format(at);
}

/** "clusterops.playground.application : Run it" as "application: Run it". */
export function step(text) {
  return String(text).replace(/^(?:\w+\.)*(\w+) : /, "$1: ");
}

export const spaced = (text) => String(text).replaceAll("_", " ");
