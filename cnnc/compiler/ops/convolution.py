"""Convolutions."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo

from cnnc.compiler.ops import base, geometry
from cnnc.compiler.ops.base import Brings, Op, OpError, Shape, Sides, Window, WordSlots


def _conv_pad(value: Any, info: ValidationInfo) -> tuple[Sides, ...]:
    """`same`, `valid`, `same_tf` or numbers, to (before, after) pairs."""
    place, known = base.place_of(info), info.data
    explicit = base.sides(value, "pad", place.rank)
    if explicit is not None:
        return explicit
    if value == "valid":
        return ((0, 0),) * place.rank
    if value == "same":
        return geometry.same_padding(known["kernel"], known["dilation"], "pad")
    if value == "same_tf":
        sizes = place.ins[0][1:]
        return geometry.same_tf_padding(sizes, known["kernel"], known["stride"], known["dilation"])
    raise OpError(
        "E303", f"`pad` is {base.show(value)}, and same, valid, same_tf, a number, 1x2 (by axis) "
        "or (before, after) is wanted", arg="pad",
    )  # fmt: skip


ConvPad = Annotated[tuple[Sides, ...], BeforeValidator(_conv_pad)]


@base.op
class Conv(Op):
    """Convolution (cross-correlation) with `width` filters.

    out = floor((N + p - k_eff)/s) + 1 on each axis, k_eff = k + (k - 1)(dilation - 1).
    """

    kind = "conv"
    family = "convolution"
    example = "conv3-64/2"
    word = WordSlots(size="kernel", width="width", stride="stride")
    brings = Brings()
    ranks = (1, 2, 3)
    weighted = True

    kernel: base.PositiveAxes
    width: base.Positive
    stride: base.PositiveAxes = Field(1, validate_default=True)
    dilation: base.PositiveAxes = Field(1, validate_default=True)
    pad: ConvPad = Field("same", validate_default=True)
    groups: base.Positive = 1
    bias: base.Flag = True

    def out_shape(self, *ins: Shape) -> Shape:
        channels = ins[0][0]
        for what, number in (("input channels", channels), ("width", self.width)):
            if number % self.groups:
                raise OpError(
                    "E402", f"`groups` (={self.groups}) must divide the {what} (={number})", arg="groups"
                )
        return (self.width, *geometry.slide(ins[0], self.kernel, self.stride, self.pad, self.dilation))

    def params(self, *ins: Shape) -> Mapping[str, Shape]:
        weight = {"weight": (self.width, ins[0][0] // self.groups, *self.kernel)}
        return {**weight, "bias": (self.width,)} if self.bias else weight

    def state(self, *ins: Shape) -> Mapping[str, Shape]:
        return {}

    def macs(self, *ins: Shape) -> int:
        return prod(self.out_shape(*ins)) * (ins[0][0] // self.groups) * prod(self.kernel)

    def window(self, *ins: Shape) -> Window:
        return geometry.local(self.kernel, self.stride, self.pad, self.dilation)
