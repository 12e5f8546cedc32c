"""Fully-connected layers in PyTorch."""

from __future__ import annotations

from cnnc.backends.pytorch.layer import Code, Layer, Module, Val, emits, kwargs
from cnnc.compiler.ops.linear import FC


@emits(FC)
def fc(layer: Layer) -> Code:
    options = kwargs(bias=(Val(layer.op.bias), True))
    return Module("nn.Linear", (layer.channels(), layer.arg("width")), options)
