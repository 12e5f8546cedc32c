"""What the fields of layers hold: numbers of a kind, flags, words, one number for each axis, padding; how each is validated."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Annotated, Any

from cnnc.compiler.ops.base import MAX_REAL, MAX_SIZE, OpError, Place, Shape, Sides, Sizes, show
from cnnc.compiler.ops.model import BeforeValidator, ValidationInfo


def place_of(info: ValidationInfo) -> Place:
    """The place that a validator runs at."""
    assert isinstance(info.context, Place)
    return info.context


def as_int(value: Any, name: str, least: int | None = None) -> int:
    """An integer argument; anything else is refused by name and value."""
    if not isinstance(value, int) and isinstance(value, Fraction):  # the second takes long
        if value.denominator != 1:
            raise OpError(
                "E305", f"`{name}` is {show(value)}; expected an integer", arg=name,
                hint="round it: floor(…), ceil(…), round(…), or divide with //",
            )  # fmt: skip
        value = value.numerator
    if isinstance(value, bool) or not isinstance(value, int):
        raise OpError("E303", f"`{name}` is {show(value)}; expected an integer", arg=name)
    number: int = value
    if least is not None and number < least:
        raise OpError("E303", f"`{name}` (={number}) must be at least {least}", arg=name)
    if int(number) > MAX_SIZE:
        raise OpError("E901", f"`{name}` (={number}) is more than {MAX_SIZE:,}", arg=name)
    return number


def one_of(value: Any, name: str, choices: Iterable[str]) -> str:
    """One of a few words."""
    words = tuple(choices)
    if isinstance(value, str) and value in words:
        return value
    wanted = ", ".join(words[:-1]) + f" or {words[-1]}"
    raise OpError("E303", f"`{name}` is {show(value)}; expected {wanted}", arg=name)


def word(*choices: str) -> BeforeValidator:
    """The validator of an argument that is one of a few words."""
    return BeforeValidator(lambda value, info: one_of(value, info.field_name, choices))


def at_least(least: int) -> BeforeValidator:
    """The validator of an integer of `least` or more."""
    return BeforeValidator(lambda value, info: as_int(value, info.field_name, least))


def _positive(value: Any, info: ValidationInfo) -> int:
    return as_int(value, info.field_name, 1)


def _natural(value: Any, info: ValidationInfo) -> int:
    return as_int(value, info.field_name, 0)


def _flag(value: Any, info: ValidationInfo) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("yes", "no"):
        return bool(value == "yes")
    name = info.field_name
    meant = {"true": "yes", "false": "no", "none": "no"}.get(str(value).lower())
    raise OpError(
        "E303", f"`{name}` is {show(value)}; expected yes or no", arg=name,
        hint=f"write {name}={meant}" if meant else None,
    )  # fmt: skip


def real(value: Any, name: str, wanted: str = "a number") -> float:
    """A number as a float that float32 has room for; anything else is refused by name and value."""
    if isinstance(value, bool) or not isinstance(value, int | float | Fraction):
        raise OpError("E303", f"`{name}` is {show(value)}; expected {wanted}", arg=name)
    if not -MAX_REAL <= value <= MAX_REAL:
        raise OpError("E901", f"`{name}` is beyond the largest number of float32, 3.4e38", arg=name)
    return float(value)


def _real(value: Any, info: ValidationInfo) -> float:
    return real(value, info.field_name)


def _positive_real(value: Any, info: ValidationInfo) -> float:
    number = _real(value, info)
    if not number > 0:
        raise OpError(
            "E303", f"`{info.field_name}` (={show(value)}) must be more than 0", arg=info.field_name
        )
    return number


def _natural_real(value: Any, info: ValidationInfo) -> float:
    number = _real(value, info)
    if number < 0:
        raise OpError("E303", f"`{info.field_name}` (={show(value)}) must be at least 0", arg=info.field_name)
    return number


def _share(value: Any, info: ValidationInfo) -> float:
    number = _real(value, info)
    if not 0 <= number <= 1:
        raise OpError("E303", f"`{info.field_name}` (={show(value)}) must lie in [0, 1]", arg=info.field_name)
    return number


def _probability(value: Any, info: ValidationInfo) -> float:
    number = _real(value, info)
    if not 0 <= number < 1:
        percent = 1 < number < 100 and number == int(number)
        hint = f"a share, for instance {number / 100:g}" if percent else None
        raise OpError(
            "E303", f"`{info.field_name}` (={show(value)}) must lie in [0, 1)", arg=info.field_name, hint=hint
        )  # fmt: skip
    return number


def per_axis(value: Any, info: ValidationInfo, least: int) -> tuple[int, ...]:
    """3 becomes (3, 3) on a map of two axes; `1x7` must have one number for each axis."""
    name = info.field_name
    rank = place_of(info).rank
    if isinstance(value, tuple):
        if len(value) != rank:
            axes = "axis" if rank == 1 else "axes"
            raise OpError(
                "E401", f"`{name}` (={show(value)}) has {len(value)} numbers, and the map has {rank} {axes}",
                arg=name,
            )  # fmt: skip
        return tuple(as_int(v, name, least) for v in value)
    return (as_int(value, name, least),) * rank


def _positive_axes(value: Any, info: ValidationInfo) -> tuple[int, ...]:
    return per_axis(value, info, 1)


def _natural_axes(value: Any, info: ValidationInfo) -> tuple[int, ...]:
    return per_axis(value, info, 0)


Positive = Annotated[int, BeforeValidator(_positive)]
Natural = Annotated[int, BeforeValidator(_natural)]
Flag = Annotated[bool, BeforeValidator(_flag)]
Real = Annotated[float, BeforeValidator(_real)]
PositiveReal = Annotated[float, BeforeValidator(_positive_real)]
NaturalReal = Annotated[float, BeforeValidator(_natural_real)]
Share = Annotated[float, BeforeValidator(_share)]
Probability = Annotated[float, BeforeValidator(_probability)]
PositiveAxes = Annotated[tuple[int, ...], BeforeValidator(_positive_axes)]
NaturalAxes = Annotated[tuple[int, ...], BeforeValidator(_natural_axes)]


def optional(validator: Callable[[Any, ValidationInfo], Any]) -> BeforeValidator:
    """The validator of an argument that may be left out (None)."""
    return BeforeValidator(lambda value, info: None if value is None else validator(value, info))


OptionalAxes = Annotated[tuple[int, ...] | None, optional(_positive_axes)]


def sides(value: Any, name: str, rank: int) -> tuple[Sides, ...] | None:
    """Explicit padding per axis as (before, after) pairs, or None where `value` is a word.

    `1` pads every side, `1x3` each axis on both its sides, `(1, 2)` every axis
    with 1 before and 2 after, `((0, 1), (2, 2))` each axis its own.
    """
    if isinstance(value, str):
        return None
    if isinstance(value, Sizes):
        if len(value) != rank:
            raise OpError(
                "E401",
                f"`{name}` (={show(value)}) has {len(value)} numbers, and the map has {rank} axes",
                arg=name,
            )
        return tuple((as_int(v, name, 0), as_int(v, name, 0)) for v in value)
    if isinstance(value, tuple):
        if value and all(isinstance(v, tuple) for v in value):
            if len(value) != rank or any(len(v) != 2 for v in value):
                raise OpError(
                    "E303",
                    f"`{name}` (={show(value)}) must have one (before, after) pair for each of {rank} axes",
                    arg=name,
                )
            return tuple((as_int(a, name, 0), as_int(b, name, 0)) for a, b in value)
        if len(value) != 2:
            raise OpError("E303", f"`{name}` (={show(value)}) must be (before, after)", arg=name)
        return ((as_int(value[0], name, 0), as_int(value[1], name, 0)),) * rank
    number = as_int(value, name, 0)
    return ((number, number),) * rank


Each = Annotated[str, word("one", "channel", "position")]


def for_each(each: str, shape: Shape) -> Shape:
    """The shape of a tensor that has one value for all, for each channel, or for each value of a shape."""
    return {"one": (1,), "channel": shape[:1], "position": shape}[each]
