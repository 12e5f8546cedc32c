"""Upsampling, pixel shuffle and padding in PyTorch."""

from __future__ import annotations

from cnnc.backends.pytorch.emitters.shared import by_side, is_symmetric
from cnnc.backends.pytorch.imports import FUNCTIONAL
from cnnc.backends.pytorch.layer import Argument, Code, Function, Layer, Module, Raw, Val, emits, kwargs
from cnnc.compiler.ops.resize import Pad, PixelShuffle, SpaceToDepth, Upsample

_BORDERS = {"zeros": "Zero", "reflect": "Reflection", "replicate": "Replication", "circular": "Circular"}


@emits(Upsample)
def upsample(layer: Layer) -> Code:
    op = layer.op
    if len(layer.shapes) == 2:
        align = ", align_corners=True" if op.align_corners else ""
        mode = "" if op.mode == "nearest" else f', mode="{op.mode}"{align}'
        return Function(f"F.interpolate({{0}}, {{1}}.shape[2:]{mode})", imports=(FUNCTIONAL,))
    options: dict[str, Argument] = (
        {"scale_factor": layer.arg("scale")} if op.size is None else {"size": layer.arg("size")}
    )
    if op.mode != "nearest":
        options["mode"] = Raw(f'"{op.mode}"')
        options |= kwargs(align_corners=(Val(op.align_corners), False))
    return Module("nn.Upsample", (), options)


@emits(PixelShuffle)
def pixelshuffle(layer: Layer) -> Code:
    factor = layer.op.factor
    if len(factor) == 2 and factor[0] == factor[1]:
        return Module("nn.PixelShuffle", (layer.arg("factor"),))
    return Module("PixelShuffleNd", (Val(factor),), helper="PixelShuffleNd")


@emits(SpaceToDepth)
def spacetodepth(layer: Layer) -> Code:
    factor = layer.op.factor
    if len(factor) == 2 and factor[0] == factor[1]:
        return Module("nn.PixelUnshuffle", (layer.arg("factor"),))
    return Module("SpaceToDepth", (Val(factor),), helper="SpaceToDepth")


@emits(Pad)
def pad(layer: Layer) -> Code:
    op = layer.op
    equal = is_symmetric(op.sides) and len(set(op.sides)) == 1
    sides: Argument = Val(op.sides[0][0]) if equal else Val(by_side(op.sides))
    if op.value != 0:
        return Module(f"nn.ConstantPad{layer.rank}d", (sides, Val(op.value)))
    return Module(f"nn.{_BORDERS[op.mode]}Pad{layer.rank}d", (sides,))
