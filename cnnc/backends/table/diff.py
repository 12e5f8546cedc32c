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


def render_diff(difference: Diff) -> str:
    """The difference line by line, `-` for what only the first has, `+` for what only the second has, `~` for
    what changed; then the totals. Ends in a line break."""
    a, b = difference.names
    lines = [f"{a} -> {b}"]
    if difference.equal:
        lines.append("no difference")
        return "\n".join([*lines, ""])
    lines += [f"- {side.name}: {side.op}, {by_x(side.out)}" for side in difference.removed]
    lines += [f"+ {side.name}: {side.op}, {by_x(side.out)}" for side in difference.added]
    lines += [f"~ {change.name}: {'; '.join(_parts(change))}" for change in difference.changed]
    if difference.outputs is not None:
        old, new = (", ".join(f"{key} = {node}" for key, node in side.items()) for side in difference.outputs)
        lines.append(f"~ outputs: {old} -> {new}")
    lines.append("")
    lines += list(_totals(difference))
    return "\n".join([*lines, ""])


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


def _totals(difference: Diff) -> Iterator[str]:
    rows = [(FIGURES[key].title, old, new) for key, old, new in difference.figures()]
    rows.append(("depth", *difference.depths))
    cells = [
        (title, f"{old:,}", f"{new:,}", f"{new - old:+,}" if new != old else "=") for title, old, new in rows
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
