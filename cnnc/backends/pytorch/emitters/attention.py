"""Attention in PyTorch."""

from __future__ import annotations

from cnnc.backends.pytorch.layer import Code, Function, Layer, Val, always, emits
from cnnc.compiler.ops.attention import Attend


@emits(Attend, spare=always)
def attend(layer: Layer) -> Code:
    op = layer.op
    values: dict[str, Val] = {}
    given = ["{0}, {1}, {2}"]
    if op.heads > 1 or layer.arg_syms.get("heads") is not None:
        values["heads"] = layer.arg("heads")
        given.append("heads={heads}")
    if "bias" in layer.node.given:
        given.append("bias={3}")
    if op.causal:
        given.append("causal=True")
    if op.scale is not None:
        values["scale"] = layer.arg("scale")
        given.append("scale={scale}")
    return Function(f"attend({', '.join(given)})", values, helper="attend")
