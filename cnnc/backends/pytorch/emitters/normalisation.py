"""Normalisation in PyTorch."""

from __future__ import annotations

from cnnc.backends.pytorch.layer import Code, Layer, Module, Val, always, emits, kwargs
from cnnc.compiler.ops.normalisation import (
    BatchNorm,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    LocalResponseNorm,
    Scale,
)


@emits(BatchNorm, spare=always)
def bn(layer: Layer) -> Code:
    op = layer.op
    options = kwargs(eps=(Val(op.eps), 1e-5), momentum=(Val(op.momentum), 0.1), affine=(Val(op.affine), True))
    return Module(f"nn.BatchNorm{max(layer.rank, 1)}d", (layer.channels(),), options)


@emits(GroupNorm, spare=always)
def gn(layer: Layer) -> Code:
    options = kwargs(eps=(Val(layer.op.eps), 1e-5), affine=(Val(layer.op.affine), True))
    return Module("nn.GroupNorm", (layer.arg("groups"), layer.channels()), options)


@emits(LayerNorm, spare=always)
def ln(layer: Layer) -> Code:
    op = layer.op
    options = kwargs(eps=(Val(op.eps), 1e-5), elementwise_affine=(Val(op.affine), True))
    if layer.rank == 0:
        return Module("nn.LayerNorm", (layer.channels(),), options)
    if op.over == "all":
        return Module("nn.LayerNorm", (Val(layer.ins[0]),), options)
    return Module("ChannelLayerNorm", (layer.channels(),), options, helper="ChannelLayerNorm")


@emits(InstanceNorm, spare=always)
def instancenorm(layer: Layer) -> Code:
    options = kwargs(eps=(Val(layer.op.eps), 1e-5), affine=(Val(layer.op.affine), False))
    return Module(f"nn.InstanceNorm{layer.rank}d", (layer.channels(),), options)


@emits(LocalResponseNorm)
def lrn(layer: Layer) -> Code:
    op = layer.op
    if op.within:
        args = tuple(Val(value) for value in (op.size, op.alpha, op.beta, op.k))
        return Module("WithinMapNorm", args, helper="WithinMapNorm")
    options = kwargs(alpha=(Val(op.alpha), 1e-4), beta=(Val(op.beta), 0.75), k=(Val(op.k), 1.0))
    return Module("nn.LocalResponseNorm", (layer.arg("size"),), options)


@emits(Scale)
def scale(layer: Layer) -> Code:
    options = kwargs(start=(Val(layer.op.start), 1.0), bias=(Val(layer.op.bias), False))
    return Module("ChannelScale", (layer.channels(),), options, helper="ChannelScale")
