"""Somebody's own modules: their outputs and declared parameters are counted, what they make inside is not."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

from cnnc.backends.pytorch.dry.autograd import done, fresh, start
from cnnc.backends.pytorch.dry.modules import Module
from cnnc.backends.pytorch.dry.tensor import Parameter, Tensor, float32, new
from cnnc.compiler.graph import Graph, Node


class _Extern(Module):
    """An extern of the graph: it keeps its inputs, and makes an output of the declared shape."""

    nodes: Mapping[str, Node]
    sizes: Mapping[str, int]

    def __init__(self, **arguments: Any) -> None:
        super().__init__()
        self.uses = 0

    def placed(self, path: str) -> None:
        """Declared parameters, once the module's place in the model is known."""
        if self.sizes.get(path):
            self.weight = Parameter(new((self.sizes[path],), float32))

    def forward(self, *inputs: Tensor) -> Tensor:
        node = self.nodes[self._path]
        weights = [self.weight] if "weight" in self._own else []
        known = start((*inputs, *weights), fresh, inputs)
        return done(known, new((inputs[0].shape[0], *node.out), inputs[0].dtype))


def extern_modules(graph: Graph) -> dict[str, Any]:
    """The packages that a graph's externs come from, by name."""
    from cnnc.backends.pytorch.dry.namespace import Namespace

    nodes = {node.module: node for node in graph.nodes if node.op.kind == "extern"}
    sizes = {
        name: sum(prod(shape) for shape in node.op.params(*graph.ins(node)).values())
        for name, node in nodes.items()
    }
    found: dict[str, dict[str, Any]] = {}
    for node in nodes.values():
        target: Any = node.op
        package, _, name = target.target.rpartition(":")
        found.setdefault(package, {})[name] = type(name, (_Extern,), {"nodes": nodes, "sizes": sizes})
    return {package: Namespace(package, classes) for package, classes in found.items()}
