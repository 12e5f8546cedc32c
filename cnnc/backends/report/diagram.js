// The diagram: drawn as SVG from the layout, drawn again when a frame opens or closes.

const NAMESPACE = "http://www.w3.org/2000/svg";

function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS(NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

// A set of node numbers from `0-3 7`.
function numbersOf(text) {
  const found = new Set();
  for (const run of text.split(" ").filter(Boolean)) {
    const [first, last = first] = run.split("-").map(Number);
    for (let n = first; n <= last; n++) found.add(n);
  }
  return found;
}

// Lines of a box as [text, whether strong].
function linesOf(item) {
  if (item.children) {
    const lines = item.lines.map((line, i) => [line, i === 0]);
    const count = [item.count ? `${item.count} \u25B8` : "\u25B8", true];
    return lines.length ? [...lines.slice(0, -1), [`${lines.at(-1)[0]} ${count[0]}`, lines.at(-1)[1]]] : [count];
  }
  const lines = item.lines.map((line) => [line, item.kind === "block" && !item.title]);
  const at = item.title && lines.length ? 1 : 0;
  if (item.title) lines.unshift([item.title, true]);
  if (item.count && lines.length) lines[at] = [`${lines[at][0]} ${item.count}`, lines[at][1]];
  return lines;
}

function headingOf(frame) {
  const lines = frame.lines.map((line, i) => [line, i === 0]);
  const count = frame.count ?? "";
  if (!lines.length) return [[`\u25BE ${count}`, true]];
  lines[0] = [`\u25BE ${lines[0][0]}`, true];
  lines[lines.length - 1] = [`${lines.at(-1)[0]} ${count}`.trimEnd(), lines.at(-1)[1]];
  return lines;
}

function measurer() {
  const pen = document.createElement("canvas").getContext("2d");
  const width = (lines) => Math.max(...lines.map(([text, strong]) => {
    pen.font = `${strong ? "bold " : ""}12px Helvetica, Arial, sans-serif`;
    return pen.measureText(text).width;
  }));
  const measure = (item) => {
    const lines = linesOf(item), round = item.kind === "merge" || item.kind === "input" || item.kind === "output";
    return {width: width(lines) + (round ? 30 : 20), height: lines.length * LINE + (round ? 12 : 10)};
  };
  measure.heading = (frame) => ({width: width(headingOf(frame)), height: headingOf(frame).length * LINE + 4});
  return measure;
}

class Diagram {
  constructor(canvas, diagram) {
    this.canvas = canvas;
    this.diagram = diagram;
    this.items = treeOf(diagram);
    // An output stands for no layer of its own.
    const own = (box) => box.kind === "output" ? new Set() : numbersOf(box.nodes);
    this.nodes = new Map(diagram.boxes.map((box) => [box.id, own(box)]));
    this.measure = measurer();
    this.view = null;
    this.draw();
    this.fit();
    this.followPointer();
  }

  followPointer() {
    this.canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey) return;
      event.preventDefault();
      this.zoom(event.deltaY < 0 ? 1.1 : 1 / 1.1);
    }, {passive: false});
    this.canvas.addEventListener("pointermove", (event) => {
      if (event.buttons === 1) this.move(event.movementX, event.movementY);
    });
  }

  toggle(id) {
    const frame = this.items.get(id);
    frame.open = !frame.open;
    this.draw();
    this.canvas.querySelector(`[data-id="${id}"] [role="button"], [data-id="${id}"][role="button"]`)?.focus();
  }

  setAll(open) {
    for (const item of this.items.values()) if (item.children && item.id !== ROOT) item.open = open;
    this.draw();
    this.fit();
  }

  draw() {
    this.layout = layOut(this.items, this.diagram, this.measure);
    const {seen, arrows} = this.layout;
    const picture = svg("svg", {role: "group", "aria-label": "Diagram"});
    picture.append(arrowHead());
    for (const place of seen) if (place.frame) picture.append(this.frame(place));
    for (const arrow of arrows) {
      picture.append(svg("path", {
        class: arrow.skip ? "arrow skip" : "arrow", d: curve(arrow.path), "marker-end": "url(#head)",
        "data-from": arrow.source, "data-to": arrow.target,
      }));
    }
    for (const place of seen) if (!place.frame) picture.append(this.box(place));
    for (const label of shapeLabels(arrows)) picture.append(label);
    this.canvas.replaceChildren(picture);
    this.picture = picture;
    this.show();
    this.canvas.dispatchEvent(new CustomEvent("drawn"));
  }

  frame({item, x, y}) {
    const group = svg("g", {class: "frame", "data-id": item.id});
    group.append(svg("rect", {x, y, width: item.width, height: item.height, rx: 9}));
    const heading = svg("g", {role: "button", tabindex: 0, "aria-expanded": "true"});
    heading.append(...textLines(headingOf(item), x + PAD, y + PAD + 6, "start"));
    this.pressed(heading, item.id);
    group.append(heading);
    return group;
  }

  box({item, x, y}) {
    const closed = Boolean(item.children);
    const group = svg("g", {class: closed ? "box closed" : "box", "data-id": item.id});
    const {width, height} = item, kind = closed ? "block" : item.kind;
    if (kind === "merge" || kind === "input" || kind === "output") {
      const middle = {cx: x + width / 2, cy: y + height / 2, rx: width / 2, ry: height / 2};
      group.append(svg("ellipse", {...middle, class: `k-${kind}`}));
    } else {
      const rx = ["activation", "normalisation", "arithmetic", "reshape", "head"].includes(kind) ? 8 : 0;
      group.append(svg("rect", {x, y, width, height, rx, class: `k-${kind}`}));
    }
    if (kind === "block") {
      group.append(svg("rect", {x: x - 3, y: y - 3, width: width + 6, height: height + 6, class: "rim"}));
    }
    group.append(...textLines(linesOf(item), x + width / 2, y + height / 2 - (linesOf(item).length - 1) * LINE / 2 + 4));
    if (closed) {
      group.setAttribute("role", "button");
      group.setAttribute("tabindex", 0);
      group.setAttribute("aria-expanded", "false");
      this.pressed(group, item.id);
    }
    group.addEventListener("pointerenter", () => this.pointed(item.id));
    group.addEventListener("pointerleave", () => this.pointed(null));
    return group;
  }

  pressed(element, id) {
    element.addEventListener("click", () => this.toggle(id));
    element.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      this.toggle(id);
    });
  }

  pointed(id) {
    const nodes = id === null ? null : this.nodesOf(id);
    this.canvas.dispatchEvent(new CustomEvent("pointed", {detail: nodes}));
  }

  // The layers that a box, or a closed frame with all in it, stands for.
  nodesOf(id) {
    const item = this.items.get(id);
    if (!item.children) return this.nodes.get(id);
    return new Set(item.children.flatMap((child) => [...this.nodesOf(child.id)]));
  }

  // Light the boxes that stand for some of these layers.
  light(nodes) {
    for (const box of this.canvas.querySelectorAll(".box")) {
      const own = this.nodesOf(box.dataset.id);
      box.classList.toggle("lit", nodes !== null && [...nodes].some((n) => own.has(n)));
    }
  }

  // --- what part of it is seen ---

  // Move so far that the first lit box is in sight.
  reveal() {
    const lit = this.canvas.querySelector(".lit > :first-child");
    if (!lit) return;
    const box = lit.getBBox(), [x, y, width, height] = this.view;
    const inside = box.x >= x && box.x + box.width <= x + width && box.y >= y && box.y + box.height <= y + height;
    if (inside) return;
    this.view[0] = Math.min(Math.max(x, box.x + box.width - width + 10), box.x - 10);
    this.view[1] = box.y + box.height / 2 - height / 2;
    this.show();
  }

  fit() {
    const {width, height} = this.layout, room = this.canvas.getBoundingClientRect();
    // Not larger than life, and a tall picture is shown by its width from the top.
    const scale = Math.min(1, (room.width - 20) / width);
    const seenHeight = room.height / scale, seenWidth = room.width / scale;
    const top = height < seenHeight ? (height - seenHeight) / 2 : -10;
    this.view = [(width - seenWidth) / 2, top, seenWidth, seenHeight];
    this.show();
  }

  zoom(factor) {
    const [x, y, width, height] = this.view;
    this.view = [x + width * (1 - 1 / factor) / 2, y + height * (1 - 1 / factor) / 2, width / factor, height / factor];
    this.show();
  }

  move(right, down) {
    const scale = this.view[2] / this.canvas.clientWidth;
    this.view[0] -= right * scale;
    this.view[1] -= down * scale;
    this.show();
  }

  show() {
    if (this.view) this.picture.setAttribute("viewBox", this.view.join(" "));
  }

  showWhole() {  // for the printer
    this.picture.setAttribute("viewBox", `-5 -5 ${this.layout.width + 10} ${this.layout.height + 10}`);
  }
}

