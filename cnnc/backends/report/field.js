// The receptive field of one position of a layer, drawn over the input.

// The first and the last coordinate that position i sees, null where none: the hull of the lattices,
// each a step and the spans of a period.
function spanAt(axis, i) {
  let found = null;
  for (const [step, spans] of axis.hull) {
    const turn = Math.floor(i / spans.length), span = spans[i % spans.length];
    if (span === null) continue;
    const [a, b] = [span[0] + turn * step, span[1] + turn * step];
    found = found ? [Math.min(found[0], a), Math.max(found[1], b)] : [a, b];
  }
  return found;
}

class Field {
  constructor(fields) {
    this.fields = new Map(fields.map((field) => [field.node, field]));
    this.choice = document.getElementById("field-layer");
    this.choice.append(...fields.map((field) => new Option(`${field.name}  ${field.out}`, field.node)));
    this.choice.addEventListener("change", () => this.choose(Number(this.choice.value)));
    const local = fields.filter((field) => field.axes && !field.whole);
    if (fields.length) this.choose((local.at(-1) ?? fields.at(-1)).node);
  }

  choose(node) {
    if (!this.fields.has(node)) return;
    this.field = this.fields.get(node);
    this.choice.value = node;
    const axes = this.field.axes ?? [];
    this.at = axes.map((axis) => Math.floor(axis.length / 2));
    const sliders = axes.map((axis, i) => {
      const slider = document.createElement("input");
      Object.assign(slider, {type: "range", min: 0, max: axis.length - 1, value: this.at[i]});
      slider.addEventListener("input", () => {
        this.at[i] = Number(slider.value);
        this.draw();
      });
      const label = document.createElement("label");
      label.append(`${axisName(i, axes.length)} `, slider);
      label.hidden = axis.length < 2;
      return label;
    });
    document.getElementById("field-position").replaceChildren(...sliders);
    this.draw();
  }

  draw() {
    const {field} = this, picture = document.getElementById("field-picture");
    const text = document.getElementById("field-text");
    if (field.undefined !== null || !field.axes.length) {
      picture.replaceChildren();
      text.textContent = field.undefined ?? `${field.name} sees ${field.input}, which has no axes in space.`;
      return;
    }
    const spans = field.axes.map((axis, i) => spanAt(axis, this.at[i]));
    const sizes = field.shape.slice(1);
    picture.replaceChildren(...(spans.includes(null) ? [] : [drawnField(spans, sizes)]));
    const where = `Position (${this.at.join(", ")}) of ${field.name}`;
    const seen = spans.includes(null) ? "nothing" : spans.map((span) => `${span[0]} to ${span[1]}`).join(" by ");
    const size = spans.includes(null) ? "" : ` (${spans.map(([a, b]) => b - a + 1).join("x")})`;
    text.textContent = `${where} sees ${seen}${size} of ${field.input} ${field.shape.join("x")}${rest(field, this.at)}.`;
  }
}

function rest(field, at) {
  if (!field.whole) return "";
  if (!field.ungated) return ": the whole input";
  const spans = field.ungated.map((axis, i) => spanAt(axis, at[i]));
  if (spans.includes(null)) return ": the whole input by a gate";
  return `: the whole input by a gate, ${spans.map(([a, b]) => b - a + 1).join("x")} without it`;
}

function axisName(i, axes) {
  return {1: ["position"], 2: ["row", "column"], 3: ["slice", "row", "column"]}[axes]?.[i] ?? `axis ${i}`;
}

// The last two axes (of one: a strip), the part in the padding dashed.
function drawnField(spans, sizes) {
  const [rows, columns] = spans.length > 1 ? spans.slice(-2) : [[0, 0], spans[0]];
  const [height, width] = sizes.length > 1 ? sizes.slice(-2) : [Math.max(1, sizes[0] / 20), sizes[0]];
  const tall = spans.length > 1 ? rows : [0, height - 1];
  const low = [Math.min(0, columns[0]), Math.min(0, tall[0])];
  const high = [Math.max(width, columns[1] + 1), Math.max(height, tall[1] + 1)];
  const margin = Math.max(high[0] - low[0], high[1] - low[1]) * 0.03;
  const box = [low[0] - margin, low[1] - margin, high[0] - low[0] + 2 * margin, high[1] - low[1] + 2 * margin];
  const rectangle = (x, y, right, bottom, name) => svg("rect", {
    x, y, width: Math.max(0, right - x), height: Math.max(0, bottom - y), class: name,
  });
  const clip = (value, most) => Math.min(Math.max(value, 0), most);
  return svg("svg", {viewBox: box.join(" "), role: "img", "aria-label": "Receptive field"},
    rectangle(0, 0, width, height, "input"),
    rectangle(columns[0], tall[0], columns[1] + 1, tall[1] + 1, "padding"),
    rectangle(clip(columns[0], width), clip(tall[0], height), clip(columns[1] + 1, width), clip(tall[1] + 1, height), "seen"),
  );
}
