"""Fully-connected layers."""

from __future__ import annotations

from collections.abc import Mapping

from cnnc.compiler.ops import base
from cnnc.compiler.ops.base import Brings, Op, Shape, Whole, Window, WordSlots


@base.op
class FC(Op):
    """Fully-connected layer with `width` outputs; a map is flattened first."""

    kind = "fc"
    family = "linear"
    example = "fc-4096"
    word = WordSlots(size="width", width="width")
    brings = Brings()
    ranks = (0,)
    flattens = True
    weighted = True

    width: base.Positive
    bias: base.Flag = True

    def out_shape(self, *ins: Shape) -> Shape:
        return (self.width,)

    def params(self, *ins: Shape) -> Mapping[str, Shape]:
        weight = {"weight": (self.width, ins[0][0])}
        return {**weight, "bias": (self.width,)} if self.bias else weight

    def state(self, *ins: Shape) -> Mapping[str, Shape]:
        return {}

    def macs(self, *ins: Shape) -> int:
        return ins[0][0] * self.width

    def window(self, *ins: Shape) -> Window:
        return Whole()
