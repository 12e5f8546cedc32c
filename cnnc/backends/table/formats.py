"""Rows and columns as text, CSV, Markdown and LaTeX."""

from __future__ import annotations

import csv
import io
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from unicodedata import east_asian_width

from cnnc.backends.table.cells import Column
from cnnc.backends.table.rows import Row
from cnnc.compiler.cost import FIGURES, lacking
from cnnc.compiler.ops import Shape, by_x
from cnnc.compiler.summary import CONVENTIONS, Summary

GAP = "  "
LEFT = ("name", "op", "output", "arguments")

FOLDED = "Rows under `x n` are those of the first of n. "


def _conventions(rows: Sequence[Row]) -> str:
    folded = any(row.times > 1 and not row.leaf for row in rows)
    return (FOLDED if folded else "") + CONVENTIONS


def _shapes(shapes: Mapping[str, Shape]) -> str:
    return ", ".join(f"{name} {by_x(shape)}" for name, shape in shapes.items())


def facts(summary: Summary) -> list[str]:
    """What stands above a table and below it, one sentence each: the net, and its totals."""
    totals, memory = summary.totals, summary.memory
    missing = [f"the {what} of {', '.join(names)}" for what, names in summary.unknown.items()]
    least = [f"At least: {' and '.join(missing)} are not declared, and count as 0."] if missing else []
    plain = _shapes({name: tuple(map(int, shape)) for name, shape in summary.inputs.items()})
    reference = "" if plain == _shapes(summary.inputs) else f", with {plain}"  # free sizes
    return [
        f"{summary.model}: {_shapes(summary.inputs)} -> {_shapes(summary.outputs)}",
        ", ".join(
            [
                *(
                    f"{'at least ' if lacking(summary.unknown, key) else ''}{number:,} {FIGURES[key].title}"
                    for key, number in totals.items()
                ),
                f"depth {summary.depth}",
            ]
        ),
        f"Activations take at their peak {memory.inference:,} bytes in inference "
        f"(at {memory.inference_at}), {memory.training:,} in training ({8 * memory.dtype_bytes} bits a value, "
        f"batch {memory.batch}{reference})",
        *least,
        *(f"Needs {one}." for one in (*summary.limits, *summary.conditions)),
        *map(str, summary.residues),
        *_about_fields(summary),
    ]


def _about_fields(summary: Summary) -> Iterator[str]:
    """What a receptive field is on where there are several inputs, and why there is none where `?` stands."""
    if len(summary.inputs) > 1:
        yield "RF: on the first input that a layer depends on."
    reasons = dict.fromkeys(
        layer.rf.undefined for layer in summary.layers if layer.rf is not None and layer.rf.undefined
    )
    if reasons:
        first, *others = reasons
        yield f"RF is ? where there is none to tell: {first}{f' ({len(others)} more)' if others else ''}."


# --- text -----------------------------------------------------------------------------


def render_text(
    summary: Summary, rows: Sequence[Row], columns: Mapping[str, Column], *, width: int, may_drop: bool
) -> str:
    """The table in at most `width` columns, if numbers and the least widths of words allow it."""
    table = {key: _cells(key, column, rows, summary) for key, column in columns.items()}
    if may_drop:  # a share of an expression, say
        columns = {key: column for key, column in columns.items() if any(table[key][1:])}
    natural = {key: max(map(_width, cells)) for key, cells in table.items()}
    kept = _fit(columns, natural, width) if may_drop else list(columns)
    widths = _shrink(kept, columns, natural, width)
    lines = [
        GAP.join(_align(table[key][i], widths[key], left=key in LEFT) for key in kept).rstrip()
        for i in range(len(rows) + 2)
    ]
    rule = "-" * max(map(_width, lines))
    title, *below = facts(summary)
    paragraphs = [*below, _conventions(rows)]
    wrapped = [line for text in paragraphs for line in textwrap.wrap(text, width, break_long_words=False)]
    head = textwrap.wrap(title, width, break_long_words=False)
    return "\n".join([*head, "", lines[0], rule, *lines[1:-1], rule, lines[-1], "", *wrapped, ""])


def _cells(key: str, column: Column, rows: Sequence[Row], summary: Summary) -> list[str]:
    """A column from its title to its total; names indented by their level."""
    cells = [_printable(column.text(row, summary)) for row in rows]
    if key == "name":
        cells = ["  " * row.level + cell for row, cell in zip(rows, cells, strict=True)]
    return [column.title, *cells, column.total(summary)]


def _printable(text: str) -> str:
    return text if text.isprintable() else "".join(ch if ch.isprintable() else "·" for ch in text)


