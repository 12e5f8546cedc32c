"""The outline of a network: layers joined in cells, equal neighbours counted. Every picture and table reads it.

Two parts of a network are equal where their layers are equal in every argument, give maps of
equal size, and are wired alike. Repeats and patterns of equal parts are found by that alone; the
brackets of the text only say where a pattern may begin.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from cnnc.compiler.graph import Graph, Node, Scope
from cnnc.compiler.walk.values import Turn

SMALL = frozenset({"normalisation", "activation", "regularisation", "arithmetic"})
"""Families that join the layer before (or, at a chain's head, after) them."""
LONGEST = 16
"""Parts of the longest pattern that is looked for."""
FEWEST_PARALLEL = 3
"""Fewer equal branches than these are not counted but listed."""

Child = int | Scope
"""A layer by its index, or a scope."""
Equality = Literal["exact", "equal", "unsized", "loose"]
"""What equal layers agree in: `equal` in all arguments and the size of the map they give; `exact` also in
channels and the sharing of weights, so that they cost the same; `unsized` in all arguments only; `loose`
in their kind and the size only. Who counts layers that are not `equal` writes from what to what they go."""


@dataclass(frozen=True, slots=True)
class Run:
    """`times` equal stretches of `length` parts each, from part `start` on."""

    start: int
    length: int = 1
    times: int = 1
    parallel: bool = False

    def turns(self) -> Iterator[range]:
        """The places of the parts of each stretch."""
        for turn in range(self.times):
            yield range(self.start + turn * self.length, self.start + (turn + 1) * self.length)


def is_small(node: Node) -> bool:
    """Whether a layer is told with another one."""
    return node.op.family in SMALL or node.role == "flatten"


def nodes_of(child: Child) -> tuple[int, ...]:
    return (child,) if isinstance(child, int) else tuple(child.nodes())


class Outline:
    """What is joined, what is equal and what follows what in one graph."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.consumers = graph.consumers()
        self.outputs = frozenset(graph.outputs.values())
        self._numbers: dict[Hashable, int] = {}
        self._ends: dict[tuple[int, ...], tuple[frozenset[int], frozenset[int]]] = {}

    # --- cells ---------------------------------------------------------------------------

    def cells(self, nodes: Sequence[int]) -> list[tuple[Node, ...]]:
        """Neighbouring layers, those together of which one is the main one and the others are small."""
        cells: list[list[Node]] = []
        for index in nodes:
            node = self.graph.nodes[index]
            if cells and self._joins(cells[-1], node):
                cells[-1].append(node)
            else:
                cells.append([node])
        return [tuple(cell) for cell in cells]

    def _joins(self, cell: Sequence[Node], node: Node) -> bool:
        last = cell[-1].index
        if node.inputs != (last,) or self.consumers[last] != (node.index,) or last in self.outputs:
            return False
        return node.op.family in SMALL or all(map(is_small, cell))

    # --- equality ------------------------------------------------------------------------

    def number(self, key: Hashable) -> int:
        """The same small number for equal keys."""
        return self._numbers.setdefault(key, len(self._numbers))

    def signature(self, nodes: Sequence[int], equality: Equality = "equal") -> int:
        """The same number for layers that are equal one by one and wired alike, whatever feeds them."""
        inside = frozenset(nodes)
        place: dict[int, int] = {}  # from 0 for these nodes, from -1 down for what feeds them
        told: list[Hashable] = []
        feeding = 0
        for n in sorted(nodes):
            node = self.graph.nodes[n]
            for i in node.inputs:
                if i not in inside and i not in place:
                    feeding += 1
                    place[i] = -feeding
            if node.role == "flatten" and equality != "exact":  # it comes with another layer
                place[n] = place[node.inputs[0]]
                continue
            place[n] = len(told)
            told.append((self._of_node(node, equality), tuple(place[i] for i in node.inputs)))
        return self.number(tuple(told))

    def _of_node(self, node: Node, equality: Equality) -> Hashable:
        size = repr(node.out[1:])  # free sizes as their expressions
        if equality == "unsized":
            return node.op
        if equality == "loose":
            return node.op.kind, size
        if equality == "equal":
            return node.op, size
        return node.op, repr((self.graph.ins(node), node.out)), node.module == node.name

    # --- what flows between parts ----------------------------------------------------------

    def ends(self, nodes: tuple[int, ...]) -> tuple[frozenset[int], frozenset[int]]:
        """The nodes outside that these take from, and those that take from them; an output of the model is -1."""
        found = self._ends.get(nodes)
        if found is None:
            inside = set(nodes)
            sources = {j for n in nodes for j in self.graph.nodes[n].inputs} - inside
            targets = {j for n in nodes for j in self.consumers[n]} - inside
            if not self.outputs.isdisjoint(inside):
                targets.add(-1)
            found = self._ends[nodes] = frozenset(sources), frozenset(targets)
        return found

    def follows(self, first: tuple[int, ...], second: tuple[int, ...]) -> bool:
        """Whether all that leaves the first goes into the second, which takes nothing new."""
        sources, targets = self.ends(first)
        taken, _ = self.ends(second)
        inside = set(first)
        return (
            bool(targets) and targets <= set(second)
            and not taken.isdisjoint(inside) and taken - inside <= sources
        )  # fmt: skip

    def beside(self, first: tuple[int, ...], second: tuple[int, ...]) -> bool:
        """Whether both take the same and go to the same place, which does not tell them apart."""
        taken, targets = self.ends(first)
        told_apart = any(n >= 0 and self.graph.nodes[n].op.input_names for n in targets)
        return bool(taken) and (taken, targets) == self.ends(second) and not told_apart

    # --- runs ----------------------------------------------------------------------------

    def runs(
        self, parts: Sequence[tuple[int, ...]], keys: Sequence[Hashable], *,
        phases: Sequence[Hashable] | None = None, longest: int = LONGEST, wired: bool = True,
    ) -> list[Run]:  # fmt: skip
        """All parts (their nodes) as runs: at each place the pattern that covers most, the shortest of equals.

        `keys` say which parts are equal. A pattern of several parts begins where `phases` agree. If
        `wired`, each stretch must follow the one before it, or all must stand side by side.
        Linear: what is looked at for a place is at most `longest` times what is taken there.
        """
        found: list[Run] = []
        place = 0
        while place < len(parts):
            best = Run(place)
            for length in range(1, min(longest, (len(parts) - place) // 2) + 1):
                if keys[place + length] != keys[place]:
                    continue
                run = self._run(parts, keys, phases, place, length, wired=wired)
                if run.times > 1 and run.times * run.length > best.times * best.length:
                    best = run
            found.append(best)
            place += best.length * best.times
        return found

    def _run(
        self, parts: Sequence[tuple[int, ...]], keys: Sequence[Hashable], phases: Sequence[Hashable] | None,
        start: int, length: int, *, wired: bool,
    ) -> Run:  # fmt: skip
        times, parallel = 1, False
        stretch = (
            parts[start] if length == 1 else tuple(n for part in parts[start : start + length] for n in part)
        )
        for place in range(start + length, len(parts) - length + 1, length):
            if any(keys[place + i] != keys[start + i] for i in range(length)):
                break
            if length > 1 and phases is not None and phases[place] != phases[start]:
                break
            following = (
                parts[place]
                if length == 1
                else tuple(n for part in parts[place : place + length] for n in part)
            )
            serial = not wired or self.follows(stretch, following)
            aside = not serial and self.beside(stretch, following)
            if not (serial or aside) or (times > 1 and aside != parallel):
                break
            stretch, parallel, times = following, aside, times + 1
        if parallel and times < FEWEST_PARALLEL:
            return Run(start, length)
        return Run(start, length, times, parallel)

    def phases(self, parts: Sequence[tuple[int, ...]], scope: Scope) -> list[tuple[int, ...]]:
        """Where each part stands in the turns of the repeats that it is in: a pattern begins with a turn.

        A turn of one part says nothing: `conv3-8 -> [conv3-8]*2` are three equal layers.
        """
        chains = [self._turns(part[0], scope) for part in parts]
        seen: dict[int, int] = {}
        offsets = []
        for chain in chains:
            offsets.append([(id(turn), seen.get(id(turn), 0)) for turn in chain])
            seen.update({key: offset + 1 for key, offset in offsets[-1]})
        return [tuple(offset for key, offset in one if seen[key] > 1) for one in offsets]

    def _turns(self, node: int, scope: Scope) -> list[Turn]:
        """The turns of repeats of a scope that one of its nodes stands in, outermost first."""
        trace, turns = self.graph.nodes[node].trace, []
        while trace is not None and trace is not scope.trace:
            if isinstance(trace, Turn):
                turns.append(trace)
            trace = trace.parent
        return turns[::-1]


@dataclass(frozen=True)
class Wiring:
    """What flows between parts (their nodes), by their places."""

    graph: Graph
    parts: tuple[tuple[int, ...], ...]

    @cached_property
    def owner(self) -> dict[int, int]:
        """The part of every node."""
        return {n: place for place, nodes in enumerate(self.parts) for n in nodes}

    @cached_property
    def flows(self) -> dict[tuple[int, int], int]:
        """For each pair of parts with an arrow between them, the node that flows; in the order of the targets."""
        found: dict[tuple[int, int], int] = {}
        for place, nodes in enumerate(self.parts):
            for n in nodes:
                for i in self.graph.values_into(self.graph.nodes[n]):
                    source = self.owner.get(i)
                    if source is not None and source != place:
                        found.setdefault((source, place), i)
        return found
