"""The layers of the inference form in PyTorch."""

from __future__ import annotations

from dataclasses import replace

from cnnc.backends.pytorch.inference.ops import (
    FUSED_ACTS,
    Append,
    ChannelsLast,
    Fused,
    ScaleShift,
    SeparablePool,
)
from cnnc.backends.pytorch.layer import Argument, Code, Function, Layer, Module, Raw, Val, emit, emits, fold
from cnnc.backends.pytorch.names import quote
from cnnc.compiler.graph import Node
from cnnc.compiler.ops import Op
from cnnc.compiler.ops.activation import LeakyReLU
from cnnc.compiler.ops.convolution import DepthwiseConv


def _plain(layer: Layer, op: Op) -> Module:
    """The module of the layer that a fused one began as."""
    node = replace(layer.node, op=op, inputs=layer.node.inputs[:1])
    reads = None if layer.reads is None else layer.reads.within(op)
    code = emit(
        replace(layer, node=node, shapes=layer.shapes[:1], channel_syms=layer.channel_syms[:1], reads=reads)
    )
    assert isinstance(code, Module)
    return replace(code, init={})


def _has_no_act(node: Node) -> bool:
    """The gradient of its activation reads what flows out."""
    return isinstance(node.op, Fused) and node.op.act is None


@emits(Fused, spare=_has_no_act)
def fused(layer: Layer) -> Code:
    act = layer.op.act
    module = _with_fold(layer, _plain(layer, layer.op.of))
    if not layer.op.kernel:
        return module
    options: dict[str, Argument] = dict(module.kwargs)
    if act is not None:
        options["act"] = Raw(quote(FUSED_ACTS[type(act)]))
        if isinstance(act, LeakyReLU):
            options["slope"] = Val(act.slope)
    name = module.cls.replace("nn.", "Fused")
    if isinstance(layer.op.of, DepthwiseConv):
        name = "FusedDepthwiseConv2d"
    elif layer.op.pool is not None:
        name = "PooledConv2d"
        options["pool"] = Val(fold(layer.op.pool.kernel))
    return replace(module, cls=name, kwargs=options, helper=name)


def _with_fold(layer: Layer, module: Module) -> Module:
    """The module with the norm named that is in its weights, if there is one."""
    op, up = layer.op, layer.node.local.count(".") + 1
    if not op.norm:
        return module
    more = [f"eps={op.eps!r}"] if op.eps != 1e-5 else []
    more += [f"up={up}"] if up > 1 else []
    around = f"folds({module.around}, {', '.join([quote(op.norm), *more])})"
    return replace(module, around=around, needs=(*module.needs, "folds"))


@emits(ScaleShift)
def scale_shift(layer: Layer) -> Code:
    options: dict[str, Argument] = {"rank": Val(layer.rank)} if layer.rank != 2 else {}
    if layer.op.act is not None:
        options["relu"] = Raw("True")
    if layer.op.of.eps != 1e-5:
        options["eps"] = Raw(repr(layer.op.of.eps))
    if layer.op.defers:
        options["defers"] = Raw("True")
    return Module("ScaleShift", (layer.channels(),), options, helper="ScaleShift")


@emits(SeparablePool)
def separable_pool(layer: Layer) -> Code:
    name = "SeparableMaxPool2d"
    return replace(_plain(layer, layer.op.of), cls=name, helper=name)


@emits(Append)
def append(layer: Layer) -> Code:
    return Function("append({all})", helper="append")


@emits(ChannelsLast)
def channels_last(layer: Layer) -> Code:
    return Function("{0}.contiguous(memory_format=torch.channels_last)")
