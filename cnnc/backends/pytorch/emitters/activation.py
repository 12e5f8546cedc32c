"""Activations in PyTorch."""

from __future__ import annotations

from cnnc.backends.pytorch.layer import Code, Layer, Module, Val, emits
from cnnc.compiler.ops.activation import ReLU, ReLU6, Sigmoid, Softmax, Tanh

_PLAIN = {ReLU: "nn.ReLU", ReLU6: "nn.ReLU6", Sigmoid: "nn.Sigmoid", Tanh: "nn.Tanh"}


@emits(*_PLAIN)
def plain(layer: Layer) -> Code:
    return Module(_PLAIN[type(layer.op)])


@emits(Softmax)
def softmax(layer: Layer) -> Code:
    return Module("nn.Softmax", kwargs={"dim": Val(1)})
