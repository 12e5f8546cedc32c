"""Fully-connected layers in PyTorch."""

from __future__ import annotations

from cnnc.backends.pytorch.emitters.shared import initial
from cnnc.backends.pytorch.layer import Code, Layer, Module, Val, always, emits, kwargs
from cnnc.compiler.ops.linear import FC, RBF, Linear


@emits(FC, spare=always)
def fc(layer: Layer) -> Code:
    args = (layer.channels(), layer.arg("width"))
    options = kwargs(bias=(Val(layer.op.bias), True))
    if layer.op.dropconnect:
        options = {"p": Val(layer.op.dropconnect), **options}
        name = "DropConnectLinear"
        return Module(name, args, options, helper=name, init=initial(layer))
    return Module("nn.Linear", args, options, init=initial(layer))


@emits(Linear, spare=always)
def linear(layer: Layer) -> Code:
    args = (layer.channels(), layer.arg("width"))
    options = kwargs(bias=(Val(layer.op.bias), True))
    if layer.rank == 0:
        return Module("nn.Linear", args, options, init=initial(layer))
    return Module("ChannelLinear", args, options, helper="ChannelLinear", init=initial(layer))


@emits(RBF)
def rbf(layer: Layer) -> Code:
    options = kwargs(trainable=(Val(layer.op.trainable), False))
    return Module("RBF", (layer.channels(), layer.arg("width")), options, helper="RBF")
