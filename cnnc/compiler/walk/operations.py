"""Operations on values that come with their sources: exact, bounded, and the same whatever they are read from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

from cnnc.compiler import symbolic
from cnnc.compiler.symbolic import (
    Const,
    Exact,
    Extreme,
    IfElse,
    Items,
    Rounded,
    Sourced,
    Sym,
    constant,
    is_number,
    opaque,
)
from cnnc.compiler.walk.lists import length, total
from cnnc.compiler.walk.values import Value, describe
from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import fail
from cnnc.dsl.source import Span

MAX_BITS = 512
FLAGS = {"yes": True, "no": False}
OF_LISTS: dict[str, Callable[..., Exact]] = {"len": len, "sum": sum, "min": min, "max": max}
FUNCTIONS: dict[str, Callable[..., Exact]] = OF_LISTS | symbolic.FUNCTIONS
_COUNTS: dict[str, tuple[int, int | None]] = {"min": (1, None), "max": (1, None), "divisible": (2, 2)}
"""How many numbers a function takes, at least and at most (None: any); the others take one."""


class NoValue(Exception):
    pass


class TooLarge(Exception):
    pass


def _power(base: Exact, exponent: Exact) -> Exact:
    if not isinstance(exponent, int):
        raise NoValue("a power's exponent must be an integer")
    size = max(abs(Fraction(base).numerator), Fraction(base).denominator)
    if (size.bit_length() - 1) * abs(exponent) >= MAX_BITS:  # it is at least 2 to this power
        raise TooLarge
    return Fraction(base) ** exponent


OPERATORS: dict[str, Callable[[Exact, Exact], Exact]] = {**symbolic.ARITHMETIC, "**": _power}


def bounded(value: Exact, span: Span) -> Exact:
    size = value if isinstance(value, int) else max(abs(value.numerator), value.denominator)
    if size.bit_length() > MAX_BITS:
        raise fail("E901", f"`{span.text}` needs more than {MAX_BITS} bits", span)
    return symbolic.normal(value)


def refuse_flag_beside_number(left: Value, right: Value, span: Span) -> None:
    """Raises E303: a flag compared with a number is never equal to it."""
    if is_number(left) == is_number(right) or not all(isinstance(x, int | Fraction) for x in (left, right)):
        return
    raise fail(
        "E303", f"`{span.text}` compares {describe(left)} with {describe(right)}", span,
        hint="a flag is a condition itself: [a if flag else b], not flag; or compare it with yes or no",
    )  # fmt: skip


def choice_of(arms: Sequence[tuple[Sym, Sym]], last: Sym) -> Sym:
    """The source of a choice whose first arms were not taken; one that never can be is left out."""
    for condition, arm in reversed(arms):
        if not isinstance(condition, Const):
            last = IfElse(condition, arm, last)
    return last


def called(expr: s.Call, values: Sequence[Sourced[Exact]]) -> Sourced[Value]:
    """A function of numbers. Raises E303 for too few or too many, E306 where it has no value."""
    least, most = _COUNTS.get(expr.name, (1, 1))
    if len(values) < least or (most is not None and len(values) > most):
        wanted = f"{least}" if most == least else f"at least {least}"
        noun = "number" if wanted in ("1", "at least 1") else "numbers"
        raise fail("E303", f"`{expr.name}` takes {wanted} {noun}, not {len(values)}", expr.span)
    try:
        total = bounded(FUNCTIONS[expr.name](*(value.value for value in values)), expr.span)
    except ZeroDivisionError:
        raise fail("E306", f"`{expr.span.text}` divides by zero", expr.span) from None
    sources = tuple(value.source for value in values)
    if all(isinstance(source, Const) for source in sources):
        return constant(total)
    match expr.name, sources:
        case "min" | "max", (alone,):
            return Sourced(total, alone)
        case "min" | "max", _:
            return Sourced(total, Extreme(expr.name, sources))
    return Sourced(total, Rounded(expr.name, sources))


def of_list(expr: s.Call, found: Sourced[tuple[Value, ...]]) -> Sourced[Value]:
    """`len`, `sum`, `min` and `max` of a list."""
    if expr.name == "len":
        count = length(found)
        return Sourced(count.value, count.source)
    for item in found.value:
        if not is_number(item):
            raise fail("E303", f"`{expr.name}` takes numbers, and {describe(item)} is in the list", expr.span)
    try:
        value = bounded(OF_LISTS[expr.name](found.value), expr.span)
    except ValueError:  # the least of nothing
        raise fail("E306", f"`{expr.span.text}` has no value: the list is empty", expr.span) from None
    if not isinstance(found.source, Items):
        return opaque(value, found.source)
    sources = found.source.items
    return Sourced(value, total(sources) if expr.name == "sum" else Extreme(expr.name, sources))
