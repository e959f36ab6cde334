// SPDX-License-Identifier: GPL-3.0-or-later
// The dashboard: what the stream tells goes into the store, and from there into the parts.

import {Access} from "./access.js";
import {Agents} from "./agents.js";
import {Charts} from "./charts.js";
import {Controls} from "./controls.js";
import {thresholds} from "./decisions.js";
import {$, write} from "./dom.js";
import {Log} from "./log.js";
import {Link, Tiles, Why} from "./now.js";
import {Picture} from "./picture.js";
import {Store} from "./store.js";
import {listen} from "./stream.js";

const store = new Store();
const access = new Access(() => store.changed());
const picture = new Picture($("picture"), $("picture-about"));
const controls = new Controls(access);
const agents = new Agents($("agents"), (name, fault) => controls.fault(name, fault), () => picture.limits);
agents.allowed = () => controls.reason(true);
const charts = new Charts($("charts"));
const parts = [new Link(), new Tiles(), picture, new Why(), agents, charts, new Log($("log")), controls];

/** Loads above what the policy calls too much are shown as hot. */
function learnLimits() {
  for (const {metric, kind, limit} of thresholds(store.points)) {
    if (kind === "above" && metric in picture.limits) picture.limits[metric] = limit;
  }
}

store.subscribe(() => {
  learnLimits();
  for (const part of parts) part.draw(store);
});

const again = listen("api/v1/stream", () => access.headers(), {
  message: (name, value) => store.take(name, value),
  link: (state, why) => {
    store.setLink(state, why);
    $("ask").hidden = state !== "locked";
    if (state === "locked" && access.token) {
      access.forget();
      write($("ask-said"), "The cluster does not know this token any more.");
    }
  },
});

$("ask").addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = $("token");
  const why = await access.use(field.value.trim(), false);
  write($("ask-said"), why ?? "");
  if (why) return field.focus();
  field.value = "";
  $("ask").hidden = true;
  again();
});

new ResizeObserver(() => store.changed()).observe($("picture"));
// Time passes also while nothing is told.
setInterval(() => { if (store.link.state !== "live") store.changed(); }, 1000);
store.changed();
