"""Small integer expressions over constructor parameters: `4 * w`, `in_channels + 32`.

A value in the graph is a number; a person would have written where it comes
from. A `Sym` is that source, and can both print itself as Python and be
evaluated for one instance, so that no text is used that does not give the
number it stands for.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "//": 2, "/": 2, "%": 2}
Number = int | float


@dataclass(frozen=True, slots=True)
class Const:
    value: Number


@dataclass(frozen=True, slots=True)
class Param:
    """A constructor parameter, seen from one class: `level` 0 is its own scope's, 1 the scope's around it, …

    A `real` one is no whole number, or need not be.
    """

    name: str
    level: int
    real: bool = False


@dataclass(frozen=True, slots=True)
class Binary:
    op: str
    left: Sym
    right: Sym


@dataclass(frozen=True, slots=True)
class Extreme:
    """`min(…)` or `max(…)`."""

    function: str
    items: tuple[Sym, ...]


@dataclass(frozen=True, slots=True)
class Compare:
    """`left op right`: true or false."""

    op: str
    left: Sym
    right: Sym


@dataclass(frozen=True, slots=True)
class Logic:
    """`and` or `or` of conditions; `not` of one."""

    op: str
    items: tuple[Sym, ...]


@dataclass(frozen=True, slots=True)
class Rounded:
    """A whole number from one that need not be: by `math.floor`, `math.ceil`, or a helper of that name."""

    function: str
    items: tuple[Sym, ...]


Sym = Const | Param | Binary | Extreme | Compare | Logic | Rounded

TURN = Param("i", -1)
"""The number of a loop's turn, from 0."""


def binary(op: str, left: Sym, right: Sym) -> Sym:
    """The operation, carried out where both sides are known."""
    if (
        isinstance(left, Const)
        and isinstance(right, Const)
        and not (op in ("//", "/", "%") and right.value == 0)
    ):
        total = _apply(op, left.value, right.value)
        return Const(int(total) if isinstance(total, float) and total.is_integer() else total)
    if op == "*" and Const(1) in (left, right):
        return right if left == Const(1) else left
    if op in ("+", "-") and right == Const(0):
        return left
    if op in ("//", "/") and right == Const(1):
        return left
    if op == "+" and left == Const(0):
        return right
    if op == "+" and isinstance(right, Binary) and right.op == "-" and right.right == left:
        return right.left
    # in_channels + k + k + k reads better as in_channels + 3 * k
    if op == "+":
        base, times = _multiple(right)
        if isinstance(left, Binary) and left.op == "+":
            other, count = _multiple(left.right)
            if other == base:
                return Binary("+", left.left, binary("*", Const(times + count), base))
        other, count = _multiple(left)
        if other == base:
            return binary("*", Const(times + count), base)
    return Binary(op, left, right)


def _multiple(sym: Sym) -> tuple[Sym, Number]:
    if isinstance(sym, Binary) and sym.op == "*" and isinstance(sym.left, Const):
        return sym.right, sym.left.value
    if isinstance(sym, Const):
        return Const(1), sym.value
    return sym, 1


def difference(left: Sym, right: Sym) -> Sym:
    """`left - right`, with what stands in both taken out."""
    terms = _terms(left)
    for sym, times in _terms(right).items():
        terms[sym] = terms.get(sym, 0) - times
    total: Sym = Const(0)
    for sym, times in terms.items():
        if times:
            total = binary("+", total, binary("*", Const(times), sym))
    return total


def _terms(sym: Sym) -> dict[Sym, Number]:
    """A sum as its terms, each with how often it is taken."""
    if isinstance(sym, Const):
        return {Const(1): sym.value}
    if isinstance(sym, Binary) and sym.op in ("+", "-"):
        terms = _terms(sym.left)
        for term, times in _terms(sym.right).items():
            terms[term] = terms.get(term, 0) + (times if sym.op == "+" else -times)
        return terms
    base, times = _multiple(sym)
    return {base: times}


def _apply(op: str, a: Number, b: Number) -> Number:
    return _ARITHMETIC[op](a, b)


_ARITHMETIC: dict[str, Callable[[Number, Number], Number]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "//": operator.floordiv,
    "%": operator.mod,
}  # fmt: skip


