"""Biases that are not shared between positions."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from cnnc.compiler.ops import base
from cnnc.compiler.ops.base import Op, Pointwise, Shape, Window
from cnnc.compiler.ops.initial import BiasInit


@base.op
class Bias(Op):
    """x + b with a learnt b for each position of each map, where a convolution has one for each map.

    After a convolution without a bias: `conv5-12(bias=no) -> bias -> tanh`. The maps of
    LeCun et al. 1989 share their weights but not their biases, nor do the last ones of
    AlphaGo's policy network (Silver et al. 2016, Methods). It starts at 0 unless `init` says.
    """

    kind = "bias"
    family = "convolution"
    example = "bias"
    takes_linear = True

    init: BiasInit = None

    def out_shape(self, *ins: Shape) -> Shape:
        return ins[0]

    def params(self, *ins: Shape) -> Mapping[str, Shape]:
        return {"bias": ins[0]}

    def state(self, *ins: Shape) -> Mapping[str, Shape]:
        return {}

    def macs(self, *ins: Shape) -> int:
        return 0

    def flops(self, *ins: Shape) -> int:
        return prod(ins[0])

    def window(self, *ins: Shape) -> Window:
        return Pointwise()
