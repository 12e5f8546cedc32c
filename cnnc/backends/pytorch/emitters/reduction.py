"""Means, largest values and sums along axes in PyTorch."""

from __future__ import annotations

from cnnc.backends.pytorch.layer import Code, Function, Layer, Val, emits
from cnnc.compiler.ops import Op
from cnnc.compiler.ops.reduction import Max, Mean, Sum

_NAMES: dict[type[Op], str] = {Mean: "mean", Max: "amax", Sum: "sum"}


@emits(*_NAMES)
def reduction(layer: Layer) -> Code:
    dims = tuple(1 + i for i in layer.op.dims(layer.ins[0]))
    values = {"dim": Val(dims if len(dims) > 1 else dims[0])}
    return Function(f"{{0}}.{_NAMES[layer.node.op.__class__]}({{dim}}, keepdim=True)", values)
