"""Recurrent layers in PyTorch."""

from __future__ import annotations

from cnnc.backends.pytorch.layer import Code, Layer, Module, Val, emits, kwargs
from cnnc.compiler.ops.recurrent import GRU, LSTM


@emits(LSTM, GRU)
def recurrent(layer: Layer) -> Code:
    op = layer.op
    name = op.kind.upper()
    options = kwargs(
        num_layers=(layer.arg("layers"), 1),
        bias=(Val(op.bias), True),
        dropout=(Val(op.dropout), 0.0),
        bidirectional=(Val(op.bidirectional), False),
    )
    return Module(name, (layer.channels(), layer.arg("width")), options, helper=name)
