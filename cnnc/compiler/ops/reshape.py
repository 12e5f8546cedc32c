"""Layers that rearrange positions, and the input itself."""

from __future__ import annotations

from math import prod

from cnnc.compiler.ops import base
from cnnc.compiler.ops.base import (
    Axis,
    Local,
    OpError,
    Pointwise,
    Shape,
    Sizes,
    Weightless,
    Whole,
    Window,
)


@base.op
class Input(Weightless):
    """What comes in from outside."""

    kind = "input"
    family = "input"
    example = "input 3x224x224"
    internal = True

    shape: tuple[int, ...]

    def out_shape(self, *ins: Shape) -> Shape:
        return self.shape

    def window(self, *ins: Shape) -> Window:
        return Pointwise()


@base.op
class Flatten(Weightless):
    """C x H x W becomes a vector of C*H*W."""

    kind = "flatten"
    family = "reshape"
    example = "flatten"
    transparent = True

    def out_shape(self, *ins: Shape) -> Shape:
        return (prod(ins[0]),)

    def window(self, *ins: Shape) -> Window:
        return Whole() if len(ins[0]) > 1 else Pointwise()


@base.op
class Crop(Weightless):
    """The centre of each map, `size` high and wide; an odd rest is cut after."""

    kind = "crop"
    family = "reshape"
    example = "crop(56)"
    ranks = (1, 2, 3)
    transparent = True

    size: base.PositiveAxes

    def offsets(self, shape: Shape) -> tuple[int, ...]:
        """How much is cut before, on each axis."""
        return tuple((n - m) // 2 for n, m in zip(shape[1:], self.size, strict=True))

    def out_shape(self, *ins: Shape) -> Shape:
        if any(n < m for n, m in zip(ins[0][1:], self.size, strict=True)):
            raise OpError("E403", f"`size` (={base.show(Sizes(self.size))}) is larger than the map", arg="size")
        return (ins[0][0], *self.size)

    def window(self, *ins: Shape) -> Window:
        return Local(tuple(Axis(1, 1, -start) for start in self.offsets(ins[0])))


@base.op
class PadShortcut(Weightless):
    """ResNet's option A: every `stride`-th position, and zeros for the channels that are missing."""

    kind = "shortcut_pad"
    family = "reshape"
    example = "[conv3-64/2 + shortcut(kind=pad)]"
    internal = True
    ranks = (1, 2, 3)

    width: base.Positive
    stride: base.PositiveAxes

    def out_shape(self, *ins: Shape) -> Shape:
        if self.width < ins[0][0]:
            raise OpError("E503", f"zeros cannot make {ins[0][0]} channels {self.width}")
        return (self.width, *(-(-n // s) for n, s in zip(ins[0][1:], self.stride, strict=True)))

    def window(self, *ins: Shape) -> Window:
        return Local(tuple(Axis(1, s, 0) for s in self.stride))
