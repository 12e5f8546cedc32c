// The page's parts put together.

{
  const byId = (id) => document.getElementById(id);
  const onClick = (id, act) => byId(id).addEventListener("click", act);
  const {diagram: record, fields} = JSON.parse(byId("data").textContent);
  document.documentElement.classList.add("scripted");

  const field = new Field(fields);
  const table = new Table(byId("layers"));
  const canvas = byId("canvas");
  onClick("rows-open", () => table.foldAll(true));
  onClick("rows-close", () => table.foldAll(false));
  onClick("theme", () => {
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const root = document.documentElement.style;
    root.colorScheme = (root.colorScheme || (dark ? "dark" : "light")) === "dark" ? "light" : "dark";
  });

  if (record.missing) {
    const note = document.createElement("p");
    note.textContent = `No diagram: ${record.missing}. Gather layers in blocks or labelled brackets.`;
    canvas.replaceChildren(note);
  } else {
    const diagram = new Diagram(canvas, record);
    onClick("zoom-in", () => diagram.zoom(1.25));
    onClick("zoom-out", () => diagram.zoom(0.8));
    onClick("zoom-fit", () => diagram.fit());
    onClick("open-all", () => diagram.setAll(true));
    onClick("close-all", () => diagram.setAll(false));
    for (const row of table.rows) {
      row.addEventListener("pointerenter", () => {
        diagram.light(table.nodes.get(row));
        diagram.reveal();
      });
      row.addEventListener("pointerleave", () => diagram.light(null));
    }
    canvas.addEventListener("pointed", (event) => table.light(event.detail));
    addEventListener("beforeprint", () => diagram.showWhole());
    addEventListener("afterprint", () => diagram.show());
    const kinds = new Set(record.boxes.map((box) => box.kind));
    if (record.frames.length) kinds.add("block");
    for (const entry of document.querySelectorAll(".legend li")) entry.hidden = !kinds.has(entry.dataset.kind);
  }
  if (table.rows.length > 60) table.foldBelow(1);
  for (const row of table.rows) {
    row.addEventListener("click", () => row.dataset.layer && field.choose(Number(row.dataset.layer)));
  }
}
