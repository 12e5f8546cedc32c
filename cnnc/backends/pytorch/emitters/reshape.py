"""Layers that rearrange positions, in PyTorch."""

from __future__ import annotations

from cnnc.backends.pytorch.layer import Code, Function, Layer, Module, Val, emits
from cnnc.backends.pytorch.sym import piece
from cnnc.compiler.ops.reshape import (
    ChannelShuffle,
    Chunk,
    Crop,
    Flatten,
    PadShortcut,
    Permute,
    Reshape,
    Slice,
    Squeeze,
    Stretch,
)
from cnnc.compiler.sizes import is_free


@emits(Flatten)
def flatten(layer: Layer) -> Code:
    return Function("torch.flatten({0}, 1)", module=Module("nn.Flatten"))


@emits(Crop)
def crop(layer: Layer) -> Code:
    if len(layer.shapes) == 2:
        return Function("centre_crop({0}, {1})", helper="centre_crop")
    if layer.varies or any(map(is_free, layer.ins[0])):
        return Function("crop_to({0}, {size})", {"size": Val(layer.op.size)}, helper="crop_to")
    slices: list[str] = []
    values: dict[str, Val] = {}
    whole = layer.ins[0][1:]
    for i, (start, size, n) in enumerate(
        zip(layer.op.offsets(*layer.ins), layer.op.size, whole, strict=True)
    ):
        # Counted from the far end, the same slice serves maps of every size.
        begin, end = (f"{{start{i}}}" if start else ""), (f"{{end{i}}}" if start + size < n else "")
        slices.append(f"{begin}:{end}")
        values |= {f"start{i}": Val(start)} if begin else {}
        values |= {f"end{i}": Val(start + size - n)} if end else {}
    return Function(f"{{0}}[..., {', '.join(slices)}]", values)


@emits(Stretch)
def stretch(layer: Layer) -> Code:
    if len(layer.shapes) == 2:
        return Function("{0}.expand(-1, -1, *{1}.shape[2:])")
    sizes = {f"n{i}": Val(n) for i, n in enumerate(layer.op.size)}
    return Function(f"{{0}}.expand(-1, -1, {', '.join(f'{{{name}}}' for name in sizes)})", sizes)


@emits(PadShortcut)
def shortcut_pad(layer: Layer) -> Code:
    name = "PadShortcut"
    stride = layer.op.stride
    args = (layer.channels(), layer.arg("width"), Val(stride[0] if len(set(stride)) == 1 else stride))
    return Module(name, args, helper=name)


@emits(ChannelShuffle)
def shuffle(layer: Layer) -> Code:
    return Module("nn.ChannelShuffle", (layer.arg("groups"),))


@emits(Chunk)
def chunk(layer: Layer) -> Code:
    size = piece(layer.arg("n").sym, layer.channel_syms[0])
    if size is not None and layer.op.i == layer.op.n - 1:
        return Function("{0}[:, -{size}:]", {"size": Val(layer.shapes[0][0] // layer.op.n, size)})
    return Function("torch.chunk({0}, {n}, 1)[{i}]", {"n": layer.arg("n"), "i": layer.arg("i")})


@emits(Squeeze)
def squeeze(layer: Layer) -> Code:
    axes = tuple(i + 1 for i, n in enumerate(layer.ins[0]) if i and n == 1)
    if len(axes) == layer.rank and axes:
        return Function("torch.flatten({0}, 1)", module=Module("nn.Flatten"))
    return Function("torch.squeeze({0}, {axes})", {"axes": Val(axes)}) if axes else Function("{0}")


@emits(Permute)
def permute(layer: Layer) -> Code:
    order = tuple(1 + i for i in layer.op.dims(layer.ins[0]))
    return Function("torch.permute({0}, {order})", {"order": Val((0, *order))})


@emits(Slice)
def slice_(layer: Layer) -> Code:
    bounds, dim = layer.op.bounds, layer.op.dim(layer.ins[0])
    before = "..., " if dim and dim == layer.rank else ":, " * (1 + dim)
    if bounds is None:
        count = f"{{1}}.shape[{layer.op.dim(layer.ins[1]) + 1}]"
        return Function(f"{{0}}[{before}-{count} :]" if layer.op.last else f"{{0}}[{before}: {count}]")
    values: dict[str, Val] = {}
    if bounds.low:
        values["start"] = Val(bounds.low)
    if bounds.high not in (None, -1):
        values["stop"] = Val(bounds.high + 1)
    stretch = f"{'{start}' if 'start' in values else ''}:{'{stop}' if 'stop' in values else ''}"
    return Function(f"{{0}}[{before}{stretch}]", values)


@emits(Reshape)
def reshape(layer: Layer) -> Code:
    shape = layer.op.shape
    if shape is None:
        return Function("reshaped_to({0}, {1})", helper="reshaped_to")
    if any(map(is_free, shape)):
        return Function(
            "reshaped({0}, {shape})",
            {"shape": Val(tuple(-1 if is_free(n) else n for n in shape))},
            helper="reshaped",
        )
    if len(shape) == 1:
        return Function("torch.flatten({0}, 1)", module=Module("nn.Flatten"))
    if layer.rank == 0:
        template = "torch.unflatten({0}, 1, {shape})"
        return Function(template, {"shape": Val(shape)}, Module("nn.Unflatten", (Val(1), Val(shape))))
    return Function("torch.reshape({0}, {shape})", {"shape": Val((-1, *shape))})
