"""The ranges that `within` gives the params of a file."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from cnnc.compiler.ops import show
from cnnc.dsl.diagnostics import CnncError, fail
from cnnc.dsl.record import record
from cnnc.dsl.source import Span

Number = int | Fraction


@record
class Bounds:
    """The values that a param may have: from `low` to `high`, both included, or one of `choices`.

    With `whole` they are whole numbers: where both ends are and so is the default.
    """

    low: Number
    high: Number
    whole: bool
    choices: tuple[Number, ...] = ()

    def __contains__(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | Fraction):
            return False
        if self.choices:
            return value in self.choices
        return self.low <= value <= self.high and (not self.whole or Fraction(value).denominator == 1)

    def __str__(self) -> str:
        """As it is written: `0.25..2`, or `(3, 5, 7)`."""
        return show_numbers(self.choices) if self.choices else f"{spelled(self.low)}..{spelled(self.high)}"


def spelled(value: Number) -> str:
    """A number as a spec has it: 0.25, 3, or 1/3 where no short decimal says it.

    >>> spelled(Fraction(1, 4)), spelled(3), spelled(Fraction(1, 3))
    ('0.25', '3', '1/3')
    """
    if isinstance(value, int) or value.denominator == 1:
        return str(int(value))
    decimal = f"{float(value):.12g}"
    return decimal if "e" not in decimal and Fraction(decimal) == value else str(value)


def show_numbers(values: Sequence[Number]) -> str:
    return "(" + ", ".join(map(spelled, values)) + ")"


def bounds_of(low: object, high: object, default: object, span: Span | None) -> Bounds:
    """A range from its ends. Raises CnncError (E303) where it is empty or an end is no number."""
    for value in (low, high):
        if isinstance(value, bool) or not isinstance(value, int | Fraction):
            raise fail("E303", f"a range has numbers at its ends, and {show(value)} is none", span)
    assert isinstance(low, int | Fraction) and isinstance(high, int | Fraction)
    if low > high:
        raise fail(
            "E303",
            f"the range {spelled(low)}..{spelled(high)} is empty",
            span,
            hint="write the smaller end first",
        )
    whole = all(isinstance(v, int) and not isinstance(v, bool) for v in (low, high, default))
    return Bounds(low, high, whole)


def choices_of(values: Sequence[object], span: Span | None) -> Bounds:
    """A list of values. Raises CnncError (E303) where one is no number."""
    numbers = [v for v in values if isinstance(v, int | Fraction) and not isinstance(v, bool)]
    if len(numbers) < len(values) or not numbers:
        raise fail(
            "E303", "a param's list of values has numbers", span, hint="for instance: within (3, 5, 7)"
        )
    ordered = tuple(sorted(set(numbers)))
    return Bounds(ordered[0], ordered[-1], all(isinstance(v, int) for v in ordered), ordered)


def outside(name: str, value: object, bounds: Bounds, span: Span | None) -> CnncError:
    """The error for a value that the param may not have."""
    what = "a whole number in " if bounds.whole and not bounds.choices else ""
    return fail("E303", f"`{name}` is {show(value)}; expected {what}{bounds}", span)
