"""A summary as a table: text, CSV, Markdown and LaTeX from one record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from cnnc.backends.table.cells import COLUMNS, DEFAULT_COLUMNS, columns_named
from cnnc.backends.table.diff import render_diff, render_summary
from cnnc.backends.table.formats import render_csv, render_latex, render_markdown, render_text
from cnnc.backends.table.rows import rows_of
from cnnc.compiler.summary import Summary

__all__ = ["COLUMNS", "DEFAULT_COLUMNS", "Format", "render", "render_diff", "render_summary"]

Format = Literal["text", "csv", "md", "latex"]


def render(
    summary: Summary,
    format: Format = "text",
    *,
    depth: int | None = None,
    columns: Sequence[str] | None = None,
    width: int = 100,
    fold: bool = True,
) -> str:
    """The table of a summary, ending in a line break.

    `depth` is how many levels of blocks to show (None: all, 0: the totals alone).
    `columns` are keys of `COLUMNS`, in the order wanted; None takes the usual ones.
    `fold` writes a run of equal siblings as one row (`bottleneck x 3`) over the rows
    of its first. `width` holds for text: cells of words are cut, and of the usual columns
    those that matter least are left out; numbers are never cut.

    CSV is for programs: one line for each layer (or, at `depth`, for each block), never
    folded and without totals, so that a column's sum is the total.

    Raises ValueError for a column, format or depth that there is not.
    """
    if depth is not None and depth < 0:
        raise ValueError(f"depth (={depth}) must be at least 0")
    chosen = columns_named(DEFAULT_COLUMNS if columns is None else columns)
    rows = rows_of(summary, depth=depth, fold=fold and format != "csv")
    if format == "text":
        return render_text(summary, rows, chosen, width=width, may_drop=columns is None)
    if format == "csv":
        return render_csv(summary, [row for row in rows if row.leaf], chosen)
    if format == "md":
        return render_markdown(summary, rows, chosen)
    if format == "latex":
        return render_latex(summary, rows, chosen)
    raise ValueError(f"no format {format!r}: text, csv, md and latex are known")
