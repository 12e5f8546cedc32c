"""Where branches meet, in PyTorch."""

from __future__ import annotations

from cnnc.backends.pytorch.layer import Code, Function, Layer, emits
from cnnc.compiler.graph import Node
from cnnc.compiler.ops.merge import Add, Concat, MatMul, Multiply, place_of


def _is_new(node: Node) -> bool:
    """A merge of one branch is that branch."""
    return len(node.inputs) > 1


@emits(Concat, spare=_is_new)
def concat(layer: Layer) -> Code:
    # not a method of the op: what it works out would count as a number that is written
    return Function(f"torch.cat([{{all}}], {1 + place_of(layer.op.axis, layer.rank)})")


@emits(Add, spare=_is_new)
def add(layer: Layer) -> Code:
    return Function(" + ".join(f"{{{i}}}" for i in range(len(layer.shapes))))


@emits(Multiply)
def multiply(layer: Layer) -> Code:
    return Function(" * ".join(f"{{{i}}}" for i in range(len(layer.shapes))))


@emits(MatMul, spare=_is_new)
def matmul(layer: Layer) -> Code:
    template = "{0}"
    for i in range(1, len(layer.shapes)):
        template = f"torch.matmul({template}, {{{i}}})"
    return Function(template)
