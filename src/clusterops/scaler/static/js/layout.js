// SPDX-License-Identifier: GPL-3.0-or-later
// Where everything of the picture is, in pixels. Pure.

/** Sizes of an agent's card: the largest one that leaves room for all is taken. */
export const SIZES = {
  large: {w: 178, h: 88, gap: 18},
  medium: {w: 132, h: 60, gap: 16},
  small: {w: 52, h: 38, gap: 12},
};
const PAD = 14;
const TALLEST = 420;

/** Columns and rows for ``total`` cards of a size; null where they do not fit. */
function grid(total, size, width, height) {
  const columns = Math.min(Math.floor((width + size.gap) / (size.w + size.gap)), total);
  if (columns < 1) return null;
  let rows = Math.ceil(total / columns);
  const tall = rows * (size.h + size.gap) - size.gap;
  if (tall > height) return null;
  // As few columns as the height allows: lines to the first one are the plainest.
  const fitting = Math.max(Math.floor((height + size.gap) / (size.h + size.gap)), 1);
  const fewest = Math.max(Math.ceil(total / fitting), 1);
  const used = Math.min(fewest, columns);
  rows = Math.ceil(total / used);
  return {columns: used, rows};
}

function chosen(total, width, height) {
  for (const [name, size] of Object.entries(SIZES)) {
    const fits = grid(total, size, width, height);
    if (fits) return {name, ...size, ...fits};
  }
  const columns = Math.max(Math.floor((width + SIZES.small.gap) / (SIZES.small.w + SIZES.small.gap)), 1);
  return {name: "small", ...SIZES.small, columns, rows: Math.ceil(total / columns)};
}

/** The slots that are drawn: every agent that may exist while they are few, else those there are. */
export function slots(agents, most, few = 12) {
  const numbers = new Set(agents.map((agent) => agent.number));
  if (Math.max(most, agents.length) <= few) for (let n = 1; n <= most; n += 1) numbers.add(n);
  return [...numbers].sort((a, b) => a - b);
}

/**
 * The picture for a width. ``numbers`` are the agents' slots.
 * Boxes are {x, y, w, h}; places holds one by the agent's number.
 */
export function layout(width, numbers) {
  return width < 640 ? tall(width, numbers) : wide(width, numbers);
}

function wide(width, numbers) {
  const host = {x: 118, y: 8, w: width - 118 - 2};
  const control = {x: host.x + PAD + 6, w: width < 900 ? 168 : 204};
  const left = control.x + control.w + Math.max(Math.min(width * 0.09, 120), 56);
  const room = width - PAD - 8 - left;
  const total = Math.max(numbers.length, 1);
  const card = chosen(total, room, TALLEST);
  const inner = Math.max(card.rows * (card.h + card.gap) - card.gap, 252);
  const top = host.y + 34;
  host.h = inner + 34 + PAD + 4;
  const used = card.columns * (card.w + card.gap) - card.gap;
  const shift = Math.max((room - used) / 2, 0);
  const tallCards = card.rows * (card.h + card.gap) - card.gap;
  const drop = (inner - tallCards) / 2;
  const places = new Map(numbers.map((number, at) => {
    // Column by column, so that neighbours in number stand above each other.
    const column = Math.floor(at / card.rows), row = at % card.rows;
    return [number, {
      x: left + shift + column * (card.w + card.gap), y: top + drop + row * (card.h + card.gap),
      w: card.w, h: card.h, column, row,
    }];
  }));
  // The control node is as tall as it has to be, in the middle.
  const tallest = Math.min(inner, 300);
  const y = top + (inner - tallest) / 2;
  const part = (tallest - 34 - 3 * 10 - 14) / 4;
  const inside = {x: control.x + 10, w: control.w - 20};
  const boxes = {
    control: {...control, y, h: tallest - part - 12},
    balancer: {...inside, y: y + 30, h: part + 6},
  };
  boxes.scaler = {...inside, y: boxes.balancer.y + boxes.balancer.h + 10, h: part};
  boxes.datastore = {...inside, y: boxes.scaler.y + part + 10, h: part};
  boxes.control.h = boxes.datastore.y + boxes.datastore.h + 10 - y;
  boxes.manager = {
    ...control, y: boxes.control.y + boxes.control.h + 14,
    h: Math.max(y + tallest - (boxes.control.y + boxes.control.h + 14), 40),
  };
  const middle = boxes.balancer.y + boxes.balancer.h / 2;
  return {
    width, height: host.h + host.y + 2, kind: "wide", size: card.name, host, ...boxes,
    clients: {x: 2, y: middle - 38, w: 76, h: 76}, places,
    card, entry: left + shift - 14,
  };
}

