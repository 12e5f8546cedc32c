"""A configuration table as a LaTeX tabular."""

from __future__ import annotations

from itertools import pairwise

from cnnc.backends.configuration.stages import Entry
from cnnc.backends.configuration.table import Row, Table
from cnnc.backends.vector import escape_latex


def latex_of(table: Table) -> str:
    r"""A tabular with the papers' brackets; what all networks share spans their columns."""
    first = 2 if table.has_labels else 1
    pad = "& " * (first - 1)
    lines = [
        rf"\begin{{tabular}}{{{'l' * first}|{'c' * len(table.names)}}}", r"\hline",
        rf"{pad}output & {' & '.join(map(escape_latex, table.names))} \\",
    ]  # fmt: skip
    lines += [rf"{pad}{name} & {' & '.join(texts)} \\" for name, texts in table.head]
    lines.append(r"\hline")
    for row in table.rows:
        label = f"{escape_latex(row.label)} & " if table.has_labels else ""
        lines.append(rf"{label}{_size(row.output)} & {_cells(row)} \\ \hline")
    lines += [rf"{pad}{name} & {' & '.join(texts)} \\" for name, texts in table.foot]
    return "\n".join([*lines, r"\hline", r"\end{tabular}"]) + "\n"


def _cells(row: Row) -> str:
    if row.is_common:
        return rf"\multicolumn{{{len(row.cells)}}}{{c}}{{{_cell(row.cells[0])}}}"
    return " & ".join(map(_cell, row.cells))


def _cell(entries: tuple[Entry, ...]) -> str:
    """A cell's lines under one another."""
    if len(entries) == 1:
        return _entry(entries[0])
    if not entries:
        return ""
    inner = r" \\ ".join(map(_entry, entries))
    return rf"\begin{{tabular}}{{@{{}}c@{{}}}}{inner}\end{{tabular}}"


def _entry(entry: Entry) -> str:
    times = rf"$\times${entry.times}" if entry.times > 1 else ""
    if not entry.is_block:
        return rf"{escape_latex(entry.text.partition(' x ')[0])}{' ' + times if times else ''}"
    branches = (r" \\ ".join(rf"\textrm{{{_size(term)}}}" for term in branch) for branch in entry.branches)
    between = r"\,\middle|\," if entry.sign == "|" else {"+": "+", "@": "@"}.get(entry.sign, r"\times")
    arrays = between.join(rf"\begin{{array}}{{c}}{branch}\end{{array}}" for branch in branches)
    return rf"\raisebox{{0pt}}[\dimexpr\height+2pt\relax][\dimexpr\depth+2pt\relax]{{$\left[{arrays}\right]${times}}}"


def _size(text: str) -> str:
    """A text with the x between its numbers as a sign."""
    parts = text.split("x")
    joined = [escape_latex(parts[0])]
    for before, part in pairwise(parts):
        sign = r"\ensuremath{\times}" if before[-1:].isdigit() and part[:1].isdigit() else "x"
        joined.append(sign + escape_latex(part))
    return "".join(joined)
