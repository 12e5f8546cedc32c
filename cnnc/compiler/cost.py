"""What a network costs: parameters, state, MACs, FLOPs, activations, and the memory these take.

All counts are exact integers and per image. MACs are one per multiply-add of
convolutions, transposed convolutions, fully-connected and recurrent layers and products of
matrices, those of attention included and counted whole, and nothing else;
FLOPs are 2 x MACs and one for each addition of a bias.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod

from cnnc.compiler.graph import Graph, Scope
from cnnc.compiler.ops import count
from cnnc.dsl.record import record


@record
class Cost:
    """Counts of elements and operations.

    `params` are learnable weights. `state` are all elements kept and not learned:
    running means and variances, and each batch norm's one `num_batches_tracked`,
    so that it equals the number of elements in a built module's buffers.
    `activations` are the elements of the outputs.
    """

    params: int = 0
    state: int = 0
    macs: int = 0
    flops: int = 0
    activations: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.params + other.params,
            self.state + other.state,
            self.macs + other.macs,
            self.flops + other.flops,
            self.activations + other.activations,
        )

    def __mul__(self, times: int) -> Cost:
        return Cost(
            self.params * times,
            self.state * times,
            self.macs * times,
            self.flops * times,
            self.activations * times,
        )


@record
class Costs:
    """The cost of each node by its index, the inputs' being nothing, and the sum of them all.

    `unknown` are the nodes, by name, of which nobody knows the `params` or `macs` (externs that
    do not declare them): they count as 0, so that the total is a least one.
    """

    nodes: tuple[Cost, ...]
    total: Cost
    unknown: Mapping[str, tuple[str, ...]]


def costs(graph: Graph) -> Costs:
    """The cost of every node.

    A shared module's parameters and state stand at its first use, its MACs,
    FLOPs and activations at each use, so a total is the sum of its rows.

    >>> from cnnc.compiler.build import build
    >>> from cnnc.dsl.parse import parse
    >>> from cnnc.dsl.source import Source
    >>> graph = build(parse(Source("net.cnn", "input 3x8x8\\nconv3-4")))
    >>> costs(graph).total
    Cost(params=112, state=0, macs=6912, flops=14080, activations=256)
    """
    seen: set[str] = set()
    rows = []
    unknown: dict[str, list[str]] = {}
    for node in graph.nodes:
        for what in node.op.unknown:
            unknown.setdefault(what, []).append(node.name)
        if node.role == "input":
            rows.append(Cost())
            continue
        ins = graph.ins(node)
        first = node.module not in seen
        seen.add(node.module)
        rows.append(Cost(
            count(node.op.params(*ins).values()) if first else 0,
            count(node.op.state(*ins).values()) if first else 0,
            node.op.macs(*ins),
            node.op.flops(*ins),
            prod(node.out),
        ))  # fmt: skip
    return Costs(tuple(rows), total(rows), {what: tuple(names) for what, names in unknown.items()})


def total(rows: Iterable[Cost]) -> Cost:
    """The sum of costs."""
    params = state = macs = flops = activations = 0
    for row in rows:
        params += row.params
        state += row.state
        macs += row.macs
        flops += row.flops
        activations += row.activations
    return Cost(params, state, macs, flops, activations)


def scope_costs(graph: Graph, per_node: Costs) -> Mapping[Scope, Cost]:
    """The cost of every scope, the scopes within it included."""
    sums: dict[Scope, Cost] = {}
    for scope in reversed(tuple(graph.scopes())):  # children before parents
        sums[scope] = total(
            sums[child] if isinstance(child, Scope) else per_node.nodes[child] for child in scope.children
        )
    return sums


@record
class Memory:
    """Peak memory of activations in bytes. `inference_at` is the node that runs at the peak."""

    inference: int
    inference_at: str
    training: int
    dtype_bytes: int
    batch: int


def peak_memory(graph: Graph, dtype_bytes: int = 4, batch: int = 1) -> Memory:
    """The peak memory that activations take, in inference and in training.

    The convention. Nodes run in the graph's order. The output of every node is a
    buffer of its own, of elements x `batch` x `dtype_bytes`: nothing runs in
    place, and nothing is a view. The inputs are held from the start; a buffer
    is freed once the last node that takes it has run; the model's outputs are
    held to the end. While a node runs, its inputs and its output are both held.
    In training every buffer, the inputs' included, is kept for the backward
    pass; gradients are not counted. Neither are weights or a kernel's workspace.
    Free sizes count at their reference.
    """
    if dtype_bytes < 1 or batch < 1:
        raise ValueError(f"dtype_bytes (={dtype_bytes}) and batch (={batch}) must be at least 1")
    last_use = list(range(len(graph.nodes)))
    for node in graph.nodes:
        for i in node.inputs:
            last_use[i] = node.index
    for i in graph.outputs.values():
        last_use[i] = len(graph.nodes)
    elements = [int(prod(node.out)) for node in graph.nodes]
    live = sum(elements[node.index] for node in graph.nodes if node.role == "input")
    peak, peak_at = live, next(node.name for node in graph.nodes)
    for node in graph.nodes:
        if node.role == "input":
            continue
        live += elements[node.index]
        if live > peak:
            peak, peak_at = live, node.name
        live -= sum(elements[i] for i in dict.fromkeys(node.inputs) if last_use[i] == node.index)
        if last_use[node.index] == node.index:
            live -= elements[node.index]
    unit = dtype_bytes * batch
    return Memory(peak * unit, peak_at, sum(elements) * unit, dtype_bytes, batch)
