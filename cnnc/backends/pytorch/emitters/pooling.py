"""Pools in PyTorch."""

from __future__ import annotations

from cnnc.backends.pytorch.layer import Code, Layer, Module, Raw, Val, emits, fold, kwargs
from cnnc.compiler.ops.pooling import AvgPool, GlobalAvgPool, MaxPool


@emits(MaxPool, AvgPool)
def sliding_pool(layer: Layer) -> Code:
    op = layer.op
    average = isinstance(op, AvgPool)
    name = f"{'AvgPool' if average else 'MaxPool'}{layer.rank}d"
    symmetric = all(before == after for before, after in op.pad)
    flat = str(tuple(n for pair in reversed(op.pad) for n in pair))
    options = kwargs(
        stride=(layer.arg("stride"), fold(op.kernel)),
        padding=(Val(fold(tuple(b for b, _ in op.pad))) if symmetric else Raw(flat), 0),
        ceil_mode=(Val(op.ceil), False),
    )
    if average:
        options |= kwargs(count_include_pad=(Val(op.count_pad), True))
    if symmetric:
        return Module(f"nn.{name}", (layer.arg("kernel"),), options)
    return Module(f"Uneven{name}", (layer.arg("kernel"),), options, helper=f"Uneven{name}")


@emits(GlobalAvgPool)
def gap(layer: Layer) -> Code:
    return Module(f"nn.AdaptiveAvgPool{layer.rank}d", (Val(1),))
