"""Layers that rearrange positions, in PyTorch."""

from __future__ import annotations

from cnnc.backends.pytorch.layer import Code, Function, Layer, Module, Val, emits
from cnnc.compiler.ops.reshape import Crop, Flatten, PadShortcut


@emits(Flatten)
def flatten(layer: Layer) -> Code:
    return Function("torch.flatten({0}, 1)", module=Module("nn.Flatten"))


@emits(Crop)
def crop(layer: Layer) -> Code:
    slices, values = [], {}
    for i, (start, size) in enumerate(zip(layer.op.offsets(layer.ins[0]), layer.op.size, strict=True)):
        slices.append(f"{{start{i}}}:{{end{i}}}")
        values[f"start{i}"] = Val(start)
        values[f"end{i}"] = Val(start + size)
    return Function(f"{{0}}[..., {', '.join(slices)}]", values)


@emits(PadShortcut)
def shortcut_pad(layer: Layer) -> Code:
    name = "PadShortcut"
    stride = layer.op.stride
    args = (layer.channels(), layer.arg("width"), Val(stride[0] if len(set(stride)) == 1 else stride))
    return Module(name, args, helper=name)
