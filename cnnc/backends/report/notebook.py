"""What a notebook shows of a network: its diagram, and under it the table of its blocks."""

from __future__ import annotations

from html import escape

from cnnc.backends.diagram import render, to_dot
from cnnc.backends.table.cells import COLUMNS, columns_named
from cnnc.backends.table.formats import LEFT, facts
from cnnc.backends.table.rows import Row, rows_of
from cnnc.compiler.graph import Graph
from cnnc.compiler.summary import Summary, summarise
from cnnc.dsl.diagnostics import CnncError

SHOWN = ("name", "op", "output", "params", "macs", "share", "rf")
MOST_ROWS = 60
"""A longer table is left to `cnnc report`, and the totals of its outer blocks shown."""


def diagram_svg(graph: Graph) -> str | None:
    """The diagram; None where there is no Graphviz, or the diagram is too large."""
    try:
        return render(to_dot(graph), "svg").decode()
    except CnncError:
        return None


def notebook_html(graph: Graph) -> str:
    """The diagram, or the sentence that says why there is none, and the table."""
    summary = summarise(graph)
    return f"{_picture(graph)}\n{_table(summary)}"


def _picture(graph: Graph) -> str:
    try:
        text = render(to_dot(graph), "svg").decode()
    except CnncError as error:
        (found,) = error.diagnostics
        hint = f" ({found.hint})" if found.hint else ""
        return f"<p><em>No diagram: {escape(found.message + hint)}</em></p>"
    return f'<div style="overflow-x:auto">{text[text.index("<svg") :]}</div>'


def _table(summary: Summary) -> str:
    columns = columns_named(SHOWN)
    rows = _fitting(summary)
    head = "".join(f"<th>{escape(column.title)}</th>" for column in columns.values())
    body = "\n".join(
        "<tr>" + "".join(_cell(key, COLUMNS[key].text(row, summary), row.level) for key in columns) + "</tr>"
        for row in rows
    )
    foot = "".join(_cell(key, column.total(summary)) for key, column in columns.items())
    title = escape(facts(summary)[0])
    return (
        f"<table><caption>{title}</caption><thead><tr>{head}</tr></thead>\n"
        f"<tbody>{body}</tbody><tfoot><tr>{foot}</tr></tfoot></table>"
    )


def _fitting(summary: Summary) -> list[Row]:
    """As many levels as give a table of a page."""
    best = rows_of(summary, depth=1, fold=True)
    for depth in range(2, 9):
        more = rows_of(summary, depth=depth, fold=True)
        if len(more) > MOST_ROWS or len(more) == len(best):
            break
        best = more
    return best


def _cell(key: str, text: str, level: int = 0) -> str:
    side = "left" if key in LEFT else "right"
    indent = f";padding-left:{0.5 + level:g}em" if key == "name" else ""
    return f'<td style="text-align:{side}{indent}">{escape(text)}</td>'
