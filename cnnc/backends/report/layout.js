// Where boxes stand. A frame is laid out by itself and is then one item in the frame around it; an
// arrow enters and leaves a frame by a port, one for each source, so that it parts inside.

const ROOT = "";
const PAD = 14, GAP = 30, PORT_GAP = 16, LINE = 15;

// The tree of boxes and frames, with the order of the flow.
function treeOf(diagram) {
  const items = new Map([[ROOT, {id: ROOT, children: [], open: true, frame: null, lines: []}]]);
  for (const frame of diagram.frames) items.set(frame.id, {...frame, frame: frame.frame ?? ROOT, children: []});
  diagram.boxes.forEach((box, order) => items.set(box.id, {...box, frame: box.frame ?? ROOT, order}));
  for (const item of items.values()) if (item.id !== ROOT) items.get(item.frame).children.push(item);
  const settle = (item) => {
    if (!item.children) return item.order;
    for (const child of item.children) settle(child);
    item.children.sort((a, b) => a.order - b.order);
    return (item.order = item.children.length ? item.children[0].order : 0);
  };
  settle(items.get(ROOT));
  return items;
}

function framesAround(items, id) {  // the innermost first, the root last
  const frames = [];
  for (let item = items.get(id); item.id !== ROOT;) frames.push(item = items.get(item.frame));
  return frames;
}

// What is seen of an item: itself, or the outermost closed frame around it.
function shownFor(items, id) {
  const closed = framesAround(items, id).filter((frame) => !frame.open);
  return closed.length ? closed.at(-1).id : id;
}

function shownEdges(items, edges) {
  const found = new Map();
  for (const [from, to, shape, skip] of edges) {
    const source = shownFor(items, from), target = shownFor(items, to);
    if (source === target) continue;
    const key = `${source}>${target}`;
    const edge = found.get(key) ?? {source, target, shapes: new Set(), skip: true};
    edge.shapes.add(shape);
    edge.skip = edge.skip && skip;
    found.set(key, edge);
  }
  return [...found.values()];
}

// The links in each frame. An edge is the list of its links from its source to its target.
function linksOf(items, edges) {
  const links = new Map();
  const link = (frame, from, to, edge) => {
    if (!links.has(frame.id)) links.set(frame.id, new Map());
    const known = links.get(frame.id), key = `${from}>${to}>${edge.source}`;
    if (!known.has(key)) known.set(key, {frame: frame.id, from, to, source: edge.source, skip: true});
    known.get(key).skip = known.get(key).skip && edge.skip;
    return known.get(key);
  };
  for (const edge of edges) {
    const up = framesAround(items, edge.source), down = framesAround(items, edge.target);
    const shared = up.find((frame) => down.includes(frame));
    let from = edge.source, to = edge.target;
    const leaving = [], entering = [];
    for (const frame of up.slice(0, up.indexOf(shared))) {
      leaving.push(link(frame, from, `out:${edge.source}`, edge));
      from = frame.id;
    }
    for (const frame of down.slice(0, down.indexOf(shared))) {
      entering.unshift(link(frame, `in:${edge.source}`, to, edge));
      to = frame.id;
    }
    edge.links = [...leaving, link(shared, from, to, edge), ...entering];
  }
  return links;
}

// A frame's items placed from its upper left corner; fills in its size, its ports and its links' points.
function layOutFrame(items, frame, links, measure) {
  const own = [...(links.get(frame.id)?.values() ?? [])];
  const inner = frame.children.map((child) => {
    if (child.children && child.open) layOutFrame(items, child, links, measure);
    else Object.assign(child, measure(child), {ports: null});
    return child;
  });
  const ends = [...new Set(own.flatMap((l) => [l.from, l.to]))];
  const port = (id, side) => ({id, width: 2, height: 0, [side]: true});
  const all = [
    ...ends.filter((id) => id.startsWith("in:")).map((id) => port(id, "first")),
    ...inner,
    ...ends.filter((id) => id.startsWith("out:")).map((id) => port(id, "last")),
  ];
  const byId = new Map(all.map((item) => [item.id, item]));
  for (const l of own) {
    l.out = byId.get(l.from).ports?.get(`out:${l.source}`) ?? 0;
    l.in = byId.get(l.to).ports?.get(`in:${l.source}`) ?? 0;
  }
  const {rows, steps} = withDummies(all, own, layersOf(all, own));
  ordered(rows, steps);
  placed(rows, steps);
  const heading = frame.id === ROOT ? {width: 0, height: 0} : measure.heading(frame);
  sizeFrame(frame, rows, heading);
  for (const l of own) l.points = pointsOf(l, byId);
  frame.heading = heading;
}

