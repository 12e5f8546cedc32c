"""Biases by position in PyTorch."""

from __future__ import annotations

from cnnc.backends.pytorch.emitters.shared import rule
from cnnc.backends.pytorch.layer import Code, Layer, Module, Val, always, emits
from cnnc.compiler.ops.bias import Bias


@emits(Bias, spare=always)
def bias(layer: Layer) -> Code:
    start = layer.op.init
    init = {"bias": rule(start)} if start is not None else {}
    if layer.op.each == "channel":
        return Module("ChannelBias", (layer.channels(),), helper="ChannelBias", init=init)
    args = (layer.channels(), *map(Val, layer.ins[0][1:])) if layer.op.each == "position" else (Val(1),)
    return Module("PositionBias", args, helper="PositionBias", init=init)
