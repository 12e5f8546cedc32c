"""Pools in PyTorch."""

from __future__ import annotations

from cnnc.backends.pytorch.emitters.shared import by_side, by_size, is_symmetric, padding, sided
from cnnc.backends.pytorch.layer import Code, Layer, Module, Val, emits, fold, kwargs, never
from cnnc.compiler.ops.pooling import (
    AdaptiveAvgPool,
    AdaptiveMaxPool,
    AvgPool,
    BlurPool,
    FractionalMaxPool,
    GlobalAvgPool,
    GlobalMaxPool,
    LpPool,
    MaxPool,
    StochasticPool,
    SubSampling,
    SumPool,
)
from cnnc.compiler.sizes import is_free


@emits(MaxPool, AvgPool, same_tf=True)
def sliding_pool(layer: Layer) -> Code:
    op = layer.op
    average = isinstance(op, AvgPool)
    name = f"{'AvgPool' if average else 'MaxPool'}{layer.rank}d"
    if by_size(op.pad):
        return _same_tf(layer, f"SameTF{name}")
    # AvgPool3d refuses a kernel larger than its map whatever the padding.
    small = (
        average
        and layer.rank == 3
        and any(is_free(n) or n < k for n, k in zip(layer.ins[0][1:], op.kernel, strict=True))
    )
    # PyTorch pads by half a kernel at most, whatever its dilation.
    beyond = any(2 * before > k for (before, _), k in zip(op.pad, op.kernel, strict=True))
    is_sided = small or beyond or not is_symmetric(op.pad)
    options = kwargs(
        stride=(layer.arg("stride"), fold(op.kernel)),
        padding=(sided(layer) if is_sided else padding(op.pad), 0),
        ceil_mode=(Val(op.ceil), False),
    )
    if average:
        options |= kwargs(count_include_pad=(Val(op.count_pad), True))
    elif op.dilation is not None:
        options |= kwargs(dilation=(layer.arg("dilation"), 1))
    if not is_sided:
        return Module(f"nn.{name}", (layer.arg("kernel"),), options)
    return Module(f"Uneven{name}", (layer.arg("kernel"),), options, helper=f"Uneven{name}")


def _same_tf(layer: Layer, name: str) -> Module:
    """A pool whose padding goes by a size that is known as it runs; its windows fit, so `ceil` says nothing."""
    options = kwargs(stride=(layer.arg("stride"), fold(layer.op.kernel)))
    if isinstance(layer.op, AvgPool):
        options |= kwargs(count_include_pad=(Val(layer.op.count_pad), True))
    elif layer.op.dilation is not None:
        options |= kwargs(dilation=(layer.arg("dilation"), 1))
    return Module(name, (layer.arg("kernel"),), options, helper=name, needs=("SameTF",))


@emits(SumPool)
def sumpool(layer: Layer) -> Code:
    op = layer.op
    args = (Val(op.kernel), Val(op.stride), Val(by_side(op.pad)))
    return Module("SumPool", args, kwargs(ceil_mode=(Val(op.ceil), False)), helper="SumPool")


@emits(StochasticPool)
def stochasticpool(layer: Layer) -> Code:
    op = layer.op
    args = (Val(op.kernel), Val(op.stride), Val(by_side(op.pad)))
    return Module("StochasticPool", args, helper="StochasticPool")


@emits(SubSampling)
def subsample(layer: Layer) -> Code:
    op = layer.op
    args = (layer.channels(), Val(op.kernel), Val(op.stride), Val(by_side(op.pad)))
    return Module("SubSampling", args, helper="SubSampling")


@emits(LpPool)
def lppool(layer: Layer) -> Code:
    op = layer.op
    if any(n for sides in op.pad for n in sides):
        args = (Val(op.p), Val(op.kernel), Val(op.stride), Val(by_side(op.pad)))
        return Module("PaddedLPPool", args, helper="PaddedLPPool")
    options = kwargs(stride=(layer.arg("stride"), fold(op.kernel)))
    return Module(f"nn.LPPool{layer.rank}d", (Val(op.p), layer.arg("kernel")), options)


@emits(GlobalAvgPool)
def gap(layer: Layer) -> Code:
    return Module(f"nn.AdaptiveAvgPool{layer.rank}d", (Val(1),))


@emits(GlobalMaxPool)
def gmp(layer: Layer) -> Code:
    return Module(f"nn.AdaptiveMaxPool{layer.rank}d", (Val(1),))


@emits(AdaptiveAvgPool, AdaptiveMaxPool)
def adaptive(layer: Layer) -> Code:
    kind = "Avg" if isinstance(layer.op, AdaptiveAvgPool) else "Max"
    return Module(f"nn.Adaptive{kind}Pool{layer.rank}d", (layer.arg("out"),))


@emits(FractionalMaxPool)
def fractionalmaxpool(layer: Layer) -> Code:
    op = layer.op
    if op.out is not None:
        options = {"output_size": layer.arg("out")}
    else:
        options = {"output_ratio": Val(op.ratio)}
    if layer.rank == 1:
        name = "FractionalMaxPool1d"
        return Module(name, (layer.arg("kernel"),), options, helper=name)
    return Module(f"nn.FractionalMaxPool{layer.rank}d", (layer.arg("kernel"),), options)


@emits(BlurPool, counted=never)
def blurpool(layer: Layer) -> Code:
    args = (Val(layer.op.kernel), Val(layer.op.stride))
    return Module("BlurPool", args, helper="BlurPool")
