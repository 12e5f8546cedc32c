"""Where a network is cut into stages: balanced by cost, and where few bytes cross."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from math import prod

from cnnc.compiler.graph import Graph, Scope
from cnnc.dsl.diagnostics import fail
from cnnc.dsl.record import record

FLOAT_BYTES = 4


@record
class Crossing:
    """A tensor that a stage hands on: the layer that made it, and its bytes for one image in float32."""

    layer: str
    bytes: int


@record
class Stage:
    """Consecutive parts of the model, in order; `macs` of one image; `crossing` is what flows on from it.

    `params` are those of the modules in it: one that several stages use counts in each.
    """

    parts: tuple[str, ...]
    macs: int
    params: int
    crossing: tuple[Crossing, ...]


@record
class Split:
    """A model in stages. `balance` is the slowest stage's multiply-adds over the mean."""

    model: str
    stages: tuple[Stage, ...]
    balance: float
    crossing_bytes: int


@record
class _Part:
    name: str
    first: int
    last: int
    macs: int


def split(graph: Graph, count: int, *, slack: float = 0.05) -> Split:
    """`count` stages: the slowest as fast as can be, to a share `slack`, and of such cuts those that the fewest bytes cross.

    Cuts lie between layers and blocks, never inside a block's innermost call. A tensor that several later stages read
    crosses every cut on its way, once each. Raises CnncError (E303) where there are fewer parts than stages, (E407) where
    a size is free.
    """
    parts, crossings, cuts = _cut(graph, count, slack)
    before = [0, *accumulate(part.macs for part in parts)]
    owners = {node.module: node for node in graph.nodes if node.module == node.name}
    stages = []
    for a, b in zip((0, *cuts), (*cuts, len(parts)), strict=True):
        nodes = graph.nodes[parts[a].first : parts[b - 1].last + 1]
        held = {n.module: owners[n.module] for n in nodes}
        stages.append(Stage(
            parts=tuple(part.name for part in parts[a:b]), macs=before[b] - before[a],
            params=sum(prod(shape) for n in held.values() for shape in n.op.params(*graph.ins(n)).values()),
            crossing=crossings[b - 1] if b < len(parts) else (),
        ))  # fmt: skip
    slowest, total = max(stage.macs for stage in stages), before[-1]
    return Split(
        model=graph.name, stages=tuple(stages), balance=slowest * count / total if total else 1.0,
        crossing_bytes=sum(c.bytes for stage in stages for c in stage.crossing),
    )  # fmt: skip


def cut(graph: Graph, count: int, *, slack: float = 0.05) -> tuple[int, ...]:
    """The last node of each of the stages of `split`. Raises what it raises."""
    parts, _, cuts = _cut(graph, count, slack)
    return (*(parts[end - 1].last for end in cuts), len(graph.nodes) - 1)


def _cut(
    graph: Graph, count: int, slack: float
) -> tuple[list[_Part], list[tuple[Crossing, ...]], tuple[int, ...]]:
    """The parts, what crosses after each, and how many parts come before each cut."""
    if graph.free:
        free = ", ".join(graph.free)
        hint = "give it with --input, such as --input 3x224x224"
        raise fail("E407", f"the size {free} must be known to balance the stages", hint=hint)
    parts = _parts(graph)
    if not 1 <= count <= len(parts):
        raise fail(
            "E303", f"`stages` (={count}) must be between 1 and {len(parts)}, the layers and blocks that can be cut apart",
            hint="ask for fewer",
        )  # fmt: skip
    crossings = [_crossing(graph, part.last) for part in parts]
    sizes = [sum(c.bytes for c in found) for found in crossings]
    before = [0, *accumulate(part.macs for part in parts)]
    limit = _least_maximum(before, count)
    return parts, crossings, _cheapest(before, sizes, count, limit * (1 + slack))


def _parts(graph: Graph) -> list[_Part]:
    """The layers and innermost blocks in order, each a run of nodes of its own."""
    home: dict[int, str] = {}

    def visit(scope: Scope) -> None:
        inner = [child for child in scope.children if isinstance(child, Scope)]
        for child in scope.children:
            if not isinstance(child, Scope):
                home[child] = scope.name if scope.kind == "block" else graph.nodes[child].name
        for child in inner:
            visit(child)
            if scope.kind == "block" and child.kind != "block":
                home.update(dict.fromkeys(child.nodes(), scope.name))

    visit(graph.root)
    runs: list[list[int]] = []
    names: list[str] = []
    for node in graph.layers:
        name = home.get(node.index, node.name)
        if names and names[-1] == name:
            runs[-1].append(node.index)
        else:
            runs.append([node.index])
            names.append(name)
    return [
        _Part(name, run[0], run[-1], sum(graph.nodes[i].op.macs(*graph.ins(graph.nodes[i])) for i in run))
        for name, run in zip(names, runs, strict=True)
    ]


def _crossing(graph: Graph, last: int) -> tuple[Crossing, ...]:
    """What is made up to a node and read after it; an output of the model goes on to the last stage."""
    outputs = set(graph.outputs.values())
    found = []
    readers = graph.consumers()
    for node in graph.nodes[: last + 1]:
        later = any(i > last for i in readers[node.index]) or (
            node.index in outputs and node.index < len(graph.nodes) - 1
        )
        if later:
            found.append(Crossing(node.name, FLOAT_BYTES * int(prod(node.out))))
    return tuple(found)


def _least_maximum(before: Sequence[int], count: int) -> int:
    """The smallest largest sum of `count` runs (the classic linear partition, by bisection)."""
    low = max(b - a for a, b in pairwise(before))
    high = before[-1]
    while low < high:
        middle = (low + high) // 2
        runs, start = 1, 0
        for end in range(1, len(before)):
            if before[end] - before[start] > middle:
                runs, start = runs + 1, end - 1
        if runs <= count:
            high = middle
        else:
            low = middle + 1
    return low


def _cheapest(before: Sequence[int], sizes: Sequence[int], count: int, limit: float) -> tuple[int, ...]:
    """The cuts with the fewest bytes of those whose stages stay within the limit: by stage, the best way to each end."""
    n = len(before) - 1
    best: list[dict[int, tuple[int, tuple[int, ...]]]] = [{0: (0, ())}]
    for stage in range(1, count + 1):
        found: dict[int, tuple[int, tuple[int, ...]]] = {}
        for start, (cost, cuts) in best[-1].items():
            for end in range(start + 1, n + 1):
                if before[end] - before[start] > limit:
                    break
                if (end == n) != (stage == count):
                    continue
                price = cost + (sizes[end - 1] if end < n else 0)
                if end not in found or price < found[end][0]:
                    found[end] = (price, (*cuts, end) if end < n else cuts)
        best.append(found)
    if n not in best[-1]:
        return _cheapest(before, sizes, count, limit * 1.1)
    return best[-1][n][1]
