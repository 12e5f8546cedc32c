"""Which layers of a graph the inference form runs as one.

before: conv -> bn -> relu            after: conv (the norm in its weights, the activation in its kernel)
before: [id + conv -> bn] -> relu     after: conv with a second input
before: [… | …] -> bn -> relu         after: a factor and an offset for each channel, then relu
before: conv1 -> avgpool2             after: the means, then the convolution, on CPUs
before: maxpool3/2                    after: the maxima along one axis, then along the other
before: [id | …]*n                    after: each step appends to maps that have room, and copies none
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from cnnc.backends.pytorch.emitters.shared import is_symmetric
from cnnc.backends.pytorch.inference.ops import (
    FUSED_ACTS,
    Append,
    Fused,
    ScaleShift,
    SeparablePool,
)
from cnnc.compiler.graph import Graph, Node
from cnnc.compiler.ops import Op, Shape
from cnnc.compiler.ops.activation import ReLU
from cnnc.compiler.ops.convolution import Conv, DepthwiseConv, SeparableConv
from cnnc.compiler.ops.linear import FC
from cnnc.compiler.ops.merge import Add, Concat
from cnnc.compiler.ops.normalisation import BatchNorm
from cnnc.compiler.ops.pooling import AvgPool, MaxPool
from cnnc.compiler.ops.transposed import TransposedConv

WORTH_A_KERNEL = 65_536
"""The weights of a fully-connected layer from which on oneDNN's kernel, which takes 0.02 ms to begin, is the faster."""


@dataclass(frozen=True, slots=True)
class Fusion:
    """Nodes that become one: `nodes` in the order of the flow, the first of which lends its name.

    `other` is the node whose output comes in second, where there is one.
    """

    nodes: tuple[int, ...]
    op: Op
    other: int | None = None


def fusions(graph: Graph) -> tuple[Fusion, ...]:
    """The fusions of a graph; no node is in two of them, and nodes in none stay as they are."""
    return tuple(_Matcher(graph).run())


