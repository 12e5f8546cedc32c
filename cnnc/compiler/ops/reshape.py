"""Layers that rearrange positions, and the input itself."""

from __future__ import annotations

from math import prod
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

from cnnc.compiler.ops import base
from cnnc.compiler.ops.base import (
    Axis,
    Local,
    OpError,
    Pointwise,
    SameShape,
    Shape,
    Sizes,
    Undefined,
    Weightless,
    Whole,
    Window,
)
from cnnc.compiler.ops.model import BeforeValidator, Field, PlainValidator
from cnnc.compiler.sizes import require

if TYPE_CHECKING:
    from pydantic_core.core_schema import ValidationInfo


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
    is_view = True
    family = "reshape"
    example = "flatten"
    transparent = True

    def out_shape(self, *ins: Shape) -> Shape:
        return (prod(ins[0]),)

    def window(self, *ins: Shape) -> Window:
        return Whole() if len(ins[0]) > 1 else Pointwise()


def _crop_size(value: Any, info: ValidationInfo) -> tuple[int, ...] | None:
    """A size, or none where `to` brings it."""
    given = "to" in base.place_of(info).given
    if (value is not None) == given:
        hint = "crop(56), or crop(to=LABEL)"
        raise OpError(
            "E302" if value is None else "E307", "`crop` needs either a size or a tensor `to`", hint=hint
        )
    return None if value is None else base.per_axis(value, info, 1)


_CropSize = Annotated[tuple[int, ...] | None, BeforeValidator(_crop_size)]


@base.op
class Crop(Weightless):
    """The centre of each map, `size` high and wide or as large as the tensor `to`; an odd rest is cut after."""

    kind = "crop"
    is_view = True
    family = "reshape"
    example = "crop(56)"
    ranks = (1, 2, 3)
    transparent = True
    tensors = MappingProxyType({"to": "output"})

    size: _CropSize = Field(None, validate_default=True)

    def target(self, *ins: Shape) -> tuple[int, ...]:
        """The sizes that are left."""
        if len(ins) == 2:
            if len(ins[1]) != len(ins[0]):
                raise OpError(
                    "E401", f"`to` has {len(ins[1]) - 1} axes, and the map has {len(ins[0]) - 1}", arg="to"
                )
            return ins[1][1:]
        assert self.size is not None
        return self.size

    def offsets(self, *ins: Shape) -> tuple[int, ...]:
        """How much is cut before, on each axis."""
        return tuple((n - m) // 2 for n, m in zip(ins[0][1:], self.target(*ins), strict=True))

    def out_shape(self, *ins: Shape) -> Shape:
        for n, m in zip(ins[0][1:], self.target(*ins), strict=True):
            if n < m:
                shown = f"`size` (={m})" if len(ins) == 1 else f"`to` (of size {m})"
                raise OpError("E403", f"{shown} is larger than the map (of size {n})", arg="size")
            require(n - m)
        return (ins[0][0], *self.target(*ins))

    def window(self, *ins: Shape) -> Window:
        return Local(tuple(Axis(1, 1, -start) for start in self.offsets(*ins)))

    def windows(self, *ins: Shape) -> tuple[Window | None, ...]:
        return (self.window(*ins), *(None for _ in ins[1:]))


@base.op
class PadShortcut(Weightless):
    """ResNet's option A: every `stride`-th position, and zeros for the channels that are missing."""

    kind = "shortcut_pad"
    family = "reshape"
    example = "shortcut_pad(width=64, stride=2)"
    ranks = (1, 2, 3)

    width: base.Positive
    stride: base.PositiveAxes

    def out_shape(self, *ins: Shape) -> Shape:
        if self.width < ins[0][0]:
            raise OpError("E503", f"zeros cannot make {ins[0][0]} channels {self.width}")
        return (self.width, *(-(-n // s) for n, s in zip(ins[0][1:], self.stride, strict=True)))

    def window(self, *ins: Shape) -> Window:
        return Local(tuple(Axis(1, s, 0) for s in self.stride))


@base.op
class ChannelShuffle(SameShape):
    """The channels of `groups` groups dealt out in turn (Zhang et al. 2018, section 3.1)."""

    kind = "shuffle"
    family = "reshape"
    example = "shuffle(2)"
    ranks = (1, 2, 3)
    transparent = True

    groups: base.Positive

    def out_shape(self, *ins: Shape) -> Shape:
        if ins[0][0] % self.groups:
            raise OpError(
                "E402", f"`groups` (={self.groups}) must divide the channels (={ins[0][0]})", arg="groups"
            )
        return ins[0]


@base.op
class Chunk(Weightless):
    """Part `i` of the channels in `n` equal parts, counted from 0: the channel split of ShuffleNet v2."""

    kind = "chunk"
    is_view = True
    family = "reshape"
    example = "chunk(2, 0)"
    transparent = True

    n: base.Positive
    i: base.Natural

    def out_shape(self, *ins: Shape) -> Shape:
        if ins[0][0] % self.n:
            raise OpError("E402", f"`n` (={self.n}) must divide the channels (={ins[0][0]})", arg="n")
        if self.i >= self.n:
            raise OpError("E303", f"`i` (={self.i}) must be less than `n` (={self.n})", arg="i")
        return (ins[0][0] // self.n, *ins[0][1:])

    def window(self, *ins: Shape) -> Window:
        return Pointwise()


@base.op
class Squeeze(Weightless):
    """The axes of size 1 taken away: C x 1 x 1 becomes a vector of C."""

    kind = "squeeze"
    is_view = True
    family = "reshape"
    example = "squeeze"
    transparent = True

    def out_shape(self, *ins: Shape) -> Shape:
        return (ins[0][0], *(n for n in ins[0][1:] if n != 1))

    def window(self, *ins: Shape) -> Window:
        kept = len(self.out_shape(*ins))
        if kept == len(ins[0]):
            return Pointwise()
        return Whole() if kept == 1 else Undefined("the map has other axes than what it is made of")


def _shape(value: Any, info: ValidationInfo) -> Shape:
    """`64x7x7`, or one number for a vector."""
    if isinstance(value, Sizes) and len(value) <= 4:
        return Sizes(base.as_int(n, "shape", 1) for n in value)
    if isinstance(value, tuple):
        raise OpError(
            "E303", f"`shape` is {base.show(value)}, and channels and up to 3 sizes are wanted", arg="shape"
        )
    return Sizes((base.as_int(value, "shape", 1),))


@base.op
class Reshape(Weightless):
    """The same values, row by row, in another shape: `reshape(64x7x7)`."""

    kind = "reshape"
    is_view = True
    family = "reshape"
    example = "reshape(64x1x1)"
    transparent = True

    # Plain: a shape stays one (`8x8x8`), where the same number for each axis would fold (`8`).
    shape: Annotated[Shape, PlainValidator(_shape)]

    def out_shape(self, *ins: Shape) -> Shape:
        if prod(self.shape) != prod(ins[0]):
            have, wanted = base.show(Sizes(ins[0])), base.show(Sizes(self.shape))
            raise OpError(
                "E408", f"what flows in is {have}, {prod(ins[0])} values, and `shape` (={wanted}) has "
                f"{prod(self.shape)}", arg="shape",
            )  # fmt: skip
        return self.shape

    def window(self, *ins: Shape) -> Window:
        if self.shape == ins[0]:
            return Pointwise()
        if len(ins[0]) == 1 or len(self.shape) == 1:
            return Whole()
        return Undefined("the map has other axes than what it is made of")
