"""Tensors of the network's own, which have no batch: where they are read as they are, and where repeated.

`x * self.layer_scale` repeats by itself; a join wants `self.token.expand(x.shape[0], -1, -1)`.
"""

from __future__ import annotations

from cnnc.backends.pytorch.context import Sources
from cnnc.compiler.graph import Graph, Node, Scope
from cnnc.compiler.ops.attention import Attend
from cnnc.compiler.ops.merge import Add, MatMul, Multiply


def broadcast(graph: Graph, sources: Sources) -> frozenset[int]:
    """The indices of the tensors that all that read them repeat for each image themselves."""
    readers = graph.consumers()
    again = {i for scope in graph.reused_scopes() for i in scope.nodes()}
    tensors = {node.index for node in graph.nodes if node.op.source}
    found = set()
    for index in tensors - set(graph.outputs.values()):
        takers = [graph.nodes[i] for i in readers[index] if i not in again]  # these are written once
        home = sources.home(index)
        if all(sources.home(taker.index) is home and _repeats(taker, index, tensors) for taker in takers):
            found.add(index)
    return frozenset(found)


def _repeats(node: Node, tensor: int, tensors: set[int]) -> bool:
    """Whether a node's operand may lack the batch, because another has it."""
    if isinstance(node.op, Attend):
        return tensor not in node.inputs[: len(node.op.operands)]
    return isinstance(node.op, Add | Multiply | MatMul) and any(i not in tensors for i in node.inputs)


def scopes_without_batch(graph: Graph, found: frozenset[int], sources: Sources) -> frozenset[int]:
    """The `id` of each scope that is handed the model's input for the size of its batch alone.

    Nothing else flows into these, or into one in them, and a tensor in them is repeated for each image.
    """
    scopes: set[int] = set()
    for node in graph.nodes:
        if not node.op.source or node.index in found:
            continue
        home: Scope | None = sources.home(node.index)
        if home is None or _is_fed(graph, home):
            continue
        while home is not None and home is not graph.root:
            scopes.add(id(home))
            home = sources.parent[id(home)]
    return frozenset(scopes)


def _is_fed(graph: Graph, scope: Scope) -> bool:
    inside = set(scope.nodes())
    return scope is graph.root or any(i not in inside for n in inside for i in graph.nodes[n].inputs)
