"""A configuration table as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cnnc.backends.configuration.table import Row, Table

_SPECIAL = frozenset("\\`*_{}[]<>()#+!|~&$^")


def markdown_of(table: Table) -> str:
    """A pipe table; a cell's lines are parted by `<br>`."""
    labels = [""] if table.has_labels else []
    lines = [_line([*labels, "output", *map(_escaped, table.names)])]
    lines.append(_line(["---"] * (len(labels) + 1) + [":---:"] * len(table.names)))
    for name, texts in table.head:
        lines.append(_line([*labels, name, *texts]))
    for row in table.rows:
        lines.append(_line([*([_escaped(row.label)] if labels else []), row.output, *_cells(row)]))
    for name, texts in table.foot:
        lines.append(_line([*labels, f"**{name}**", *texts]))
    return "\n".join(lines) + "\n"


def _cells(row: Row) -> Iterator[str]:
    for entries in row.cells:
        yield "<br>".join(_escaped(entry.text) for entry in entries)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    """Text of which nothing is markup, in CommonMark and in the dialects with tables and formulas."""
    plain = "".join(ch if ch.isprintable() else "·" for ch in text)
    return "".join(f"&#{ord(ch)};" if ch in "<>&|" else f"\\{ch}" if ch in _SPECIAL else ch for ch in plain)
