"""Pooling: sliding windows and whole maps."""

from __future__ import annotations

from abc import ABC
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo

from cnnc.compiler.ops import base, geometry
from cnnc.compiler.ops.base import OpError, Shape, Sides, Weightless, Whole, Window, WordSlots


def _pool_pad(value: Any, info: ValidationInfo) -> tuple[Sides, ...]:
    """`valid`, `same`, `same_tf` or numbers; at most half the kernel on a side."""
    place, kernel = base.place_of(info), info.data["kernel"]
    ones = (1,) * place.rank
    pads = base.sides(value, "pad", place.rank)
    if pads is None and value == "valid":
        pads = ((0, 0),) * place.rank
    elif pads is None and value == "same":
        pads = geometry.same_padding(kernel, ones, "pad")
    elif pads is None and value == "same_tf":
        pads = geometry.same_tf_padding(place.ins[0][1:], kernel, info.data["stride"], ones)
    if pads is None:
        raise OpError(
            "E303", f"`pad` is {base.show(value)}, and valid, same, same_tf, a number, 1x2 (by axis) "
            "or (before, after) is wanted", arg="pad",
        )  # fmt: skip
    for axis, k in zip(pads, kernel, strict=True):
        if max(axis) > k // 2:
            raise OpError(
                "E303", f"`pad` (={max(axis)}) may be at most half the kernel (={k})", arg="pad"
            )
    return pads


def _own_stride(value: Any, info: ValidationInfo) -> tuple[int, ...]:
    """A pool's stride is its kernel unless written."""
    if value is None:
        return tuple(info.data["kernel"])
    return base.per_axis(value, info, 1)


Stride = Annotated[tuple[int, ...], BeforeValidator(_own_stride)]
PoolPad = Annotated[tuple[Sides, ...], BeforeValidator(_pool_pad)]


class _SlidingPool(Weightless, ABC):
    """A pool of `kernel`, with stride = kernel unless written, unpadded unless written."""

    family = "pooling"
    word = WordSlots(size="kernel", stride="stride")
    ranks = (1, 2, 3)

    kernel: base.PositiveAxes = Field(2, validate_default=True)
    stride: Stride = Field(None, validate_default=True)
    pad: PoolPad = Field("valid", validate_default=True)
    ceil: base.Flag = False

    def out_shape(self, *ins: Shape) -> Shape:
        ones = (1,) * len(self.kernel)
        return (ins[0][0], *geometry.slide(ins[0], self.kernel, self.stride, self.pad, ones, ceil=self.ceil))

    def window(self, *ins: Shape) -> Window:
        return geometry.local(self.kernel, self.stride, self.pad, (1,) * len(self.kernel))


@base.op
class MaxPool(_SlidingPool):
    """The largest value of each window; padding never wins."""

    kind = "maxpool"
    example = "maxpool3/2"
    aliases = ("pool",)


@base.op
class AvgPool(_SlidingPool):
    """The mean of each window; `count_pad=no` leaves padding out of the mean."""

    kind = "avgpool"
    example = "avgpool3/2"

    count_pad: base.Flag = True


@base.op
class GlobalAvgPool(Weightless):
    """The mean over all positions of each map: C x H x W becomes C x 1 x 1."""

    kind = "gap"
    family = "pooling"
    example = "gap"
    ranks = (1, 2, 3)

    def out_shape(self, *ins: Shape) -> Shape:
        return (ins[0][0], *(1 for _ in ins[0][1:]))

    def window(self, *ins: Shape) -> Window:
        return Whole()
