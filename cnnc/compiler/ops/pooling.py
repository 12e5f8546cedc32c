"""Pooling: sliding windows and whole maps."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from typing import Annotated, Any

from cnnc.compiler.ops import base, fields, geometry
from cnnc.compiler.ops.base import (
    Brings,
    Local,
    OpError,
    Shape,
    Sides,
    Undefined,
    Weightless,
    Whole,
    Window,
    WordSlots,
)
from cnnc.compiler.ops.model import BeforeValidator, Field, PlainValidator, ValidationInfo
from cnnc.compiler.sizes import is_free


def _pool_pad(value: Any, info: ValidationInfo) -> tuple[Sides, ...]:
    """`valid`, `same`, `same_tf` or numbers; at most half the kernel on a side."""
    pads = _pads(value, info)
    for axis, k in zip(pads, info.data["kernel"], strict=True):
        if not isinstance(pads, base.SameTF) and max(axis) > k // 2:
            raise OpError("E303", f"`pad` (={max(axis)}) may be at most half the kernel (={k})", arg="pad")
    return pads


def _max_pool_pad(value: Any, info: ValidationInfo) -> tuple[Sides, ...]:
    """The same for the largest value: less than the kernel, so that every window holds one."""
    pads = _pads(value, info)
    dilation = info.data["dilation"] or (1,) * len(pads)
    for axis, k, d in zip(pads, info.data["kernel"], dilation, strict=True):
        extent = geometry.effective(k, d)
        if not isinstance(pads, base.SameTF) and max(axis) >= extent:
            raise OpError(
                "E303", f"`pad` (={max(axis)}) must be less than the kernel (={extent}): a window would hold nothing",
                arg="pad",
            )  # fmt: skip
    return pads


def _pads(value: Any, info: ValidationInfo) -> tuple[Sides, ...]:
    place, kernel = fields.place_of(info), info.data["kernel"]
    ones = info.data.get("dilation") or (1,) * place.rank
    pads = fields.sides(value, "pad", place.rank)
    if pads is None and value == "valid":
        pads = ((0, 0),) * place.rank
    elif pads is None and value == "same":
        pads = geometry.same_padding(kernel, ones, "pad")
    elif pads is None and value == "same_tf":
        pads = geometry.same_tf_padding(place.ins[0][1:], kernel, info.data["stride"], ones)
    if pads is None:
        raise OpError(
            "E303", f"`pad` is {base.show(value)}; expected valid, same, same_tf, a number, 1x2 (by axis) "
            "or (before, after)", arg="pad",
        )  # fmt: skip
    return pads


def _own_stride(value: Any, info: ValidationInfo) -> tuple[int, ...]:
    """A pool's stride is its kernel unless written."""
    if value is None:
        return tuple(info.data["kernel"])
    return fields.per_axis(value, info, 1)


def _ratio(value: Any, info: ValidationInfo) -> float | None:
    if value is None:
        return None
    number = fields.real(value, "ratio")
    if not 0 < number < 1:
        raise OpError("E303", f"`ratio` (={base.show(value)}) must lie between 0 and 1", arg="ratio")
    return number


Ratio = Annotated[float | None, BeforeValidator(_ratio)]
Stride = Annotated[tuple[int, ...], BeforeValidator(_own_stride)]
# Plain: the pairs may be expressions of a free size, which a validator of integers would drop.
PoolPad = Annotated[tuple[Sides, ...], PlainValidator(_pool_pad)]
MaxPoolPad = Annotated[tuple[Sides, ...], PlainValidator(_max_pool_pad)]


class _Windowed(Weightless, ABC):
    """A pool of `kernel`, with stride = kernel unless written, unpadded unless written."""

    family = "pooling"
    word = WordSlots(size="kernel", stride="stride")
    positional = 3
    ranks = (1, 2, 3)

    kernel: fields.PositiveAxes = Field(2, validate_default=True)
    stride: Stride = Field(None, validate_default=True)
    pad: PoolPad = Field("valid", validate_default=True)

    def out_shape(self, *ins: Shape) -> Shape:
        ones = (1,) * len(self.kernel)
        return (ins[0][0], *geometry.slide(ins[0], self.kernel, self.stride, self.pad, ones))

    def window(self, *ins: Shape) -> Window:
        return geometry.local(self.kernel, self.stride, self.pad, (1,) * len(self.kernel))


