"""From parts to a picture: every node of the graph gets its box, and the graph's edges become arrows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from heapq import heapify, heappop, heappush

from cnnc.backends.diagram.figures import Note
from cnnc.backends.diagram.fold import BoxPart, FoldPart, FramePart, Part
from cnnc.backends.diagram.picture import Box, Cluster, Edge, Kind, Picture
from cnnc.backends.diagram.words import shape_text
from cnnc.compiler.graph import Graph, Node, Scope

Path = tuple[tuple[int, int], ...]
"""The folds that a node stands in, outermost first, each with the number of its turn."""


def draw(graph: Graph, scope: Scope, parts: Iterable[Part], notes: Sequence[Note]) -> Picture:
    """The picture of a scope's parts, with what flows in and out at its ends."""
    sketch = _Sketch(graph, notes)
    inside = frozenset(scope.nodes())
    whole = scope is graph.root
    sketch.sources(scope, inside, whole=whole)
    for part in parts:
        sketch.part(part, None, ())
    sketch.arrows()
    sketch.targets(scope, inside, whole=whole)
    edges = _with_skips(sketch.boxes, sketch.edges.values())
    return Picture(graph.name, tuple(sketch.filled()), tuple(edges), tuple(sketch.clusters))


@dataclass(slots=True)
class _Sketch:
    graph: Graph
    notes: Sequence[Note]
    boxes: list[Box] = field(default_factory=list)
    clusters: list[Cluster] = field(default_factory=list)
    edges: dict[tuple[str, str, str], Edge] = field(default_factory=dict)
    where: dict[int, tuple[str, Path]] = field(default_factory=dict)
    folds: dict[int, int] = field(default_factory=dict)
    """Drawn folds by identity, each with its number."""
    likes: dict[int, list[int]] = field(default_factory=dict)
    """For each node of a drawn turn, its equals in the hidden turns."""

    # --- the ends ------------------------------------------------------------------------

    def sources(self, scope: Scope, inside: frozenset[int], *, whole: bool) -> None:
        """A box for each tensor that comes in from outside."""
        taken = {j for n in inside for j in self.graph.values_into(self.graph.nodes[n])} - inside
        if whole:
            taken |= set(self.graph.inputs.values())
        for index in sorted(taken):
            node = self.graph.nodes[index]
            if not whole and index == scope.source:
                title = "in"
            else:
                title = node.label or node.name
            self._end("input", title, index)
            self.where[index] = (self.boxes[-1].id, ())

    def targets(self, scope: Scope, inside: frozenset[int], *, whole: bool) -> None:
        """A box for each tensor that goes out, and the arrow to it."""
        if whole:
            leaving = [(name, index) for name, index in self.graph.outputs.items() if index in self.where]
        else:
            consumers = self.graph.consumers()
            results = set(self.graph.outputs.values()) | {scope.result}
            leaving = [
                ("out" if index == scope.result else self.graph.nodes[index].name, index)
                for index in sorted(inside)
                if index in results or not inside.issuperset(consumers[index])
            ]
        for name, index in leaving:
            self._end("output", name, index)
            self._arrow(self.where[index][0], self.boxes[-1].id, index)

    def _end(self, kind: Kind, title: str, index: int) -> None:
        self.boxes.append(Box(id=f"b{len(self.boxes)}", kind=kind, title=title, nodes=(index,)))

    # --- boxes and frames ----------------------------------------------------------------

    def part(self, part: Part, cluster: str | None, path: Path) -> None:
        if isinstance(part, BoxPart):
            self._box(part, 1, False, cluster, path)
        elif isinstance(part, FoldPart):
            self._fold(part, cluster, path, ())
        elif part.titles and len(part.parts) == 1 and isinstance(part.parts[0], FoldPart):
            self._fold(part.parts[0], cluster, path, part.titles)
        else:
            inner = self._cluster(part.titles, None, cluster) if part.titles else cluster
            for child in part.parts:
                self.part(child, inner, path)

    def _box(self, part: BoxPart, times: int, parallel: bool, cluster: str | None, path: Path) -> None:
        name = f"b{len(self.boxes)}"
        box = Box(
            id=name, kind=part.kind, title=part.title, lines=part.lines, times=times, parallel=parallel,
            cluster=cluster,
        )  # fmt: skip
        self.boxes.append(box)
        self.where.update((n, (name, path)) for n in part.nodes)

    def filled(self) -> list[Box]:
        """The boxes with all nodes that lie on them, those of hidden turns included, and their figures."""
        nodes: dict[str, list[int]] = {}
        for index, (name, _) in sorted(self.where.items()):
            nodes.setdefault(name, []).append(index)
        return [
            replace(box, nodes=tuple(nodes[box.id]), notes=self._notes(nodes[box.id]))
            if box.id in nodes
            else box
            for box in self.boxes
        ]

    def _notes(self, nodes: Sequence[int]) -> tuple[str, ...]:
        return tuple(text for note in self.notes if (text := note(nodes)) is not None)

    def _cluster(self, lines: tuple[str, ...], count: str | None, parent: str | None) -> str:
        self.clusters.append(Cluster(f"c{len(self.clusters)}", lines, count, parent))
        return self.clusters[-1].id

    def _fold(self, fold: FoldPart, cluster: str | None, path: Path, titles: tuple[str, ...]) -> None:
        """The first turn is drawn, the others lie on top of it; `titles` are those of a frame it fills."""
        number = self.folds[id(fold)] = len(self.folds)
        inner = (*path, (number, 0))
        first, last = fold.turns[0], fold.turns[-1]
        if isinstance(first, BoxPart) and isinstance(last, BoxPart):
            frame = self._cluster(titles, None, cluster) if titles else cluster
            lines = tuple(_range(*pair) for pair in zip(first.lines, last.lines, strict=False))
            shown = replace(first, title=_range_of_titles(first, last), lines=lines)
            self._box(shown, len(fold.turns), fold.parallel, frame, inner)
        else:
            count = f"x {len(fold.turns)}{' in parallel' if fold.parallel else ''}"
            frame = self._cluster((*titles, *_range_of_frames(first, last)), count, cluster)
            for child in first.parts if isinstance(first, FramePart) else (first,):
                self.part(child, frame, inner)
        for turn, part in enumerate(fold.turns[1:], 1):
            self._overlay(first, part, (*path, (number, turn)))

    def _overlay(self, drawn: Part, part: Part, path: Path) -> None:
        """Give the nodes of a hidden part the boxes of its drawn equal."""
        if isinstance(drawn, BoxPart):
            name = self.where[drawn.nodes[0]][0]
            self.where.update((n, (name, path)) for n in part.nodes)
            if len(drawn.nodes) == len(part.nodes):
                for n, like in zip(drawn.nodes, part.nodes, strict=True):
                    self.likes.setdefault(n, []).append(like)
        elif isinstance(drawn, FramePart):
            assert isinstance(part, FramePart), "equal keys, unequal parts"
            for one, other in zip(drawn.parts, part.parts, strict=True):
                self._overlay(one, other, path)
        else:
            assert isinstance(part, FoldPart), "equal keys, unequal parts"
            for turn, other in enumerate(part.turns):
                self._overlay(drawn.turns[0], other, (*path, (self.folds[id(drawn)], turn)))

    # --- arrows --------------------------------------------------------------------------

    def arrows(self) -> None:
        """The graph's edges between boxes, those within and between hidden turns left out."""
        for node in self.graph.nodes:
            target = self.where.get(node.index)
            if target is None:
                continue
            values = self.graph.values_into(node)
            for place, index in enumerate(values):
                if index in self.where and _is_drawn(self.where[index][1], target[1]):
                    turns = self._in_all_turns(node, place)
                    self._arrow(self.where[index][0], target[0], index, _role(node, values, index), turns)

    def _in_all_turns(self, node: Node, place: int) -> str:
        """The shape of one of a node's inputs, from that in the first turn to that in the last."""
        nodes = [node, *(self.graph.nodes[n] for n in self.likes.get(node.index, ()))]
        takes = [values[place] for n in nodes if place < len(values := self.graph.values_into(n))]
        return _shape_range([self.graph.nodes[index].out for index in takes])

    def _arrow(self, source: str, target: str, index: int, role: str = "", turns: str = "") -> None:
        if source != target:
            shape = shape_text(self.graph.nodes[index].out)
            told = "" if turns == shape else turns
            self.edges.setdefault((source, target, shape), Edge(source, target, shape, role=role, turns=told))


