"""Layers whose places depend on the data, in PyTorch."""

from __future__ import annotations

from math import prod

from cnnc.backends.pytorch.layer import Code, Layer, Module, Raw, Val, emits, kwargs, never
from cnnc.compiler.ops.transformer import SpatialTransformer
from cnnc.compiler.ops.unpool import Unpool


@emits(SpatialTransformer, counted=never)
def stn(layer: Layer) -> Code:
    op = layer.op
    options = kwargs(
        axes=(Val(layer.rank), 2),
        size=(Val(op.size), None),
        align_corners=(Val(op.align_corners), False),
    )
    if op.mode != "bilinear":
        options["mode"] = Raw(f'"{op.mode}"')
    if op.border != "zeros":
        options["padding_mode"] = Raw(f'"{op.border}"')
    name = "SpatialTransformer"
    return Module(name, (Val(prod(layer.ins[1])),), options, helper=name)


@emits(Unpool)
def unpool(layer: Layer) -> Code:
    op = layer.op
    before = tuple(side for side, _ in op.pad)
    args = (Val(op.kernel), Val(op.stride), Val(before))
    return Module("Unpool", args, kwargs(ceil_mode=(Val(op.ceil), False)), helper="Unpool")
