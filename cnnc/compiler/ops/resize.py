"""Layers that change the number of positions without weights: upsampling, pixel shuffle, padding."""

from __future__ import annotations

from abc import ABC
from fractions import Fraction
from math import prod
from types import MappingProxyType
from typing import Annotated, Any

from cnnc.compiler.ops import base, fields, geometry
from cnnc.compiler.ops.base import Axis, Local, OpError, Shape, Sides, Spread, Undefined, Weightless, Window
from cnnc.compiler.ops.model import BeforeValidator, Field, PlainValidator, ValidationInfo
from cnnc.compiler.ops.sized import Fitting, or_tensor
from cnnc.compiler.sizes import ratio

_LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


def _mode(value: Any, info: ValidationInfo) -> str:
    """`nearest`, or linear interpolation under its name for the map's rank."""
    return fields.one_of(value, "mode", ("nearest", _LINEAR[fields.place_of(info).rank]))


def _whole(value: Any, _: ValidationInfo) -> Any:
    """A factor that is whole; `resize` takes the others."""
    if isinstance(value, Fraction) and value.denominator != 1:
        raise OpError(
            "E305", f"`scale` is {base.show(value)}; expected an integer", arg="scale",
            hint=f"any factor may stand in resize({base.show(value)})",
        )  # fmt: skip
    return value


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

    scale: Annotated[fields.OptionalAxes, BeforeValidator(_whole)] = None
    mode: Annotated[str, BeforeValidator(_mode)] = "nearest"
    size: fields.OptionalAxes = None
    align_corners: fields.Flag = False

    def out_shape(self, *ins: Shape) -> Shape:
        given = (self.scale is not None) + (self.size is not None) + (len(ins) == 2)
        if given != 1:
            raise OpError(
                "E307", "expected exactly one of `scale`, `size` and `like`",
                hint="for instance: upsample(2)",
            )  # fmt: skip
        if self.align_corners and self.mode == "nearest":
            raise OpError("E307", "`align_corners` has no effect with mode=nearest", arg="align_corners")
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


def _factors(value: Any, info: ValidationInfo) -> tuple[Fraction | int, ...] | None:
    """One factor, or one for each axis, as exact numbers."""
    if value is None:
        return None
    rank = fields.place_of(info).rank
    given = value if isinstance(value, tuple) else (value,) * rank
    if len(given) != rank:
        axes = "axis" if rank == 1 else "axes"
        raise OpError(
            "E401", f"`factor` (={base.show(value)}) has {len(given)} numbers, and the map has {rank} {axes}",
            arg="factor",
        )  # fmt: skip
    for number in given:
        if isinstance(number, bool) or not isinstance(number, int | Fraction):
            raise OpError("E303", f"`factor` is {base.show(value)}; expected a number", arg="factor")
        if number <= 0:
            raise OpError("E303", f"`factor` (={base.show(number)}) must be more than 0", arg="factor")
    return given


def _way(value: Any, info: ValidationInfo) -> str:
    """`nearest`, `area`, linear interpolation under its name for the map's rank, or on two axes `bicubic`."""
    rank = fields.place_of(info).rank
    return fields.one_of(
        value, "mode", ("nearest", _LINEAR[rank], *(["bicubic"] if rank == 2 else []), "area")
    )


