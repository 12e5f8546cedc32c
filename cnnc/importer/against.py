"""Whether a spec and a module compute the same: the first difference between their graphs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from hashlib import blake2b
from typing import Any

from cnnc.compiler.graph import Graph, Node
from cnnc.compiler.ops import Op
from cnnc.compiler.ops.base import OpenRange
from cnnc.compiler.ops.merge import Add, Multiply
from cnnc.compiler.ops.pooling import AdaptiveAvgPool, AvgPool
from cnnc.compiler.ops.reshape import Crop, Slice
from cnnc.compiler.ops.resize import Upsample
from cnnc.importer.structure import same


def difference(spec: Graph, module: Graph) -> str | None:
    """The first difference of two graphs in words, None where they compute the same.

    Names of layers do not matter, nor the order of what is added or multiplied, nor whether a concat or sum is nested;
    inputs and outputs are compared in their order.

    >>> import cnnc
    >>> spec, module = (cnnc.parse(f"input 3x8x8\\nc: conv3-4/{s}").graph for s in (1, 2))
    >>> difference(spec, module)
    'c: stride is (1, 1), and (2, 2) in the module'
    """
    for what, one, two in (("inputs", spec.inputs, module.inputs), ("outputs", spec.outputs, module.outputs)):
        if len(one) != len(two):
            return f"{len(one)} {what} in the spec, and {len(two)} in the module"
    inputs = dict(zip(spec.inputs, module.inputs.values(), strict=True))
    outputs = dict(zip(spec.outputs, module.outputs.values(), strict=True))
    found = same(_plain(spec), _plain(replace(module, inputs=inputs, outputs=outputs)), nested=True)
    return (
        None
        if found is None
        else found.replace("in the other", "in the module").replace("the other", "the module")
    )


def _plain(graph: Graph) -> Graph:
    """The graph with operands that may change places in one order, sums of sums as one, without pools that keep every value."""
    alone = _taken_once(graph)
    keys: list[tuple[int, str]] = []  # how many layers lie before, then what they are
    nodes: list[Node] = []
    stands: dict[int, int] = {}
    moved: dict[str, int] = {}
    for node in graph.nodes:
        inputs = tuple(stands.get(i, i) for i in node.inputs)
        if isinstance(node.op, AdaptiveAvgPool) and graph.nodes[inputs[0]].out == node.out:
            stands[node.index] = inputs[0]
        if isinstance(node.op, Add):
            inputs = tuple(part for i in inputs for part in (nodes[i].inputs if i in alone else (i,)))
        if isinstance(node.op, Add | Multiply):
            inputs = tuple(sorted(inputs, key=lambda i: keys[i]))
        op = _told(node.op)
        if isinstance(op, Upsample | Crop):  # by a factor, to a size or to that of a tensor: to this size
            sized = (
                {"scale": None, "size": node.out[1:]} if isinstance(op, Upsample) else {"size": node.out[1:]}
            )
            inputs, op = inputs[:1], op.model_copy(update=sized)
            node = replace(node, named={}, given=())
        if isinstance(op, Slice) and op.bounds is not None and not graph.free:
            op = op.model_copy(update={"bounds": OpenRange(*op.ends(*graph.ins(node)))})
        if isinstance(op, AvgPool) and not (graph.free or op.ceil or any(map(any, op.pad))):
            op = op.model_copy(update={"count_pad": True})  # there is no border to count
        text = repr((op, node.out, [keys[i][1] for i in inputs]))
        if op.family == "reshape":  # written twice, it is one
            stands[node.index] = moved.setdefault(text, node.index)
        depth = 1 + max((keys[i][0] for i in inputs), default=0)
        keys.append((depth, blake2b(text.encode(), digest_size=12).hexdigest()))
        nodes.append(replace(node, inputs=inputs, op=op))
    return replace(graph, nodes=tuple(nodes), outputs=_standing(graph.outputs, stands))


def _taken_once(graph: Graph) -> set[int]:
    """Sums that nothing takes but one other layer."""
    takers = Counter(i for node in graph.nodes for i in (*node.inputs, *node.named.values()))
    takers.update(graph.outputs.values())
    return {node.index for node in graph.nodes if isinstance(node.op, Add) and takers[node.index] == 1}


_STARTS = ("init", "bias_init", "start")
"""Fields that say what weights are before any are learnt or loaded."""


def _told(op: Op) -> Op:
    """The layer as a module's graph tells it: not what its weights start as, numbers without the end of their arithmetic."""
    changed: dict[str, Any] = {}
    for name, info in type(op).model_fields.items():
        value = getattr(op, name)
        if name in _STARTS:
            changed[name] = info.default
        elif isinstance(value, float):
            changed[name] = float(f"{value:.12g}")
    plain = copy(op)
    for name, value in changed.items():
        object.__setattr__(plain, name, value)
    return plain


def _standing(names: Mapping[str, int], stands: Mapping[int, int]) -> dict[str, int]:
    return {name: stands.get(i, i) for name, i in names.items()}
