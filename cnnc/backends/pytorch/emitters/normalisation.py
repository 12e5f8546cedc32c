"""Normalisation in PyTorch."""

from __future__ import annotations

from cnnc.backends.pytorch.layer import Code, Layer, Module, Val, emits, kwargs
from cnnc.compiler.ops.normalisation import BatchNorm, LocalResponseNorm


@emits(BatchNorm)
def bn(layer: Layer) -> Code:
    op = layer.op
    options = kwargs(eps=(Val(op.eps), 1e-5), momentum=(Val(op.momentum), 0.1), affine=(Val(op.affine), True))
    return Module(f"nn.BatchNorm{max(layer.rank, 1)}d", (layer.channels(),), options)


@emits(LocalResponseNorm)
def lrn(layer: Layer) -> Code:
    op = layer.op
    options = kwargs(alpha=(Val(op.alpha), 1e-4), beta=(Val(op.beta), 0.75), k=(Val(op.k), 1.0))
    return Module("nn.LocalResponseNorm", (layer.arg("size"),), options)