class _Matcher:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.home = {i: scope for scope in graph.scopes() for i in scope.children if isinstance(i, int)}
        self.readers = [list(c) for c in graph.consumers()]
        self.read_elsewhere = set(graph.outputs.values())
        for node in graph.nodes:
            self.read_elsewhere.update(node.named.values())
        uses: dict[str, int] = {}
        for node in graph.nodes:
            uses[node.module] = uses.get(node.module, 0) + 1
        self.shared = {module for module, n in uses.items() if n > 1}
        # A merge has no module; that of a bracket that is used again is written once all the same.
        several = Counter(scope.module for scope in graph.scopes() if scope.module)
        self.in_several = {i for scope in graph.scopes() if several[scope.module] > 1 for i in scope.nodes()}
        self.taken: set[int] = set()

    def _is_shared(self, node: Node) -> bool:
        """Whether a layer is written once for several uses, which must come out alike."""
        return node.module in self.shared or node.index in self.in_several

    def run(self) -> Iterator[Fusion]:
        # Later layers first, so that of two convolutions that are added the later one does it.
        for find in (self._layer, self._norm, self._step, self._pool):
            for node in reversed(self.graph.nodes):
                if node.index in self.taken or node.role == "input" or self._is_shared(node):
                    continue
                fusion = find(node)
                if fusion is not None:
                    self.taken.update(fusion.nodes)
                    yield fusion

    def _next(self, node: Node) -> Node | None:
        """The one layer of the same scope that reads a node; None where something else does, or several."""
        if node.index in self.read_elsewhere or len(self.readers[node.index]) != 1:
            return None
        reader = self.graph.nodes[self.readers[node.index][0]]
        same_scope = self.home.get(reader.index) is self.home.get(node.index)
        free = reader.index not in self.taken and not self._is_shared(reader)
        return reader if same_scope and free and reader.inputs.count(node.index) == 1 else None

    def _layer(self, node: Node) -> Fusion | None:
        """A convolution or fully-connected layer with its norm, and with a sum and an activation if it can."""
        if not _has_weights(node.op):
            return None
        op, nodes = node.op, [node]
        norm: dict[str, object] = {}
        after = self._next(node)
        if after is not None and isinstance(after.op, BatchNorm):
            op = op.model_copy(update={"bias": True})
            norm = {"norm": after.local, "eps": after.op.eps}
            nodes.append(after)
            after = self._next(after)
        if not _has_kernel(op, self.graph.ins(node)[0]):
            return Fusion(_indices(nodes), Fused(of=op, kernel=False, **norm)) if norm else None
        other: int | None = None
        if not isinstance(op, FC) and after is not None and _is_sum(after):
            other = next(i for i in after.inputs if i != nodes[-1].index)
            nodes.append(after)
            after = self._next(after)
        act: Op | None = None
        # oneDNN's kernel with a sum goes on with a relu only.
        takes = FUSED_ACTS if other is None else (ReLU,)
        if after is not None and type(after.op) in takes:
            act = after.op
            nodes.append(after)
        elif other is None and after is not None and _is_mean_of(op, after.op):
            nodes.append(after)
            return Fusion(_indices(nodes), Fused(of=op, pool=after.op, **norm))
        return Fusion(_indices(nodes), Fused(of=op, act=act, adds=other is not None, **norm), other)

    def _norm(self, node: Node) -> Fusion | None:
        """A batch norm that was folded into no layer."""
        if not isinstance(node.op, BatchNorm):
            return None
        after = self._next(node)
        fused = [node, after] if after is not None and isinstance(after.op, ReLU) else [node]
        act = fused[1].op if len(fused) > 1 else None
        op = ScaleShift(of=node.op, act=act, defers=self._is_read_by_one(fused[-1]))
        return Fusion(_indices(fused), op)

    def _is_read_by_one(self, node: Node) -> bool:
        """Whether all that reads a node is a 1x1 convolution that can do the node's work too."""
        if node.index in self.read_elsewhere or len(self.readers[node.index]) != 1:
            return False
        reader = self.graph.nodes[self.readers[node.index][0]]
        op = reader.op
        if not isinstance(op, Conv) or self._is_shared(reader) or not _has_kernel(op, node.out):
            return False
        return set(op.kernel) == {1} and op.groups == 1 and all(pad == (0, 0) for pad in op.pad)

    def _step(self, node: Node) -> Fusion | None:
        """A concatenation that another goes on with, or that goes on with another's maps: a dense block's."""
        if (
            not isinstance(node.op, Concat)
            or node.op.axis != "C"
            or len(node.out) != 3
            or node.index in self.read_elsewhere
        ):
            return None
        before = self.graph.nodes[node.inputs[0]]
        readers = [self.graph.nodes[i] for i in self.readers[node.index]]
        goes_on = any(isinstance(r.op, Concat) and r.inputs[0] == node.index for r in readers)
        if len(node.inputs) < 2 or not (goes_on or isinstance(before.op, Concat)):
            return None
        return Fusion((node.index,), Append())

    def _pool(self, node: Node) -> Fusion | None:
        """A max pool of maps of two axes that nn.MaxPool2d can express."""
        op = node.op
        if not isinstance(op, MaxPool) or len(node.out) != 3 or not is_symmetric(op.pad):
            return None
        if op.dilation is not None or any(2 * pad > k for (pad, _), k in zip(op.pad, op.kernel, strict=True)):
            return None
        return Fusion((node.index,), SeparablePool(of=node.op))


def _indices(nodes: list[Node]) -> tuple[int, ...]:
    return tuple(node.index for node in nodes)


def _has_weights(op: Op) -> bool:
    """Whether a layer has weights that a following norm can go into.

    A reparametrised weight is made of others, a standardised filter is scaled anew at each call, a table's
    weights lie by link, and DropConnect draws them.
    """
    if getattr(op, "reparam", None) is not None:
        return False
    if isinstance(op, Conv):
        return op.table is None and not op.standardise and op.mask is None
    if isinstance(op, FC):
        return not op.dropconnect
    return isinstance(op, DepthwiseConv | SeparableConv | TransposedConv)


def _is_mean_of(op: Op, after: Op) -> bool:
    """Whether `after` takes means of windows side by side of a 1x1 convolution: its inputs' means do as well."""
    if (
        not isinstance(op, Conv)
        or not isinstance(after, AvgPool)
        or after.ceil
        or not is_symmetric(after.pad)
    ):
        return False
    sizes = (*op.kernel, *op.stride)
    pads = (*op.pad, *after.pad)
    return set(sizes) == {1} and set(pads) == {(0, 0)} and after.stride == after.kernel


def _is_sum(node: Node) -> bool:
    return isinstance(node.op, Add) and len(node.inputs) == 2


def _has_kernel(op: Op, ins: Shape) -> bool:
    """Whether `FusedConv2d` or `FusedLinear` can run a layer, and does so sooner."""
    if isinstance(op, FC):
        return _has_weights(op) and ins[0] * op.width >= WORTH_A_KERNEL
    rank = len(ins) - 1
    if not isinstance(op, Conv | DepthwiseConv) or rank != 2:
        return False
    return _has_weights(op) and is_symmetric(op.pad) and op.pad_mode is None
