"""Regularisation in PyTorch."""

from __future__ import annotations

from cnnc.backends.pytorch.layer import Code, Layer, Module, Val, emits
from cnnc.compiler.ops.regularisation import Dropout, DropPath, SpatialDropout


@emits(Dropout)
def dropout(layer: Layer) -> Code:
    return Module("nn.Dropout", (Val(layer.op.p),) if layer.op.p != 0.5 else ())


@emits(SpatialDropout)
def spatialdropout(layer: Layer) -> Code:
    return Module(f"nn.Dropout{layer.rank}d", (Val(layer.op.p),) if layer.op.p != 0.5 else ())


@emits(DropPath)
def droppath(layer: Layer) -> Code:
    return Module("StochasticDepth", (Val(layer.op.p),), helper="StochasticDepth")
