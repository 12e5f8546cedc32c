"""Where values come from: every number and word of the arithmetic remembers its expression.

A value in the graph is a number; a person would have written where it comes from. A `Sym` is
that source: constants, the parameters of blocks and of the file, sizes of tensors, and what the
text makes of them. Arithmetic is exact, as the language's is. The tree keeps the author's form, so
that a backend can write `4 * w`; `sizes.py` has an algebra of its own, for it must decide whether
two sizes are equal for every input, and so brings each into one canonical form, where the author's
is lost.

>>> w = Param("w", 3)
>>> binary("*", Const(4), w), value(binary("*", Const(4), w), {w: 16})
(4 * w, 64)
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, Generic, Literal, TypeGuard, TypeVar

from cnnc.dsl.record import record

Exact = int | Fraction
Kind = Literal["int", "float", "bool", "str", "tuple"]
"""What a parameter is: `float` where it need not be whole."""
FILE = -1
"""The owner of a file's params; a block's are owned by the scope of its call, a number from 0."""
TURN_OF = -2
"""The owner of the number of a loop's turn, where a backend writes a loop."""


@record
class Const:
    """A value that depends on nothing."""

    value: Any

    def __repr__(self) -> str:
        return str(self.value)


@record
class Param:
    """A parameter: of the file (`FILE`), or of one call of a block, by the number of its scope."""

    name: str
    owner: int
    kind: Kind = "int"

    def __repr__(self) -> str:
        return self.name


@record
class SizeOf:
    """`C`, `D`, `H` or `W` of a tensor, by its number in the walk (`Graph.placed` has its node)."""

    axis: str
    tensor: int


@record
class Binary:
    op: str
    left: Sym
    right: Sym

    def __repr__(self) -> str:
        return f"{self.left!r} {self.op} {self.right!r}"


@record
class Extreme:
    """`min(…)` or `max(…)`."""

    function: str
    items: tuple[Sym, ...]


@record
class Rounded:
    """`floor`, `ceil`, `round` or `divisible` of the language."""

    function: str
    items: tuple[Sym, ...]


@record
class Compare:
    """`left op right`: true or false."""

    op: str
    left: Sym
    right: Sym


@record
class Logic:
    """`and` or `or` of conditions; `not` of one."""

    op: str
    items: tuple[Sym, ...]


@record
class IfElse:
    """`then` where the condition holds, else `otherwise`."""

    condition: Sym
    then: Sym
    otherwise: Sym


@record
class Items:
    """A tuple, or sizes by axis, item by item; the arguments of a layer word."""

    items: tuple[Sym, ...]


@record
class Opaque:
    """A value that depends on others in a way that nothing here expresses."""

    items: tuple[Sym, ...]


Sym = Const | Param | SizeOf | Binary | Extreme | Rounded | Compare | Logic | IfElse | Items | Opaque
TURN = Param("i", TURN_OF)
"""The number of a loop's turn, from 0."""

_T = TypeVar("_T")
_T_co = TypeVar("_T_co", covariant=True)


@record
class Sourced(Generic[_T_co]):
    """A value and where it comes from."""

    value: _T_co
    source: Sym


def constant(value: _T) -> Sourced[_T]:
    """A value that depends on nothing."""
    return Sourced(value, Const(value))


def opaque(value: _T, *sources: Sym) -> Sourced[_T]:
    """A value that depends on others, and says no more of it."""
    items = tuple(source for source in sources if not isinstance(source, Const))
    return Sourced(value, Opaque(items)) if items else constant(value)


_EXACT = (int, Fraction)


def is_number(value: object) -> TypeGuard[Exact]:
    """Whether a value is a number of the language; a flag is none."""
    return isinstance(value, _EXACT) and not isinstance(value, bool)


