// The table: rows fold under their block's, and siblings are sorted among themselves.

class Table {
  constructor(table) {
    this.table = table;
    this.body = table.tBodies[0];
    this.rows = [...this.body.rows];
    this.under = new Map(this.rows.map((row) => [row.id, []]));
    this.under.set("", []);
    for (const row of this.rows) this.under.get(row.dataset.parent).push(row);
    this.nodes = new Map(this.rows.map((row) => [row, numbersOf(row.dataset.nodes)]));
    for (const handle of table.querySelectorAll(".fold")) {
      handle.setAttribute("aria-label", "Rows under this one");
      handle.addEventListener("click", (event) => {
        event.stopPropagation();
        this.fold(handle, handle.getAttribute("aria-expanded") === "false");
      });
    }
    for (const heading of table.tHead.querySelectorAll("[data-key]")) {
      heading.querySelector("button").addEventListener("click", () => this.turn(heading));
    }
  }

  fold(handle, open) {
    handle.setAttribute("aria-expanded", open);
    this.hide();
  }

  foldAll(open) {
    for (const handle of this.table.querySelectorAll(".fold")) handle.setAttribute("aria-expanded", open);
    this.hide();
  }

  // Fold all rows but those of the outer levels.
  foldBelow(levels) {
    const level = (row) => row.dataset.parent ? level(document.getElementById(row.dataset.parent)) + 1 : 0;
    for (const row of this.rows) {
      if (level(row) >= levels) row.querySelector(".fold")?.setAttribute("aria-expanded", "false");
    }
    this.hide();
  }

  // A row is hidden where one above it is folded.
  hide() {
    const open = (row) => row.querySelector(".fold")?.getAttribute("aria-expanded") !== "false";
    const visit = (rows, hidden) => {
      for (const row of rows) {
        row.hidden = hidden;
        visit(this.under.get(row.id), hidden || !open(row));
      }
    };
    visit(this.under.get(""), false);
  }

  // Largest first, then smallest first, then the order of the text.
  turn(heading) {
    const next = {none: "descending", descending: "ascending", ascending: "none"};
    const way = next[heading.getAttribute("aria-sort")];
    for (const other of this.table.tHead.querySelectorAll("[data-key]")) other.setAttribute("aria-sort", "none");
    heading.setAttribute("aria-sort", way);
    const sign = {none: 0, descending: -1, ascending: 1}[way], key = heading.dataset.key;
    const number = (row) => Number(row.dataset[key]);
    const visit = (rows) => [...rows]
      .sort((a, b) => sign * (number(a) - number(b)))
      .flatMap((row) => [row, ...visit(this.under.get(row.id))]);
    this.body.append(...visit(this.under.get("")));
  }

  // Light the rows without any under them whose layers are all among these.
  light(nodes) {
    for (const row of this.rows) {
      const leaf = !this.under.get(row.id).length;
      row.classList.toggle("lit", nodes !== null && leaf && [...this.nodes.get(row)].every((n) => nodes.has(n)));
    }
  }
}
