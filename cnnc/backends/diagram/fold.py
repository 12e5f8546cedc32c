"""Folding: the graph's scopes and repeats as parts, equal neighbours drawn once with `x n`.

A *part* is a box, a frame of parts, or a fold of equal parts. What may be folded is
decided on the graph's own edges: hiding a part must hide no arrow that a reader needs.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from cnnc.backends.diagram import words
from cnnc.backends.diagram.picture import Kind
from cnnc.compiler.graph import Graph, Node, Scope
from cnnc.compiler.walk.values import Turn

FEWEST_PARALLEL = 3
"""Fewer equal branches than these are drawn each."""


@dataclass(frozen=True, slots=True, eq=False)
class BoxPart:
    """What is drawn as one box: a label over lines. `key` is what equal boxes agree in."""

    nodes: tuple[int, ...]
    key: Hashable
    kind: Kind
    title: str | None
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class FramePart:
    """Parts in a frame; `titles` are its label and its block call. Without any, a turn of a repeat."""

    nodes: tuple[int, ...]
    key: Hashable
    titles: tuple[str, ...]
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True, eq=False)
class FoldPart:
    """Equal parts one after another, or side by side on the same input; the first is drawn."""

    nodes: tuple[int, ...]
    key: Hashable
    turns: tuple[Part, ...]
    parallel: bool


Part = BoxPart | FramePart | FoldPart


@dataclass(frozen=True, slots=True)
class Detail:
    """How much is shown.

    `opens` says which scopes are drawn with what is in them. With `cells`, chains as
    conv -> bn -> relu share a box; with `folds`, equal neighbours are drawn once, and
    `loose` calls layers equal that differ in their numbers alone.
    """

    opens: Callable[[Scope], bool]
    cells: bool = True
    folds: bool = True
    loose: bool = False


def parts_of(graph: Graph, scope: Scope, detail: Detail) -> tuple[Part, ...]:
    """The parts of a scope in the order of the text."""
    return _Folder(graph, detail).children(scope)


def boxes_of(parts: Iterable[Part]) -> Iterator[BoxPart]:
    """The boxes that are drawn for these parts."""
    for part in parts:
        if isinstance(part, BoxPart):
            yield part
        elif isinstance(part, FramePart):
            yield from boxes_of(part.parts)
        else:
            yield from boxes_of(part.turns[:1])


Child = int | Scope


class _Folder:
    def __init__(self, graph: Graph, detail: Detail) -> None:
        self.graph = graph
        self.detail = detail
        self.consumers = graph.consumers()
        self.outputs = frozenset(graph.outputs.values())

    def children(self, scope: Scope) -> tuple[Part, ...]:
        placed = [(child, self._turns(child, scope)) for child in scope.children]
        return tuple(self._sequence(placed, 0))

    def _turns(self, child: Child, scope: Scope) -> tuple[Turn, ...]:
        """The turns of repeats between a scope and its child, outermost first."""
        trace = self.graph.nodes[child].trace if isinstance(child, int) else child.trace
        turns = []
        while trace is not None and trace is not scope.trace:
            if isinstance(trace, Turn):
                turns.append(trace)
            trace = trace.parent
        return tuple(reversed(turns)) if trace is scope.trace else ()

    # --- from children to parts ----------------------------------------------------------

    def _sequence(self, placed: Sequence[tuple[Child, tuple[Turn, ...]]], depth: int) -> list[Part]:
        """Children of one scope and turn, `depth` turns deep, as folded parts."""
        parts: list[Part] = []
        plain: list[int] = []

        def flush() -> None:
            parts.extend(self._cells(plain))
            plain.clear()

        def turn_of(entry: tuple[Child, tuple[Turn, ...]]) -> int:
            return id(entry[1][depth]) if len(entry[1]) > depth else 0

        for turn, group in groupby(placed, key=turn_of):
            if turn:
                flush()
                parts.append(self._frame((), self._sequence(list(group), depth + 1)))
                continue
            for child, _ in group:
                if isinstance(child, int):
                    plain.append(child)
                else:
                    flush()
                    parts.extend(self._scope(child))
        flush()
        return self._spliced(self._folded(parts))

    def _spliced(self, parts: Iterable[Part]) -> list[Part]:
        """Turns that could not be folded are drawn without a frame; what that brings together may fold."""
        flat: list[Part] = []
        for part in parts:
            if isinstance(part, FramePart) and not part.titles:
                flat.extend(part.parts)
            else:
                flat.append(part)
        return self._folded(flat)

    def _scope(self, scope: Scope) -> list[Part]:
        nodes = tuple(scope.nodes())
        if not nodes:
            return []
        call = words.call_text(scope)
        name = scope.label if scope.label is not None else (None if call else scope.kind)
        if self.detail.opens(scope):
            inner = self.children(scope)
            titles = tuple(text for text in (name, call) if text)
            if scope.kind == "shortcut" and self.detail.folds:
                return list(inner)
            if len(inner) == 1 and self.detail.folds:
                return [self._titled(inner[0], titles if name else ())]
            return [self._frame(titles, inner)]
        lines = ((call,) if call else ()) + words.main_words(self.graph, scope)
        lines = lines or (f"{len(nodes)} layers",)
        key: Hashable = call or tuple(words.layer_text(self.graph.nodes[n]) for n in nodes)
        if self.detail.loose:
            key = scope.block.name if scope.block else len(nodes)
        return [BoxPart(nodes, ("block", key), "block", name, lines)]

    def _titled(self, part: Part, titles: tuple[str, ...]) -> Part:
        """A frame around a single part: the part itself with the frame's title on it."""
        if not titles:
            return part
        if isinstance(part, BoxPart):
            # The label of the only layer would only repeat the scope's.
            return replace(part, title=": ".join(titles))
        if isinstance(part, FoldPart) and isinstance(part.turns[0], BoxPart):
            turns = tuple(self._titled(turn, titles) for turn in part.turns)
            return FoldPart(part.nodes, part.key, turns, part.parallel)
        return self._frame(titles, (part,))

    def _frame(self, titles: tuple[str, ...], parts: Sequence[Part]) -> Part:
        if not titles and len(parts) == 1:
            return parts[0]
        nodes = tuple(n for part in parts for n in part.nodes)
        return FramePart(nodes, ("frame", self._wiring(parts)), titles, tuple(parts))

    def _wiring(self, parts: Sequence[Part]) -> Hashable:
        """What equal frames agree in: equal parts, joined alike."""
        owner = {n: i for i, part in enumerate(parts) for n in part.nodes}
        joined = []
        for i, part in enumerate(parts):
            sources = {owner.get(j, -1) for n in part.nodes for j in self.graph.nodes[n].inputs}
            joined.append((part.key, tuple(sorted(sources - {i}))))
        return tuple(joined)

    # --- cells ---------------------------------------------------------------------------

    def _cells(self, nodes: Sequence[int]) -> list[BoxPart]:
        """Neighbouring layers as boxes: one main layer each, with the small ones that follow it."""
        cells: list[list[Node]] = []
        for index in nodes:
            node = self.graph.nodes[index]
            if cells and self.detail.cells and self._joins(cells[-1], node):
                cells[-1].append(node)
            else:
                cells.append([node])
        return [self._cell(cell) for cell in cells]

    def _joins(self, cell: Sequence[Node], node: Node) -> bool:
        last = cell[-1]
        if node.inputs != (last.index,) or self.consumers[last.index] != (node.index,):
            return False
        if last.index in self.outputs:
            return False
        headless = all(words.is_small(n) for n in cell)
        return headless or node.op.family in words.SMALL

    def _cell(self, cell: Sequence[Node]) -> BoxPart:
        main = next((n for n in cell if not words.is_small(n)), cell[0])
        shown = [n for n in cell if n.role != "flatten"] or cell
        lines = tuple(
            ", ".join(words.layer_text(n) for n in run) for _, run in groupby(shown, key=lambda n: n is main)
        )
        if main.op.family == "merge":
            lines = (" ".join(lines),)
        label = next((n.label for n in cell if n.label is not None and n.role == "own"), None)
        key: Hashable = tuple(n.op.kind for n in shown) if self.detail.loose else lines
        return BoxPart(tuple(n.index for n in cell), ("cell", key), main.op.family, label, lines)

    # --- folds ---------------------------------------------------------------------------

    def _folded(self, parts: Sequence[Part]) -> list[Part]:
        """Runs of equal neighbours as folds."""
        if not self.detail.folds:
            return list(parts)
        edges = _Edges(self.graph, self.consumers, self.outputs)
        done: list[Part] = []
        run: list[Part] = []
        parallel = False
        for part in parts:
            if run and part.key == run[-1].key:
                serial = edges.follows(run[-1], part)
                aside = not serial and edges.beside(run[-1], part)
                if (serial or aside) and (len(run) == 1 or aside == parallel):
                    parallel = aside
                    run.append(part)
                    continue
            done.extend(self._fold(run, parallel))
            run, parallel = [part], False
        return done + self._fold(run, parallel)

    def _fold(self, run: Sequence[Part], parallel: bool) -> list[Part]:
        if len(run) < 2 or (parallel and len(run) < FEWEST_PARALLEL):
            return list(run)
        turns = [turn for part in run for turn in self._turns_of(part, parallel)]
        nodes = tuple(n for part in run for n in part.nodes)
        return [FoldPart(nodes, ("fold", len(turns), run[0].key, parallel), tuple(turns), parallel)]

    def _turns_of(self, part: Part, parallel: bool) -> tuple[Part, ...]:
        """A fold of folds is one fold."""
        same = isinstance(part, FoldPart) and part.parallel == parallel
        return part.turns if isinstance(part, FoldPart) and same else (part,)