def kind_of(value: object) -> Kind:
    """What a parameter with this value is."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int"
    if isinstance(value, str):
        return "str"
    return "float" if isinstance(value, (Fraction, float)) else "tuple"


def parts(sym: Sym) -> tuple[Sym, ...]:
    """What an expression is made of, in the order of its text."""
    if isinstance(sym, (Const, Param, SizeOf)):
        return ()
    if isinstance(sym, (Binary, Compare)):
        return (sym.left, sym.right)
    if isinstance(sym, IfElse):
        return (sym.then, sym.condition, sym.otherwise)
    return sym.items


def rebuilt(sym: Sym, items: tuple[Sym, ...]) -> Sym:
    """The same expression of other parts; what is known of it now is worked out."""
    if isinstance(sym, Binary):
        return binary(sym.op, *items)
    if isinstance(sym, Logic):
        return logic(sym.op, items)
    found = of_parts(sym, items)
    if isinstance(found, Compare) and all(isinstance(item, Const) for item in items):
        return Const(value(found, {}))
    number = value(found, {}) if isinstance(found, Extreme | Rounded) else None
    return found if number is None else Const(number)


def of_parts(sym: Sym, items: tuple[Sym, ...]) -> Sym:
    """The same expression of other parts that are known no better: nothing is worked out."""
    if isinstance(sym, Binary | Compare):
        return type(sym)(sym.op, *items)
    if isinstance(sym, IfElse):
        then, condition, otherwise = items
        return IfElse(condition, then, otherwise)
    if isinstance(sym, Extreme | Rounded):
        return type(sym)(sym.function, items)
    if isinstance(sym, Logic):
        return Logic(sym.op, items)
    return type(sym)(items) if isinstance(sym, Items | Opaque) else sym


def substituted(sym: Sym, known: Mapping[Param, Sym]) -> Sym:
    """The expression with parameters replaced."""
    if isinstance(sym, Param):
        return known.get(sym, sym)
    return rebuilt(sym, tuple(substituted(part, known) for part in parts(sym)))


def leaves(sym: Sym) -> Iterator[Param | SizeOf]:
    """The parameters and sizes in an expression, in the order of its text."""
    todo = [sym]
    while todo:
        part = todo.pop()
        if isinstance(part, Param | SizeOf):
            yield part
        else:
            todo += reversed(parts(part))


def is_constant(sym: Sym) -> bool:
    return next(leaves(sym), None) is None


def params_of(sym: Sym) -> tuple[Param, ...]:
    """The parameters in an expression, in the order of its text, each once."""
    return tuple(dict.fromkeys(leaf for leaf in leaves(sym) if isinstance(leaf, Param)))


# --- building ----------------------------------------------------------------------------


def binary(op: str, left: Sym, right: Sym) -> Sym:
    """The operation, carried out where both sides are known."""
    if isinstance(left, Const) and isinstance(right, Const):
        total = _apply(op, left.value, right.value)
        return Binary(op, left, right) if total is None else Const(total)
    if op == "*":
        if _is(left, 1):
            return right
        if _is(right, 1):
            return left
        if _is(left, 0) or _is(right, 0):
            return Const(0)
    elif op in ("+", "-"):
        if _is(right, 0):
            return left
        if op == "+" and _is(left, 0):
            return right
    elif op in ("//", "/") and (_is(left, 0) or (_is(right, 1) and not (op == "//" and is_real(left)))):
        return left
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


def logic(op: str, items: Sequence[Sym]) -> Sym:
    """Conditions joined by `and` or `or`, or one turned round by `not`; those that are known are left out."""
    known = [bool(item.value) for item in items if isinstance(item, Const)]
    left = tuple(item for item in items if not isinstance(item, Const))
    if op == "not":
        return Logic(op, left) if left else Const(not known[0])
    decides = op == "or"
    if decides in known or not left:
        return Const(decides if decides in known else not decides)
    return left[0] if len(left) == 1 else Logic(op, left)


def _is(sym: Sym, number: int) -> bool:
    """Whether an expression is this constant."""
    return isinstance(sym, Const) and bool(sym.value == number)


def negated(condition: Sym) -> Sym:
    """What holds where a condition does not."""
    if isinstance(condition, Compare):
        return replace(condition, op=_OPPOSITE[condition.op])
    if isinstance(condition, Logic) and condition.op == "not":
        return condition.items[0]
    return Logic("not", (condition,))


_OPPOSITE = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}


def _multiple(sym: Sym) -> tuple[Sym, Exact]:
    if isinstance(sym, Binary) and sym.op == "*" and isinstance(sym.left, Const):
        return sym.right, sym.left.value
    if isinstance(sym, Const):
        return Const(1), sym.value
    return sym, 1


def difference(left: Sym, right: Sym) -> Sym:
    """`left - right`, with what both have in common taken out."""
    terms = _terms(left)
    for sym, times in _terms(right).items():
        terms[sym] = terms.get(sym, 0) - times
    return _sum(terms)


def shared_out(total: Sym, parts: int) -> Sym | None:
    """One of so many equal parts of a sum, which are whole; None where there are none."""
    terms = _terms(total)
    if not parts or any(times % parts for times in terms.values()):
        return None
    return _sum({sym: times // parts for sym, times in terms.items()})


def grows_one_way(total: Sym) -> bool:
    """Whether all of a sum is added, or all subtracted."""
    return len({times > 0 for times in _terms(total).values()}) < 2


def _sum(terms: Mapping[Sym, Exact]) -> Sym:
    total: Sym = Const(0)
    for sym, times in terms.items():
        if times:
            total = binary("+", total, binary("*", Const(normal(times)), sym))
    return total


def _terms(sym: Sym) -> dict[Sym, Exact]:
    """A sum as its terms, each with how often it is taken."""
    if isinstance(sym, Const):
        return {Const(1): sym.value}
    if isinstance(sym, Binary) and sym.op in ("+", "-"):
        terms = _terms(sym.left)
        for term, times in _terms(sym.right).items():
            terms[term] = terms.get(term, 0) + (times if sym.op == "+" else -times)
        return terms
    if isinstance(sym, Binary) and sym.op == "*" and Const in (type(sym.left), type(sym.right)):
        factor, other = (sym.left, sym.right) if isinstance(sym.left, Const) else (sym.right, sym.left)
        assert isinstance(factor, Const)
        return {term: times * factor.value for term, times in _terms(other).items()}
    return {sym: 1}


def is_real(sym: Sym) -> bool:
    """Whether an expression need not be whole since a parameter in it need not be."""
    if isinstance(sym, Param):
        return sym.kind == "float"
    if isinstance(sym, Binary):
        return sym.op != "//" and (is_real(sym.left) or is_real(sym.right))
    if isinstance(sym, IfElse):
        return is_real(sym.then) or is_real(sym.otherwise)
    if isinstance(sym, Rounded):
        return sym.function == "divisible" and is_real(sym.items[1])
    return isinstance(sym, Extreme) and any(map(is_real, sym.items))


# --- the arithmetic of the language --------------------------------------------------------


def normal(number: Exact) -> Exact:
    """The integer where a fraction is whole."""
    return number.numerator if isinstance(number, Fraction) and number.denominator == 1 else number


def divisible(size: float, by: int) -> int:
    """The multiple of `by` nearest to `size`.

    At least `by`, and not under 90 % of `size`.
    """
    nearest = max(by, math.floor((2 * size + by) // (2 * by)) * by)
    return nearest + by if 10 * nearest < 9 * size else nearest


def half_up(x: Exact) -> int:
    """Round half away from zero, as in school; Python's `round` rounds half to even."""
    size = math.floor(abs(Fraction(x)) + Fraction(1, 2))
    return size if x >= 0 else -size


