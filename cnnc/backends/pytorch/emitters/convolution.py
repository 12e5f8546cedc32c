"""Convolutions in PyTorch."""

from __future__ import annotations

from cnnc.backends.pytorch.layer import Code, Layer, Module, Raw, Val, emits, kwargs
from cnnc.compiler.ops.convolution import Conv


@emits(Conv)
def conv(layer: Layer) -> Code:
    op = layer.op
    symmetric = all(before == after for before, after in op.pad)
    options = kwargs(
        stride=(layer.arg("stride"), 1),
        padding=(layer.same_padding() if symmetric else Raw(_flat(op.pad)), 0),
        dilation=(layer.arg("dilation"), 1),
        groups=(layer.arg("groups"), 1),
        bias=(Val(op.bias), True),
    )
    args = (layer.channels(), layer.arg("width"), layer.arg("kernel"))
    if symmetric:
        return Module(f"nn.Conv{layer.rank}d", args, options)
    name = f"UnevenConv{layer.rank}d"
    return Module(name, args, options, helper=name)


def _flat(pads: tuple[tuple[int, int], ...]) -> str:
    """Uneven padding as `F.pad` takes it: last axis first, before and after."""
    return str(tuple(n for pair in reversed(pads) for n in pair))
