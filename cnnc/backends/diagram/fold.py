"""The outline as boxes and frames: scopes open or closed, equal neighbours drawn once with `x n`.

A *part* is a box, a frame of parts, or a fold of equal parts. What may be folded is
decided on the graph's own edges: hiding a part must hide no arrow that a reader needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from cnnc.backends.diagram import words
from cnnc.backends.diagram.picture import Kind
from cnnc.backends.diagram.terms import term_lines
from cnnc.backends.outline import Equality, Outline, Run, is_small
from cnnc.compiler.graph import Graph, Node, Scope


@dataclass(frozen=True, slots=True, eq=False)
class BoxPart:
    """What is drawn as one box: a label over lines. Equal boxes have equal `key`s."""

    nodes: tuple[int, ...]
    key: int
    kind: Kind
    title: str | None
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class FramePart:
    """Parts in a frame; `titles` are its label and its block call. Without any, a turn of a fold."""

    nodes: tuple[int, ...]
    key: int
    titles: tuple[str, ...]
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True, eq=False)
class FoldPart:
    """Equal parts one after another, or side by side on the same input; the first is drawn."""

    nodes: tuple[int, ...]
    key: int
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


def _title(scope: Scope, call: str | None) -> str | None:
    """What a frame or closed scope is called: its label, what it shares, or else the last step of its name."""
    if scope.kind == "shared":
        return f"{scope.module} (shared weights)"
    if scope.kind == "again":
        return f"{scope.module} (again)"
    if scope.label is not None or call:
        return scope.label
    return scope.name.rpartition(".")[2] if scope.kind == "bracket" and scope.name else scope.kind


class _Folder:
    def __init__(self, graph: Graph, detail: Detail) -> None:
        self.graph = graph
        self.detail = detail
        self.outline = Outline(graph)
        self.equality: Equality = "loose" if detail.loose else "equal"
        framed = {n for scope in graph.scopes() if scope.kind == "again" for n in scope.nodes()}
        self.alone = {n.index for n in graph.nodes if n.again and not n.op.source and n.index not in framed}
        """Layers used again by themselves, not as a part of what is."""

    def children(self, scope: Scope) -> tuple[Part, ...]:
        """What is in a scope as parts, equal neighbours folded."""
        parts: list[Part] = []
        plain: list[int] = []
        for child in scope.children:
            if isinstance(child, int):
                plain.append(child)
            else:
                parts += [*self._cells(plain), *self._scope(child)]
                plain = []
        parts += self._cells(plain)
        if not self.detail.folds or not parts:
            return tuple(parts)
        return tuple(self._folded(parts, self.outline.phases([part.nodes for part in parts], scope)))

    def _folded(self, parts: Sequence[Part], phases: Sequence[tuple[int, ...]]) -> Iterator[Part]:
        """Runs of equal parts as folds; what a pattern repeats is folded in turn."""
        nodes, keys = [part.nodes for part in parts], [part.key for part in parts]
        for run in self.outline.runs(nodes, keys, phases=phases):
            if run.times == 1:
                yield from (parts[place] for turn in run.turns() for place in turn)
            else:
                yield self._fold(parts, phases, run)

    def _fold(self, parts: Sequence[Part], phases: Sequence[tuple[int, ...]], run: Run) -> FoldPart:
        turns: list[Part] = []
        for turn in run.turns():
            inner = parts[turn.start : turn.stop]
            turns.append(self._frame((), tuple(self._folded(inner, phases[turn.start : turn.stop]))))
        nodes = tuple(n for part in turns for n in part.nodes)
        return FoldPart(nodes, self._key("fold", turns, run.parallel), tuple(turns), run.parallel)

    def _key(self, *what: object) -> int:
        """A number for parts of the same kind, made of equal parts."""
        told = (tuple(part.key for part in one) if isinstance(one, list) else one for one in what)
        return self.outline.number(tuple(told))

    def _scope(self, scope: Scope) -> list[Part]:
        nodes = tuple(scope.nodes())
        if not nodes:
            return []
        call = words.call_text(scope)
        name = _title(scope, call)
        if self.detail.opens(scope):
            inner = self.children(scope)
            titles = tuple(text for text in (name, call) if text)
            if scope.kind == "shortcut" and self.detail.folds:
                return list(inner)
            if len(inner) == 1 and self.detail.folds:
                return [self._titled(inner[0], titles if name else ())]
            return [self._frame(titles, inner)]
        terms = term_lines(self.graph, scope)
        lines = ((call,) if call else ()) + terms if terms else words.named_call(scope)
        lines = lines or (f"{len(nodes)} layers",)
        block = scope.block.name if scope.block else None
        same = block if block and self.detail.loose else self.outline.signature(nodes, self.equality)
        return [BoxPart(nodes, self._key("block", block, same), "block", name, lines)]

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

    def _frame(self, titles: tuple[str, ...], parts: tuple[Part, ...]) -> Part:
        if not titles and len(parts) == 1:
            return parts[0]
        nodes = tuple(n for part in parts for n in part.nodes)
        same = self.outline.signature(nodes, self.equality)
        return FramePart(nodes, self._key("frame", bool(titles), list(parts), same), titles, parts)

    # --- cells ---------------------------------------------------------------------------

    def _cells(self, nodes: Sequence[int]) -> list[BoxPart]:
        """Neighbouring layers as boxes: one main layer each, with the small ones that follow it."""
        if not self.detail.cells:
            return [self._cell((self.graph.nodes[n],)) for n in nodes]
        return [self._cell(cell) for cell in self.outline.cells(nodes)]

    def _cell(self, cell: Sequence[Node]) -> BoxPart:
        main = next((n for n in cell if not is_small(n)), cell[0])
        shown = [n for n in cell if n.role != "flatten"] or cell
        lines = tuple(
            ", ".join(words.layer_text(n) for n in run) for _, run in groupby(shown, key=lambda n: n is main)
        )
        if main.op.family == "merge":
            lines = (" ".join(lines),)
        label = next((n.label for n in cell if n.label is not None and n.role == "own"), None)
        if main.index in self.alone:
            label = f"{label or ''} = {main.again} (again)".removeprefix(" = ")
        nodes = tuple(n.index for n in cell)
        key = self._key("cell", self.outline.signature(nodes, self.equality))
        return BoxPart(nodes, key, main.op.family, label, lines)


__all__ = ["BoxPart", "Detail", "FoldPart", "FramePart", "Part", "boxes_of", "parts_of"]
