// SPDX-License-Identifier: GPL-3.0-or-later
// Takes server-sent events apart as they arrive. Pure.

/** A function that takes text and calls ``tell(name, data)`` for each whole event. */
export function parser(tell) {
  let rest = "";
  return (text) => {
    const blocks = (rest + text).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      let name = "message";
      const data = [];
      for (const row of block.split("\n")) {
        if (row.startsWith("event: ")) name = row.slice(7);
        else if (row.startsWith("data: ")) data.push(row.slice(6));
      }
      if (data.length) tell(name, data.join("\n"));
    }
  };
}

/** Milliseconds until the next try: soon at first, then every two seconds. */
export function patience(tries) {
  return Math.min(500 * tries, 2000);
}