def _is_drawn(source: Path, target: Path) -> bool:
    """Whether an edge between nodes in these turns is one of the drawn ones.

    What enters a fold enters its first turn; what leaves leaves from the last; what
    passes from turn to turn is not drawn.
    """
    shared = 0
    for (one, turn), (other, other_turn) in zip(source, target, strict=False):
        if one != other:
            break
        if turn != other_turn or turn:
            return False
        shared += 1
    return not any(turn for _, turn in target[shared:])


def _role(node: Node, values: Sequence[int], index: int) -> str:
    """What a node calls one of its inputs, where it tells them apart; nothing where all are one tensor."""
    if not node.op.input_names or len(set(values)) == 1:
        return ""
    names = (*node.op.input_names, *node.given)
    return ", ".join(name for name, value in zip(names, values, strict=False) if value == index)


def _shape_range(shapes: Sequence[Sequence[object]]) -> str:
    """The shapes of the turns of a fold, by axis from the first to the last: `64…224x56x56`."""
    first, last = shapes[0], shapes[-1]
    if len(first) != len(last):
        return shape_text(first)
    return shape_text([a if str(a) == str(b) else f"{a}…{b}" for a, b in zip(first, last, strict=True)])


def _range(first: str, last: str) -> str:
    """What equal boxes say; where they differ in numbers or labels, from which to which."""
    return first if first == last else f"{first} … {last}"


