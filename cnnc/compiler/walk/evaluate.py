"""The one evaluator of arithmetic: exact, total, bounded, and without Python's eval.

Numbers are integers and fractions. A name that stands for nothing is a word
(`same`, `bn`, `yes`) where a word can stand, and an error inside arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import TypeGuard

from cnnc.compiler.ops import ARGUMENT_WORDS, Sizes, op_words, show
from cnnc.compiler.sizes import is_free
from cnnc.compiler.walk.values import SIZE_NAMES, Closure, Env, LayerWord, Value, describe, normal
from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import CnncError, did_you_mean, fail
from cnnc.dsl.source import Span

MAX_BITS = 512
Exact = int | Fraction


class Poisoned(Exception):
    """A size was asked for of a tensor about which a mistake was already reported."""


def evaluate(expr: s.Expr | s.Bracket, env: Env) -> Value:
    """The value of an argument; a pipeline becomes a closure, an unbound name a word."""
    if isinstance(expr, s.Bracket):
        return Closure(expr, env)
    if isinstance(expr, s.Name):
        value = _lookup(expr, env)
        return expr.id if value is None else value
    if isinstance(expr, s.Call) and expr.name not in FUNCTIONS:
        return _layer_word(expr, env)
    if isinstance(expr, s.Tuple):
        return tuple(evaluate(item, env) for item in expr.items)
    return _RULES[type(expr)](expr, env)


def number(expr: s.Expr, env: Env) -> Exact:
    """The value of an expression that must be a number."""
    value = evaluate(expr, env)
    if isinstance(value, bool) or not isinstance(value, int | Fraction):
        if _is_unbound(expr, env):
            raise _unknown(expr, env)
        raise fail("E303", f"`{expr.span.text}` is {describe(value)}, and a number is wanted", expr.span)
    return value


def integer(expr: s.Expr, env: Env) -> int:
    """The value of an expression that must be an integer."""
    value = number(expr, env)
    if isinstance(value, Fraction):
        text = expr.span.text
        is_value = "" if text.replace(" ", "") == show(value) else f" is {show(value)}, which"
        raise fail(
            "E305", f"`{text}`{is_value} is no integer, and one is wanted", expr.span,
            hint="round it: floor(…), ceil(…), round(…), or divide with //",
        )  # fmt: skip
    return value


def truth(expr: s.Expr, env: Env) -> bool:
    """The value of a condition."""
    value = evaluate(expr, env)
    if not isinstance(value, bool):
        if _is_unbound(expr, env):
            raise _unknown(expr, env)
        raise fail(
            "E303", f"`{expr.span.text}` is {describe(value)}, and a condition is wanted", expr.span,
            hint="compare it: n > 0, name == word",
        )  # fmt: skip
    return value


def interpolate(parts: tuple[str | s.Expr, ...], env: Env) -> str:
    """The text of a name with arithmetic in it: `c{i}`."""
    return "".join(p if isinstance(p, str) else show(integer(p, env)) for p in parts)


def _lookup(expr: s.Name, env: Env) -> Value | None:
    value = env.value(expr.id)
    if value is None and expr.id in SIZE_NAMES:
        return _size(expr, env)
    return value


def _size(expr: s.Name, env: Env) -> int:
    """C, H, W or D of what flows into the innermost enclosing bracket."""
    if env.flow is None:
        raise fail("E407", f"`{expr.id}` is the size of what flows in, and nothing flows in here", expr.span)
    if env.flow.poison:
        raise Poisoned
    channels, *spatial = env.flow.shape
    sizes = {"C": channels, **dict(zip("WHD", reversed(spatial), strict=False))}
    if is_free(sizes.get(expr.id)):
        hint = "give it with --input, or write the layer so that it fits any size"
        raise fail("E407", f"`{expr.id}` is {sizes[expr.id]} here, a free size", expr.span, hint=hint)
    if expr.id not in sizes:
        shape = "x".join(map(str, env.flow.shape))
        raise fail("E407", f"what flows in here is {shape}: it has no `{expr.id}`", expr.span)
    return sizes[expr.id]


def _is_unbound(expr: s.Expr, env: Env) -> TypeGuard[s.Name]:
    """Whether an expression is a name that stands for nothing, and so for itself as a word."""
    return isinstance(expr, s.Name) and expr.id not in SIZE_NAMES and env.value(expr.id) is None


def _unknown(expr: s.Name, env: Env) -> CnncError:
    hint = did_you_mean(expr.id, env.known()) or f"declare it at the head of the file: param {expr.id} = 64"
    return fail("E202", f"`{expr.id}` stands for no number here", expr.span, hint=hint)


def _layer_word(expr: s.Call, env: Env) -> LayerWord:
    known = expr.name.lower() in op_words() or expr.name in ARGUMENT_WORDS
    if not known and expr.name not in env.file.externs:
        hint = did_you_mean(expr.name, [*FUNCTIONS, *op_words()])
        raise fail("E202", f"`{expr.name}` is no function and no layer", expr.span, hint=hint)
    return LayerWord(expr.name, tuple((a.key, evaluate(a.value, env)) for a in expr.args))


def _number(expr: s.Number, env: Env) -> Value:
    return expr.value


def _dims(expr: s.Dims, env: Env) -> Value:
    out = []
    for part in expr.parts:
        if isinstance(part, str):
            value = env.value(part)
            if not isinstance(value, int):
                raise fail("E407", f"`{part}` in `{expr.span.text}` stands for no number here", expr.span)
            out.append(value)
        else:
            out.append(part if isinstance(part, int) else integer(part, env))
    return Sizes(out)


def _string(expr: s.String, env: Env) -> Value:
    return expr.value


def _interpolated(expr: s.Interpolated, env: Env) -> Value:
    return interpolate(expr.parts, env)


def _unary(expr: s.Unary, env: Env) -> Value:
    if expr.op == "not":
        return not truth(expr.operand, env)
    value = number(expr.operand, env)
    return -value if expr.op == "-" else value


def _arithmetic(expr: s.Arithmetic, env: Env) -> Value:
    total = number(expr.first, env)
    for op, operand in expr.rest:
        right = number(operand, env)
        try:
            total = _bounded(_OPERATORS[op](total, right), expr.span)
        except ZeroDivisionError:
            raise fail("E306", f"`{expr.span.text}` divides by zero", operand.span) from None
    return total


def _power(base: Exact, exponent: Exact) -> Exact:
    if not isinstance(exponent, int):
        raise _NoValue("a power's exponent must be an integer")
    size = max(abs(Fraction(base).numerator), Fraction(base).denominator)
    if size.bit_length() * abs(exponent) > 4 * MAX_BITS:
        raise _TooLarge
    return Fraction(base) ** exponent


class _NoValue(Exception):
    pass


class _TooLarge(Exception):
    pass


_OPERATORS: dict[str, Callable[[Exact, Exact], Exact]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: Fraction(a) / b,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
    "**": _power,
}


def _bounded(value: Exact, span: Span) -> Exact:
    fraction = Fraction(value)
    if max(abs(fraction.numerator), fraction.denominator).bit_length() > MAX_BITS:
        raise fail("E901", f"`{span.text}` needs more than {MAX_BITS} bits", span)
    return normal(value)


def _compare(expr: s.Compare, env: Env) -> Value:
    left = expr.first
    for op, right in expr.rest:
        if op == "~=":
            raise fail("E101", "`~=` compares in `expect` only", expr.span)
        if op in ("==", "!="):
            holds = (evaluate(left, env) == evaluate(right, env)) == (op == "==")
        else:
            holds = _COMPARISONS[op](number(left, env), number(right, env))
        if not holds:
            return False
        left = right
    return True


_COMPARISONS: dict[str, Callable[[Exact, Exact], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def _logic(expr: s.Logic, env: Env) -> Value:
    combine = all if expr.op == "and" else any
    return combine(truth(operand, env) for operand in expr.operands)


def _if_else(expr: s.IfElse, env: Env) -> Value:
    for value, condition in expr.arms:
        if truth(condition, env):
            return evaluate(value, env)
    return evaluate(expr.otherwise, env)


def _range(expr: s.Range, env: Env) -> Value:
    assert expr.low is not None and expr.high is not None
    return range(integer(expr.low, env), integer(expr.high, env) + 1)


# --- functions ---------------------------------------------------------------------------


def _round(x: Exact) -> Exact:
    """Half away from zero, as in school; Python's rounds half to even."""
    size = math.floor(abs(Fraction(x)) + Fraction(1, 2))
    return size if x >= 0 else -size