function sizeFrame(frame, rows, heading) {
  let y = PAD + heading.height;
  rows.forEach((row, at) => {
    const height = Math.max(0, ...row.map((item) => item.height));
    for (const item of row) item.y = y + (height - item.height) / 2;
    for (const item of row) Object.assign(item, {above: y, below: y + height});
    const thin = row.every((item) => item.first) || (rows[at + 1] ?? [{}]).every((item) => item.last);
    y += height + (at === rows.length - 1 ? 0 : thin ? PORT_GAP : GAP);
  });
  const all = rows.flat();
  const left = Math.min(0, ...all.map((item) => item.x - item.width / 2));
  const right = Math.max(0, ...all.map((item) => item.x + item.width / 2));
  const entry = Math.min(Infinity, ...all.filter((item) => item.first).map((item) => item.x));
  // The arrow that enters must not cross the heading.
  const shift = PAD - left + Math.max(0, heading.width + PAD + 8 - (entry - left + PAD));
  for (const item of all) item.x += shift;
  frame.width = Math.max(right + shift + PAD, heading.width + 2 * PAD);
  frame.height = y + PAD;
  frame.ports = new Map(all.filter((i) => i.first || i.last).map((i) => [i.id, i.x - frame.width / 2]));
  for (const item of all) {
    if (item.first) Object.assign(item, {y: 0, below: PAD + heading.height});
    else if (item.last) item.y = item.above = frame.height;
  }
}

// An arrow bends between layers only: beside a higher item, and past a heading, it goes straight.
function pointsOf(link, byId) {
  const from = byId.get(link.from), to = byId.get(link.to);
  const points = [[from.x + link.out, from.y + from.height], [from.x + link.out, from.below]];
  for (const dummy of link.via) points.push([dummy.x, dummy.above], [dummy.x, dummy.below]);
  points.push([to.x + link.in, to.above], [to.x + link.in, to.y]);
  return points;
}

// The points of a skip from where it leaves the way that it shares.
function ownPoints(skip, arrows) {
  let start = 0;
  for (const other of arrows) {
    if (other === skip || other.source !== skip.source) continue;
    const parts = skip.points.findIndex((p, i) => String(p) !== String(other.points[i]));
    start = Math.max(start, parts - 1);
  }
  return skip.points.slice(start);
}

// Everything that is seen, with its upper left corner, and the arrows' points, on one canvas.
function layOut(items, diagram, measure) {
  const root = items.get(ROOT), edges = shownEdges(items, diagram.edges), links = linksOf(items, edges);
  layOutFrame(items, root, links, measure);
  const seen = [], corner = new Map();
  const visit = (frame, x, y) => {
    corner.set(frame.id, [x, y]);
    for (const child of frame.children) {
      const left = x + child.x - child.width / 2, top = y + child.y;
      seen.push({item: child, x: left, y: top, frame: Boolean(child.children && child.open)});
      if (child.children && child.open) visit(child, left, top);
    }
  };
  visit(root, 0, 0);
  const arrows = edges.map((edge) => {
    const points = edge.links.flatMap((l) => {
      const [x, y] = corner.get(l.frame);
      return l.points.map(([a, b]) => [a + x, b + y]);
    });
    const apart = (p, q) => Math.hypot(p[0] - q[0], p[1] - q[1]) > 0.5;
    return {...edge, points: points.filter((p, i) => !i || apart(p, points[i - 1]))};
  });
  for (const arrow of arrows) arrow.path = arrow.skip ? ownPoints(arrow, arrows) : arrow.points;
  return {seen, arrows, width: root.width, height: root.height};
}
