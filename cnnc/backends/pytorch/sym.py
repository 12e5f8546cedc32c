"""Small integer expressions over constructor parameters: `4 * w`, `in_channels + 32`.

A value in the graph is a number; a person would have written where it comes
from. A `Sym` is that source, and can both print itself as Python and be
evaluated for one instance, so that no text is used that does not give the
number it stands for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "//": 2, "%": 2}


@dataclass(frozen=True, slots=True)
class Const:
    value: int


@dataclass(frozen=True, slots=True)
class Param:
    """A constructor parameter, seen from one class: `level` 0 is its own scope's, 1 the scope's around it, …"""

    name: str
    level: int


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


Sym = Const | Param | Binary | Extreme


def binary(op: str, left: Sym, right: Sym) -> Sym:
    """The operation, carried out where both sides are known."""
    if isinstance(left, Const) and isinstance(right, Const) and not (op in ("//", "%") and right.value == 0):
        return Const(_apply(op, left.value, right.value))
    if op == "*" and Const(1) in (left, right):
        return right if left == Const(1) else left
    if op in ("+", "-") and right == Const(0):
        return left
    if op == "//" and right == Const(1):
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


def _multiple(sym: Sym) -> tuple[Sym, int]:
    if isinstance(sym, Binary) and sym.op == "*" and isinstance(sym.left, Const):
        return sym.right, sym.left.value
    if isinstance(sym, Const):
        return Const(1), sym.value
    return sym, 1


def _apply(op: str, a: int, b: int) -> int:
    return {
        "+": lambda: a + b, "-": lambda: a - b, "*": lambda: a * b, "//": lambda: a // b, "%": lambda: a % b,
    }[op]()  # fmt: skip


def value(sym: Sym, params: Mapping[Param, int]) -> int | None:
    """The number for one instance; None where a parameter is not known or there is none."""
    if isinstance(sym, Const):
        return sym.value
    if isinstance(sym, Param):
        return params.get(sym)
    if isinstance(sym, Extreme):
        items = [value(item, params) for item in sym.items]
        known = [item for item in items if item is not None]
        if len(known) < len(items):
            return None
        return min(known) if sym.function == "min" else max(known)
    left, right = value(sym.left, params), value(sym.right, params)
    if left is None or right is None or (sym.op in ("//", "%") and right == 0):
        return None
    return _apply(sym.op, left, right)


def params_of(sym: Sym) -> tuple[Param, ...]:
    """The parameters in an expression, in the order of its text, each once."""
    if isinstance(sym, Param):
        return (sym,)
    if isinstance(sym, Binary):
        return tuple(dict.fromkeys(params_of(sym.left) + params_of(sym.right)))
    if isinstance(sym, Extreme):
        return tuple(dict.fromkeys(p for item in sym.items for p in params_of(item)))
    return ()


def text(sym: Sym, names: Mapping[Param, str]) -> str:
    """The expression as Python, with as few parentheses as it needs."""
    if isinstance(sym, Const):
        return str(sym.value)
    if isinstance(sym, Param):
        return names[sym]
    if isinstance(sym, Extreme):
        return f"{sym.function}({', '.join(text(item, names) for item in sym.items)})"
    own = _PRECEDENCE[sym.op]
    left, right = text(sym.left, names), text(sym.right, names)
    if isinstance(sym.left, Binary) and _PRECEDENCE[sym.left.op] < own:
        left = f"({left})"
    if isinstance(sym.right, Binary) and _PRECEDENCE[sym.right.op] <= own:
        right = f"({right})"
    return f"{left} {sym.op} {right}"
