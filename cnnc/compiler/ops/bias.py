"""Biases that are not shared between positions."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from cnnc.compiler.ops import base, fields
from cnnc.compiler.ops.base import PositionWise, Shape
from cnnc.compiler.ops.initial import BiasInit


@base.op
class Bias(PositionWise):
    """x + b with a learnt b for each position of each map, where a convolution has one for each map.

    With `each=channel` it is one for each map, with `each=one` a single one.

    After a convolution without a bias: `conv5-12(bias=no) -> bias -> tanh`. The maps of
    LeCun et al. 1989 share their weights but not their biases, nor do the last ones of
    AlphaGo's policy network (Silver et al. 2016, Methods). It starts at 0 unless `init` says.
    """

    kind = "bias"
    family = "convolution"
    example = "bias"
    takes_linear = True

    init: BiasInit = None
    each: fields.Each = "position"

    def params(self, *ins: Shape) -> Mapping[str, Shape]:
        return {"bias": fields.for_each(self.each, ins[0])}

    def flops(self, *ins: Shape) -> int:
        return prod(ins[0])