@base.op
class Resize(Fitting):
    """Every map of n positions made one of floor(n * `factor`), of `size`, or as large as the tensor `to`.

    The whole map is laid on the whole new one, whatever part of a position the factor leaves: by
    repetition (`nearest`), by interpolation (`linear`, `bilinear`, `trilinear`; `bicubic` on two axes), or by
    the mean of what each position covers (`area`). Positions are centres of pixels, unless
    `align_corners=yes` lays the corner pixels of the two maps on each other. Where a map is made smaller, interpolation looks at its
    nearest positions alone; with `antialias=yes` its filter is as wide as what a position covers, as image libraries have it.
    """

    kind = "resize"
    example = "resize(1.5, mode=bilinear)"

    factor: Annotated[tuple[Fraction | int, ...] | None, PlainValidator(_factors)] = None
    size: fields.OptionalAxes = None
    mode: Annotated[str, BeforeValidator(_way)] = "nearest"
    align_corners: fields.Flag = False
    antialias: fields.Flag = False

    def target(self, *ins: Shape) -> tuple[int, ...]:
        if len(ins) == 2 or self.size is not None:
            return super().target(*ins)
        assert self.factor is not None
        return tuple(n * f.numerator // f.denominator for n, f in zip(ins[0][1:], self.factor, strict=True))

    def out_shape(self, *ins: Shape) -> Shape:
        if (self.factor is not None) + (self.size is not None) + (len(ins) == 2) != 1:
            raise OpError(
                "E307", "expected exactly one of a factor, `size` and `to`",
                hint="for instance: resize(1.5), resize(size=56), resize(to=LABEL)",
            )  # fmt: skip
        if self.align_corners and self.mode in ("nearest", "area"):
            raise OpError("E307", f"`align_corners` has no effect with mode={self.mode}", arg="align_corners")
        if self.antialias and (len(ins[0]) != 3 or self.mode not in ("bilinear", "bicubic")):
            raise OpError(
                "E307",
                f"`antialias` is for mode=bilinear and mode=bicubic, and this is {self.mode}",
                arg="antialias",
            )
        for n, m in zip(ins[0][1:], self.target(*ins), strict=True):
            if m < 1:
                raise OpError("E403", f"nothing is left of an axis of {n}", arg="factor")
        return (ins[0][0], *self.target(*ins))

    def window(self, *ins: Shape) -> Window:
        axes = tuple(self._axis(n, m) for n, m in zip(ins[0][1:], self.target(*ins), strict=True))
        if any(axis is None for axis in axes):
            return Undefined("interpolation by a fraction")
        return Local(tuple(axis for axis in axes if axis is not None))

    def _axis(self, n: int, m: int) -> Axis | Spread | None:
        if ratio(n, m) == 1:
            return Axis(1, 1, 0)
        if self.align_corners:
            return None
        step = ratio(n, m)
        return self._grown(ratio(m, n)) if step is None else self._shrunk(step)

    def _shrunk(self, step: int) -> Axis:
        """Position o lies at (o + 1/2)*step - 1/2, in the middle of the positions that it stands for."""
        if self.mode == "area":
            return Axis(step, step, 0)
        if self.mode == "nearest":  # the first of them
            return Axis(1, step, 0)
        reach = 2 if self.mode == "bicubic" else 1
        if self.antialias:  # inputs less than reach*step away from the middle
            return Axis(2 * reach * step - step % 2, step, (2 * reach - 1) * step // 2)
        if step % 2:  # on a position
            return Axis(1, step, -(step // 2))
        return Axis(2 * reach, step, reach - step // 2)

    def _grown(self, times: int | None) -> Spread | None:
        """Output o lies at (o + 1/2)/times - 1/2; input j reaches those less than 1 away, or 2."""
        if times is None:
            return None
        if self.mode in ("nearest", "area"):
            return Spread(times, times, 0)
        reach = 2 if self.mode == "bicubic" else 1
        return Spread(2 * reach * times - times % 2, times, (2 * reach - 1) * times // 2)


class _Rearrange(Weightless, ABC):
    family = "reshape"
    ranks = (1, 2, 3)
    transparent = True

    factor: fields.PositiveAxes


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

    @property
    def channels_over(self) -> int:
        return prod(self.factor)

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


def _pad_sides(value: Any, info: ValidationInfo) -> tuple[Sides, ...] | None:
    """Numbers by side, or None where the tensor `to` says how much."""
    or_tensor(value, info, "`pad` needs either its `sides`", hint="pad(1), or pad(to=LABEL)")
    if value is None:
        return None
    found = fields.sides(value, "sides", fields.place_of(info).rank)
    if found is None:
        raise OpError(
            "E303", f"`sides` is {base.show(value)}; expected a number, 1x2 (by axis) or (before, after)",
            arg="sides",
        )  # fmt: skip
    return found


@base.op
class Pad(Fitting):
    """A border around every map: zeros or `value`, or the map's own, `mode=reflect`, `replicate`, `circular`.

    With `to` as much as makes it as large as that tensor, the map in the middle; an odd rest is added after.
    What a position in the border repeats is not followed: its field lies outside the map.
    """

    kind = "pad"
    example = "pad(1, mode=reflect)"

    sides: Annotated[tuple[Sides, ...] | None, BeforeValidator(_pad_sides)] = Field(
        None, validate_default=True
    )
    mode: Annotated[str, fields.word("zeros", "reflect", "replicate", "circular")] = "zeros"
    value: fields.Real = 0.0

    def borders(self, *ins: Shape) -> tuple[Sides, ...]:
        """How much is added before and after, on each axis. Raises OpError where `to` is smaller."""
        if self.sides is not None:
            return self.sides
        pads = []
        for n, m in zip(ins[0][1:], self.target(*ins), strict=True):
            if m < n:
                raise OpError("E403", f"`to` (of size {m}) is smaller than the map (of size {n})", arg="to")
            pads.append(((m - n) // 2, m - n - (m - n) // 2))
        return tuple(pads)

    def out_shape(self, *ins: Shape) -> Shape:
        if self.value != 0 and self.mode != "zeros":
            raise OpError("E307", f"`value` has no effect with mode={self.mode}", arg="value")
        pads = self.borders(*ins)
        for n, (before, after) in zip(ins[0][1:], pads, strict=True):
            most = {"reflect": n - 1, "circular": n}.get(self.mode)
            if most is not None and (before > most or after > most):
                raise OpError(
                    "E403", f"mode={self.mode} has {most} to repeat on an axis of {n}, and "
                    f"the border is {max(before, after)}", arg="sides",
                )  # fmt: skip
        if self.sides is None:
            return (ins[0][0], *self.target(*ins))
        return (ins[0][0], *(n + a + b for n, (a, b) in zip(ins[0][1:], pads, strict=True)))

    def window(self, *ins: Shape) -> Window:
        return Local(tuple(Axis(1, 1, before) for before, _ in self.borders(*ins)))
