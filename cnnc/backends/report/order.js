"use strict";
// One frame's layers: in which each item stands, in what order, and where from left to right.
//
// An item is {id, width, height, first}; `first` items (entries) stand in layer 0 alone, `last` ones
// (exits) in the last. A link is {from, to, skip, shift}: `shift` is where it leaves the one item less
// where it enters the other, both from the item's middle. Items are given in the order of the flow,
// so that every link goes forward in it.

const DUMMY = 16;  // the room for an arrow that passes a layer
const BESIDE = 26;  // between neighbours

function layersOf(items, links) {
  const layer = new Map(items.map((item) => [item.id, 0]));
  const entries = items.some((item) => item.first);
  const into = new Map(items.map((item) => [item.id, []]));
  for (const link of links) into.get(link.to).push(link.from);
  for (const item of items) {
    const above = into.get(item.id).map((id) => layer.get(id) + 1);
    layer.set(item.id, item.first ? 0 : Math.max(entries ? 1 : 0, ...above));
  }
  const deepest = Math.max(0, ...items.filter((item) => !item.last).map((item) => layer.get(item.id)));
  for (const item of items) if (item.last) layer.set(item.id, deepest + 1);
  for (const item of [...items].reverse()) {  // what nothing enters stands just above what it enters
    const below = links.filter((link) => link.from === item.id).map((link) => layer.get(link.to) - 1);
    if (!item.first && !into.get(item.id).length && below.length) layer.set(item.id, Math.min(...below));
  }
  return layer;
}

// Items and dummies by layer; a link over several layers becomes a chain of dummies.
function withDummies(items, links, layer) {
  const rows = [];
  const put = (item, at) => (rows[at] ??= []).push(item);
  for (const item of items) put(item, layer.get(item.id));
  const steps = [];
  for (const link of links) {
    const via = [];
    const end = link.skip ? 1 : 10;
    let above = link.from;
    for (let at = layer.get(link.from) + 1; at < layer.get(link.to); at++) {
      const dummy = {id: `${link.from}>${link.to}@${at}`, width: DUMMY, height: 0, dummy: true};
      put(dummy, at);
      steps.push({from: above, to: dummy.id, shift: via.length ? 0 : link.out, weight: via.length ? 8 : end});
      via.push(dummy);
      above = dummy.id;
    }
    const shift = (via.length ? 0 : link.out) - link.in;
    steps.push({from: above, to: link.to, shift, weight: end});
    link.via = via;
  }
  return {rows: Array.from(rows, (row) => row ?? []), steps};
}

// A few sweeps by the mean of the neighbours above; ties keep the order of the flow.
function ordered(rows, steps) {
  const above = new Map();
  for (const step of steps) above.set(step.to, [...(above.get(step.to) ?? []), step.from]);
  for (let at = 1; at < rows.length; at++) {
    const place = new Map(rows[at - 1].map((item, i) => [item.id, i]));
    const mean = (item) => {
      const places = (above.get(item.id) ?? []).map((id) => place.get(id));
      return places.length ? places.reduce((a, b) => a + b) / places.length : 0;
    };
    rows[at] = rows[at]
      .map((item, i) => ({item, i, mean: mean(item)}))
      .sort((a, b) => a.mean - b.mean || Boolean(a.item.dummy) - Boolean(b.item.dummy) || a.i - b.i)
      .map((entry) => entry.item);
  }
}

// Middles that come as near to the wanted ones as their order and widths allow: least squares by
// pooling neighbours that would overlap.
function spread(row, wanted, weight) {
  const offsets = [0];
  for (let i = 1; i < row.length; i++) {
    offsets.push(offsets[i - 1] + (row[i - 1].width + row[i].width) / 2 + BESIDE);
  }
  const pools = [];
  row.forEach((item, i) => {
    let pool = {sum: (wanted(item) - offsets[i]) * weight(item), weight: weight(item), count: 1};
    while (pools.length && pools.at(-1).sum / pools.at(-1).weight > pool.sum / pool.weight) {
      const before = pools.pop();
      pool = {
        sum: before.sum + pool.sum, weight: before.weight + pool.weight, count: before.count + pool.count,
      };
    }
    pools.push(pool);
  });
  let i = 0;
  for (const pool of pools) {
    for (let n = 0; n < pool.count; n++, i++) row[i].x = pool.sum / pool.weight + offsets[i];
  }
}

// The middle of every item from left to right, as `x` on it.
function placed(rows, steps) {
  const byId = new Map(rows.flat().map((item) => [item.id, item]));
  const above = new Map(), below = new Map();
  const note = (map, id, entry) => map.has(id) ? map.get(id).push(entry) : map.set(id, [entry]);
  for (const step of steps) {
    note(above, step.to, {other: byId.get(step.from), shift: step.shift, weight: step.weight});
    note(below, step.from, {other: byId.get(step.to), shift: -step.shift, weight: step.weight});
  }
  for (const row of rows) spread(row, () => 0, () => 1);
  const pass = (row, map) => {
    const known = (item) => map.get(item.id) ?? [];
    const weight = (item) => known(item).reduce((sum, entry) => sum + entry.weight, 0);
    const wanted = (item) => weight(item)
      ? known(item).reduce((sum, e) => sum + e.weight * (e.other.x + e.shift), 0) / weight(item) : item.x;
    spread(row, wanted, (item) => weight(item) || 0.01);
  };
  for (let sweep = 0; sweep < 6; sweep++) {
    for (const row of rows.slice(1)) pass(row, above);
    for (const row of rows.slice(0, -1).reverse()) pass(row, below);
  }
  for (const row of rows.slice(1)) pass(row, above);
}
