"""Where branches meet. These come from the operators `|`, `+`, `&`; no layer word names them."""

from __future__ import annotations

from abc import ABC
from itertools import pairwise
from typing import Annotated

from cnnc.compiler.ops import base, fields
from cnnc.compiler.ops.base import OpError, Pointwise, Shape, Undefined, Weightless, Whole, Window
from cnnc.compiler.sizes import is_free, same

AXES = ("C", "D", "H", "W")
"""The axes of a map of three, by their letters; a map of one has C and W."""


def _show(ins: tuple[Shape, ...]) -> str:
    *others, last = ("x".join(map(str, shape)) for shape in ins)
    return f"{', '.join(others)} and {last}"


class _Merge(Weightless, ABC):
    family = "merge"
    internal = True

    def window(self, *ins: Shape) -> Window:
        return Pointwise()


def place_of(axis: str, rank: int) -> int:
    """Where an axis is in a shape of so many axes beside the channels. Raises OpError where there is none."""
    letters = ("C", *AXES[4 - rank :])
    if axis not in letters:
        raise OpError("E303", f"`axis` is {axis}, and these have only {', '.join(letters)}", arg="axis")
    return letters.index(axis)


@base.op
class Concat(_Merge):
    """Branches one after another on the channels, or on another axis; their other sizes must be equal."""

    kind = "concat"
    example = "[conv1-64 | conv3-96]"
    transparent = True

    axis: Annotated[str, fields.word(*AXES)] = "C"

    def out_shape(self, *ins: Shape) -> Shape:
        at = place_of(self.axis, len(ins[0]) - 1)
        first = ins[0]
        for shape in ins:
            if not same((*shape[:at], *shape[at + 1 :]), (*first[:at], *first[at + 1 :])):
                alike = "maps of one size" if at == 0 else f"tensors that differ along {self.axis} only"
                raise OpError(
                    "E405", f"`|` joins {alike}, and these are {_show(ins)}",
                    hint="pad or stride the branches alike, or crop one"
                    if len(shape) == len(first)
                    else "give them the same axes: reshape one of them",
                )  # fmt: skip
        return (*first[:at], sum(shape[at] for shape in ins), *first[at + 1 :])

    def window(self, *ins: Shape) -> Window:
        if self.axis == "C":
            return Pointwise()
        return Undefined("maps are put side by side")


@base.op
class Add(_Merge):
    """The sum of branches of equal shape."""

    kind = "add"
    takes_linear = True
    example = "[id + conv3-64 -> conv3-64]"

    def out_shape(self, *ins: Shape) -> Shape:
        if not all(same(shape, ins[0]) for shape in ins):
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
        # Nothing to note of free sizes; a plain 1 fits any of them, also one that is 1 at the reference.
        out = tuple(max(sizes, key=lambda n: (int(n), is_free(n))) for sizes in zip(*ins, strict=True))
        for shape in ins:
            apart = [(n, m) for n, m in zip(shape, out, strict=True) if is_free(n) or n != 1]
            if any(n not in (m, 1) for n, m in apart):
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
    input_names = ("left", "right")
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
