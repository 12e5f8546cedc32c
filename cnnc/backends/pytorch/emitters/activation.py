"""Activations in PyTorch."""

from __future__ import annotations

from cnnc.backends.pytorch.layer import Code, Layer, Module, Raw, Val, always, emits, kwargs
from cnnc.compiler.ops import Op
from cnnc.compiler.ops.activation import (
    ELU,
    GELU,
    SELU,
    HardSigmoid,
    HardSwish,
    LeakyReLU,
    LogSoftmax,
    Maxout,
    Mish,
    PReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)

_IN_PLACE: dict[type[Op], str] = {
    ReLU: "nn.ReLU", ReLU6: "nn.ReLU6", SiLU: "nn.SiLU", HardSwish: "nn.Hardswish",
}  # fmt: skip
_PLAIN: dict[type[Op], str] = {
    SELU: "nn.SELU", Mish: "nn.Mish", Sigmoid: "nn.Sigmoid", Tanh: "nn.Tanh", HardSigmoid: "nn.Hardsigmoid",
    **_IN_PLACE,
}  # fmt: skip


@emits(*_IN_PLACE, in_place=always)
@emits(*(op for op in _PLAIN if op not in _IN_PLACE))
def plain(layer: Layer) -> Code:
    return Module(_PLAIN[layer.node.op.__class__])


@emits(LeakyReLU, in_place=lambda op: op.slope >= 0)
def leaky(layer: Layer) -> Code:
    return Module("nn.LeakyReLU", (Val(layer.op.slope),) if layer.op.slope != 0.01 else ())


@emits(PReLU)
def prelu(layer: Layer) -> Code:
    options = kwargs(init=(Val(layer.op.start), 0.25))
    return Module("nn.PReLU", () if layer.op.shared else (layer.channels(),), options)


@emits(ELU, in_place=lambda op: op.alpha >= 0)
def elu(layer: Layer) -> Code:
    return Module("nn.ELU", (Val(layer.op.alpha),) if layer.op.alpha != 1 else ())


@emits(GELU)
def gelu(layer: Layer) -> Code:
    return Module("nn.GELU", kwargs={"approximate": Raw('"tanh"')} if layer.op.tanh else {})


@emits(Softplus)
def softplus(layer: Layer) -> Code:
    return Module("nn.Softplus", (Val(layer.op.beta),) if layer.op.beta != 1 else ())


@emits(Softmax)
def softmax(layer: Layer) -> Code:
    return Module("nn.Softmax", kwargs={"dim": Val(1 + layer.op.dim(layer.ins[0]))})


@emits(LogSoftmax)
def logsoftmax(layer: Layer) -> Code:
    return Module("nn.LogSoftmax", kwargs={"dim": Val(1 + layer.op.dim(layer.ins[0]))})


@emits(Maxout)
def maxout(layer: Layer) -> Code:
    return Module("Maxout", (layer.arg("pieces"),), helper="Maxout")
