"""The one evaluator of arithmetic: exact, total, bounded, and without Python's eval.

Numbers are integers and fractions. A name that stands for nothing is a word
(`same`, `bn`, `yes`) where a word can stand, and an error inside arithmetic.
Every value comes with its source (`compiler/symbolic.py`): a rule that cannot say how its value
depends on what it read says `opaque`, with the sources of all of that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import TypeGuard, TypeVar

from cnnc.compiler import symbolic
from cnnc.compiler.ops import ARGUMENT_WORDS, Sizes, op_words, show
from cnnc.compiler.sizes import is_free
from cnnc.compiler.symbolic import (
    Compare,
    Const,
    Exact,
    Extreme,
    IfElse,
    Items,
    Logic,
    Opaque,
    Rounded,
    SizeOf,
    Sourced,
    Sym,
    constant,
    opaque,
)
from cnnc.compiler.walk.values import PIPELINE, SIZE_NAMES, Closure, Env, LayerWord, Value, describe
from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import CnncError, did_you_mean, fail
from cnnc.dsl.source import Span

MAX_BITS = 512


_E = TypeVar("_E")


class Poisoned(Exception):
    """A size was asked for of a tensor about which a mistake was already reported."""


def evaluate(expr: s.Expr | s.Bracket, env: Env) -> Sourced[Value]:
    """The value of an argument; a pipeline becomes a closure, an unbound name a word."""
    if isinstance(expr, s.Bracket):
        return Sourced(Closure(expr, env), Const(PIPELINE))
    if isinstance(expr, s.Name):
        return _lookup(expr, env) or constant(expr.id)
    if isinstance(expr, s.Call) and expr.name not in FUNCTIONS:
        return _layer_word(expr, env)
    if isinstance(expr, s.Tuple):
        return together([evaluate(item, env) for item in expr.items])
    return _RULES[type(expr)](expr, env)


def number(expr: s.Expr, env: Env) -> Sourced[Exact]:
    """The value of an expression that must be a number."""
    found = evaluate(expr, env)
    value = found.value
    if isinstance(value, bool) or not isinstance(value, int | Fraction):
        if _is_unbound(expr, env):
            raise _unknown(expr, env)
        raise fail("E303", f"`{expr.span.text}` is {describe(value)}, and a number is wanted", expr.span)
    return found


def integer(expr: s.Expr, env: Env) -> Sourced[int]:
    """The value of an expression that must be an integer."""
    found = number(expr, env)
    if isinstance(found.value, Fraction):
        text = expr.span.text
        is_value = "" if text.replace(" ", "") == show(found.value) else f" is {show(found.value)}, which"
        raise fail(
            "E305", f"`{text}`{is_value} is no integer, and one is wanted", expr.span,
            hint="round it: floor(…), ceil(…), round(…), or divide with //",
        )  # fmt: skip
    return Sourced(found.value, found.source)


def truth(expr: s.Expr, env: Env) -> Sourced[bool]:
    """The value of a condition."""
    found = evaluate(expr, env)
    if not isinstance(found.value, bool):
        if _is_unbound(expr, env):
            raise _unknown(expr, env)
        raise fail(
            "E303", f"`{expr.span.text}` is {describe(found.value)}, and a condition is wanted", expr.span,
            hint="compare it: n > 0, name == word",
        )  # fmt: skip
    return found


def interpolate(parts: tuple[str | s.Expr, ...], env: Env) -> Sourced[str]:
    """The text of a name with arithmetic in it: `c{i}`."""
    found = [integer(p, env) for p in parts if not isinstance(p, str)]
    numbers = iter(found)
    text = "".join(p if isinstance(p, str) else show(next(numbers).value) for p in parts)
    return opaque(text, *(number.source for number in found))


def together(items: Sequence[Sourced[Value]]) -> Sourced[tuple[Value, ...]]:
    """Values as one tuple."""
    return Sourced(tuple(item.value for item in items), _items(item.source for item in items))


def parts_of(found: Sourced[Value]) -> tuple[Sourced[Value], ...]:
    """The items of a tuple, each with its own source where that is known."""
    sources = found.source.items if isinstance(found.source, Items) else None
    return tuple(
        Sourced(value, sources[i]) if sources else opaque(value, found.source)
        for i, value in enumerate(found.value)
    )


def _items(sources: Iterable[Sym]) -> Sym:
    """The source of a tuple."""
    found = tuple(sources)
    if all(isinstance(source, Const) for source in found):
        return Const(tuple(source.value for source in found if isinstance(source, Const)))
    return Items(found)


def _quietly(rule: Callable[[_E, Env], Sourced[Value]], expr: _E, env: Env) -> Sym:
    """The source of what is not read this time, and would be for other values; a mistake in it is none yet."""
    used = set(env.file.used)
    try:
        return rule(expr, env).source
    except (CnncError, Poisoned):
        return Opaque(())
    finally:
        env.file.used &= used


def _lookup(expr: s.Name, env: Env) -> Sourced[Value] | None:
    found = env.value(expr.id)
    if found is None and expr.id in SIZE_NAMES:
        return _size(expr, env)
    return found


def _size(expr: s.Name, env: Env) -> Sourced[int]:
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
    return Sourced(sizes[expr.id], SizeOf(expr.id, env.flow.number))


def _is_unbound(expr: s.Expr, env: Env) -> TypeGuard[s.Name]:
    """Whether an expression is a name that stands for nothing, and so for itself as a word."""
    return isinstance(expr, s.Name) and expr.id not in SIZE_NAMES and env.value(expr.id) is None


def _unknown(expr: s.Name, env: Env) -> CnncError:
    hint = did_you_mean(expr.id, env.known()) or f"declare it at the head of the file: param {expr.id} = 64"
    return fail("E202", f"`{expr.id}` stands for no number here", expr.span, hint=hint)


def _layer_word(expr: s.Call, env: Env) -> Sourced[LayerWord]:
    known = expr.name.lower() in op_words() or expr.name in ARGUMENT_WORDS
    if not known and expr.name not in env.file.externs:
        from cnnc.dsl import foreign

        form = foreign.form(expr.span.text)
        hint = form.hint if form is not None else did_you_mean(expr.name, [*FUNCTIONS, *op_words()])
        raise fail("E202", f"`{expr.name}` is no function and no layer", expr.span, hint=hint)
    args = [(a.key, evaluate(a.value, env)) for a in expr.args]
    word = LayerWord(expr.name, tuple((key, arg.value) for key, arg in args))
    sources = _items(arg.source for _, arg in args)
    return constant(word) if isinstance(sources, Const) else Sourced(word, sources)


def _number(expr: s.Number, env: Env) -> Sourced[Value]:
    return constant(expr.value)


def _dims(expr: s.Dims, env: Env) -> Sourced[Value]:
    out: list[Sourced[int]] = []
    for part in expr.parts:
        if isinstance(part, str):
            found = env.value(part)
            if found is None or not isinstance(found.value, int):
                raise fail("E407", f"`{part}` in `{expr.span.text}` stands for no number here", expr.span)
            out.append(Sourced(found.value, found.source))
        else:
            out.append(constant(part) if isinstance(part, int) else integer(part, env))
    return Sourced(Sizes(size.value for size in out), _items(size.source for size in out))


def _string(expr: s.String, env: Env) -> Sourced[Value]:
    return constant(expr.value)


def _interpolated(expr: s.Interpolated, env: Env) -> Sourced[Value]:
    found = interpolate(expr.parts, env)
    return Sourced(found.value, found.source)


def _unary(expr: s.Unary, env: Env) -> Sourced[Value]:
    if expr.op == "not":
        found = truth(expr.operand, env)
        return Sourced(not found.value, _logic_of("not", [found.source], not found.value))
    operand = number(expr.operand, env)
    if expr.op == "-":
        return Sourced(-operand.value, symbolic.binary("-", Const(0), operand.source))
    return Sourced(operand.value, operand.source)


def _arithmetic(expr: s.Arithmetic, env: Env) -> Sourced[Value]:
    first = number(expr.first, env)
    total, source = first.value, first.source
    for op, operand in expr.rest:
        right = number(operand, env)
        try:
            total = _bounded(_OPERATORS[op](total, right.value), expr.span)
        except ZeroDivisionError:
            raise fail("E306", f"`{expr.span.text}` divides by zero", operand.span) from None
        if isinstance(source, Const) and isinstance(right.source, Const):
            source = Const(total)
        elif op == "**":
            source = opaque(total, source, right.source).source
        else:
            source = symbolic.binary(op, source, right.source)
    return Sourced(total, source)


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


_OPERATORS: dict[str, Callable[[Exact, Exact], Exact]] = {**symbolic.ARITHMETIC, "**": _power}


def _bounded(value: Exact, span: Span) -> Exact:
    fraction = Fraction(value)
    if max(abs(fraction.numerator), fraction.denominator).bit_length() > MAX_BITS:
        raise fail("E901", f"`{span.text}` needs more than {MAX_BITS} bits", span)
    return symbolic.normal(value)


def _compare(expr: s.Compare, env: Env) -> Sourced[Value]:
    left, holds = expr.first, True
    sources: list[Sym] = []
    for op, right in expr.rest:
        if op == "~=":
            raise fail("E101", "`~=` compares in `expect` only", expr.span)
        rule = evaluate if op in ("==", "!=") else number
        if holds:
            a, b = rule(left, env), rule(right, env)
            holds = (
                bool(symbolic.ORDER[op](a.value, b.value))
                if op in symbolic.ORDER
                else (a.value == b.value) == (op == "==")
            )
            found: list[Sym] = [a.source, b.source]
        else:
            found = [_quietly(rule, side, env) for side in (left, right)]
        sources.append(Const(holds) if all(isinstance(x, Const) for x in found) else Compare(op, *found))
        left = right
    return Sourced(holds, sources[0] if len(sources) == 1 else _logic_of("and", sources, holds))


def _logic(expr: s.Logic, env: Env) -> Sourced[Value]:
    decides = expr.op == "or"  # the value of an operand after which the others are not read
    total = not decides
    sources: list[Sym] = []
    for operand in expr.operands:
        if total is decides:
            sources.append(_quietly(truth, operand, env))
            continue
        found = truth(operand, env)
        total = found.value
        sources.append(found.source)
    return Sourced(total, _logic_of(str(expr.op), sources, total))


def _logic_of(op: str, sources: Sequence[Sym], value: bool) -> Sym:
    """The source of a condition made of others; constants that decide nothing are left out."""
    kept = tuple(source for source in sources if not isinstance(source, Const))
    decided = any(isinstance(x, Const) and x.value is (op == "or") for x in sources)
    if not kept or (decided and op != "not"):
        return Const(value)
    return kept[0] if len(kept) == 1 and op != "not" else Logic(op, kept)


def _if_else(expr: s.IfElse, env: Env) -> Sourced[Value]:
    arms: list[tuple[Sym, Sym]] = []
    for arm, condition in expr.arms:
        holds = truth(condition, env)
        if holds.value:
            found = evaluate(arm, env)
            if isinstance(holds.source, Const):
                return Sourced(found.value, _choice_of(arms, found.source))
            rest = s.IfElse(expr.arms[len(arms) + 1 :], expr.otherwise, expr.span)
            other = _quietly(_if_else, rest, env) if rest.arms else _quietly(evaluate, rest.otherwise, env)
            return Sourced(found.value, _choice_of(arms, IfElse(holds.source, found.source, other)))
        arms.append(
            (holds.source, Const(None) if isinstance(holds.source, Const) else _quietly(evaluate, arm, env))
        )
    found = evaluate(expr.otherwise, env)
    return Sourced(found.value, _choice_of(arms, found.source))


def _choice_of(arms: Sequence[tuple[Sym, Sym]], last: Sym) -> Sym:
    """The source of a choice whose first arms were not taken; one that never can be is left out."""
    for condition, arm in reversed(arms):
        if not isinstance(condition, Const):
            last = IfElse(condition, arm, last)
    return last


def _range(expr: s.Range, env: Env) -> Sourced[Value]:
    assert expr.low is not None and expr.high is not None
    low, high = integer(expr.low, env), integer(expr.high, env)
    ends = (low.source, high.source)
    source = Const(None) if all(isinstance(end, Const) for end in ends) else Items(ends)
    return Sourced(range(low.value, high.value + 1), source)


# --- functions ---------------------------------------------------------------------------


FUNCTIONS: dict[str, tuple[Callable[..., Exact], int, int | None]] = {
    name: (function, *{"min": (1, None), "max": (1, None), "divisible": (2, 2)}.get(name, (1, 1)))
    for name, function in symbolic.FUNCTIONS.items()
}
"""Name to (function, fewest arguments, most arguments)."""


def _call(expr: s.Call, env: Env) -> Sourced[Value]:
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
        total = _bounded(function(*(value.value for value in values)), expr.span)
    except ZeroDivisionError:
        raise fail("E306", f"`{expr.span.text}` divides by zero", expr.span) from None
    sources = tuple(value.source for value in values)
    if all(isinstance(source, Const) for source in sources):
        return constant(total)
    if expr.name in ("min", "max"):
        return Sourced(total, sources[0] if len(sources) == 1 else Extreme(expr.name, sources))
    return Sourced(total, Rounded(expr.name, sources))


def _guarded_arithmetic(expr: s.Arithmetic, env: Env) -> Sourced[Value]:
    try:
        return _arithmetic(expr, env)
    except _NoValue as error:
        raise fail("E306", str(error), expr.span) from None
    except _TooLarge:
        raise fail("E901", f"`{expr.span.text}` needs more than {MAX_BITS} bits", expr.span) from None


_RULES: dict[type, Callable[..., Sourced[Value]]] = {
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
