// SPDX-License-Identifier: GPL-3.0-or-later
// Small helpers around the DOM. Everything goes in as text, never as markup: names and messages
// come from the cluster.

const SVG = "http://www.w3.org/2000/svg";

export const $ = (id) => document.getElementById(id);

export function el(tag, cls, ...children) {
  const node = document.createElement(tag);
  if (cls) node.className = cls;
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export function shape(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

/** Write only what changed, so that a selection or a screen reader is not disturbed. */
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Set attributes that changed; null removes one. */
export function set(node, attributes) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null) {
      if (node.hasAttribute(key)) node.removeAttribute(key);
    } else if (node.getAttribute(key) !== String(value)) node.setAttribute(key, value);
  }
}

/**
 * Keep one child for each item, in the order of the items, and touch nothing else.
 * ``make`` returns {node, update(item), leave?(done)}; ``leave`` may take its time.
 */
export function keyed(parent, key, make) {
  const kept = new Map();
  return (items) => {
    const wanted = new Set(items.map(key));
    for (const [name, part] of kept) {
      if (wanted.has(name)) continue;
      kept.delete(name);
      if (part.leave) part.leave(() => part.node.remove());
      else part.node.remove();
    }
    let place = null;  // from the end, so that what stays is not moved
    for (const item of items.toReversed()) {
      const name = key(item);
      let part = kept.get(name);
      if (!part) kept.set(name, part = make(item));
      if (part.node.parentNode !== parent || next(part.node) !== place) {
        parent.insertBefore(part.node, place);
      }
      part.update(item);
      place = part.node;
    }
  };
}

function next(node) {
  let sibling = node.nextElementSibling;
  while (sibling?.hasAttribute("data-leaving")) sibling = sibling.nextElementSibling;
  return sibling;
}

/** How much larger than on a laptop everything is: drawings grow with the text, up to a projector. */
export function zoom() {
  return Math.max(parseFloat(getComputedStyle(document.documentElement).fontSize) / 14.5, 1);
}

export const calm = matchMedia("(prefers-reduced-motion: reduce)");