function textLines(lines, x, y, anchor = "middle") {
  return lines.map(([text, strong], i) => svg(
    "text", {x, y: y + i * LINE, "text-anchor": anchor, class: strong ? "strong" : ""}, text));
}

function arrowHead() {
  const marker = svg("marker", {
    id: "head", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto",
  });
  marker.append(svg("path", {d: "M0 0.5 L8 4 L0 7.5 z", class: "head"}));
  return svg("defs", {}, marker);
}

// A path through points that leaves and enters each of them downwards.
function curve(points) {
  let path = `M${points[0][0]} ${points[0][1]}`;
  for (let i = 1; i < points.length; i++) {
    const [[a, b], [c, d]] = [points[i - 1], points[i]], middle = (b + d) / 2;
    path += Math.abs(a - c) < 0.5 ? ` L${c} ${d}` : ` C${a} ${middle} ${c} ${middle} ${c} ${d}`;
  }
  return path;
}

// One label for each source: what flows out of it.
function shapeLabels(arrows) {
  const told = new Set();
  return arrows.filter((arrow) => !told.has(arrow.source) && told.add(arrow.source)).map((arrow) => {
    const shapes = new Set(arrows.filter((a) => a.source === arrow.source).flatMap((a) => [...a.shapes]));
    const [x, y] = arrow.points[0];
    return svg("text", {x: x - 5, y: y + 13, "text-anchor": "end", class: "shape"}, [...shapes].join(", "));
  });
}
