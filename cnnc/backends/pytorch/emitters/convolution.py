"""Convolutions in PyTorch."""

from __future__ import annotations

from cnnc.backends.pytorch.emitters.shared import by_size, initial, is_symmetric, padding, sided
from cnnc.backends.pytorch.layer import Argument, Code, Layer, Module, Raw, Val, always, cannot, emits, kwargs
from cnnc.compiler.ops.convolution import Conv, DepthwiseConv, SeparableConv, Standardised
from cnnc.compiler.ops.transposed import TransposedConv
from cnnc.compiler.ops.unshared import LocallyConnected
from cnnc.compiler.symbolic import Const, binary


@emits(Conv, spare=always, same_tf=True, counted=lambda op: op.table is None)
def conv(layer: Layer) -> Code:
    op = layer.op
    if op.table is not None:
        return _table_conv(layer)
    if by_size(op.pad) and op.mask is not None:
        raise cannot(
            layer, "a mask on maps that are padded by a free size", hint="give the size with --input"
        )
    if by_size(op.pad) and not op.standardise:
        return _same_tf(layer, layer.channels(), layer.arg("width"), layer.arg("groups"))
    is_sided = op.standardise or op.mask is not None or not is_symmetric(op.pad)
    options = kwargs(
        stride=(layer.arg("stride"), 1),
        padding=(sided(layer) if is_sided else layer.same_padding(), 0),
        dilation=(layer.arg("dilation"), 1),
        groups=(layer.arg("groups"), 1),
        bias=(Val(op.bias), True),
    )
    options |= _border(layer)
    args = (layer.channels(), layer.arg("width"), layer.arg("kernel"))
    if not is_sided:
        return Module(f"nn.Conv{layer.rank}d", args, options, init=initial(layer))
    if op.mask is not None:
        options["mask"] = Raw(f'"{op.mask}"')
    if isinstance(op.standardise, Standardised):
        usual = Standardised()
        options |= kwargs(
            eps=(Val(op.standardise.eps), usual.eps),
            gain=(Val(op.standardise.gain), usual.gain),
            scale=(Val(op.standardise.scale), usual.scale),
        )
    kind = "Masked" if op.mask is not None else "Standardised" if op.standardise else "Uneven"
    name = f"{kind}Conv{layer.rank}d"
    return Module(name, args, options, helper=name, init=initial(layer))


def _border(layer: Layer) -> dict[str, Argument]:
    """What the padding repeats, where it is not zeros."""
    mode = layer.op.pad_mode
    return {} if mode is None else {"padding_mode": Raw(f'"{mode}"')}


def _table_conv(layer: Layer) -> Code:
    """The module takes its width from the table, whose rows have a place for each output map."""
    op = layer.op
    assert all(len(row) == op.width for row in op.table)
    options = kwargs(
        stride=(Val(op.stride), (1,) * layer.rank),
        padding=(sided(layer), None),
        dilation=(Val(op.dilation), (1,) * layer.rank),
        bias=(Val(op.bias), True),
    )
    return Module(
        "TableConv", (Val(op.table), Val(op.kernel)), options, helper="TableConv", init=initial(layer)
    )


def _same_tf(layer: Layer, channels: Val, width: Val, groups: Val) -> Module:
    """A convolution whose padding goes by a size that is known as it runs."""
    name = f"SameTFConv{layer.rank}d"
    options = kwargs(
        stride=(layer.arg("stride"), 1),
        dilation=(layer.arg("dilation"), 1),
        groups=(groups, 1),
        bias=(Val(layer.op.bias), True),
    )
    args = (channels, width, layer.arg("kernel"))
    return Module(name, args, options, helper=name, needs=("SameTF",), init=initial(layer))


@emits(DepthwiseConv, spare=always, same_tf=True)
def dwconv(layer: Layer) -> Code:
    op = layer.op
    symmetric = is_symmetric(op.pad)
    channels = layer.channels()
    width = Val(channels.value * op.multiplier)
    if channels.sym is not None:
        width = Val(width.value, binary("*", Const(op.multiplier), channels.sym))
    if by_size(op.pad):
        return _same_tf(layer, channels, width, channels)
    options = kwargs(
        stride=(layer.arg("stride"), 1),
        padding=(layer.same_padding() if symmetric else sided(layer), 0),
        dilation=(layer.arg("dilation"), 1),
        groups=(channels, 1),
        bias=(Val(op.bias), True),
    )
    options |= _border(layer)
    name = f"{'nn.' if symmetric else 'Uneven'}Conv{layer.rank}d"
    args = (channels, width, layer.arg("kernel"))
    return Module(name, args, options, helper=None if symmetric else name, init=initial(layer))


@emits(SeparableConv, spare=always, same_tf=True)
def sepconv(layer: Layer) -> Code:
    op = layer.op
    options = kwargs(
        stride=(layer.arg("stride"), 1),
        dilation=(layer.arg("dilation"), 1),
        multiplier=(layer.arg("multiplier"), 1),
        bias=(Val(op.bias), True),
    )
    args = (layer.channels(), layer.arg("width"), layer.arg("kernel"))
    init = initial(layer, weights=("depthwise.weight", "pointwise.weight"), bias="pointwise.bias")
    if by_size(op.pad):
        name = f"SameTFSeparableConv{layer.rank}d"
        needs = ("SameTF", f"SameTFConv{layer.rank}d")
        return Module(name, args, options, helper=name, needs=needs, init=init)
    name = f"SeparableConv{layer.rank}d"
    sides = layer.same_padding() if is_symmetric(op.pad) else sided(layer)
    options |= kwargs(padding=(sides, 0))
    return Module(name, args, options, helper=name, init=init)


@emits(TransposedConv, spare=always)
def tconv(layer: Layer) -> Code:
    op = layer.op
    symmetric = is_symmetric(op.pad)
    options = kwargs(
        stride=(layer.arg("stride"), 1),
        padding=(padding(op.pad), 0),
        output_padding=(layer.arg("output_pad"), 0),
        groups=(layer.arg("groups"), 1),
        bias=(Val(op.bias), True),
        dilation=(layer.arg("dilation"), 1),
    )
    name = f"{'nn.' if symmetric else 'Uneven'}ConvTranspose{layer.rank}d"
    args = (layer.channels(), layer.arg("width"), layer.arg("kernel"))
    return Module(name, args, options, helper=None if symmetric else name, init=initial(layer))


@emits(LocallyConnected, spare=always)
def local(layer: Layer) -> Code:
    op = layer.op
    size = op.out_shape(*layer.ins)[1:]
    args = (layer.channels(), layer.arg("width"), Val(size), Val(op.kernel))
    options = kwargs(
        padding=(sided(layer), None),
        stride=(Val(op.stride), None),
        dilation=(Val(op.dilation), None),
        bias=(Val(op.bias), True),
    )
    return Module("LocallyConnected", args, options, helper="LocallyConnected", init=initial(layer))