def _fit(columns: Mapping[str, Column], natural: Mapping[str, int], width: int) -> list[str]:
    """The columns that fit: first without numbers that would take half the line (expressions of free
    sizes), then without those of the least weight one by one."""
    kept = [key for key in columns if columns[key].least is not None or 2 * natural[key] <= width]
    while len(kept) > 1:
        least = sum(min(natural[key], columns[key].least or natural[key]) for key in kept)
        if least + len(GAP) * (len(kept) - 1) <= width:
            break
        kept.remove(min(kept, key=lambda key: columns[key].weight))
    return kept


def _shrink(
    kept: Sequence[str], columns: Mapping[str, Column], natural: Mapping[str, int], width: int
) -> dict[str, int]:
    """The widths: words are cut down to their least, arguments first and names last."""
    widths = {key: natural[key] for key in kept}
    excess = sum(widths.values()) + len(GAP) * (len(kept) - 1) - width
    for key in sorted(kept, key=lambda key: columns[key].weight):
        least = columns[key].least
        if least is not None and excess > 0 and widths[key] > least:
            cut = min(excess, widths[key] - least)
            widths[key] -= cut
            excess -= cut
    return widths


def _width(text: str) -> int:
    """Terminal columns."""
    if text.isascii():
        return len(text)
    return sum(2 if east_asian_width(ch) in "WF" else 1 for ch in text)


def _align(text: str, width: int, *, left: bool) -> str:
    if _width(text) > width:
        text = _cut(text, width)
    fill = " " * (width - _width(text))
    return text + fill if left else fill + text


def _cut(text: str, width: int) -> str:
    """Text cut to a width; how often a row is repeated stays."""
    times = re.search(r" x \d+$", text)
    end = "…" + (times.group() if times else "")
    text = text[: -len(times.group())] if times else text
    while text and _width(text) + len(end) > width:
        text = text[:-1]
    return text + end


# --- CSV ------------------------------------------------------------------------------


def render_csv(summary: Summary, rows: Sequence[Row], columns: Mapping[str, Column]) -> str:
    """One line for each row, numbers plain."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow(_inert(column.data(row, summary)) for column in columns.values())
    return out.getvalue()


def _inert(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula; negative numbers stay numbers."""
    if cell.startswith(("=", "+", "-", "@", "\t", "\r")) and not _is_number(cell):
        return "'" + cell
    return cell


def _is_number(cell: str) -> bool:
    return cell.removeprefix("-").isdecimal()


# --- Markdown and LaTeX ---------------------------------------------------------------


def render_markdown(summary: Summary, rows: Sequence[Row], columns: Mapping[str, Column]) -> str:
    """A pipe table, with the facts above and below it."""
    title, *below = facts(summary)
    body = [
        [
            _indent("&emsp;", key, row) + _markdown(column.text(row, summary))
            for key, column in columns.items()
        ]
        for row in rows
    ]
    total = [f"**{text}**" if (text := column.total(summary)) else "" for column in columns.values()]
    lines = [[column.title for column in columns.values()]]
    lines.append([":--" if key in LEFT else "--:" for key in columns])
    lines += [*body, total]
    table = ["| " + " | ".join(line) + " |" for line in lines]
    paragraphs = [_markdown(text) for text in (*below, _conventions(rows))]
    return "\n".join([f"**{_markdown(title)}**", "", *table, "", "\n\n".join(paragraphs), ""])


def _indent(unit: str, key: str, row: Row) -> str:
    return unit * row.level if key == "name" else ""


def _markdown(text: str) -> str:
    return "".join("\\" + ch if ch in "\\`*_[]<>|~" else ch for ch in _printable(text))


_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "…": r"\dots{}", "`": r"\textasciigrave{}",
}  # fmt: skip


def render_latex(summary: Summary, rows: Sequence[Row], columns: Mapping[str, Column]) -> str:
    """A table for LaTeX with the package booktabs."""
    title, *below = facts(summary)

    def line(cells: Sequence[str]) -> str:
        return "  " + " & ".join(cells) + r" \\"

    body = [
        line([
            _indent(r"\quad ", key, row) + _latex(column.text(row, summary)) for key, column in columns.items()
        ])
        for row in rows
    ]  # fmt: skip
    return "\n".join([
        r"\begin{table}",
        rf"  \caption{{{_latex(title)}}}",
        rf"  \begin{{tabular}}{{{''.join('l' if key in LEFT else 'r' for key in columns)}}}",
        r"  \toprule",
        line([_latex(column.title) for column in columns.values()]),
        r"  \midrule",
        *body,
        r"  \midrule",
        line([_latex(column.total(summary)) for column in columns.values()]),
        r"  \bottomrule",
        r"  \end{tabular}",
        "  " + _latex(". ".join([*below, _conventions(rows)])),
        r"\end{table}",
        "",
    ])  # fmt: skip


def _latex(text: str) -> str:
    return "".join(_LATEX.get(ch, ch) for ch in _printable(text))
