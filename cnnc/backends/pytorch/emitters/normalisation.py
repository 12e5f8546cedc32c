"""Normalisation in PyTorch."""

from __future__ import annotations

from cnnc.backends.pytorch.imports import FUNCTIONAL
from cnnc.backends.pytorch.layer import Code, Function, Layer, Module, Val, always, emits, kwargs
from cnnc.compiler.ops.normalisation import (
    BatchNorm,
    EvoNorm,
    GlobalResponseNorm,
    GroupNorm,
    InstanceNorm,
    L2Norm,
    LayerNorm,
    LocalResponseNorm,
    RMSNorm,
    Scale,
)


@emits(BatchNorm, spare=always)
def bn(layer: Layer) -> Code:
    op = layer.op
    options = kwargs(eps=(Val(op.eps), 1e-5), momentum=(Val(op.momentum), 0.1), affine=(Val(op.affine), True))
    return Module(f"nn.BatchNorm{max(layer.rank, 1)}d", (layer.channels(),), options)


@emits(GroupNorm, spare=always)
def gn(layer: Layer) -> Code:
    op = layer.op
    options = kwargs(eps=(Val(op.eps), 1e-5), affine=(Val(op.affine), True), bias=(Val(op.bias), True))
    return Module("nn.GroupNorm", (layer.arg("groups"), layer.channels()), options)


@emits(LayerNorm, spare=always)
def ln(layer: Layer) -> Code:
    op = layer.op
    options = kwargs(
        eps=(Val(op.eps), 1e-5), elementwise_affine=(Val(op.affine), True), bias=(Val(op.bias), True)
    )
    if op.axis == "all" and layer.rank:
        return Module("nn.LayerNorm", (Val(layer.ins[0]),), options)
    if layer.rank == 0:
        return Module("nn.LayerNorm", (layer.channels(),), options)
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
    op = layer.op
    options = kwargs(start=(Val(op.start), 1.0), bias=(Val(op.bias), False))
    if op.each == "channel":
        return Module("ChannelScale", (layer.channels(),), options, helper="ChannelScale")
    args = (layer.channels(), *map(Val, layer.ins[0][1:])) if op.each == "position" else (Val(1),)
    return Module("PositionScale", args, options, helper="PositionScale")


@emits(GlobalResponseNorm)
def grn(layer: Layer) -> Code:
    options = kwargs(eps=(Val(layer.op.eps), 1e-6))
    return Module("GlobalResponseNorm", (layer.channels(),), options, helper="GlobalResponseNorm")


@emits(RMSNorm, spare=always)
def rmsnorm(layer: Layer) -> Code:
    options = kwargs(eps=(Val(layer.op.eps), None), elementwise_affine=(Val(layer.op.affine), True))
    name = "nn.RMSNorm" if layer.rank == 0 else "ChannelRMSNorm"
    return Module(name, (layer.channels(),), options, helper=None if layer.rank == 0 else name)


@emits(L2Norm)
def l2norm(layer: Layer) -> Code:
    dims = layer.op.dims(layer.ins[0])
    values = {"dim": Val(tuple(i + 1 for i in dims) if len(dims) > 1 else dims[0] + 1)}
    eps = "" if layer.op.eps == 1e-12 else ", eps={eps}"
    values |= {"eps": Val(layer.op.eps)} if eps else {}
    dim = "" if dims == (0,) else ", dim={dim}"
    return Function(f"F.normalize({{0}}{dim}{eps})", values, imports=(FUNCTIONAL,))


@emits(EvoNorm)
def evonorm(layer: Layer) -> Code:
    op = layer.op
    options = kwargs(eps=(Val(op.eps), 1e-5))
    if op.form == "b0":
        return Module("EvoNormB0", (layer.channels(),), options, helper="EvoNormB0")
    return Module(
        "EvoNormS0",
        (layer.channels(),),
        kwargs(groups=(layer.arg("groups"), 32)) | options,
        helper="EvoNormS0",
    )
