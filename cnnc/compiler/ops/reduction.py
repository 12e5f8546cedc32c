"""Means, largest values and sums along axes, which stay at size 1."""

from __future__ import annotations

from abc import ABC

from cnnc.compiler.ops import axes, base
from cnnc.compiler.ops.base import Axis, Local, Pointwise, Shape, Weightless, Whole, Window


class _Reduction(Weightless, ABC):
    family = "pooling"
    letters = ("axis",)

    axis: axes.Axes

    def dims(self, shape: Shape) -> tuple[int, ...]:
        """Where the axes stand in a shape, channels first."""
        return axes.places(self.axis, shape)

    def out_shape(self, *ins: Shape) -> Shape:
        gone = self.dims(ins[0])
        return tuple(1 if i in gone else n for i, n in enumerate(ins[0]))

    def window(self, *ins: Shape) -> Window:
        gone = [i for i in self.dims(ins[0]) if i > 0]
        if not gone:
            return Pointwise()
        if len(gone) == len(ins[0]) - 1:
            return Whole()
        sizes = enumerate(ins[0][1:], start=1)
        return Local(tuple(Axis(n, 1, 0) if i in gone else Axis(1, 1, 0) for i, n in sizes))


@base.op
class Mean(_Reduction):
    """The mean along an axis, or along several, `mean(axis=(H, W))`; the axis stays, with size 1."""

    kind = "mean"
    example = "mean(axis=C)"


@base.op
class Max(_Reduction):
    """The largest value along an axis, or along several; the axis stays, with size 1."""

    kind = "max"
    example = "max(axis=C)"


@base.op
class Sum(_Reduction):
    """The sum along an axis, or along several; the axis stays, with size 1."""

    kind = "sum"
    example = "sum(axis=C)"
