"""The layers that only the inference form has: what several layers of the spec become when they are run as one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cnnc.compiler.ops import Op, Shape
from cnnc.compiler.ops.activation import HardSwish, LeakyReLU, ReLU, ReLU6, Sigmoid, SiLU, Tanh
from cnnc.compiler.ops.base import Pointwise, PositionWise, SameShape, Weightless, Window, WordSlots
from cnnc.compiler.ops.merge import Concat
from cnnc.compiler.ops.normalisation import BatchNorm
from cnnc.compiler.ops.pooling import AvgPool, MaxPool

FUSED_ACTS: dict[type[Op], str] = {
    ReLU: "relu", ReLU6: "relu6", LeakyReLU: "leaky_relu", SiLU: "silu", HardSwish: "hardswish",
    Sigmoid: "sigmoid", Tanh: "tanh",
}  # fmt: skip
"""What fused layers call the activations that they have."""

# None of these is registered: no layer word names them, and no spec holds one.


class Fused(Op):
    """A weighted layer with what is done at its output: a sum with a second input if `adds`, then `act`.

    `norm` is the name of the batch norm after it, whose numbers are in its weights, and `eps` that norm's;
    without a `kernel` of its own the layer is PyTorch's. `pool` is an average pool after a 1x1 convolution.
    """

    kind = "fused"
    family = "convolution"
    word = WordSlots(width="width")
    weighted = True
    aside = ("adds",)  # the second input is handed in where the module is called

    of: Op
    act: Op | None = None
    adds: bool = False
    norm: str = ""
    eps: float = 1e-5
    kernel: bool = True
    pool: AvgPool | None = None

    @property
    def stride(self) -> tuple[int, ...]:
        """The layer's, or that of the pool after it: the stride of a shortcut is worked out from those on its path."""
        here: Any = self.pool or self.of
        stride: tuple[int, ...] = here.stride
        return stride

    def out_shape(self, *ins: Shape) -> Shape:
        out = self.of.out_shape(ins[0])
        return out if self.pool is None else self.pool.out_shape(out)

    def params(self, *ins: Shape) -> Mapping[str, Shape]:
        return self.of.params(ins[0])

    def state(self, *ins: Shape) -> Mapping[str, Shape]:
        return self.of.state(ins[0])

    def macs(self, *ins: Shape) -> int:
        return self.of.macs(ins[0])

    def window(self, *ins: Shape) -> Window:
        return (self.pool or self.of).window(ins[0])

    def windows(self, *ins: Shape) -> tuple[Window | None, ...]:
        return (self.window(*ins), *[Pointwise()] * (len(ins) - 1))


class ScaleShift(PositionWise):
    """A batch norm that could be folded into no layer, as a factor and an offset for each channel, then `act`."""

    kind = "bn"
    family = "normalisation"
    aside = ("of",)  # `convert` folds it

    of: BatchNorm
    act: Op | None = None
    defers: bool = False
    """Whether the convolution after it can do its work."""

    def params(self, *ins: Shape) -> Mapping[str, Shape]:
        shape = (ins[0][0], *[1] * (len(ins[0]) - 1))
        return {"weight": shape, "bias": shape}


class SeparablePool(Weightless):
    """Max pooling of maps of two axes, one axis after the other."""

    kind = "maxpool"
    family = "pooling"

    of: MaxPool

    def out_shape(self, *ins: Shape) -> Shape:
        return self.of.out_shape(*ins)

    def window(self, *ins: Shape) -> Window:
        return self.of.window(*ins)


class Append(Concat):
    """Branches one after another on the channels, with room for those that the next step appends."""


class ChannelsLast(SameShape):
    """The input with its channels innermost in memory."""

    kind = "channels_last"
    family = "reshape"
