"""Locally connected layers: convolutions whose weights are not shared between positions."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from cnnc.compiler.ops import base, fields
from cnnc.compiler.ops.base import OpError, Shape, WordSlots
from cnnc.compiler.ops.convolution import ConvPad, Sliding
from cnnc.compiler.ops.initial import BiasInit, WeightInit
from cnnc.compiler.ops.model import Field
from cnnc.compiler.ops.reparam import Reparam


@base.op
class LocallyConnected(Sliding):
    """Locally connected layer: a convolution with filters and biases of its own at each position.

    LeCun 1989; Taigman et al. 2014, section 3.2. There are positions times as many
    weights as in a convolution, and as many multiply-adds.
    """

    kind = "local"
    kin = "conv"
    example = "local3-8"
    word = WordSlots(size="kernel", width="width", stride="stride")

    kernel: fields.PositiveAxes
    width: fields.Positive
    stride: fields.PositiveAxes = Field(1, validate_default=True)
    dilation: fields.PositiveAxes = Field(1, validate_default=True)
    pad: ConvPad = Field("same", validate_default=True)
    bias: fields.Flag = True
    init: WeightInit = None
    bias_init: BiasInit = None
    reparam: Reparam = None

    def out_shape(self, *ins: Shape) -> Shape:
        init = self.init
        if init is not None and (init.mode == "fan_out" or init.rule.startswith("xavier")):
            raise OpError(
                "E307", f"`init` (={init}) depends on how many outputs a weight reaches, which is one here",
                arg="init", hint="init=he depends on the inputs alone",
            )  # fmt: skip
        return (self.width, *self._sizes(ins[0]))

    def tensors_of(self, *ins: Shape) -> Mapping[str, Shape]:
        out = self.out_shape(*ins)
        weight = {"weight": (prod(out), ins[0][0], *self.kernel)}
        return {**weight, "bias": out} if self.bias else weight

    def macs(self, *ins: Shape) -> int:
        return prod(self.out_shape(*ins)) * ins[0][0] * prod(self.kernel)
