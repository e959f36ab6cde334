// SPDX-License-Identifier: GPL-3.0-or-later
// Icons as paths in a square of 16. States differ by shape, not by colour alone.

import {shape} from "./dom.js";

export const ICONS = {
  serving: "M8 1.5a6.5 6.5 0 1 0 0 13a6.5 6.5 0 0 0 0-13M5 8.2l2.1 2.1L11 6.2",
  draining: "M8 2v8.5M4.5 7.2L8 10.7l3.5-3.5M3 14h10",
  starting: "M8 14V5.5M4.5 8.8L8 5.3l3.5 3.5M3 2h10",
  leaving: "M8 1.8v5.7M4.3 4.2a5.6 5.6 0 1 0 7.4 0",
  unhealthy: "M8 2L1.7 13.5h12.6ZM8 6.5v3.2M8 11.7v.1",
  frozen: "M8 1.5v13M2.4 4.8l11.2 6.4M13.6 4.8L2.4 11.2M6.3 2.7L8 4.2l1.7-1.5M6.3 13.3L8 11.8l1.7 1.5",
  aside: "M5.3 1.8h5.4l3.5 3.5v5.4l-3.5 3.5H5.3l-3.5-3.5V5.3ZM5.5 8h5",
  running: "M8 1.5a6.5 6.5 0 1 0 0 13a6.5 6.5 0 0 0 0-13M6.6 5.4v5.2L10.8 8Z",
  failed: "M8 1.5a6.5 6.5 0 1 0 0 13a6.5 6.5 0 0 0 0-13M5.8 5.8l4.4 4.4M10.2 5.8l-4.4 4.4",
  off: "M8 1.5a6.5 6.5 0 1 0 0 13a6.5 6.5 0 0 0 0-13M5.3 8h5.4",
  gone: "M3.5 3.5l9 9M12.5 3.5l-9 9",
  balancer: "M1.5 8h4.5M6 8l6-5M6 8h6.5M6 8l6 5M10.3 2.7l2.2-.2v2.2M10.8 6.4L12.6 8l-1.8 1.6M10.3 13.3l2.2.2v-2.2",
  scaler: "M2 13.5V9.5M6 13.5V6.5M10 13.5V8M14 13.5V2.5M11.8 4.5L14 2.3",
  datastore: "M2.5 4c0-1.3 2.5-2.3 5.5-2.3s5.5 1 5.5 2.3v8c0 1.3-2.5 2.3-5.5 2.3s-5.5-1-5.5-2.3ZM2.5 4c0 1.3 2.5 2.3 5.5 2.3s5.5-1 5.5-2.3M2.5 8c0 1.3 2.5 2.3 5.5 2.3s5.5-1 5.5-2.3",
  manager: "M2 2.5h12v4.3H2ZM2 9.2h12v4.3H2ZM4.3 4.7h.1M4.3 11.3h.1M8 4.7h3.5M8 11.3h3.5",
  clients: "M5.8 7a2.4 2.4 0 1 0 0-4.8a2.4 2.4 0 0 0 0 4.8M1.5 13.8c0-2.7 1.9-4.4 4.3-4.4s4.3 1.7 4.3 4.4M11 6.8a2 2 0 1 0-.8-3.9M11.7 9.5c1.7.3 2.8 1.9 2.8 4.2",
};

export function icon(name, size = 16, attributes = {}) {
  return shape("svg", {
    class: "icon", viewBox: "0 0 16 16", width: size, height: size, "aria-hidden": "true", ...attributes,
  }, shape("path", {d: ICONS[name]}));
}
