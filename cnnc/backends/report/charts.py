"""Where parameters, MACs and activations go, as bars of HTML that need no script."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from cnnc.backends.diagram.words import count_text, cut
from cnnc.backends.table.rows import Row, rows_of
from cnnc.compiler.cost import FIGURES, Figure
from cnnc.compiler.summary import Summary

FEWEST, MOST = 5, 20
"""Blocks are looked into while a chart would have fewer bars than the one, and never for more than the other."""


def charts_html(summary: Summary) -> str:
    """A chart for each count that is not 0, the parts of the network in the order of the text."""
    parts = parts_of(summary)
    return "\n".join(
        _chart(summary, parts, figure) for key, figure in FIGURES.items() if getattr(summary.totals, key)
    )


def parts_of(summary: Summary) -> list[Row]:
    """The rows that the bars stand for; together they are the whole network."""
    rows = rows_of(summary, depth=1, fold=True)
    depth = 2
    while len(_counted(rows)) < FEWEST:
        deeper = _cut_at(rows_of(summary, depth=depth, fold=True))
        if len(deeper) == len(rows) or len(_counted(deeper)) > MOST:
            break
        rows, depth = deeper, depth + 1
    return rows


def _counted(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row.cost.params or row.cost.macs]


def _cut_at(rows: Sequence[Row]) -> list[Row]:
    """The rows without any under them; a fold stands for all its repeats, so it is not looked into."""
    kept: list[Row] = []
    hidden: int | None = None
    for row in rows:
        if hidden is not None and row.level > hidden:
            continue
        hidden = row.level if row.times > 1 else None
        if row.leaf or row.times > 1:
            kept.append(row)
    return kept


def _chart(summary: Summary, parts: Sequence[Row], figure: Figure) -> str:
    count, title = figure.key, figure.title[0].upper() + figure.title[1:]
    bars = [(row.path, int(getattr(row.cost, count))) for row in parts if getattr(row.cost, count)]
    whole = sum(number for _, number in bars)
    if len(bars) > MOST:
        least = sorted((number for _, number in bars), reverse=True)[MOST - 2]
        small = [bar for bar in bars if bar[1] < least]
        bars = [bar for bar in bars if bar[1] >= least]
        bars.append((f"the other {len(small)}", sum(number for _, number in small)))
    longest = max((number for _, number in bars), default=1)
    lines = "\n".join(_bar(name, number, number / longest, number / whole) for name, number in bars)
    total = f"{getattr(summary.totals, count):,}"
    return f'<figure class="chart"><figcaption>{title}: {escape(total)}</figcaption>\n{lines}\n</figure>'


def _bar(name: str, number: int, length: float, share: float) -> str:
    return (
        f'<div class="bar"><span class="part" title="{escape(name)}">{escape(cut(name))}</span>'
        f'<span class="track"><span style="width:{100 * length:.2f}%"></span></span>'
        f'<span class="n" title="{number:,}">{count_text(number)} · {100 * share:.1f}%</span></div>'
    )
