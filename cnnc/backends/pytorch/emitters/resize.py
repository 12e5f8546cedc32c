"""Upsampling, pixel shuffle and padding in PyTorch."""

from __future__ import annotations

from cnnc.backends.pytorch.emitters.shared import by_side, is_symmetric
from cnnc.backends.pytorch.imports import FUNCTIONAL
from cnnc.backends.pytorch.layer import Argument, Code, Function, Layer, Module, Raw, Val, emits, fold, kwargs
from cnnc.compiler.ops.resize import Pad, PixelShuffle, Resize, SpaceToDepth, Upsample
from cnnc.compiler.sizes import is_free

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


@emits(Resize)
def resize(layer: Layer) -> Code:
    op = layer.op
    how = "" if op.mode == "nearest" else f', mode="{op.mode}"'
    how += ", align_corners=True" if op.align_corners else ""
    how += ", antialias=True" if op.antialias else ""
    x = _laid_out(layer)
    if len(layer.shapes) == 2:
        return Function(f"F.interpolate({x}, {{1}}.shape[2:]{how})", imports=(FUNCTIONAL,))
    factors = op.factor
    if factors is not None and not all(f.denominator & (f.denominator - 1) == 0 for f in factors):
        ups, downs = tuple(f.numerator for f in factors), tuple(f.denominator for f in factors)
        values = {"up": Val(fold(ups)), "down": Val(fold(downs))}
        return Function(f"resized({x}, {{up}}, {{down}}{how})", values, helper="resized")
    if op.antialias:  # which nn.Upsample does not take
        if factors is None:
            return Function(
                f"F.interpolate({x}, {{size}}{how})", {"size": layer.arg("size")}, imports=(FUNCTIONAL,)
            )
        text = f"F.interpolate({x}, scale_factor={{factor}}{how}, recompute_scale_factor=True)"
        exact = tuple(f.numerator if f.denominator == 1 else float(f) for f in factors)
        return Function(text, {"factor": Val(fold(exact))}, imports=(FUNCTIONAL,))
    options: dict[str, Argument] = {}
    if factors is None:
        options["size"] = layer.arg("size")
    else:  # a float holds these exactly
        exact = tuple(f.numerator if f.denominator == 1 else float(f) for f in factors)
        options["scale_factor"] = Val(fold(exact))
    if op.mode != "nearest":
        options["mode"] = Raw(f'"{op.mode}"')
        options |= kwargs(align_corners=(Val(op.align_corners), False))
    if op.mode == "area":
        del options["align_corners"]
    if factors is not None and any(f.denominator > 1 for f in factors):
        options["recompute_scale_factor"] = Val(value=True)
    return Module("nn.Upsample", (), options)


def _laid_out(layer: Layer) -> str:
    """What is interpolated. To a width of 1, PyTorch's filters compute something else of channels-last maps."""
    width = layer.op.out_shape(*layer.shapes)[-1]
    is_safe = not layer.op.antialias or (width != 1 and not is_free(width))
    return "{0}" if is_safe else "{0}.contiguous()"


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
    if len(layer.shapes) == 2:
        how = "" if op.mode == "zeros" else f', mode="{op.mode}"'
        how += f", value={op.value!r}" if op.value else ""
        return Function(f"centre_pad({{0}}, {{1}}{how})", helper="centre_pad")
    equal = is_symmetric(op.sides) and len(set(op.sides)) == 1
    sides: Argument = Val(op.sides[0][0]) if equal else Val(by_side(op.sides))
    if op.value != 0:
        return Module(f"nn.ConstantPad{layer.rank}d", (sides, Val(op.value)))
    return Module(f"nn.{_BORDERS[op.mode]}Pad{layer.rank}d", (sides,))