def is_real(sym: Sym) -> bool:
    """Whether an expression may be no whole number."""
    if isinstance(sym, Const):
        return isinstance(sym.value, float)
    if isinstance(sym, Param):
        return sym.real
    if isinstance(sym, Binary):
        return sym.op == "/" or is_real(sym.left) or is_real(sym.right)
    return isinstance(sym, Extreme) and any(map(is_real, sym.items))


def integral(sym: Sym) -> Sym:
    """The expression where a whole number is wanted; Python's arithmetic is not exact, so `whole` looks again."""
    return Rounded("whole", (sym,)) if is_real(sym) else sym


def value(sym: Sym, params: Mapping[Param, Number]) -> Number | None:
    """The number for one instance; None where a parameter is not known or there is none."""
    if isinstance(sym, Const):
        return sym.value
    if isinstance(sym, Param):
        return params.get(sym)
    if isinstance(sym, Extreme | Logic | Rounded):
        items = [value(item, params) for item in sym.items]
        known = [item for item in items if item is not None]
        if len(known) < len(items):
            return None
        if isinstance(sym, Logic):
            return not known[0] if sym.op == "not" else _LOGIC[sym.op](known)
        if isinstance(sym, Rounded):
            return _ROUNDED[sym.function](*known)
        return min(known) if sym.function == "min" else max(known)
    left, right = value(sym.left, params), value(sym.right, params)
    if left is None or right is None or (sym.op in ("//", "/", "%") and right == 0):
        return None
    return _COMPARE[sym.op](left, right) if isinstance(sym, Compare) else _apply(sym.op, left, right)


def _whole(size: Number) -> int | None:
    return round(size) if abs(size - round(size)) <= 1e-6 else None


def _divisible(size: Number, by: Number) -> int:
    nearest = max(int(by), int(int(size + by / 2) // by * by))
    return nearest + int(by) if nearest < 0.9 * size else nearest


_ROUNDED: dict[str, Callable[..., int | None]] = {
    "math.floor": math.floor, "math.ceil": math.ceil, "whole": _whole, "divisible": _divisible,
}  # fmt: skip
"""The same as the helpers that are written into the output."""
_COMPARE: dict[str, Callable[[Number, Number], bool]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_LOGIC: dict[str, Callable[[list[Number]], bool]] = {"and": all, "or": any}


def params_of(sym: Sym) -> tuple[Param, ...]:
    """The parameters in an expression, in the order of its text, each once."""
    if isinstance(sym, Param):
        return (sym,)
    if isinstance(sym, Binary | Compare):
        return tuple(dict.fromkeys(params_of(sym.left) + params_of(sym.right)))
    if isinstance(sym, Extreme | Logic | Rounded):
        return tuple(dict.fromkeys(p for item in sym.items for p in params_of(item)))
    return ()


def mentions(sym: Sym | str, param: Param | None) -> bool:
    """Whether an expression speaks of a parameter; text that is no expression does not."""
    return not isinstance(sym, str) and param in params_of(sym)


def text(sym: Sym, names: Mapping[Param, str]) -> str:
    """The expression as Python, with as few parentheses as it needs."""
    if isinstance(sym, Const):
        return str(sym.value)
    if isinstance(sym, Param):
        return names[sym]
    if isinstance(sym, Extreme | Rounded):
        return f"{sym.function}({', '.join(text(item, names) for item in sym.items)})"
    if isinstance(sym, Compare):
        return f"{text(sym.left, names)} {sym.op} {text(sym.right, names)}"
    if isinstance(sym, Logic):
        items = [f"({text(i, names)})" if isinstance(i, Logic) else text(i, names) for i in sym.items]
        return f"not {items[0]}" if sym.op == "not" else f" {sym.op} ".join(items)
    own = _PRECEDENCE[sym.op]
    left, right = text(sym.left, names), text(sym.right, names)
    if isinstance(sym.left, Binary) and _PRECEDENCE[sym.left.op] < own:
        left = f"({left})"
    if isinstance(sym.right, Binary) and _PRECEDENCE[sym.right.op] <= own:
        right = f"({right})"
    return f"{left} {sym.op} {right}"
