"""Activations that overwrite their input, which saves memory and the time to get it.

A layer's output can be overwritten where one activation alone reads it and no gradient
needs it: a convolution's goes by its input and weights, a norm's by its input.
"""

from __future__ import annotations

from collections.abc import Callable

from cnnc.backends.pytorch.layer import emission_of
from cnnc.compiler.graph import Graph, Node


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
            _overwrites(node)
            and uses[node.module] == 1
            and before.index not in kept
            and list(readers[before.index]) == [node.index]
            and _is_spare(before)
            and is_within(before, node)
        )

    found = [node for node in graph.layers if _takes_in_place(node)]
    fitting = {node.index: may(node) for node in found}
    unlike = {_place(node) for node in found if not fitting[node.index]}
    return frozenset(node.index for node in found if _place(node) not in unlike)


def _takes_in_place(node: Node) -> bool:
    emission = emission_of(type(node.op))
    return emission is not None and emission.in_place is not None


def _overwrites(node: Node) -> bool:
    emission = emission_of(type(node.op))
    return emission is not None and emission.in_place is not None and emission.in_place(node.op)


def _is_spare(node: Node) -> bool:
    emission = emission_of(type(node.op))
    return emission is not None and emission.spare(node)


def _place(node: Node) -> object:
    return node.span, node.role, type(node.op)