function tall(width, numbers) {
  const host = {x: 1, y: 76, w: width - 2};
  const clients = {x: width / 2 - 60, y: 2, w: 120, h: 48};
  // The requests go down on its left.
  const control = {x: host.x + 24, y: host.y + 30, w: host.w - 32};
  const inside = {x: control.x + 8, w: control.w - 16};
  const balancer = {...inside, y: control.y + 28, h: 50};
  const half = (inside.w - 8) / 2;
  const scaler = {x: inside.x, w: half, y: balancer.y + 58, h: 46};
  const datastore = {x: inside.x + half + 8, w: half, y: scaler.y, h: 46};
  control.h = scaler.y + scaler.h + 8 - control.y;
  const manager = {...control, y: control.y + control.h + 10, h: 40};
  const top = manager.y + manager.h + 26;
  const left = host.x + 24, room = host.w - 24 - 8;
  const total = Math.max(numbers.length, 1);
  const card = tallCard(total, room);
  const places = new Map(numbers.map((number, at) => {
    const row = Math.floor(at / card.columns), column = at % card.columns;
    return [number, {
      x: left + column * (card.w + card.gap), y: top + row * (card.h + card.gap),
      w: card.w, h: card.h, column, row,
    }];
  }));
  host.h = top + card.rows * (card.h + card.gap) - card.gap + 10 - host.y;
  return {
    width, height: host.y + host.h + 2, kind: "tall", size: card.name, host, clients, control,
    balancer, scaler, datastore, manager, places, card, entry: host.x + 10,
  };
}

function tallCard(total, room) {
  if (total > 24) {
    const size = SIZES.small;
    const columns = Math.max(Math.floor((room + size.gap) / (size.w + size.gap)), 1);
    return {name: "small", ...size, columns, rows: Math.ceil(total / columns)};
  }
  const columns = room < 250 ? 1 : Math.min(Math.floor(room / 142), 4);
  const gap = 14, w = Math.floor((room - gap * (columns - 1)) / columns);
  return {name: "medium", w, h: 60, gap, columns, rows: Math.ceil(total / columns)};
}

const r = (value) => Math.round(value * 10) / 10;

/** The way of the requests from the load balancer to an agent. */
export function route(plan, number) {
  const place = plan.places.get(number), {balancer, entry, card} = plan;
  const y = place.y + place.h / 2;
  if (plan.kind === "wide" && place.column === 0) {
    const x = balancer.x + balancer.w, from = balancer.y + balancer.h / 2;
    const bend = (place.x - x) / 2;
    return `M${r(x)} ${r(from)}C${r(x + bend)} ${r(from)} ${r(place.x - bend)} ${r(y)} ${r(place.x)} ${r(y)}`;
  }
  // Through the space above the row, then down into the card.
  const lane = place.y - card.gap / 2, into = place.x + Math.min(place.w / 2, 24), bow = card.gap / 2;
  if (plan.kind === "wide") {
    const x = balancer.x + balancer.w, from = balancer.y + balancer.h / 2;
    const bend = (entry - x) / 2;
    return `M${r(x)} ${r(from)}C${r(x + bend)} ${r(from)} ${r(entry - bend)} ${r(lane)} ${r(entry)} ${r(lane)}` +
      `H${r(into - bow)}Q${r(into)} ${r(lane)} ${r(into)} ${r(place.y)}`;
  }
  const from = balancer.y + balancer.h / 2, x = balancer.x;
  return `M${r(x)} ${r(from)}H${r(entry + 6)}Q${r(entry)} ${r(from)} ${r(entry)} ${r(from + 6)}` +
    `V${r(lane - 6)}Q${r(entry)} ${r(lane)} ${r(entry + 6)} ${r(lane)}` +
    `H${r(into - bow)}Q${r(into)} ${r(lane)} ${r(into)} ${r(place.y)}`;
}

/** The way from the clients to the load balancer. */
export function entrance({kind, clients, balancer}) {
  if (kind === "tall") {
    const x = r(clients.x + clients.w / 2);
    return `M${x} ${r(clients.y + clients.h)}V${r(balancer.y)}`;
  }
  const y = r(balancer.y + balancer.h / 2);
  return `M${r(clients.x + clients.w)} ${y}H${r(balancer.x)}`;
}

/** The way from the Server Manager to the machine that it turns on or off. */
export function wire(plan, number) {
  const place = plan.places.get(number), {manager} = plan;
  if (plan.kind === "tall") {
    return `M${r(manager.x + manager.w - 16)} ${r(manager.y + manager.h)}` +
      `L${r(place.x + place.w - 12)} ${r(place.y)}`;
  }
  const x = manager.x + manager.w, from = manager.y + manager.h / 2;
  const lane = place.column === 0 ? place.y + place.h - 14 : place.y + place.h + plan.card.gap / 2;
  const bend = (plan.entry - x) / 2;
  const start = `M${r(x)} ${r(from)}C${r(x + bend)} ${r(from)} ${r(plan.entry - bend)} ${r(lane)} ${r(plan.entry)} ${r(lane)}`;
  if (place.column === 0) return `${start}H${r(place.x)}`;
  return `${start}H${r(place.x + 10)}V${r(place.y + place.h)}`;
}

/** Width (px) and speed (px/s) of a flow, in proportion to its share of ``top``. */
export function flow(rate, top, thickest = 7) {
  if (!(rate >= 0.5)) return {width: 1.25, speed: 0};
  const share = Math.min(rate / top, 1);
  // In steps, so that what hardly changes is not painted anew.
  return {width: Math.round(2 * (1.5 + (thickest - 1.5) * share)) / 2, speed: 18 + 10 * Math.round(15 * share)};
}
