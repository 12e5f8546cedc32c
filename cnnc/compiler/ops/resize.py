"""Layers that change the number of positions without weights: upsampling, pixel shuffle, padding."""

from __future__ import annotations

from abc import ABC
from math import prod
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

from cnnc.compiler.ops import base, geometry
from cnnc.compiler.ops.base import (
    Axis,
    Local,
    OpError,
    Shape,
    Sides,
    Spread,
    Undefined,
    Weightless,
    Window,
)
from cnnc.compiler.ops.model import BeforeValidator
from cnnc.compiler.sizes import ratio

if TYPE_CHECKING:
    from pydantic_core.core_schema import ValidationInfo

_LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


def _mode(value: Any, info: ValidationInfo) -> str:
    """`nearest`, or linear interpolation under its name for the map's rank."""
    return base.one_of(value, "mode", ("nearest", _LINEAR[base.place_of(info).rank]))


@base.op
class Upsample(Weightless):
    """Every map made `scale` times as large, of `size`, or as large as the tensor `like`.

    By repetition (`nearest`), or by linear interpolation: `linear`, `bilinear`, `trilinear`.

    Positions are centres of pixels, unless `align_corners=yes` lays the corner pixels
    of the two maps on each other.
    """

    kind = "upsample"
    family = "reshape"
    example = "upsample(2, mode=bilinear)"
    ranks = (1, 2, 3)
    transparent = True
    tensors = MappingProxyType({"like": "output"})

    scale: base.OptionalAxes = None
    mode: Annotated[str, BeforeValidator(_mode)] = "nearest"
    size: base.OptionalAxes = None
    align_corners: base.Flag = False

    def out_shape(self, *ins: Shape) -> Shape:
        given = (self.scale is not None) + (self.size is not None) + (len(ins) == 2)
        if given != 1:
            raise OpError(
                "E307", "`scale`, `size` or `like` is wanted, and one of them only",
                hint="for instance: upsample(2)",
            )  # fmt: skip
        if self.align_corners and self.mode == "nearest":
            raise OpError("E307", "`align_corners` is of no use with mode=nearest", arg="align_corners")
        if len(ins) == 2:
            if len(ins[1]) != len(ins[0]):
                raise OpError(
                    "E401",
                    f"`like` has {len(ins[1]) - 1} axes, and the map has {len(ins[0]) - 1}",
                    arg="like",
                )
            return (ins[0][0], *ins[1][1:])
        if self.size is not None:
            return (ins[0][0], *self.size)
        assert self.scale is not None
        return (ins[0][0], *(n * s for n, s in zip(ins[0][1:], self.scale, strict=True)))

    def window(self, *ins: Shape) -> Window:
        sizes = zip(ins[0][1:], self.out_shape(*ins)[1:], strict=True)
        axes = tuple(self._axis(n, m) for n, m in sizes)
        if any(axis is None for axis in axes):
            return Undefined("interpolation by a fraction")
        return Local(tuple(axis for axis in axes if axis is not None))

    def windows(self, *ins: Shape) -> tuple[Window | None, ...]:
        return (self.window(*ins), *(None for _ in ins[1:]))

    def _axis(self, n: int, m: int) -> Axis | Spread | None:
        if ratio(n, m) == 1:
            return Axis(1, 1, 0)
        if self.mode == "nearest":
            # Repetition, or every (n/m)-th position: the first of each block.
            block = geometry.blocks(n, m)
            return Axis(1, block.stride, 0) if isinstance(block, Axis) else block
        s = ratio(m, n)
        if self.align_corners or s is None:
            return None
        # Output o lies at (o + 1/2)/s - 1/2; input j reaches those less than 1 away.
        return Spread(2 * s - s % 2, s, s // 2)


class _Rearrange(Weightless, ABC):
    family = "reshape"
    ranks = (1, 2, 3)
    transparent = True

    factor: base.PositiveAxes


@base.op
class PixelShuffle(_Rearrange):
    """Channels become positions: C*r^2 x H x W to C x rH x rW (Shi et al. 2016, eq. 4), 1-D and 3-D alike."""

    kind = "pixelshuffle"
    example = "pixelshuffle(2)"
    aliases = ("depthtospace",)

    def out_shape(self, *ins: Shape) -> Shape:
        block = prod(self.factor)
        if ins[0][0] % block:
            raise OpError(
                "E402", f"a block of {block} positions must divide the channels (={ins[0][0]})", arg="factor"
            )
        return (ins[0][0] // block, *(n * r for n, r in zip(ins[0][1:], self.factor, strict=True)))

    def window(self, *ins: Shape) -> Window:
        return Local(tuple(Spread(r, r, 0) for r in self.factor))


@base.op
class SpaceToDepth(_Rearrange):
    """Positions become channels: C x rH x rW to C*r^2 x H x W, the inverse of `pixelshuffle`."""

    kind = "spacetodepth"
    example = "spacetodepth(2)"
    aliases = ("pixelunshuffle",)

    def out_shape(self, *ins: Shape) -> Shape:
        for n, r in zip(ins[0][1:], self.factor, strict=True):
            if n % r != 0:
                raise OpError(
                    "E402", f"`factor` (={r}) must divide every size of the map (={n})", arg="factor"
                )
        sizes = (n // r for n, r in zip(ins[0][1:], self.factor, strict=True))
        return (ins[0][0] * prod(self.factor), *sizes)

    def window(self, *ins: Shape) -> Window:
        return Local(tuple(Axis(r, r, 0) for r in self.factor))


def _pad_sides(value: Any, info: ValidationInfo) -> tuple[Sides, ...]:
    found = base.sides(value, "sides", base.place_of(info).rank)
    if found is None:
        raise OpError(
            "E303", f"`sides` is {base.show(value)}, and a number, 1x2 (by axis) or (before, after) is wanted",
            arg="sides",
        )  # fmt: skip
    return found


@base.op
class Pad(Weightless):
    """A border around every map: zeros or `value`, or the map's own, `mode=reflect`, `replicate`, `circular`.

    What a position in the border repeats is not followed: its field lies outside the map.
    """

    kind = "pad"
    family = "reshape"
    example = "pad(1, mode=reflect)"
    ranks = (1, 2, 3)
    transparent = True

    sides: Annotated[tuple[Sides, ...], BeforeValidator(_pad_sides)]
    mode: Annotated[str, base.word("zeros", "reflect", "replicate", "circular")] = "zeros"
    value: base.Real = 0.0

    def out_shape(self, *ins: Shape) -> Shape:
        if self.value != 0 and self.mode != "zeros":
            raise OpError("E307", f"`value` is of no use with mode={self.mode}", arg="value")
        for n, (before, after) in zip(ins[0][1:], self.sides, strict=True):
            most = {"reflect": n - 1, "circular": n}.get(self.mode)
            if most is not None and max(before, after) > most:
                raise OpError(
                    "E403", f"mode={self.mode} has {most} to repeat on an axis of {n}, and `sides` asks "
                    f"for {max(before, after)}", arg="sides",
                )  # fmt: skip
        return (ins[0][0], *(n + a + b for n, (a, b) in zip(ins[0][1:], self.sides, strict=True)))

    def window(self, *ins: Shape) -> Window:
        return Local(tuple(Axis(1, 1, before) for before, _ in self.sides))
