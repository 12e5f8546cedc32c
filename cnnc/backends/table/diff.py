"""A difference between two networks as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cnnc.backends.table.cells import agreed
from cnnc.compiler.cost import FIGURES
from cnnc.compiler.diff import Change, Diff, Pair
from cnnc.compiler.ops import by_x

WIDEST = 24
"""A total that is wider, as an expression of free sizes may be, stands on a line of its own."""


FEW = 3
"""Layers of which only the size differs are listed one by one up to so many."""


def render_diff(difference: Diff, *, every: bool = False) -> str:
    """The difference line by line, `-` for what only the first has, `+` for what only the second has, `~` for
    what changed; then the totals. Ends in a line break.

    Layers that change in size only, since one before them did, are counted unless `every` one is asked for.
    """
    a, b = difference.names
    lines = [f"{a} -> {b}"]
    if difference.equal:
        lines.append("no difference")
        return "\n".join([*lines, ""])
    lines += changes(difference, every=every)
    lines.append("")
    lines += list(_totals(difference))
    return "\n".join([*lines, ""])


def changes(difference: Diff, *, every: bool = False) -> list[str]:
    """What was taken out, came in and changed, a line each."""
    lines = [f"- {side.name}: {side.op}, {by_x(side.out)}" for side in difference.removed]
    lines += [f"+ {side.name}: {side.op}, {by_x(side.out)}" for side in difference.added]
    following = [change for change in difference.changed if change.follows]
    folded = len(following) > FEW and len(following) < len(difference.changed) and not every
    shown = [change for change in difference.changed if not (folded and change.follows)]
    lines += [f"~ {change.name}: {'; '.join(_parts(change))}" for change in shown]
    if folded:
        names = ", ".join(change.name for change in following[:FEW])
        lines.append(f"~ {len(following)} layers change with them in size only: {names}, …")
    if difference.outputs is not None:
        old, new = (", ".join(f"{key} = {node}" for key, node in side.items()) for side in difference.outputs)
        lines.append(f"~ outputs: {old} -> {new}")
    return lines


def render_summary(difference: Diff, name: str) -> str:
    """The difference in Markdown, as GitHub shows it below a pull request. Ends in a line break."""
    if difference.equal:
        return f"### {name}\n\nNo difference.\n"
    rows = [
        f"| {title} | {old:,} | {new:,} | {new - old:+,} |"
        for title, old, new in _figures(difference)
        if old != new
    ]
    table = (
        ["| | before | after | change |", "|---|--:|--:|--:|", *rows]
        if rows
        else ["The totals are as before."]
    )
    return "\n".join([f"### {name}", "", *table, "", "```diff", *changes(difference), "```", ""])


def _parts(change: Change) -> Iterator[str]:
    if change.op is not None:
        yield _arrow("op", change.op)
    for key, pair in change.args.items():
        yield _arrow(key, pair)
    if change.out is not None:
        old, new = change.out
        yield f"{by_x(old)} -> {by_x(new)}"
    if change.inputs is not None:
        old, new = (", ".join(names) for names in change.inputs)
        yield f"inputs {old} -> {new}"
    if change.module is not None:
        yield _arrow("weights of", change.module)


def _arrow(what: str, pair: Pair) -> str:
    """What all axes agree on is said once, where they do so in both: `kernel 3 -> 5`, `stride 1x1 -> 2x1`."""
    old, new = map(agreed, pair)
    if all(map(_is_by_axis, pair)) and (isinstance(old, list) or isinstance(new, list)):
        return f"{what} {by_x(pair[0])} -> {by_x(pair[1])}"
    return f"{what} {_show(old)} -> {_show(new)}"


def _is_by_axis(value: Any) -> bool:
    return isinstance(value, list) and all(type(part) is int for part in value)


def _show(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return f"({', '.join(map(_show, value))})"
    return str(value)


def _figures(difference: Diff) -> list[tuple[str, int, int]]:
    """Each total by its title, before and after, the depth last."""
    rows = [(FIGURES[key].title, old, new) for key, old, new in difference.figures()]
    return [*rows, ("depth", *difference.depths)]


def _totals(difference: Diff) -> Iterator[str]:
    cells = [
        (title, f"{old:,}", f"{new:,}", f"{new - old:+,}" if new != old else "=")
        for title, old, new in _figures(difference)
    ]
    short = [row for row in cells if max(map(len, row)) <= WIDEST]
    widths = [max(len(row[i]) for row in short) for i in range(4)]
    for title, old, new, change in cells:
        if max(len(old), len(new), len(change)) <= WIDEST:
            yield f"{title:<{widths[0]}}  {old:>{widths[1]}} -> {new:>{widths[2]}}  {change:>{widths[3]}}"
        else:  # expressions of free sizes
            yield from (
                title,
                f"     {old}",
                *(["  ="] if change == "=" else [f"  -> {new}", f"  by {change}"]),
            )
