"""Activations that overwrite their input, which saves memory and the time to get it.

A layer's output can be overwritten where one activation alone reads it and no gradient
needs it: a convolution's goes by its input and weights, a norm's by its input.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cnnc.compiler.graph import Graph, Node
from cnnc.compiler.ops import Op
from cnnc.compiler.ops.activation import ELU, HardSwish, LeakyReLU, ReLU, ReLU6, SiLU
from cnnc.compiler.ops.merge import Add, Concat

_ACTIVATIONS: dict[type[Op], Callable[[Any], bool]] = {
    ReLU: lambda op: True, ReLU6: lambda op: True, SiLU: lambda op: True, HardSwish: lambda op: True,
    LeakyReLU: lambda op: op.slope >= 0, ELU: lambda op: op.alpha >= 0,
}  # fmt: skip
"""Those whose module takes `inplace`, and when its gradient can do without the input."""

_FREE = frozenset(
    {"conv", "dwconv", "sepconv", "tconv", "local", "fc", "fused", "bias", "bn", "gn", "ln", "instancenorm"}
)
"""The layers whose output is memory of their own that their gradient does not need; so is that of a merge."""


def overwriting(graph: Graph, is_within: Callable[[Node, Node], bool]) -> frozenset[int]:
    """The indices of the activations that may overwrite their input.

    `is_within(node, activation)` says whether a node is in the scope of an activation: what was
    handed to a block is its caller's. Of the uses of one place in the text all may, or none.
    """
    readers = graph.consumers()
    kept = {*graph.outputs.values(), *(i for node in graph.nodes for i in node.named.values())}
    uses: dict[str, int] = {}
    for node in graph.nodes:
        uses[node.module] = uses.get(node.module, 0) + 1

    def may(node: Node) -> bool:
        before = graph.nodes[node.inputs[0]]
        return (
            _ACTIVATIONS[type(node.op)](node.op)
            and uses[node.module] == 1
            and before.index not in kept
            and list(readers[before.index]) == [node.index]
            and _is_free(before)
            and is_within(before, node)
        )

    found = [node for node in graph.layers if type(node.op) in _ACTIVATIONS]
    fitting = {node.index: may(node) for node in found}
    unlike = {_place(node) for node in found if not fitting[node.index]}
    return frozenset(node.index for node in found if _place(node) not in unlike)


def _is_free(node: Node) -> bool:
    if type(node.op) in (Add, Concat):
        return len(node.inputs) > 1
    return node.op.kind in _FREE and getattr(node.op, "act", None) is None


def _place(node: Node) -> object:
    return node.span, node.role, type(node.op)
