"""Where branches meet. These come from the operators `|`, `+`, `&`; no layer word names them."""

from __future__ import annotations

from abc import ABC
from itertools import pairwise

from cnnc.compiler.ops import base
from cnnc.compiler.ops.base import OpError, Pointwise, Shape, Weightless, Whole, Window


def _show(ins: tuple[Shape, ...]) -> str:
    *others, last = ("x".join(map(str, shape)) for shape in ins)
    return f"{', '.join(others)} and {last}"


class _Merge(Weightless, ABC):
    family = "merge"
    internal = True

    def window(self, *ins: Shape) -> Window:
        return Pointwise()


@base.op
class Concat(_Merge):
    """Branches one after another on the channels; their spatial sizes must be equal."""

    kind = "concat"
    example = "[conv1-64 | conv3-96]"
    transparent = True

    def out_shape(self, *ins: Shape) -> Shape:
        if any(shape[1:] != ins[0][1:] for shape in ins):
            raise OpError(
                "E405", f"`|` joins maps of one size, and these are {_show(ins)}",
                hint="pad or stride the branches alike, or crop one",
            )  # fmt: skip
        return (sum(shape[0] for shape in ins), *ins[0][1:])


@base.op
class Add(_Merge):
    """The sum of branches of equal shape."""

    kind = "add"
    takes_linear = True
    example = "[id + conv3-64 -> conv3-64]"

    def out_shape(self, *ins: Shape) -> Shape:
        if any(shape != ins[0] for shape in ins):
            raise OpError(
                "E405", f"`+` adds maps of one shape, and these are {_show(ins)}",
                hint="write `shortcut` in place of `id` for a projection that fits",
            )  # fmt: skip
        return ins[0]


@base.op
class Multiply(_Merge):
    """The product of branches, axes of size 1 stretched."""

    kind = "mul"
    example = "[id & gap -> conv1-64(act=sigmoid)]"

    def out_shape(self, *ins: Shape) -> Shape:
        if any(len(shape) != len(ins[0]) for shape in ins):
            raise OpError("E405", f"`&` multiplies maps with equal axes, and these are {_show(ins)}")
        out = tuple(max(sizes) for sizes in zip(*ins, strict=True))
        for shape in ins:
            if any(n not in (1, m) for n, m in zip(shape, out, strict=True)):
                raise OpError(
                    "E405",
                    f"`&` multiplies maps of one shape, axes of size 1 stretched, and these are {_show(ins)}",
                )
        return out


@base.op
class MatMul(_Merge):
    """The product of matrices: C x N times N x M is C x M; a map of one axis is a matrix of its channels' rows."""

    kind = "matmul"
    example = "[weights @ id]"
    takes_linear = True
    nonlinear = True

    def out_shape(self, *ins: Shape) -> Shape:
        if any(len(shape) != 2 for shape in ins):
            raise OpError(
                "E401", f"`@` multiplies matrices, which are maps of one axis, and these are {_show(ins)}",
                hint="reshape a map to channels x positions: reshape(64x196)",
            )  # fmt: skip
        rows, inner = ins[0]
        for left, right in pairwise(ins):
            if right[0] != inner:
                raise OpError(
                    "E405", f"`@` takes C x N and N x M, and these are {_show((left, right))}",
                    hint="permute(W, C) turns a matrix on its side",
                )  # fmt: skip
            inner = right[1]
        return (rows, inner)

    def macs(self, *ins: Shape) -> int:
        return sum(ins[0][0] * right[0] * right[1] for right in ins[1:])

    def windows(self, *ins: Shape) -> tuple[Window | None, ...]:
        return (*[Whole()] * (len(ins) - 1), Pointwise())
