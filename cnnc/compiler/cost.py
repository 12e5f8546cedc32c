"""What a network costs: parameters, state, MACs, FLOPs, activations, memory traffic, and the memory these take.

All counts are exact integers and per image. A figure is declared once, as a field of `Cost`: the
columns of tables, the JSON records, `cnnc diff`, charts, notes on diagrams and `expect` derive from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import field, fields
from functools import partial
from math import prod
from operator import attrgetter
from typing import Any

from cnnc.compiler.graph import Graph, Node
from cnnc.compiler.ops import Op, Shape, count
from cnnc.compiler.ops.base import COUNTER
from cnnc.dsl.record import record

FLOAT_BYTES = 4
"""Bytes of a float32, in which memory traffic is counted."""


class Use:
    """One layer where it is used: what its figures are computed from.

    `first` says whether no earlier layer has the same weights.
    """

    def __init__(self, graph: Graph, node: Node, *, first: bool) -> None:
        self.op: Op = node.op
        self.ins = graph.ins(node)
        self.out: Shape = node.out
        self.first = first
        self.weights = count(self.op.params(*self.ins).values())
        self.state: Mapping[str, Shape] = self.op.state(*self.ins)

    def traffic(self) -> int:
        """Bytes read and written in inference; an input of which only the size matters is not read."""
        ins = self.ins
        if self.op.only_sized:
            windows = self.op.windows(*ins)
            ins = tuple(shape for shape, window in zip(ins, windows, strict=True) if window is not None)
        kept = count(shape for name, shape in self.state.items() if name != COUNTER)
        return FLOAT_BYTES * (count(ins) + prod(self.out) + self.weights + kept)


def figure(title: str, of: Callable[[Use], int], *, heading: str = "", unit: str = "") -> Any:
    """A field of `Cost`: what it is called in prose and over a column, how a layer has it, and in which unit."""
    return field(default=0, metadata={"title": title, "heading": heading or title, "unit": unit, "of": of})


@record
class Cost:
    """Counts of elements, operations and bytes.

    `params` are learnable weights. `state` are all elements kept and not learned:
    running means and variances, and each batch norm's one `num_batches_tracked`,
    so that it equals the number of elements in a built module's buffers.
    `macs` are one per multiply-add of convolutions, transposed convolutions, fully-connected and recurrent
    layers and products of matrices, those of attention included and counted whole, and nothing else; `flops` are 2 x MACs and one for each addition of a bias.
    `activations` are the elements of the outputs. `traffic` are the bytes that each layer, run by
    itself in inference, reads and writes: its inputs, its output and its weights with their running
    statistics, each once, in float32. As in `peak_memory` nothing runs in place and nothing is a view.
    """

    params: int = figure("parameters", lambda use: use.weights if use.first else 0, heading="params")
    state: int = figure("state", lambda use: count(use.state.values()) if use.first else 0)
    macs: int = figure("MACs", lambda use: use.op.macs(*use.ins))
    flops: int = figure("FLOPs", lambda use: use.op.flops(*use.ins))
    activations: int = figure("activations", lambda use: prod(use.out))
    traffic: int = figure("bytes of traffic", Use.traffic, heading="traffic", unit="bytes")

    def __add__(self, other: Cost) -> Cost:
        return total((self, other))

    def __mul__(self, times: int) -> Cost:
        return Cost(*(times * number for number in self.values()))

    def values(self) -> tuple[int, ...]:
        """The counts in the order of `FIGURES`."""
        return _VALUES(self)

    def items(self) -> Iterable[tuple[str, int]]:
        """The counts by their keys."""
        return zip(FIGURES, self.values(), strict=True)


@record
class Figure:
    """One count: the attribute of `Cost` that holds it and, in prose and over a column, its name.

    `unit` is `bytes`, or empty for a plain number.
    """

    key: str
    title: str
    heading: str
    unit: str
    of: Callable[[Use], int]


FIGURES: Mapping[str, Figure] = {f.name: Figure(f.name, **f.metadata) for f in fields(Cost)}
_VALUES: Callable[[Cost], tuple[int, ...]] = attrgetter(*FIGURES)


@record
class Costs:
    """The cost of each node by its index, the inputs' being nothing, and the sum of them all.

    `unknown` are the nodes, by name, of which nobody knows the `params` or `macs` (externs that
    do not declare them): they count as 0, so that the total is a least one.
    """

    nodes: tuple[Cost, ...]
    total: Cost
    unknown: Mapping[str, tuple[str, ...]]

    def told(self, what: str) -> str:
        """A total in words: `408`, or `at least 408` where some of it is unknown."""
        return f"{'at least ' if lacking(self.unknown, what) else ''}{getattr(self.total, what):,}"


_DEPENDS_ON = {"flops": "macs", "traffic": "params"}
"""Figures that are unknown where others are."""


def lacking(unknown: Mapping[str, tuple[str, ...]], what: str) -> tuple[str, ...]:
    """The layers that leave a figure open, so that it is at least what is known of it."""
    return unknown.get(_DEPENDS_ON.get(what, what), ())


def costs(graph: Graph) -> Costs:
    """The cost of every node.

    A shared module's parameters and state stand at its first use, its MACs,
    FLOPs, activations and traffic at each use, so a total is the sum of its rows.

    >>> from cnnc.compiler.build import build
    >>> from cnnc.dsl.parse import parse
    >>> from cnnc.dsl.source import Source
    >>> graph = build(parse(Source("net.cnn", "input 3x8x8\\nconv3-4")))
    >>> costs(graph).total
    Cost(params=112, state=0, macs=6912, flops=14080, activations=256, traffic=2240)
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
        first = node.module not in seen
        seen.add(node.module)
        rows.append(graph.kept(node, ("cost", first), partial(_cost, graph, node, first=first)))
    return Costs(tuple(rows), total(rows), {what: tuple(names) for what, names in unknown.items()})


def _cost(graph: Graph, node: Node, *, first: bool) -> Cost:
    use = Use(graph, node, first=first)
    return Cost(*(figure.of(use) for figure in FIGURES.values()))


def total(rows: Iterable[Cost]) -> Cost:
    """The sum of costs."""
    return Cost(*map(sum, zip(*(row.values() for row in rows), strict=True)))


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
    freed = [0] * (len(graph.nodes) + 1)  # once each node has run; at the end the outputs
    for at, size in zip(last_use, elements, strict=True):
        freed[at] += size
    live = sum(elements[node.index] for node in graph.nodes if node.role == "input")
    peak, peak_at = live, next(node.name for node in graph.nodes)
    for node in graph.nodes:
        if node.role == "input":
            continue
        live += elements[node.index]
        if live > peak:
            peak, peak_at = live, node.name
        live -= freed[node.index]
    unit = dtype_bytes * batch
    return Memory(peak * unit, peak_at, sum(elements) * unit, dtype_bytes, batch)
