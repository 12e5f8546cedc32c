"""From the scope tree to units: a layer with the small ones after it, or a closed block."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from cnnc.backends.diagram.picture import Kind
from cnnc.backends.diagram.words import brief_text
from cnnc.backends.outline import Outline, is_small
from cnnc.compiler.graph import Graph, Node, Scope

STEPS_DOWN = 2.6
"""A block that shrinks its map by more than this is opened: a box has one size."""

NEAR = 0.15
"""Maps that differ by less than this share of their size are drawn alike."""


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """What is drawn as one box: nodes, the last of which, `result`, has the box's size.

    `word` is the main layer's or the block's, `key` what equal units agree in,
    `stage` the label of the bracket or block of the top level that it stands in.
    """

    nodes: tuple[int, ...]
    result: int
    kind: Kind
    title: str | None
    word: str
    key: int
    stage: str | None
    closed: bool


class Units:
    """The units of one graph, for different choices of what is closed."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.outline = Outline(graph)

    def of(self, scope: Scope, closes: Callable[[Scope], bool]) -> list[Unit]:
        """The units of a scope in the order of the flow, without the inputs of the model."""
        found = list(self._inside(scope, closes, None, depth=0))
        return sorted(found, key=lambda unit: unit.result)

    def _inside(
        self, scope: Scope, closes: Callable[[Scope], bool], stage: str | None, depth: int
    ) -> Iterator[Unit]:
        plain: list[int] = []
        for child in scope.children:
            if isinstance(child, int):
                plain.append(child)
                continue
            yield from self._cells(plain, stage)
            plain = []
            if closes(child):
                yield self._closed(child, stage)
                continue
            inner = list(self._inside(child, closes, child.label if depth == 0 else stage, depth + 1))
            if len(inner) == 1 and child.label is not None:
                inner = [replace(inner[0], title=child.label, stage=stage)]
            yield from inner
        yield from self._cells(plain, stage)

    # --- a layer and the small ones that follow it -----------------------------------------

    def _cells(self, nodes: Sequence[int], stage: str | None) -> Iterator[Unit]:
        return (self._cell(cell, stage) for cell in self.outline.cells(nodes))

    def _cell(self, cell: Sequence[Node], stage: str | None) -> Unit:
        main = next((n for n in cell if not is_small(n)), cell[0])
        label = next((n.label for n in cell if n.label is not None and n.role == "own"), None)
        word = brief_text(main)
        nodes = tuple(n.index for n in cell)
        key = self._key(nodes, nodes[-1])
        return Unit(nodes, nodes[-1], main.op.family, label, word, key, stage, closed=False)

    def _key(self, nodes: tuple[int, ...], result: int) -> int:
        """A number for layers of equal arguments and channels; their maps may differ a little in size."""
        out = self.graph.nodes[result].out
        return self.outline.number((self.outline.signature(nodes, "unsized"), repr(out[0]), len(out)))

    # --- closed blocks ---------------------------------------------------------------------

    def can_close(self, scope: Scope) -> bool:
        """Whether a scope may be one box: nothing but its result leaves it."""
        if scope.result is None:
            return False
        inside = frozenset(scope.nodes())
        leaving = {
            n for n in inside if n in self.outline.outputs or not inside.issuperset(self.outline.consumers[n])
        }
        return scope.result in inside and leaving <= {scope.result}

    def cells(self) -> set[int]:
        """The scopes that read best as one box, by identity; with one call of a block all its like."""
        scopes = [scope for scope in self.graph.scopes() if scope is not self.graph.root]
        cells = [scope for scope in scopes if self.is_cell(scope)]
        names = {scope.block.name for scope in cells if scope.block is not None}
        alike = [s for s in scopes if s.block is not None and s.block.name in names and self.can_close(s)]
        # A call with branches that is no cell goes down and up itself, as the outer levels of a U do.
        found = {id(scope) for scope in alike if not scope.has_sides}
        return found | {id(scope) for scope in cells} | self._exchanges(scopes, cells)

    def _exchanges(self, scopes: Sequence[Scope], cells: Sequence[Scope]) -> set[int]:
        """With a cell all that make another map of the same ones: parallel streams exchange theirs in such."""
        taken = {sources for scope in cells if len(sources := self._sources(scope)) > 1}
        return {
            id(s) for s in scopes if s.has_sides and self._sources(s) in taken and self.can_close(s)
        }  # fmt: skip

    def _sources(self, scope: Scope) -> frozenset[int]:
        """The nodes outside a scope that it takes from."""
        return self.outline.ends(tuple(scope.nodes()))[0]

    def is_cell(self, scope: Scope) -> bool:
        """Whether a scope reads best as one box: it has branches, and its maps keep near one size."""
        if not scope.has_sides or not self.can_close(scope):
            return False
        assert scope.result is not None
        sizes = [max(map(int, shape)) for n in scope.nodes() if (shape := self.graph.nodes[n].out[1:])]
        maps = [size for size in sizes if size > 1]
        end = max(map(int, self.graph.nodes[scope.result].out[1:]), default=1)
        return not maps or (min(maps) >= end and max(maps) <= STEPS_DOWN * min(maps))

    def _closed(self, scope: Scope, stage: str | None) -> Unit:
        assert scope.result is not None
        nodes = tuple(scope.nodes())
        name = scope.block.name if scope.block is not None else self._sum(nodes, scope.result) or scope.label
        name = name or scope.kind
        title = scope.label if scope.label != name else None
        key = self.outline.number((name, self._key(nodes, scope.result)))
        return Unit(nodes, scope.result, "block", title, name, key, stage, closed=True)

    def _sum(self, nodes: tuple[int, ...], result: int) -> str | None:
        """`sum of 3` for a part that adds up what it makes of three maps."""
        merge = merge_behind(self.graph, result, frozenset(nodes))
        taken = len(self.outline.ends(nodes)[0])
        is_sum = merge is not None and merge.op.kind == "add" and len(merge.inputs) == taken > 1
        return f"sum of {taken}" if is_sum else None


def near(graph: Graph, first: Unit, unit: Unit) -> bool:
    """Whether two maps are as good as of one size: convolutions without padding take off a little."""
    one, other = graph.nodes[first.result].out[1:], graph.nodes[unit.result].out[1:]
    return len(one) == len(other) and all(
        abs(int(a) - int(b)) <= NEAR * max(int(a), int(b)) for a, b in zip(one, other, strict=True)
    )


# --- what a merge is made of -------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Operand:
    """One part of a concatenation: how many channels, and the node they come from."""

    channels: int
    node: int


def merge_behind(graph: Graph, result: int, inside: frozenset[int]) -> Node | None:
    """The merge that a result is, norms and activations after it aside; None where it is none."""
    node = graph.nodes[result]
    while is_small(node) and len(node.inputs) == 1 and node.inputs[0] in inside:
        node = graph.nodes[node.inputs[0]]
    return node if node.op.family == "merge" else None


def parts_of(graph: Graph, result: int, inside: frozenset[int]) -> tuple[Operand, ...]:
    """The operands of the concatenation that a result is, those of inner ones in their place.

    Nothing where it is no concatenation.
    """
    merge = merge_behind(graph, result, inside)
    if merge is None or merge.op.kind != "concat":
        return ()
    parts: list[Operand] = []
    todo = list(reversed(merge.inputs))
    while todo:
        index = todo.pop()
        inner = merge_behind(graph, index, inside) if index in inside else None
        if inner is not None and inner.op.kind == "concat":
            todo.extend(reversed(inner.inputs))
        else:
            parts.append(Operand(graph.nodes[index].out[0], index))
    return tuple(parts)
