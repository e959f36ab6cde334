// SPDX-License-Identifier: GPL-3.0-or-later
// The stream of the scaler. fetch and not EventSource, which cannot send a token.

import {parser, patience} from "./sse.js";

const SILENCE_MS = 4000;
/** The first message tells everything; a busy scaler takes its time for it. */
const PATIENCE_MS = 15000;

/**
 * Listen for ever. ``headers()`` gives the token; ``on.message(name, value)`` gets what is told;
 * ``on.link(state, why)`` is told of connecting, live, lost and locked. Returns a function that
 * begins anew at once.
 */
export function listen(path, headers, on) {
  let tries = 0, abort = null, timer = 0;

  async function run() {
    clearTimeout(timer);
    abort?.abort();
    const mine = abort = new AbortController();
    let silence = 0;
    const expect = (ms) => {
      clearTimeout(silence);
      silence = setTimeout(() => mine.abort(new Error("it has gone silent")), ms);
    };
    let why = "it has ended the connection";
    try {
      expect(PATIENCE_MS);
      const answer = await fetch(path, {
        headers: {Accept: "text/event-stream", ...headers()}, cache: "no-store",
        signal: mine.signal,
      });
      if (answer.status === 401 || answer.status === 403) {
        clearTimeout(silence);
        on.link("locked", answer.status);
        return;
      }
      if (!answer.ok) throw new Error(`it answers ${answer.status}`);
      const take = parser((name, data) => {
        tries = 0;
        on.link("live");
        on.message(name, JSON.parse(data));
      });
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const {value, done} = await reader.read();
        if (done) break;
        expect(SILENCE_MS);
        take(value);
      }
    } catch (error) {
      if (mine !== abort) return;  // somebody began anew
      why = error instanceof TypeError ? "there is no connection" : error.message;
    } finally {
      clearTimeout(silence);
    }
    if (mine !== abort) return;
    tries += 1;
    on.link("lost", why);
    timer = setTimeout(run, patience(tries));
  }

  run();
  return () => { tries = 0; run(); };
}
