"""Capsules in PyTorch."""

from __future__ import annotations

from cnnc.backends.pytorch.layer import Code, Layer, Module, Val, emits, kwargs, never
from cnnc.compiler.ops.capsule import CapsuleLength, CapsuleMask, Capsules, Squash


@emits(Squash, CapsuleLength, CapsuleMask)
def each(layer: Layer) -> Code:
    name = layer.node.op.__class__.__name__
    return Module(name, (layer.arg("dim"),), helper=name)


@emits(Capsules, counted=never)
def capsule(layer: Layer) -> Code:
    op = layer.op
    args = (Val(op.below(layer.ins[0])), layer.arg("of"), layer.arg("count"), layer.arg("dim"))
    return Module("Capsules", args, kwargs(routing=(layer.arg("routing"), 3)), helper="Capsules")
