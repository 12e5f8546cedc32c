"""Transposed convolutions, which make maps larger."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Annotated, Any

from cnnc.compiler.ops import base, fields, geometry
from cnnc.compiler.ops.base import Brings, OpError, Shape, Sides, Window, WordSlots
from cnnc.compiler.ops.convolution import REUSABLE, Sliding, check_divides
from cnnc.compiler.ops.initial import BiasInit, WeightInit
from cnnc.compiler.ops.model import BeforeValidator, Field, ValidationInfo
from cnnc.compiler.ops.reparam import Reparam


def _same_tf_cut(known: dict[str, Any]) -> tuple[Sides, ...]:
    """What TensorFlow cuts off so that s times the positions are left, the smaller half before.

    A kernel shorter than its stride leaves too few, by as much as `output_pad` must add.
    """
    cuts = []
    parts = zip(known["kernel"], known["stride"], known["dilation"], known["output_pad"], strict=True)
    for k, s, d, more in parts:
        total = geometry.effective(k, d) - s
        if max(-total, 0) != more:
            raise OpError(
                "E307", f"`pad=same_tf` requires `output_pad` (={more}) to be {max(-total, 0)}", arg="pad",
                hint=f"output_pad={-total}" if total < 0 else "leave `output_pad` out",
            )  # fmt: skip
        cuts.append((max(total, 0) // 2, max(total, 0) - max(total, 0) // 2))
    return tuple(cuts)


def _transposed_pad(value: Any, info: ValidationInfo) -> tuple[Sides, ...]:
    """`valid`, `same_tf` or numbers, to (before, after) pairs: what is cut off the output."""
    rank = fields.place_of(info).rank
    explicit = fields.sides(value, "pad", rank)
    if explicit is not None:
        return explicit
    if value == "valid":
        return ((0, 0),) * rank
    if value == "same_tf":
        return _same_tf_cut(info.data)
    raise OpError(
        "E303", f"`pad` is {base.show(value)}; expected valid, same_tf, a number, 1x2 (by axis) or (before, after)",
        arg="pad",
    )  # fmt: skip


TransposedPad = Annotated[tuple[Sides, ...], BeforeValidator(_transposed_pad)]


@base.op
class TransposedConv(Sliding):
    """Transposed convolution, the gradient of a convolution by its input (Zeiler et al. 2010).

    out = s(M - 1) + k_eff - p + output_pad on each axis, and s*M with `pad=same_tf`.
    """

    kind = "tconv"
    example = "tconv2-64/2"
    aliases = ("deconv", "upconv")
    word = WordSlots(size="kernel", width="width", stride="stride")
    brings = Brings(act=None)
    reusable = (*REUSABLE, "output_pad")
    outputs_axis = 1
    settled_first = ("kernel", "stride", "dilation", "output_pad")

    kernel: fields.PositiveAxes
    width: fields.Positive
    stride: fields.PositiveAxes = Field(1, validate_default=True)
    dilation: fields.PositiveAxes = Field(1, validate_default=True)
    pad: TransposedPad = Field(0, validate_default=True)
    output_pad: fields.NaturalAxes = Field(0, validate_default=True)
    groups: fields.Positive = 1
    bias: fields.Flag = True
    init: WeightInit = None
    bias_init: BiasInit = None
    reparam: Reparam = None

    def out_shape(self, *ins: Shape) -> Shape:
        check_divides(self.groups, ins[0][0], self.width)
        for more, s, d in zip(self.output_pad, self.stride, self.dilation, strict=True):
            if more >= max(s, d):
                raise OpError(
                    "E307", f"`output_pad` (={more}) must be less than the stride (={s}) or the dilation (={d})",
                    arg="output_pad",
                )  # fmt: skip
        return (self.width, *self._sizes(ins[0]))

    def _sizes(self, shape: Shape) -> tuple[int, ...]:
        return geometry.spread(shape, self.kernel, self.stride, self.pad, self.dilation, self.output_pad)

    def tensors_of(self, *ins: Shape) -> Mapping[str, Shape]:
        weight = {"weight": (ins[0][0], self.width // self.groups, *self.kernel)}
        return {**weight, "bias": (self.width,)} if self.bias else weight

    def macs(self, *ins: Shape) -> int:
        return prod(ins[0]) * (self.width // self.groups) * prod(self.kernel)

    def window(self, *ins: Shape) -> Window:
        return geometry.transposed(self.kernel, self.stride, self.pad, self.dilation)
