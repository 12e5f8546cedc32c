"""Where branches meet, in PyTorch."""

from __future__ import annotations

from cnnc.backends.pytorch.layer import Code, Function, Layer, emits
from cnnc.compiler.ops.merge import Add, Concat, Multiply


@emits(Concat)
def concat(layer: Layer) -> Code:
    return Function("torch.cat([{all}], 1)")


@emits(Add)
def add(layer: Layer) -> Code:
    return Function(" + ".join(f"{{{i}}}" for i in range(len(layer.ins))))


@emits(Multiply)
def multiply(layer: Layer) -> Code:
    return Function(" * ".join(f"{{{i}}}" for i in range(len(layer.ins))))