FUNCTIONS: dict[str, Callable[..., Exact]] = {
    # A copy of `divisible` is written into files that call it.
    "min": lambda *items: min(items), "max": lambda *items: max(items), "round": half_up, "ceil": math.ceil, "floor": math.floor, "divisible": divisible,
}  # fmt: skip
ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul,
    "/": lambda a, b: a / b if isinstance(a, float) or isinstance(b, float) else Fraction(a) / b,
    "//": operator.floordiv, "%": operator.mod,
}  # fmt: skip
ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_COMPARE = {**ORDER, "==": operator.eq, "!=": operator.ne}


def _apply(op: str, left: Any, right: Any) -> Any:
    if op not in ARITHMETIC or (op in ("//", "/", "%") and right == 0):
        return None
    return normal(ARITHMETIC[op](left, right))


def value(sym: Sym, known: Mapping[Param, Any]) -> Any:
    """The value for given parameters; None where one of them is not known or there is none."""
    if isinstance(sym, Const):
        return sym.value
    if isinstance(sym, Param):
        return known.get(sym)
    if isinstance(sym, SizeOf | Opaque):
        return None
    if isinstance(sym, IfElse):
        condition = value(sym.condition, known)
        return None if condition is None else value(sym.then if condition else sym.otherwise, known)
    found = [value(part, known) for part in parts(sym)]
    if any(part is None for part in found):
        return None
    if isinstance(sym, Binary):
        return _apply(sym.op, *found)
    if isinstance(sym, Compare):
        return _COMPARE[sym.op](*found)
    if isinstance(sym, Logic):
        return not found[0] if sym.op == "not" else (all if sym.op == "and" else any)(found)
    if isinstance(sym, Items):
        return tuple(found)
    try:
        return _whole(*found) if sym.function == WHOLE else normal(FUNCTIONS[sym.function](*found))
    except ZeroDivisionError:
        return None


WHOLE = "whole"
"""A function that the language has none of: a number that must be whole, for arithmetic that is not exact."""


def _whole(x: Any) -> int | None:
    return round(x) if abs(x - round(x)) <= 1e-6 else None
