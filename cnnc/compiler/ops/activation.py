"""Activations."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from typing import Annotated

from cnnc.compiler.ops import axes, base, fields
from cnnc.compiler.ops.base import OpError, Pointwise, PositionWise, SameShape, Shape, Weightless, Window
from cnnc.compiler.ops.model import Field


class _Activation(SameShape, ABC):
    family = "activation"
    takes_linear = True


@base.op
class ReLU(_Activation):
    """max(x, 0)."""

    kind = "relu"
    example = "relu"


@base.op
class ReLU6(_Activation):
    """min(max(x, 0), 6)."""

    kind = "relu6"
    example = "relu6"


@base.op
class LeakyReLU(_Activation):
    """x where it is positive, else `slope` * x (Maas et al. 2013)."""

    kind = "leaky"
    example = "leaky(0.2)"
    aliases = ("leakyrelu",)

    slope: fields.Real = 0.01


@base.op
class PReLU(PositionWise):
    """x where it is positive, else a * x with a learnt (He et al. 2015, section 2.1).

    One a for each map, or with `shared=yes` one for all; `start` is its first value.
    """

    kind = "prelu"
    family = "activation"
    example = "prelu(start=0.1)"
    positional = 0
    takes_linear = True

    start: fields.Real = 0.25
    shared: fields.Flag = False

    def params(self, *ins: Shape) -> Mapping[str, Shape]:
        return {"weight": (1,) if self.shared else (ins[0][0],)}


@base.op
class ELU(_Activation):
    """x where it is positive, else alpha * (exp(x) - 1) (Clevert et al. 2016)."""

    kind = "elu"
    example = "elu"

    alpha: fields.Real = 1.0


@base.op
class SELU(_Activation):
    """1.0507 * ELU(x) with alpha 1.6733 (Klambauer et al. 2017)."""

    kind = "selu"
    example = "selu"


@base.op
class GELU(_Activation):
    """x * Phi(x), Phi the normal distribution's; `tanh=yes` is its approximation (Hendrycks and Gimpel 2016)."""

    kind = "gelu"
    example = "gelu"

    tanh: fields.Flag = False


@base.op
class SiLU(_Activation):
    """x * sigmoid(x) (Elfwing et al. 2018; swish, Ramachandran et al. 2017)."""

    kind = "silu"
    example = "silu"
    aliases = ("swish",)


@base.op
class Mish(_Activation):
    """x * tanh(softplus(x)) (Misra 2020)."""

    kind = "mish"
    example = "mish"


@base.op
class Sigmoid(_Activation):
    """1 / (1 + exp(-x))."""

    kind = "sigmoid"
    example = "sigmoid"


@base.op
class Tanh(_Activation):
    """The hyperbolic tangent."""

    kind = "tanh"
    example = "tanh"


@base.op
class HardSigmoid(_Activation):
    """relu6(x + 3) / 6 (Howard et al. 2019, section 5.2)."""

    kind = "hardsigmoid"
    example = "hardsigmoid"


@base.op
class HardSwish(_Activation):
    """x * relu6(x + 3) / 6 (Howard et al. 2019, section 5.2)."""

    kind = "hardswish"
    example = "hardswish"


@base.op
class Softplus(_Activation):
    """log(1 + exp(beta * x)) / beta (Dugas et al. 2001)."""

    kind = "softplus"
    example = "softplus"

    beta: fields.PositiveReal = 1.0


class _AlongAxis(_Activation, ABC):
    """A sum along an axis of positions counts in no receptive field, as a norm's statistics do not."""

    letters = ("axis",)

    axis: axes.OneAxis = Field("C", validate_default=True)

    def dim(self, shape: Shape) -> int:
        """Where the axis stands in a shape, channels first."""
        return axes.places((self.axis,), shape)[0]


@base.op
class Softmax(_AlongAxis):
    """exp(x) over its sum along the channels, or along `axis`."""

    kind = "softmax"
    example = "softmax"


@base.op
class LogSoftmax(_AlongAxis):
    """The logarithm of the softmax along the channels, or along `axis`."""

    kind = "logsoftmax"
    example = "logsoftmax"


Pieces = Annotated[int, fields.at_least(2)]


@base.op
class Maxout(Weightless):
    """The largest of each `pieces` neighbouring channels (Goodfellow et al. 2013, section 3).

    It divides the channels by `pieces`: `conv3-128(act=maxout(2))` has 128 filters
    and gives 64 maps.
    """

    kind = "maxout"
    family = "activation"
    example = "maxout(2)"
    takes_linear = True

    pieces: Pieces = 2

    def out_shape(self, *ins: Shape) -> Shape:
        if ins[0][0] % self.pieces:
            raise OpError(
                "E402", f"`pieces` (={self.pieces}) must divide the channels (={ins[0][0]})", arg="pieces"
            )
        return (ins[0][0] // self.pieces, *ins[0][1:])

    def window(self, *ins: Shape) -> Window:
        return Pointwise()
