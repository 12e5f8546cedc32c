"""From a summary to the rows of a table, runs of equal siblings folded into one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cnnc.backends.outline import Child, Outline, nodes_of
from cnnc.compiler.cost import Cost, total
from cnnc.compiler.graph import Scope
from cnnc.compiler.summary import Layer, Summary


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table.

    `layer` is the layer shown, or the one whose output flows out of the block shown.
    `cost` is of all repeats together; the rows under a folded row are those of its
    first. A `leaf` has no rows under it. `nodes` are the layers that the row stands for, all
    repeats together.
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
    nodes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Stretch:
    """`times` repeats, one after another, of a pattern of siblings; `children` of `scope` are those of all repeats."""

    scope: Scope
    children: tuple[Child, ...]
    times: int

    @property
    def pattern(self) -> tuple[Child, ...]:
        return self.children[: len(self.children) // self.times]


def rows_of(summary: Summary, *, depth: int | None, fold: bool) -> list[Row]:
    """The rows in the order of the text, blocks before what they hold."""
    maker = _Maker(summary, fold=fold)
    rows: list[Row] = []
    todo: list[tuple[int, _Stretch]] = []

    def push(level: int, scope: Scope, children: Sequence[Child]) -> bool:
        """Put stretches on the stack, the first on top; False where there are none to show."""
        if depth is not None and level >= depth:
            return False
        found = maker.stretches(scope, children)
        todo.extend((level, stretch) for stretch in reversed(found))
        return bool(found)

    push(0, summary.graph.root, summary.graph.root.children)
    while todo:
        level, stretch = todo.pop()
        first = stretch.children[0]
        if len(stretch.pattern) > 1:
            under = push(level + 1, stretch.scope, stretch.pattern)
        else:
            under = isinstance(first, Scope) and push(level + 1, first, first.children)
        rows.append(maker.row(level, stretch, leaf=not under))
    return rows


class _Maker:
    def __init__(self, summary: Summary, *, fold: bool) -> None:
        self.graph = summary.graph
        self.outline = Outline(summary.graph)
        self.layers = {n.index: layer for n, layer in zip(summary.graph.layers, summary.layers, strict=True)}
        self.fold = fold

    def stretches(self, scope: Scope, children: Sequence[Child]) -> list[_Stretch]:
        """The children of a scope, equal ones gathered; a norm or activation goes with the layer that brings it."""
        cells: list[list[Child]] = []
        for child in children:
            if isinstance(child, int) and cells and self.layers[child].brought:
                cells[-1].append(child)
            elif nodes_of(child):  # an identity shortcut holds nothing
                cells.append([child])
        if not self.fold:
            return [_Stretch(scope, (child,), 1) for cell in cells for child in cell]
        nodes = [tuple(n for child in cell for n in nodes_of(child)) for cell in cells]
        keys = [self._key(cell) for cell in cells]
        found: list[_Stretch] = []
        for run in self.outline.runs(nodes, keys, phases=self.outline.phases(nodes, scope), wired=False):
            inside = tuple(child for turn in run.turns() for place in turn for child in cells[place])
            whole = [_Stretch(scope, inside, run.times)]
            found += whole if run.times > 1 else [_Stretch(scope, (child,), 1) for child in inside]
        return found

    def _key(self, cell: Sequence[Child]) -> int:
        """A number for rows that read the same, numbers at the end of a name aside."""
        told = [(self._name(c).rstrip("0123456789"), self._what(c)) for c in cell]
        nodes = [n for child in cell for n in nodes_of(child)]
        return self.outline.number((tuple(told), self.outline.signature(nodes, "exact")))

    def _name(self, child: Child) -> str:
        return self.graph.nodes[child].local if isinstance(child, int) else child.local

    def _what(self, child: Child) -> str:
        """What a child is called; a labelled bracket has a name only."""
        if isinstance(child, int):
            return self.graph.nodes[child].op.kind
        kind = child.kind if child.block is None else child.block.name
        return "" if kind == "bracket" else kind

    def row(self, level: int, stretch: _Stretch, *, leaf: bool) -> Row:
        first, last = stretch.children[0], stretch.children[-1]
        ops = [self._what(child) for child in stretch.pattern]
        op = ops[0] if len(ops) == 1 else f"({', '.join(ops)})"
        if stretch.times > 1:
            op = f"{op} x {stretch.times}".lstrip()
        path = self.graph.nodes[first].name if isinstance(first, int) else first.name
        others = "" if first is last else f"…{self._name(last)}"
        result = last if isinstance(last, int) else last.result
        nodes = tuple(n for child in stretch.children for n in nodes_of(child))
        return Row(
            level=level,
            name=self._name(first) + others,
            path=path + others,
            op=op,
            layer=None if result is None else self.layers.get(result),
            is_layer=len(ops) == 1 and isinstance(first, int),
            cost=total(self.layers[n].cost for n in nodes),
            times=stretch.times,
            leaf=leaf,
            nodes=nodes,
        )