def _divisible(x: Exact, divisor: Exact) -> Exact:
    """MobileNet's rounding of a width: to a multiple of `divisor`, at least `divisor`, never under 90 % of x.

    >>> _divisible(42, 8)
    40
    """
    rounded = max(divisor, math.floor((x + Fraction(divisor) / 2) / divisor) * divisor)
    return rounded + divisor if rounded < Fraction(9, 10) * x else rounded


FUNCTIONS: dict[str, tuple[Callable[..., Exact], int, int | None]] = {
    "min": (lambda *numbers: min(numbers), 1, None),
    "max": (lambda *numbers: max(numbers), 1, None),
    "round": (_round, 1, 1),
    "ceil": (math.ceil, 1, 1),
    "floor": (math.floor, 1, 1),
    "divisible": (_divisible, 2, 2),
}
"""Name to (function, fewest arguments, most arguments)."""


def _call(expr: s.Call, env: Env) -> Value:
    function, least, most = FUNCTIONS[expr.name]
    for arg in expr.args:
        if arg.key is not None or isinstance(arg.value, s.Bracket):
            raise fail("E303", f"`{expr.name}` takes plain numbers", arg.span)
    values = [number(a.value, env) for a in expr.args if not isinstance(a.value, s.Bracket)]
    if len(values) < least or (most is not None and len(values) > most):
        wanted = f"{least}" if most == least else f"at least {least}"
        noun = "number" if wanted in ("1", "at least 1") else "numbers"
        raise fail("E303", f"`{expr.name}` takes {wanted} {noun}, not {len(values)}", expr.span)
    try:
        return _bounded(function(*values), expr.span)
    except ZeroDivisionError:
        raise fail("E306", f"`{expr.span.text}` divides by zero", expr.span) from None


def _guarded_arithmetic(expr: s.Arithmetic, env: Env) -> Value:
    try:
        return _arithmetic(expr, env)
    except _NoValue as error:
        raise fail("E306", str(error), expr.span) from None
    except _TooLarge:
        raise fail("E901", f"`{expr.span.text}` needs more than {MAX_BITS} bits", expr.span) from None


_RULES: dict[type, Callable[..., Value]] = {
    s.Number: _number,
    s.Dims: _dims,
    s.String: _string,
    s.Interpolated: _interpolated,
    s.Unary: _unary,
    s.Arithmetic: _guarded_arithmetic,
    s.Compare: _compare,
    s.Logic: _logic,
    s.IfElse: _if_else,
    s.Range: _range,
    s.Call: _call,
}
