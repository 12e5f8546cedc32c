"""Fully-connected layers: on all values of a map, or on the channels at each position."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from math import prod
from typing import Any

from cnnc.compiler.ops import base, fields
from cnnc.compiler.ops.base import Brings, Op, Pointwise, Shape, Whole, Window, WordSlots
from cnnc.compiler.ops.initial import BiasInit, WeightInit
from cnnc.compiler.ops.reparam import Reparam, Weighted


class _Dense(Op, ABC):
    """`width` outputs, each of which sees all inputs; a map is flattened first."""

    family = "linear"
    word = WordSlots(size="width", width="width")
    positional = 0
    ranks = (0,)
    flattens = True
    weighted = True

    width: fields.Positive

    def out_shape(self, *ins: Shape) -> Shape:
        return (self.width,)

    def window(self, *ins: Shape) -> Window:
        return Whole()


@base.op
class FC(_Dense, Weighted):
    """Fully-connected layer with `width` outputs; a map is flattened first.

    `dropconnect` drops each weight and bias with that probability in training
    (Wan et al. 2013), one mask a batch.
    """

    kind = "fc"
    example = "fc-4096"
    brings = Brings()

    bias: fields.Flag = True
    dropconnect: fields.Probability = 0.0
    init: WeightInit = None
    bias_init: BiasInit = None
    reparam: Reparam = None

    def tensors_of(self, *ins: Shape) -> Mapping[str, Shape]:
        weight = {"weight": (self.width, ins[0][0])}
        return {**weight, "bias": (self.width,)} if self.bias else weight

    def transposed(self, *ins: Shape) -> tuple[type[Op], Mapping[str, Any]] | None:
        return (FC, {"bias": False}) if not self.dropconnect else None

    def macs(self, *ins: Shape) -> int:
        return ins[0][0] * self.width


@base.op
class Linear(Weighted):
    """A linear layer along the channels, the same at every position: y = W x + b.

    The weight is (out, in), as `nn.Linear` has it, where a 1x1 convolution has further axes
    (the layers of a transformer, Vaswani et al. 2017, section 3.3; of ConvNeXt, Liu et al. 2022).
    A map is not flattened: for that there is `fc`.
    """

    kind = "linear"
    family = "linear"
    example = "linear-64"
    word = WordSlots(size="width", width="width")
    positional = 0
    brings = Brings(act=None)

    width: fields.Positive
    bias: fields.Flag = True
    init: WeightInit = None
    bias_init: BiasInit = None
    reparam: Reparam = None

    def out_shape(self, *ins: Shape) -> Shape:
        return (self.width, *ins[0][1:])

    def tensors_of(self, *ins: Shape) -> Mapping[str, Shape]:
        weight = {"weight": (self.width, ins[0][0])}
        return {**weight, "bias": (self.width,)} if self.bias else weight

    def transposed(self, *ins: Shape) -> tuple[type[Op], Mapping[str, Any]] | None:
        return Linear, {"bias": False}

    def macs(self, *ins: Shape) -> int:
        return prod(ins[0]) * self.width

    def window(self, *ins: Shape) -> Window:
        return Pointwise()


@base.op
class RBF(_Dense):
    """Euclidean radial basis functions, y_i = sum_j (x_j - w_ij)^2 (LeCun et al. 1998, eq. 7).

    The codes w are fixed, +1 and -1, drawn at random until a bitmap is loaded, and
    count as state; `trainable=yes` makes them parameters.
    """

    kind = "rbf"
    example = "rbf-10"
    takes_linear = False

    trainable: fields.Flag = False

    def _codes(self, *ins: Shape) -> Mapping[str, Shape]:
        return {"weight": (self.width, ins[0][0])}

    def params(self, *ins: Shape) -> Mapping[str, Shape]:
        return self._codes(*ins) if self.trainable else {}

    def state(self, *ins: Shape) -> Mapping[str, Shape]:
        return {} if self.trainable else self._codes(*ins)

    def macs(self, *ins: Shape) -> int:
        return 0