@dataclass(frozen=True, slots=True)
class _Edges:
    """What flows between parts; each part's ends are looked up once."""

    graph: Graph
    consumers: tuple[tuple[int, ...], ...]
    outputs: frozenset[int]

    def ends(self, part: Part) -> tuple[frozenset[int], frozenset[int]]:
        """The nodes outside that a part takes from, and those that take from it; an output of the model is -1."""
        inside = set(part.nodes)
        sources = {j for n in part.nodes for j in self.graph.nodes[n].inputs} - inside
        targets = {j for n in part.nodes for j in self.consumers[n]} - inside
        if not self.outputs.isdisjoint(inside):
            targets.add(-1)
        return frozenset(sources), frozenset(targets)

    def follows(self, first: Part, second: Part) -> bool:
        """Whether all that leaves the first goes into the second, which takes nothing new."""
        sources, targets = self.ends(first)
        inside = set(first.nodes)
        taken, _ = self.ends(second)
        return (
            bool(targets) and targets <= set(second.nodes)
            and not taken.isdisjoint(inside) and taken - inside <= sources
        )  # fmt: skip

    def beside(self, first: Part, second: Part) -> bool:
        """Whether both take the same and go to the same place."""
        return self.ends(first) == self.ends(second) and bool(self.ends(first)[0])


__all__ = ["BoxPart", "Detail", "FoldPart", "FramePart", "Part", "boxes_of", "parts_of"]