def _range_of_titles(first: BoxPart, last: BoxPart) -> str | None:
    if first.title is None or last.title is None:
        return first.title
    return _range(first.title, last.title)


def _range_of_frames(first: Part, last: Part) -> tuple[str, ...]:
    """The heading of a fold of frames; where all are the same call, the call says enough."""
    if not isinstance(first, FramePart) or not isinstance(last, FramePart):
        return ()
    if first.titles[1:] and first.titles[-1] == last.titles[-1]:
        return first.titles[-1:]
    return tuple(_range(*pair) for pair in zip(first.titles, last.titles, strict=False))


# --- skips -------------------------------------------------------------------------------

SHORT_SKIP = 3
"""A skip around fewer boxes leaves beside the arrow that tells its shape already."""


def _with_skips(boxes: Sequence[Box], edges: Iterable[Edge]) -> list[Edge]:
    """The edges, those marked that another way of several boxes goes around."""
    edges = tuple(edges)
    order = _along_the_flow(boxes, edges)
    after: list[list[int]] = [[] for _ in boxes]
    for edge in edges:
        if order[edge.source] < order[edge.target]:
            after[order[edge.source]].append(order[edge.target])
    marked = [
        replace(edge, skip=_has_detour(after, order[edge.source], order[edge.target])) for edge in edges
    ]
    told = {(edge.source, edge.shape) for edge in marked if not edge.skip}
    return [
        replace(edge, quiet=True)
        if edge.skip
        and (edge.source, edge.shape) in told
        and order[edge.target] - order[edge.source] <= SHORT_SKIP
        else edge
        for edge in marked
    ]


def _along_the_flow(boxes: Sequence[Box], edges: Sequence[Edge]) -> dict[str, int]:
    """The places of boxes such that arrows go forward; the order of the boxes where they go in circles."""
    place = {box.id: i for i, box in enumerate(boxes)}
    missing = Counter(edge.target for edge in edges)
    leaving: dict[str, list[str]] = {}
    for edge in edges:
        leaving.setdefault(edge.source, []).append(edge.target)
    ready = [place[box.id] for box in boxes if not missing[box.id]]
    heapify(ready)
    order: dict[str, int] = {}
    while ready:
        box = boxes[heappop(ready)].id
        order[box] = len(order)
        for target in leaving.get(box, ()):
            missing[target] -= 1
            if not missing[target]:
                heappush(ready, place[target])
    return order if len(order) == len(boxes) else place


def _has_detour(after: Sequence[Sequence[int]], source: int, target: int) -> bool:
    """Whether the target can be reached from the source in more than one step."""
    todo = [n for n in after[source] if n < target]
    seen = set(todo)
    while todo:
        for n in after[todo.pop()]:
            if n == target:
                return True
            if n < target and n not in seen:
                seen.add(n)
                todo.append(n)
    return False