class _SlidingPool(_Windowed, ABC):
    """A pool that can round its output size up."""

    ceil: fields.Flag = False

    def out_shape(self, *ins: Shape) -> Shape:
        ones = (1,) * len(self.kernel)
        return (ins[0][0], *geometry.slide(ins[0], self.kernel, self.stride, self.pad, ones, ceil=self.ceil))


@base.op
class MaxPool(_SlidingPool):
    """The largest value of each window; padding never wins. `dilation` spreads the places of a window."""

    kind = "maxpool"
    example = "maxpool3/2"
    aliases = ("pool",)
    settled_first = ("kernel", "stride", "dilation")

    pad: MaxPoolPad = Field("valid", validate_default=True)
    dilation: fields.OptionalAxes = None

    @property
    def steps(self) -> tuple[int, ...]:
        """The distance of a window's places, on each axis."""
        return self.dilation or (1,) * len(self.kernel)

    def out_shape(self, *ins: Shape) -> Shape:
        for n, d in zip(ins[0][1:], self.steps, strict=True):
            if d > 1 and n < d:  # a window could lie on both sides of the map and hold none of it
                raise OpError(
                    "E403", f"`dilation` (={d}) is larger than the map (of size {n})", arg="dilation"
                )
        sizes = geometry.slide(ins[0], self.kernel, self.stride, self.pad, self.steps, ceil=self.ceil)
        return (ins[0][0], *sizes)

    def window(self, *ins: Shape) -> Window:
        return geometry.local(self.kernel, self.stride, self.pad, self.steps)


@base.op
class AvgPool(_SlidingPool):
    """The mean of each window; `count_pad=no` leaves padding out of the mean."""

    kind = "avgpool"
    example = "avgpool3/2"

    count_pad: fields.Flag = True

    def out_shape(self, *ins: Shape) -> Shape:
        if len(self.kernel) == 3:
            super(_SlidingPool, self).out_shape(*ins)  # PyTorch takes no kernel larger than its map here
        return super().out_shape(*ins)


@base.op
class SumPool(_SlidingPool):
    """The sum of each window."""

    kind = "sumpool"
    example = "sumpool2"


@base.op
class LpPool(_Windowed):
    """The p-norm of each window, (sum of x^p)^(1/p) (Sermanet et al. 2012); p=1 is the sum."""

    kind = "lppool"
    example = "lppool2(p=2)"
    positional = 1  # PyTorch's p comes first, then the kernel

    p: fields.PositiveReal = 2.0


@base.op
class StochasticPool(_Windowed):
    """One value of each window, drawn with a probability in proportion to it (Zeiler and Fergus 2013).

    In evaluation the mean weighted by these probabilities. Values under 0 count as
    0, as after a relu; a window without a positive value gives 0.
    """

    kind = "stochasticpool"
    example = "stochasticpool3/2"


@base.op
class SubSampling(_Windowed):
    """LeNet-5's trainable sub-sampling: w * (sum of the window) + b for each map (LeCun et al. 1998, II.B)."""

    kind = "subsample"
    example = "subsample2"
    brings = Brings(norm=False, act=None)
    weighted = True

    def params(self, *ins: Shape) -> Mapping[str, Shape]:
        return {"weight": (ins[0][0],), "bias": (ins[0][0],)}


class _Global(Weightless, ABC):
    family = "pooling"
    ranks = (1, 2, 3)

    def out_shape(self, *ins: Shape) -> Shape:
        return (ins[0][0], *(1 for _ in ins[0][1:]))

    def window(self, *ins: Shape) -> Window:
        return Whole()


@base.op
class GlobalAvgPool(_Global):
    """The mean over all positions of each map: C x H x W becomes C x 1 x 1."""

    kind = "gap"
    example = "gap"


@base.op
class GlobalMaxPool(_Global):
    """The largest value of each map: C x H x W becomes C x 1 x 1."""

    kind = "gmp"
    example = "gmp"


