"""From the tree of a summary to the rows of a table, runs of equal siblings folded into one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cnnc.compiler.cost import Cost, total
from cnnc.compiler.summary import Group, Layer, Summary

Item = Layer | Group

LONGEST_PATTERN = 16
"""Siblings that are looked through for a pattern that repeats; bounds the time, see `_runs`."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    `layer` is the layer shown, or the one whose output flows out of the block shown.
    `cost` is of all repeats together; the rows under a folded row are those of its
    first. A `leaf` has no rows under it.
    """

    level: int
    name: str
    path: str
    op: str
    layer: Layer | None
    is_layer: bool
    cost: Cost
    times: int
    leaf: bool
    items: tuple[Item, ...]
    """What the row stands for, all repeats together."""


@dataclass(frozen=True, slots=True)
class _Run:
    """`times` repeats, one after another, of a pattern of `length` siblings."""

    items: tuple[Item, ...]
    length: int

    @property
    def times(self) -> int:
        return len(self.items) // self.length


def rows_of(summary: Summary, *, depth: int | None, fold: bool) -> list[Row]:
    """The rows in the order of the text, blocks before what they hold."""
    keys = _keys(summary.root) if fold else None
    rows: list[Row] = []
    todo: list[tuple[int, _Run]] = []

    def push(level: int, items: Sequence[Item]) -> bool:
        """Put runs on the stack, the first on top; False where there are none to show."""
        if depth is not None and level >= depth:
            return False
        runs = list(_runs(items, keys))
        todo.extend((level, run) for run in reversed(runs))
        return bool(runs)

    push(0, summary.root.children)
    while todo:
        level, run = todo.pop()
        first = run.items[0]
        if run.length > 1:
            under = push(level + 1, run.items[: run.length])
        else:
            under = isinstance(first, Group) and push(level + 1, first.children)
        rows.append(_row(level, run, leaf=not under))
    return rows


def _row(level: int, run: _Run, *, leaf: bool) -> Row:
    first, last = run.items[0], run.items[-1]
    if run.length > 1:
        op = f"({', '.join(_what(item) for item in run.items[: run.length])})"
    else:
        op = _what(first)
    if run.times > 1:
        op = f"{op} x {run.times}".lstrip()
    name = first.local if first is last else f"{first.local}…{last.local}"
    return Row(
        level=level,
        name=name,
        path=first.name if first is last else f"{first.name}…{last.local}",
        op=op,
        layer=last.last if isinstance(last, Group) else last,
        is_layer=run.length == 1 and isinstance(first, Layer),
        cost=first.cost if first is last else total(item.cost for item in run.items),
        times=run.times,
        leaf=leaf,
        items=run.items,
    )


def _what(item: Item) -> str:
    """What an item is called; a labelled bracket has a name only."""
    if isinstance(item, Layer):
        return item.op.kind
    return "" if item.kind == "bracket" else item.kind


# --- folding --------------------------------------------------------------------------


def _keys(root: Group) -> Mapping[Item, int]:
    """A number for each item, equal for items that read the same: numbers at the end of a name aside,
    of one op, arguments, output and cost, and all within likewise."""
    keys: dict[Item, int] = {}
    numbers: dict[object, int] = {}
    order: list[Item] = []
    todo: list[Item] = [root]
    while todo:
        item = todo.pop()
        order.append(item)
        if isinstance(item, Group):
            todo.extend(item.children)
    for item in reversed(order):  # children before parents
        stem = item.local.rstrip("0123456789")
        key: object
        if isinstance(item, Layer):
            key = (stem, item.op, repr((item.out, item.cost)))  # free sizes as their expressions
        else:
            key = (stem, item.kind, tuple(keys[child] for child in item.children))
        keys[item] = numbers.setdefault(key, len(numbers))
    return keys


def _runs(items: Sequence[Item], keys: Mapping[Item, int] | None) -> Iterator[_Run]:
    """Siblings as runs: at each place the pattern that covers most, the shortest of equals.

    Linear: what is looked at for a place is at most LONGEST_PATTERN times what is taken there.
    """
    place = 0
    numbers = None if keys is None else [keys[item] for item in items]
    while place < len(items):
        length, times = (1, 1) if numbers is None else _pattern(numbers, place, _opens(items[place]))
        yield _Run(tuple(items[place : place + length * times]), length)
        place += length * times


def _opens(item: Item) -> bool:
    """Whether a pattern may begin here: a norm or activation belongs to the layer before it."""
    return isinstance(item, Group) or not item.brought


def _pattern(numbers: Sequence[int], place: int, opens: bool) -> tuple[int, int]:
    """The length of a pattern, and how often it stands from `place` on."""
    best = (1, 1)
    longest = LONGEST_PATTERN if opens else 1
    for length in range(1, min(longest, (len(numbers) - place) // 2) + 1):
        end = place + length
        while end < len(numbers) and numbers[end] == numbers[end - length]:
            end += 1
        times = (end - place) // length
        if times > 1 and times * length > best[0] * best[1]:
            best = (length, times)
    return best
