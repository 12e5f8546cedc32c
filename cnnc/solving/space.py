"""The values that are searched: one grid of exact numbers for each param that varies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import product
from math import ceil, floor

from cnnc.compiler.bounds import Bounds, Number, bounds_of, spelled
from cnnc.dsl.diagnostics import fail
from cnnc.dsl.record import record

Point = tuple[int, ...]
"""A place in the space: for each axis, the index of a value."""


@record
class Axis:
    """One param and the values that are tried, in rising order."""

    name: str
    values: tuple[Number, ...]
    default: Number


@record
class Space:
    """All combinations of the axes' values."""

    axes: tuple[Axis, ...]

    def __len__(self) -> int:
        size = 1
        for axis in self.axes:
            size *= len(axis.values)
        return size

    def points(self) -> Iterator[Point]:
        """Every point, the last axis fastest."""
        return product(*(range(len(axis.values)) for axis in self.axes))

    def params(self, point: Sequence[int]) -> dict[str, Number]:
        """The params at a point."""
        return {axis.name: axis.values[i] for axis, i in zip(self.axes, point, strict=True)}

    def words(self, point: Sequence[int]) -> str:
        """A point as it is typed: `width=0.75, depth=3`."""
        return ", ".join(f"{name}={spelled(value)}" for name, value in self.params(point).items())


def parse_range(text: str, default: object) -> tuple[Bounds, int | None]:
    """`0.25..2`, with `:8` the number of values. Raises CnncError (E303)."""
    ends, colon, count = text.partition(":")
    low, dots, high = ends.partition("..")
    try:
        numbers = [_number(low), _number(high)]
        steps = int(count) if colon else None
    except ValueError:
        numbers, steps = [], None
    if not dots or len(numbers) < 2 or (steps is not None and steps < 2):
        hint = "for instance: width=0.25..2, or width=0.25..2:8 for eight values"
        raise fail("E303", f"`{text}` is no range", hint=hint)
    return bounds_of(numbers[0], numbers[1], default, None), steps


def _number(text: str) -> Number:
    value = Fraction(text.strip())
    return value.numerator if value.denominator == 1 and "." not in text else value


def grid(bounds: Bounds, least: int = 100) -> tuple[Number, ...]:
    """The values of a range that a search tries: all whole ones, or the multiples of the largest of 1, 0.5, 0.2, 0.1, 0.05, …
    of which there are `least`, and both ends.

    >>> from fractions import Fraction
    >>> found = grid(Bounds(low=Fraction(1, 4), high=2, whole=False))
    >>> len(found), found[0], found[1], found[-1]
    (176, Fraction(1, 4), Fraction(13, 50), 2)
    """
    if bounds.choices:
        return bounds.choices
    if bounds.whole:
        return tuple(range(int(bounds.low), int(bounds.high) + 1))
    low, high = Fraction(bounds.low), Fraction(bounds.high)
    if low == high:
        return (_plain(low),)
    power = Fraction(10) ** 12
    while (high - low) / power < least:
        power /= 10
    step = next(power * k for k in (5, 2, 1) if (high - low) / (power * k) >= least)
    inner = [i * step for i in range(ceil(low / step), floor(high / step) + 1)]
    return tuple(_plain(v) for v in sorted({low, high, *inner}))


def by_fraction(bounds: Bounds, parts: int) -> tuple[Number, ...]:
    """The multiples of 1/`parts` in a range."""
    low, high = Fraction(bounds.low), Fraction(bounds.high)
    return tuple(_plain(Fraction(i, parts)) for i in range(ceil(low * parts), floor(high * parts) + 1))


def spaced(bounds: Bounds, count: int) -> tuple[Number, ...]:
    """`count` values at equal distances, both ends among them; rounded, and each once, where they are whole."""
    if bounds.choices:
        return bounds.choices
    low, high = Fraction(bounds.low), Fraction(bounds.high)
    found = [low + (high - low) * i / (count - 1) for i in range(count)]
    if bounds.whole:
        found = sorted({Fraction(floor(v + Fraction(1, 2))) for v in found})
    return tuple(_plain(v) for v in found)


def _plain(value: Fraction) -> Number:
    return value.numerator if value.denominator == 1 else value


def space_of(ranges: Mapping[str, tuple[Bounds, int | None]], defaults: Mapping[str, Number]) -> Space:
    """The space of some ranges: finer where one param varies alone. A range with a number of values has those."""
    axes = []
    least = 100 if len(ranges) == 1 else 30
    for name, (bounds, count) in ranges.items():
        values = grid(bounds, least) if count is None else spaced(bounds, count)
        axes.append(Axis(name, values, defaults[name]))
    return Space(tuple(axes))
