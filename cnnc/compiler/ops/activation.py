"""Activations."""

from __future__ import annotations

from abc import ABC

from cnnc.compiler.ops import base
from cnnc.compiler.ops.base import SameShape


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
class Softmax(_Activation):
    """exp(x) over its sum along the channels."""

    kind = "softmax"
    example = "softmax"
