"""Regularisation in PyTorch."""

from __future__ import annotations

from dataclasses import replace

from cnnc.backends.pytorch.layer import Code, Layer, Module, emits
from cnnc.compiler.ops.regularisation import Dropout, DropPath, SpatialDropout


@emits(Dropout)
def dropout(layer: Layer) -> Code:
    return _dropped("nn.Dropout", layer)


@emits(SpatialDropout)
def spatialdropout(layer: Layer) -> Code:
    return _dropped(f"nn.Dropout{layer.rank}d", layer)


@emits(DropPath)
def droppath(layer: Layer) -> Code:
    return Module("StochasticDepth", (layer.real("p"),), helper="StochasticDepth")


def _dropped(name: str, layer: Layer) -> Module:
    return Module(name, (replace(layer.real("p"), default=0.5),))
