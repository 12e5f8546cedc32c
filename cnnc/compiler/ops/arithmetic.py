"""Arithmetic on what flows, value by value, without weights."""

from __future__ import annotations

from abc import ABC
from typing import Annotated, Any

from cnnc.compiler.ops import base, fields
from cnnc.compiler.ops.base import OpError, SameShape, Shape, Window
from cnnc.compiler.ops.model import PlainValidator, ValidationInfo

Number = int | float


def plain(value: Any, name: str, wanted: str = "a number") -> Number:
    """A number as Python writes it: 2 and not 2.0, if torch takes it so; anything else is refused by name and value."""
    number = fields.real(value, name, wanted)
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _plain(value: Any, info: ValidationInfo) -> Number:
    return plain(value, info.field_name)


def _by_channel(value: Any, info: ValidationInfo) -> Number | tuple[Number, ...]:
    """One number, or a tuple with one for each channel of what flows in."""
    name = info.field_name
    if not isinstance(value, tuple) or isinstance(value, base.Sizes):
        return plain(value, name, "a number, or a tuple with one for each channel")
    channels = fields.place_of(info).ins[0][0]
    if len(value) != channels:
        raise OpError(
            "E401", f"`{name}` (={base.show(value)}) has {len(value)} numbers, and the input has "
            f"{channels} channels", arg=name,
        )  # fmt: skip
    numbers = tuple(float(plain(v, name)) for v in value)
    return numbers if channels > 1 else plain(value[0], name)


def _nonzero_by_channel(value: Any, info: ValidationInfo) -> Number | tuple[Number, ...]:
    numbers = _by_channel(value, info)
    if 0 in (numbers if isinstance(numbers, tuple) else (numbers,)):
        raise OpError("E303", f"`{info.field_name}` divides, and is 0", arg=info.field_name)
    return numbers


def _bound(value: Any, info: ValidationInfo) -> Number | None:
    return None if value == "none" or value is None else plain(value, info.field_name, "a number or none")


Plain = Annotated[int | float, PlainValidator(_plain)]
ByChannel = Annotated[int | float | tuple[float, ...], PlainValidator(_by_channel)]
NonzeroByChannel = Annotated[int | float | tuple[float, ...], PlainValidator(_nonzero_by_channel)]
Bound = Annotated[int | float | None, PlainValidator(_bound)]


class _Arithmetic(SameShape, ABC):
    family = "arithmetic"


@base.op
class Times(_Arithmetic):
    """x * c, with c a number, or a tuple of one number for each channel.

    A difference is `[a + b -> times(-1)]`.
    """

    kind = "times"
    example = "times(0.5)"
    transparent = True

    c: ByChannel


@base.op
class Plus(_Arithmetic):
    """x + c, with c a number, or a tuple of one number for each channel."""

    kind = "plus"
    example = "plus(1)"
    transparent = True

    c: ByChannel


@base.op
class Power(_Arithmetic):
    """x to the power p. A quotient is `[a & b -> pow(-1)]`."""

    kind = "pow"
    example = "pow(2)"

    p: Plain


@base.op
class Exp(_Arithmetic):
    """e to the power x."""

    kind = "exp"
    example = "exp"


@base.op
class Log(_Arithmetic):
    """The natural logarithm."""

    kind = "log"
    example = "log"


@base.op
class Abs(_Arithmetic):
    """The absolute value."""

    kind = "abs"
    example = "abs"


@base.op
class Sin(_Arithmetic):
    """The sine."""

    kind = "sin"
    example = "sin"


@base.op
class Cos(_Arithmetic):
    """The cosine."""

    kind = "cos"
    example = "cos"


@base.op
class Clamp(_Arithmetic):
    """x, at least `low` and at most `high`; `none` for a bound that there is not."""

    kind = "clamp"
    example = "clamp(0, 6)"

    low: Bound = None
    high: Bound = None

    def out_shape(self, *ins: Shape) -> Shape:
        if self.low is None and self.high is None:
            raise OpError("E302", "`clamp` needs a bound", hint="for instance: clamp(0, 6), clamp(low=0)")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise OpError("E307", f"`low` (={self.low}) is more than `high` (={self.high})", arg="high")
        return ins[0]


@base.op
class Noise(_Arithmetic):
    """Values of the standard normal distribution, as many as flow in, drawn anew in training and evaluation.

    Only the size of what flows in is used. A variational autoencoder's sample (Kingma and Welling 2014,
    section 2.4) is `[mu + [logvar -> times(0.5) -> exp & logvar -> noise]]`.
    """

    kind = "noise"
    example = "noise"

    def windows(self, *ins: Shape) -> tuple[Window | None, ...]:
        return (None,)


@base.op
class Normalize(_Arithmetic):
    """(x - mean) / std, each a number or a tuple of one number for each channel: an image's colours."""

    kind = "normalize"
    example = "normalize(mean=0.5, std=0.25)"

    mean: ByChannel
    std: NonzeroByChannel
