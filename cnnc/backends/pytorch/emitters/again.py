"""Weights used again otherwise than their module does: functions of the module's tensors."""

from __future__ import annotations

from cnnc.backends.pytorch.emitters.shared import by_side, by_size, is_symmetric
from cnnc.backends.pytorch.imports import FUNCTIONAL
from cnnc.backends.pytorch.layer import Function, Layer, applies, cannot, fold
from cnnc.compiler.ops.convolution import Conv, DepthwiseConv
from cnnc.compiler.ops.linear import FC, Linear
from cnnc.compiler.ops.tensor import Weight
from cnnc.compiler.ops.transposed import TransposedConv


@applies(Conv, DepthwiseConv)
def conv(layer: Layer, module: str) -> Function:
    op = layer.op
    if by_size(op.pad):
        raise cannot(layer, "padding by a free size of weights used again", hint="give the size with --input")
    ahead = op.pad_mode is not None or not is_symmetric(op.pad)
    x = "{0}"
    if ahead:
        mode = f', mode="{op.pad_mode}"' if op.pad_mode is not None else ""
        x = f"F.pad({{0}}, {by_side(op.pad)}{mode})"
    groups = layer.ins[0][0] if isinstance(op, DepthwiseConv) else op.groups
    options = _options(
        stride=(op.stride, 1), padding=(None if ahead else tuple(before for before, _ in op.pad), 0),
        dilation=(op.dilation, 1), groups=(groups, 1),
    )  # fmt: skip
    bias = f", {module}.bias" if op.bias else ""
    return Function(f"F.conv{layer.rank}d({x}, {module}.weight{bias}{options})", imports=(FUNCTIONAL,))


@applies(TransposedConv)
def tconv(layer: Layer, module: str) -> Function:
    op = layer.op
    whole = not is_symmetric(op.pad)
    options = _options(
        stride=(op.stride, 1), padding=(None if whole else tuple(before for before, _ in op.pad), 0),
        output_padding=(op.output_pad, 0), groups=(op.groups, 1), dilation=(op.dilation, 1),
    )  # fmt: skip
    bias = f", {module}.bias" if op.bias else ""
    text = f"F.conv_transpose{layer.rank}d({{0}}, {module}.weight{bias}{options})"
    if whole:
        text = f"F.pad({text}, {tuple(-n for n in by_side(op.pad))})"
    return Function(text, imports=(FUNCTIONAL,))


@applies(FC, Linear)
def linear(layer: Layer, module: str) -> Function:
    """The weights of a linear layer the other way: (in, out) as (out, in)."""
    weight = f"{module}.weight.t()"
    if layer.rank == 0:
        return Function(f"F.linear({{0}}, {weight})", imports=(FUNCTIONAL,))
    return Function(f"F.linear({{0}}.movedim(1, -1), {weight}).movedim(-1, 1)", imports=(FUNCTIONAL,))


@applies(Weight)
def weight(layer: Layer, module: str) -> Function:
    return Function(f"{module}.weight")


def _options(**given: tuple[object, int]) -> str:
    """Keyword arguments as text, but for those at PyTorch's default."""
    found = {
        name: fold(value) for name, (value, default) in given.items() if fold(value) not in (default, None)
    }
    return "".join(f", {name}={value}" for name, value in found.items())