class _Adaptive(Weightless, ABC):
    """Windows that cover a map of any size with `out` positions on each axis.

    Position i takes floor(i*n/out) up to ceil((i + 1)*n/out) - 1, so that the windows
    differ in size, and may overlap, unless one of n and out divides the other.
    """

    family = "pooling"
    word = WordSlots(size="out")
    ranks = (1, 2, 3)

    out: fields.PositiveAxes

    def out_shape(self, *ins: Shape) -> Shape:
        return (ins[0][0], *self.out)

    def window(self, *ins: Shape) -> Window:
        if all(m == 1 for m in self.out):
            return Whole()
        pairs = zip(ins[0][1:], self.out, strict=True)
        return Local(tuple(geometry.blocks(n, m) or base.Shares(n, m) for n, m in pairs))


@base.op
class AdaptiveAvgPool(_Adaptive):
    """The mean of each of `out` windows that cover the map, whatever its size."""

    kind = "adaptiveavgpool"
    example = "adaptiveavgpool7"


@base.op
class AdaptiveMaxPool(_Adaptive):
    """The largest value of each of `out` windows that cover the map, whatever its size."""

    kind = "adaptivemaxpool"
    example = "adaptivemaxpool7"


@base.op
class FractionalMaxPool(Weightless):
    """The largest value of windows at random distances (Graham 2014).

    The output has floor(`ratio` * n) positions on each axis, or `out`; one of the two is given.
    """

    kind = "fractionalmaxpool"
    family = "pooling"
    example = "fractionalmaxpool2(ratio=0.7)"
    word = WordSlots(size="kernel")
    positional = 1
    ranks = (1, 2, 3)

    kernel: fields.PositiveAxes = Field(2, validate_default=True)
    ratio: Ratio = None
    out: fields.OptionalAxes = None

    def out_shape(self, *ins: Shape) -> Shape:
        if (self.ratio is None) == (self.out is None):
            raise OpError("E307", "expected exactly one of `ratio` and `out`", hint=self.example)
        sizes = self.sizes(ins[0])
        room = 1 if len(sizes) == 3 else 0  # PyTorch wants one position more on three axes
        for n, m, k in zip(ins[0][1:], sizes, self.kernel, strict=True):
            if m < 1 or m + k - 1 + room > n:
                raise OpError(
                    "E403", f"{m} windows of {k} at different places do not fit on an axis of {n}",
                    arg="ratio" if self.out is None else "out",
                )  # fmt: skip
        return (ins[0][0], *sizes)

    def sizes(self, shape: Shape) -> tuple[int, ...]:
        """The output sizes, floor(ratio * n) in floating point as PyTorch has it."""
        if self.out is not None:
            return self.out
        assert self.ratio is not None
        if any(map(is_free, shape[1:])):
            raise OpError(
                "E407", f"`ratio` takes a part of {base.by_x(shape)}, and that size is free", arg="ratio",
                hint="give `out`, or the size with --input",
            )  # fmt: skip
        return tuple(int(n * self.ratio) for n in shape[1:])

    def window(self, *ins: Shape) -> Window:
        return Undefined("the places of the windows are drawn at random")


@base.op
class BlurPool(Weightless):
    """A fixed low-pass filter, then every `stride`-th position (Zhang 2019): binomial, borders reflected."""

    kind = "blurpool"
    family = "pooling"
    example = "blurpool3/2"
    word = WordSlots(size="kernel", stride="stride")
    ranks = (1, 2, 3)

    kernel: fields.PositiveAxes = Field(3, validate_default=True)
    stride: fields.PositiveAxes = Field(2, validate_default=True)

    @property
    def sides(self) -> tuple[Sides, ...]:
        """How far the map is reflected on each axis, before and after."""
        return tuple(((k - 1) // 2, k // 2) for k in self.kernel)

    def out_shape(self, *ins: Shape) -> Shape:
        for n, (_, after) in zip(ins[0][1:], self.sides, strict=True):
            if n <= after:
                raise OpError(
                    "E403", f"a border of {after} cannot be reflected on an axis of {n}", arg="kernel"
                )
        ones = (1,) * len(self.kernel)
        return (ins[0][0], *geometry.slide(ins[0], self.kernel, self.stride, self.sides, ones))

    def window(self, *ins: Shape) -> Window:
        return geometry.local(self.kernel, self.stride, self.sides, (1,) * len(self.kernel))
