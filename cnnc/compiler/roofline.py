"""What bounds each layer: the bytes it must move, or the multiply-adds it must do.

The time is a floor (Williams, Waterman and Patterson 2009), never a prediction: a layer
cannot be faster than its bytes at the card's bandwidth, nor than its FLOPs at the card's peak.
The rows and columns of an input that no window touches (a 1x1 convolution of stride 2 reads a quarter)
are part of the layer's traffic, and not of its floor.

Beside the floor is the time of the usual kernels at the card's rates, `serial`: they read every input whole,
and a sum's other operand after the products of the convolution that takes the sum in. A better kernel could
be faster, so this is no floor.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

from cnnc.compiler.cards import Card
from cnnc.compiler.graph import Graph, Node
from cnnc.compiler.ops.base import COUNTER, Axis, Local, Shape, Shares, Spread, Window
from cnnc.dsl.diagnostics import fail
from cnnc.dsl.record import record

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


@record
class Row:
    """One layer, or a convolution with what it takes in, over the whole batch.

    `bytes` are its inputs, its output and its weights, each once, and `skipped` those of them that lie in
    rows and columns which no window touches; `seconds` is the larger of the two
    floors, and `bound` says which: `memory`, `compute`, or `view` where nothing moves. `serial` is the time
    where all of `bytes` are moved, those of a sum's other operand after the products.
    """

    name: str
    kinds: tuple[str, ...]
    bytes: int
    skipped: int
    macs: int
    seconds: float
    serial: float
    bound: str


@record(kw_only=True)
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
    serial_seconds: float
    serial_images_per_second: float
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
    serial = sum(row.serial for row in rows)
    return Roofline(
        card=card, batch=batch, dtype=dtype, fused=fused, rows=rows, bytes=sum(row.bytes for row in rows),
        macs=macs, seconds=seconds, images_per_second=batch / seconds if seconds else float("inf"),
        serial_seconds=serial, serial_images_per_second=batch / serial if serial else float("inf"),
        peak_share=2 * macs / peak / seconds if seconds else 0.0,
    )  # fmt: skip


def _row(graph: Graph, group: tuple[Node, ...], card: Card, peak: float, batch: int, size: int) -> Row:
    name, kinds = group[0].name, tuple(node.op.kind for node in group)
    if len(group) == 1 and group[0].op.is_view:
        return Row(name=name, kinds=kinds, bytes=0, skipped=0, macs=0, seconds=0.0, serial=0.0, bound="view")
    reads, whole, weights = _reads(graph, group), prod(group[-1].out), 0
    for node in group:
        ins = graph.ins(node)
        weights += sum(prod(shape) for shape in node.op.params(*ins).values())
        weights += sum(prod(shape) for key, shape in node.op.state(*ins).items() if key != COUNTER)
    whole += sum(prod(graph.nodes[i].out) for i in reads)
    unread = sum(prod(graph.nodes[i].out) - count for i, count in reads.items())
    moved, skipped = int(size * (batch * whole + weights)), int(size * batch * unread)
    macs = batch * sum(node.op.macs(*graph.ins(node)) for node in group)
    by_memory, by_compute = (moved - skipped) / card.bandwidth, 2 * macs / peak
    after = size * batch * _operands(graph, group)
    serial = max(moved / card.bandwidth, by_compute + after / card.bandwidth)
    return Row(
        name=name, kinds=kinds, bytes=moved, skipped=skipped, macs=macs, seconds=max(by_memory, by_compute),
        serial=serial, bound="compute" if by_compute > by_memory else "memory",
    )  # fmt: skip


def _operands(graph: Graph, group: tuple[Node, ...]) -> int:
    """The elements that the sums of a convolution's group read, and the convolution itself does not."""
    first, *rest = group
    read = {*first.inputs, *(node.index for node in group)}
    sums = (node for node in rest if node.op.kind == "add")
    return sum(prod(graph.nodes[i].out) for i in {i for node in sums for i in node.inputs} - read)


def _reads(graph: Graph, group: tuple[Node, ...]) -> dict[int, int]:
    """The maps that a group reads, each once, and how many of their elements its windows touch."""
    made = {node.index for node in group}
    reads: dict[int, int] = {}
    for node in group:
        ins = graph.ins(node)
        for i, window, shape in zip(node.inputs, node.op.windows(*ins), ins, strict=True):
            if window is not None and i not in made:
                reads[i] = max(reads.get(i, 0), touched(window, shape, node.out))
    return reads


def touched(window: Window, shape: Shape, out: Shape) -> int:
    """How many elements of an input of `shape` the windows of an output of `out` touch.

    Windows that are not of fixed places may touch all.

    >>> from cnnc.compiler.ops.base import Axis, Local
    >>> touched(Local((Axis(1, 2, 0), Axis(1, 2, 0))), (64, 56, 56), (128, 28, 28)) == 64 * 28 * 28
    True
    """
    if not isinstance(window, Local):
        return int(prod(shape))
    places = (
        len(_places(axis, int(n), int(m))) for axis, n, m in zip(window.axes, shape[1:], out[1:], strict=True)
    )
    return int(shape[0]) * prod(places)


def _places(axis: Axis | Spread | Shares, n: int, m: int) -> set[int]:
    """The positions, of n on an axis, that m outputs touch."""
    if isinstance(axis, Shares):  # all of the map is shared out
        return set(range(n))
    step = range(axis.kernel)
    if isinstance(axis, Axis):
        seen = (i * axis.stride - axis.before + j * axis.dilation for i in range(m) for j in step)
        return {place for place in seen if 0 <= place < n}
    reach = ((i, i * axis.stride - axis.before + j * axis.dilation) for i in range(n) for j in step)
    return {i for i, place in reach if 0 <= place < m}


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
