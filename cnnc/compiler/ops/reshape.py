"""Layers that rearrange positions, and the input itself."""

from __future__ import annotations

from math import prod
from types import MappingProxyType
from typing import Annotated, Any

from cnnc.compiler.ops import axes, base, fields
from cnnc.compiler.ops.base import (
    Axis,
    Local,
    OpenRange,
    OpError,
    Pointwise,
    SameShape,
    Shape,
    Sizes,
    Spread,
    Undefined,
    Weightless,
    Whole,
    Window,
    by_x,
)
from cnnc.compiler.ops.model import Field, PlainValidator, ValidationInfo
from cnnc.compiler.ops.sized import Sized, or_tensor, size_or_tensor
from cnnc.compiler.sizes import exact_quotient, is_free


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


@base.op
class Crop(Sized):
    """The centre of each map, `size` high and wide or as large as the tensor `to`; an odd rest is cut after."""

    kind = "crop"
    is_view = True
    example = "crop(56)"

    size: Annotated[tuple[int, ...] | None, size_or_tensor("crop")] = Field(None, validate_default=True)

    def offsets(self, *ins: Shape) -> tuple[int, ...]:
        """How much is cut before, on each axis."""
        return tuple((n - m) // 2 for n, m in zip(ins[0][1:], self.target(*ins), strict=True))

    def out_shape(self, *ins: Shape) -> Shape:
        for n, m in zip(ins[0][1:], self.target(*ins), strict=True):
            if n < m:
                shown = f"`size` (={m})" if len(ins) == 1 else f"`to` (of size {m})"
                raise OpError("E403", f"{shown} is larger than the map (of size {n})", arg="size")
        return (ins[0][0], *self.target(*ins))

    def window(self, *ins: Shape) -> Window:
        return Local(tuple(Axis(1, 1, -start) for start in self.offsets(*ins)))


def _is_one(n: int) -> bool:
    """Whether an axis has size 1 whatever the free sizes are."""
    return not is_free(n) and n == 1


@base.op
class Stretch(Sized):
    """Every axis of size 1 repeated, until the map has `size` or the size of the tensor `to`.

    The other axes must have that size already; channels stay as they are.
    """

    kind = "stretch"
    is_view = True
    example = "stretch(14)"

    size: Annotated[tuple[int, ...] | None, size_or_tensor("stretch")] = Field(None, validate_default=True)

    def out_shape(self, *ins: Shape) -> Shape:
        for n, m in zip(ins[0][1:], self.target(*ins), strict=True):
            if not _is_one(n) and n != m:
                shown = f"`size` (={m})" if len(ins) == 1 else f"`to` (of size {m})"
                raise OpError(
                    "E403", f"{shown} is not the size of the map (={n}), and only an axis of size 1 is repeated",
                    arg="size",
                )  # fmt: skip
        return (ins[0][0], *self.target(*ins))

    def window(self, *ins: Shape) -> Window:
        sizes = zip(ins[0][1:], self.target(*ins), strict=True)
        same = Axis(1, 1, 0)
        return Local(tuple(Spread(m, m, 0) if _is_one(n) and not _is_one(m) else same for n, m in sizes))


@base.op
class PadShortcut(Weightless):
    """ResNet's option A: every `stride`-th position, and zeros for the channels that are missing."""

    kind = "shortcut_pad"
    family = "reshape"
    example = "shortcut_pad(width=64, stride=2)"
    ranks = (1, 2, 3)

    width: fields.Positive
    stride: fields.PositiveAxes

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

    groups: fields.Positive

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

    n: fields.Positive
    i: fields.Natural

    def out_shape(self, *ins: Shape) -> Shape:
        if ins[0][0] % self.n:
            raise OpError("E402", f"`n` (={self.n}) must divide the channels (={ins[0][0]})", arg="n")
        if self.i >= self.n:
            raise OpError("E303", f"`i` (={self.i}) must be less than `n` (={self.n})", arg="i")
        return (ins[0][0] // self.n, *ins[0][1:])

    @property
    def channels_over(self) -> int:
        return self.n

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
        # A free size stays: it is taken to be more than 1, which notes that it is.
        return (ins[0][0], *(n for n in ins[0][1:] if (n > 1 if is_free(n) else n != 1)))

    def window(self, *ins: Shape) -> Window:
        kept = len(self.out_shape(*ins))
        if kept == len(ins[0]):
            return Pointwise()
        return Whole() if kept == 1 else Undefined("the map has other axes than what it is made of")


def _shape(value: Any, info: ValidationInfo) -> Shape | None:
    """`64x7x7`, one number for a vector, or sizes in a tuple, one of which may be `_`: whatever is left."""
    hint = "reshape(64x7x7), reshape(C//2, 2, _), or reshape(to=LABEL)"
    or_tensor(value, info, "`reshape` needs either a shape", hint=hint)
    if value is None:
        return None
    if isinstance(value, str) or (isinstance(value, tuple) and not isinstance(value, Sizes)):
        return _with_rest(value if isinstance(value, tuple) else (value,), fields.place_of(info).ins[0])
    if isinstance(value, Sizes) and len(value) <= 4:
        return Sizes(fields.as_int(n, "shape", 1) for n in value)
    if isinstance(value, tuple):
        raise _no_shape(value)
    return Sizes((fields.as_int(value, "shape", 1),))


def _no_shape(value: Any) -> OpError:
    if isinstance(value, tuple) and len(value) == 1:
        (value,) = value
    hint = "for instance: reshape(64x7x7), reshape(C//2, 2, _)"
    if isinstance(value, tuple) and 2 <= len(value) <= 4 and all(type(n) is int and n > 0 for n in value):
        hint = f"sizes are joined by x, channels first: reshape({'x'.join(map(str, value))})"
    return OpError(
        "E303", f"`shape` is {base.show(value)}; expected channels and up to 3 sizes", arg="shape", hint=hint,
    )  # fmt: skip


def _with_rest(given: tuple[Any, ...], shape: Shape) -> Shape:
    """Sizes by position, `_` worked out from the number of values that flow in."""
    if len(given) > 4 or given.count("_") > 1 or any(isinstance(n, str | tuple) and n != "_" for n in given):
        raise _no_shape(given)
    known = prod(fields.as_int(n, "shape", 1) for n in given if n != "_")
    if "_" not in given:
        return Sizes(fields.as_int(n, "shape", 1) for n in given)
    total = prod(shape)
    rest = exact_quotient(total, known)
    if rest is None:
        raise OpError(
            "E408", f"the input is {base.show(Sizes(shape))}, {total} values, and {known} does not divide them",
            arg="shape",
        )  # fmt: skip
    return Sizes(rest if n == "_" else fields.as_int(n, "shape", 1) for n in given)


@base.op
class Reshape(Weightless):
    """The same values, row by row, in another shape: `reshape(64x7x7)`, `reshape(C//2, 2, _)`.

    `_`, once, is whatever is left. With `to` on the positions of that tensor, free ones too, and in
    as many channels as that leaves.
    """

    kind = "reshape"
    is_view = True
    family = "reshape"
    example = "reshape(64x1x1)"
    transparent = True
    tensors = MappingProxyType({"to": "output"})
    rest = "shape"

    # Plain: sizes may be expressions of a free size, and a shape stays one (`8x8x8`), where the same number for
    # each axis would fold (`8`).
    shape: Annotated[Shape | None, PlainValidator(_shape)] = Field(None, validate_default=True)

    def out_shape(self, *ins: Shape) -> Shape:
        if self.shape is None:
            return self._as_wide(ins[0], ins[1][1:])
        if prod(self.shape) != prod(ins[0]):
            have, wanted = base.show(Sizes(ins[0])), base.show(Sizes(self.shape))
            raise OpError(
                "E408", f"the input is {have}, {prod(ins[0])} values, and `shape` (={wanted}) has "
                f"{prod(self.shape)}", arg="shape",
            )  # fmt: skip
        return self.shape

    @staticmethod
    def _as_wide(shape: Shape, positions: tuple[int, ...]) -> Shape:
        """The shape on these positions. Raises OpError where they do not divide the values."""
        total, area = prod(shape), prod(positions)
        channels = int(total) // int(area)
        if channels * area != total:
            raise OpError(
                "E408", f"the input is {base.show(Sizes(shape))}, {total} values, and the {area} positions of `to` "
                "do not divide them", arg="to",
            )  # fmt: skip
        return (channels, *positions)

    def windows(self, *ins: Shape) -> tuple[Window | None, ...]:
        return (self.window(*ins), *(None for _ in ins[1:]))

    def window(self, *ins: Shape) -> Window:
        out = self.out_shape(*ins)
        if out == ins[0]:
            return Pointwise()
        if len(ins[0]) == 1 or len(out) == 1:
            return Whole()
        return Undefined("the map has other axes than what it is made of")


def _order(value: Any, info: ValidationInfo) -> tuple[str, ...]:
    """Every axis of what flows in, once."""
    known = tuple(axes.letters_of(fields.place_of(info).ins[0]))
    given = value if isinstance(value, tuple) else (value,)
    if sorted(map(str, given)) != sorted(known):
        raise OpError(
            "E303",
            f"`order` is {base.show(value)}; expected {', '.join(known)} in some order",
            arg="order",
        )
    return given


@base.op
class Permute(Weightless):
    """The axes in another order, by their letters: `permute(H, W, C)` makes 56x56x64 of 64x56x56."""

    kind = "permute"
    family = "reshape"
    example = "permute(H, W, C)"
    transparent = True
    letters = ("order",)
    rest = "order"

    order: Annotated[tuple[str, ...], PlainValidator(_order)]

    def dims(self, shape: Shape) -> tuple[int, ...]:
        """The axis that each axis of the output is, channels first."""
        return axes.places(self.order, shape)

    def out_shape(self, *ins: Shape) -> Shape:
        return tuple(ins[0][i] for i in self.dims(ins[0]))

    def window(self, *ins: Shape) -> Window:
        if self.dims(ins[0]) == tuple(range(len(ins[0]))):
            return Pointwise()
        if all(n == 1 for n in ins[0][1:]):
            return Whole()
        return Undefined("the map has other axes than what it is made of")


def _bounds(value: Any, info: ValidationInfo) -> OpenRange | None:
    usage = "slice(0..31), or slice(to=LABEL, axis=W)"
    or_tensor(value, info, "`slice` needs either bounds", hint=usage)
    if value is None or isinstance(value, OpenRange):
        return value
    if isinstance(value, range):
        return OpenRange(value.start, value.stop - 1)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return OpenRange(value, value)
    last = "the last one is -1..-1" if value == -1 else None
    raise OpError(
        "E303", f"`bounds` is {base.show(value)}; expected a place from 0 or a range like 0..31", arg="bounds",
        hint=last,
    )  # fmt: skip


@base.op
class Slice(Weightless):
    """The channels, or the positions of `axis`, from one bound to the other, both included.

    They count from 0, and with a minus sign from the end: `slice(0..31)`, `slice(1.., axis=W)`,
    `slice(..-2, axis=W)`. One number is that place alone. `slice(to=label, axis=W)` takes as many as that tensor has along the
    axis, free ones too: the first, or with `last=yes` the last.
    """

    kind = "slice"
    family = "reshape"
    example = "slice(0..31)"
    transparent = True
    letters = ("axis",)
    tensors = MappingProxyType({"to": "output"})

    bounds: Annotated[OpenRange | None, PlainValidator(_bounds)] = Field(None, validate_default=True)
    axis: axes.OneAxis = Field("C", validate_default=True)
    last: fields.Flag = False

    def dim(self, shape: Shape) -> int:
        """Where the axis stands in a shape, channels first."""
        return axes.places((self.axis,), shape)[0]

    def ends(self, *ins: Shape) -> tuple[int, int]:
        """The first and the last place taken of the axis. Raises OpError where they are none of it."""
        n = ins[0][self.dim(ins[0])]
        if self.bounds is None:
            return self._ends_of_tensor(n, ins[1])
        if self.last:
            raise OpError(
                "E307", "`last` goes with `to`; bounds count from the end with a minus sign", arg="last"
            )
        low, high = self.bounds.low, self.bounds.high
        first = 0 if low is None else n + low if low < 0 else low
        last = n - 1 if high is None else n + high if high < 0 else high
        if not 0 <= first <= last < n:
            raise OpError(
                "E403", f"`bounds` (={self.bounds}) takes {first} to {last} of an axis of {n}, from 0 to {n - 1}",
                arg="bounds",
            )  # fmt: skip
        return first, last

    def _ends_of_tensor(self, n: int, to: Shape) -> tuple[int, int]:
        if self.axis not in axes.letters_of(to):
            raise OpError("E401", f"`to` is {by_x(to)}, and has no axis {self.axis}", arg="to")
        count = to[self.dim(to)]
        if count > n:
            raise OpError("E403", f"`to` has {count} places along {self.axis}, and there are {n}", arg="to")
        return (n - count, n - 1) if self.last else (0, count - 1)

    def out_shape(self, *ins: Shape) -> Shape:
        dim = self.dim(ins[0])
        first, last = self.ends(*ins)
        return (*ins[0][:dim], last - first + 1, *ins[0][dim + 1 :])

    def windows(self, *ins: Shape) -> tuple[Window | None, ...]:
        return (self.window(*ins), *(None for _ in ins[1:]))

    def window(self, *ins: Shape) -> Window:
        dim = self.dim(ins[0])
        if dim == 0:
            return Pointwise()
        first, _ = self.ends(*ins)
        if is_free(first):
            return Undefined("what is left out depends on a free size")
        return Local(tuple(Axis(1, 1, -first if i == dim else 0) for i in range(1, len(ins[0]))))
