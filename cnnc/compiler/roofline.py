"""What bounds each layer: the bytes it must move, or the multiply-adds it must do.

The time is a floor (Williams, Waterman and Patterson 2009), never a prediction: a layer
cannot be faster than its bytes at the card's bandwidth, nor than its FLOPs at the card's peak.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

from cnnc.compiler.cards import Card
from cnnc.compiler.graph import Graph, Node
from cnnc.compiler.ops.base import COUNTER
from cnnc.dsl.diagnostics import fail
from cnnc.dsl.record import record

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


@record
class Row:
    """One layer, or a convolution with what it takes in, over the whole batch.

    `bytes` are its inputs, its output and its weights, each once; `seconds` is the larger of the two
    floors, and `bound` says which: `memory`, `compute`, or `view` where nothing moves.
    """

    name: str
    kinds: tuple[str, ...]
    bytes: int
    macs: int
    seconds: float
    bound: str


@record
class Roofline:
    """The floor of one forward pass. `peak_share` is of the matrix peak, at the floor."""

    card: Card
    batch: int
    dtype: str
    fused: bool
    rows: tuple[Row, ...]
    bytes: int
    macs: int
    seconds: float
    images_per_second: float
    peak_share: float


def roofline(
    graph: Graph, card: Card, *, batch: int = 1, dtype: str = "float32", fused: bool = False
) -> Roofline:
    """The floor of each layer run by itself in inference; with `fused`, of each convolution with the
    norm, the activation and the sum that follow it.

    Raises CnncError (E804) where the card has no peak in `dtype`, (E407) where a size is free.
    """
    if graph.free:
        sizes = ", ".join(graph.free)
        raise fail(
            "E407", f"the size {sizes} must be known", hint="give it with --input, such as --input 3x224x224"
        )
    if batch < 1:
        raise ValueError(f"batch (={batch}) must be at least 1")
    peak = card.peak_in(dtype)
    groups = _fused(graph) if fused else [(node,) for node in graph.layers]
    rows = tuple(_row(graph, group, card, peak, batch, BYTES[dtype]) for group in groups)
    seconds, macs = sum(row.seconds for row in rows), sum(row.macs for row in rows)
    return Roofline(
        card=card, batch=batch, dtype=dtype, fused=fused, rows=rows, bytes=sum(row.bytes for row in rows),
        macs=macs, seconds=seconds, images_per_second=batch / seconds if seconds else float("inf"),
        peak_share=2 * macs / peak / seconds if seconds else 0.0,
    )  # fmt: skip


def _row(graph: Graph, group: tuple[Node, ...], card: Card, peak: float, batch: int, size: int) -> Row:
    name, kinds = group[0].name, tuple(node.op.kind for node in group)
    if len(group) == 1 and group[0].op.is_view:
        return Row(name=name, kinds=kinds, bytes=0, macs=0, seconds=0.0, bound="view")
    made = {node.index for node in group}
    read: set[int] = set()
    maps = prod(group[-1].out)
    weights = 0
    for node in group:
        ins = graph.ins(node)
        windows = node.op.windows(*ins) if len(ins) > 1 else (True,)
        ones = [
            i for i, w in zip(node.inputs, windows, strict=True) if w is not None and i not in made | read
        ]
        maps += sum(prod(graph.nodes[i].out) for i in ones)
        read.update(ones)
        weights += sum(prod(shape) for shape in node.op.params(*ins).values())
        weights += sum(prod(shape) for key, shape in node.op.state(*ins).items() if key != COUNTER)
    moved = int(size * (batch * maps + weights))
    macs = batch * sum(node.op.macs(*graph.ins(node)) for node in group)
    by_memory, by_compute = moved / card.bandwidth, 2 * macs / peak
    bound = "compute" if by_compute > by_memory else "memory"
    return Row(
        name=name, kinds=kinds, bytes=moved, macs=macs, seconds=max(by_memory, by_compute), bound=bound
    )


def _fused(graph: Graph) -> list[tuple[Node, ...]]:
    """The layers, each convolution with the norm, activation and sum that alone read what it makes.

    Of the operands of a sum the first that is a convolution's takes it in; it reads the others.
    """
    readers = graph.consumers()
    kept = set(graph.outputs.values())
    groups: dict[int, list[Node]] = {}
    home: dict[int, int] = {}

    def takes(i: int) -> bool:
        return (
            i in home
            and graph.nodes[home[i]].op.family == "convolution"
            and len(list(readers[i])) == 1
            and i not in kept
        )

    for node in graph.layers:
        joins = node.op.family in ("normalisation", "activation") or node.op.kind == "add"
        found = next((i for i in node.inputs if takes(i)), None) if joins else None
        if found is not None and groups[home[found]][-1].index != found:
            found = None  # something else has been taken in since
        home[node.index] = node.index if found is None else home[found]
        groups.setdefault(home[node.index], []).append(node)
    return [tuple(group) for group in groups.values()]


def by_kind(rows: Iterable[Row]) -> dict[str, float]:
    """The seconds of rows by the kind of their first layer, views left out."""
    sums: dict[str, float] = {}
    for row in rows:
        if row.bound != "view":
            sums[row.kinds[0]] = sums.get(row.kinds[0], 0.0) + row.seconds
    return sums
