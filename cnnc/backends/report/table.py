"""The table of layers as HTML: the rows of `cnnc summary`, each with the nodes that it stands for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from cnnc.backends.report.ranges import ranges_text
from cnnc.backends.table.cells import COLUMNS, Column
from cnnc.backends.table.formats import LEFT
from cnnc.backends.table.rows import Row, rows_of
from cnnc.compiler.graph import Graph
from cnnc.compiler.sizes import is_free
from cnnc.compiler.summary import Summary

SHOWN = ("name", "op", "output", "arguments", "params", "macs", "share", "activations", "rf", "stride")
SORTABLE = ("params", "macs", "activations", "rf")


def table_html(graph: Graph, summary: Summary) -> str:
    """The table as HTML, whole and in the order of the text; the script folds and sorts it."""
    columns = {key: COLUMNS[key] for key in SHOWN}
    rows = rows_of(summary, depth=None, fold=True)
    index = {node.name: node.index for node in graph.nodes}
    head = "".join(_heading(key, column) for key, column in columns.items())
    body = "\n".join(
        _row(number, parent, row, columns, summary, index)
        for number, (row, parent) in enumerate(zip(rows, parents(rows), strict=True))
    )
    foot = "".join(_cell(key, column.total(summary)) for key, column in columns.items())
    return (
        f'<table id="layers"><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n'
        f"<tfoot><tr>{foot}</tr></tfoot></table>"
    )


def parents(rows: Sequence[Row]) -> list[int | None]:
    """For each row the number of the row that it stands under."""
    above: list[int] = []
    found: list[int | None] = []
    for number, row in enumerate(rows):
        del above[row.level :]
        found.append(above[-1] if above else None)
        above.append(number)
    return found


def _heading(key: str, column: Column) -> str:
    title = escape(column.title)
    if key not in SORTABLE:
        return f'<th scope="col" class="{_side(key)}">{title}</th>'
    return (
        f'<th scope="col" class="n" data-key="{key}" aria-sort="none">'
        f'<button type="button">{title}</button></th>'
    )


def _row(
    number: int, parent: int | None, row: Row, columns: Mapping[str, Column],
    summary: Summary, index: Mapping[str, int],
) -> str:  # fmt: skip
    nodes = ranges_text(row.nodes)
    attributes = {
        "id": f"r{number}",
        "data-parent": "" if parent is None else f"r{parent}",
        "data-nodes": nodes,
        "data-layer": "" if row.layer is None else str(index[row.layer.name]),
        **{f"data-{key}": _number(key, row) for key in SORTABLE},
    }
    cells = []
    for key, column in columns.items():
        text = column.text(row, summary)
        cells.append(_name(row, text) if key == "name" else _cell(key, text))
    written = " ".join(f'{name}="{escape(value)}"' for name, value in attributes.items())
    return f"<tr {written}>{''.join(cells)}</tr>"


def _name(row: Row, text: str) -> str:
    """The name under its block's, with the handle that folds what is under it."""
    handle = "" if row.leaf else '<button type="button" class="fold" aria-expanded="true"></button>'
    return (
        f'<th scope="row" class="t" style="--level:{row.level}" title="{escape(row.path)}">'
        f"{handle}{escape(text)}</th>"
    )


def _cell(key: str, text: str) -> str:
    return f'<td class="{_side(key)}">{escape(text)}</td>'


def _side(key: str) -> str:
    """Text to the left, numbers to the right."""
    return "t" if key in LEFT else "n"


def _number(key: str, row: Row) -> str:
    """What a column is sorted by; a receptive field by its extent, the whole input above all."""
    if key != "rf":
        count = getattr(row.cost, key)
        return str(int(count) if is_free(count) else count)
    field = None if row.layer is None else row.layer.rf
    if field is None or field.undefined is not None:
        return "-1"
    extent = 1
    for size in field.size:
        extent *= size
    return str(10**15 if field.whole else extent)
