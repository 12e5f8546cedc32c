"""What stands beside a line: the shape that flows out of it, what its layers cost, the field of one output.

A line of a block or of a repeat is placed many times; its figures are those of the first time and the last.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from cnnc.compiler.graph import Graph, Node
from cnnc.compiler.ops import by_x
from cnnc.compiler.walk.values import CallStep, Trace
from cnnc.dsl.record import record
from cnnc.dsl.source import Source, Span

Place = tuple[int, int]
"""Where something ends: its line (from 1), and the offset in the text."""


@record
class Line:
    """One line of a text with layers on it: what flows out of the last thing on it that is placed each time.

    `first` and `last` are the nodes whose output that is, the first time and the last; `times` says how often.
    `nodes` are all layers that the line places, those in the blocks that it calls included.
    """

    number: int
    first: int
    last: int
    times: int
    nodes: tuple[int, ...]
    shapes: tuple[str, ...]
    """Of `first` and `last`; one where they are alike."""

    def at(self, number: int) -> Line:
        """The same on another line."""
        return replace(self, number=number)


def lines_of(graph: Graph) -> tuple[Line, ...]:
    """The figures of every line of the graph's own text on which layers are, from the top."""
    return tuple(_Gather(graph).lines())


class _Gather:
    """One pass over the nodes that puts each on the lines which placed it."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.source: Source = graph.source
        self.ends: dict[int, Place] = {}
        self.ways: dict[int, list[tuple[Place, int]]] = {}
        self.results = _results(graph)
        self.visits: dict[int, dict[int, dict[int, int]]] = {}
        """By line and by the end of what stands there: for each time that it is placed, the node that flows out."""
        self.placed: dict[int, list[int]] = {}

    def lines(self) -> Iterator[Line]:
        for node in self.graph.nodes:
            if node.role != "input":
                self._put(node)
        for number in sorted(self.visits):
            ends = self.visits[number]
            end = max(ends, key=lambda end: (len(ends[end]), end))
            found = list(ends[end].values())
            shapes = dict.fromkeys(by_x(self.graph.nodes[i].out) for i in (found[0], found[-1]))
            yield Line(
                number=number,
                first=found[0],
                last=found[-1],
                times=len(found),
                nodes=tuple(dict.fromkeys(self.placed[number])),
                shapes=tuple(shapes),
            )

    def _put(self, node: Node) -> None:
        places = self._way(node.trace)
        if node.span.source is self.source:
            places = [(self._end(node.span), id(node.trace)), *places]
        for (number, end), visit in places:
            turns = self.visits.setdefault(number, {}).setdefault(end, {})
            turns[visit] = self.results.get(visit, node.index)
            self.placed.setdefault(number, []).append(node.index)

    def _way(self, trace: Trace | None) -> list[tuple[Place, int]]:
        """The places in this text that a way leads through, each with what tells one time there from another."""
        if trace is None:
            return []
        key = id(trace)
        if key not in self.ways:
            way = list(self._way(trace.parent))
            if trace.span.source is self.source and self._counts(trace):
                way.insert(
                    0, (self._end(trace.span), key if isinstance(trace, CallStep) else id(trace.parent))
                )
            self.ways[key] = way
        return self.ways[key]

    def _counts(self, trace: Trace) -> bool:
        """Calls do; a repeat does where its end has a line apart from what it repeats."""
        return isinstance(trace, CallStep) or trace.span.line != self._end(trace.span)[0]

    def _end(self, span: Span) -> Place:
        if span.end not in self.ends:
            self.ends[span.end] = (self.source.position(max(span.start, span.end - 1))[0], span.end)
        return self.ends[span.end]


def _results(graph: Graph) -> Mapping[int, int]:
    """What flows out of each call of a block, by the identity of the step that leads into it."""
    found: dict[int, int] = {}
    for scope in graph.scopes():
        if scope.kind not in ("block", "shared") or scope.result is None:
            continue
        first = next(scope.nodes(), None)
        step = None if first is None else graph.nodes[first].trace
        while step is not None and not (step.span is scope.span and step.parent is scope.trace):
            step = step.parent
        if step is not None:
            found[id(step)] = scope.result
    return found
