"""Spatial transformers."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Annotated

from cnnc.compiler.ops import base, fields
from cnnc.compiler.ops.base import Op, OpError, Shape, Undefined, Window


@base.op
class SpatialTransformer(Op):
    """The map seen through an affine transform that `localisation` finds (Jaderberg et al. 2015).

    A fully-connected layer, `theta`, makes the 6 numbers of the transform (12 on
    three axes) from what flows out of the pipeline; it starts as the identity.
    The map is sampled on the transformed grid, of `size` or the map's own, by
    `mode` bilinear or nearest; beyond the map are zeros, or as `border` says.
    """

    kind = "stn"
    family = "head"
    example = "stn([conv7-8(pad=valid) -> pool -> fc-32])"
    aliases = ("spatialtransformer",)
    ranks = (2, 3)
    pipelines = ("localisation",)
    weighted = True

    mode: Annotated[str, fields.word("bilinear", "nearest")] = "bilinear"
    border: Annotated[str, fields.word("zeros", "border", "reflection")] = "zeros"
    size: fields.OptionalAxes = None
    align_corners: fields.Flag = False

    def out_shape(self, *ins: Shape) -> Shape:
        if len(ins) < 2:
            raise OpError("E504", "`stn` needs a pipeline that finds the transform", hint=self.example)
        return (ins[0][0], *(self.size or ins[0][1:]))

    def numbers(self, *ins: Shape) -> int:
        """How many numbers an affine transform has: n * (n + 1) on n axes."""
        rank = len(ins[0]) - 1
        return rank * (rank + 1)

    def params(self, *ins: Shape) -> Mapping[str, Shape]:
        numbers = self.numbers(*ins)
        return {"theta.weight": (numbers, prod(ins[1])), "theta.bias": (numbers,)}

    def state(self, *ins: Shape) -> Mapping[str, Shape]:
        return {}

    def macs(self, *ins: Shape) -> int:
        return self.numbers(*ins) * prod(ins[1])

    def flops(self, *ins: Shape) -> int:
        return 2 * self.macs(*ins) + self.numbers(*ins)

    def window(self, *ins: Shape) -> Window:
        return Undefined("the places sampled depend on the data")
