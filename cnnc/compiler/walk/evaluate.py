"""The one evaluator of arithmetic: exact, total, bounded, and without Python's eval.

Numbers are integers and fractions. A name that stands for nothing is a word
(`same`, `bn`, `yes`) where a word can stand, and an error inside arithmetic.
Every value comes with its source (`compiler/symbolic.py`): a rule that cannot say how its value
depends on what it read says `opaque`, with the sources of all of that.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import TypeGuard, TypeVar, cast

from cnnc.compiler import symbolic
from cnnc.compiler.ops import ARGUMENT_WORDS, Op, OpenRange, Sizes, op_words, show
from cnnc.compiler.sizes import is_free
from cnnc.compiler.symbolic import (
    Compare,
    Const,
    Exact,
    IfElse,
    Items,
    Opaque,
    SizeOf,
    Sourced,
    Sym,
    constant,
    is_number,
    opaque,
)
from cnnc.compiler.walk.lists import (
    a_list,
    element,
    is_in,
    items_source,
    part,
    same,
    together,
)
from cnnc.compiler.walk.operations import (
    FLAGS,
    FUNCTIONS,
    MAX_BITS,
    OF_LISTS,
    OPERATORS,
    NoValue,
    TooLarge,
    bounded,
    called,
    choice_of,
    of_list,
    refuse_flag_beside_number,
)
from cnnc.compiler.walk.values import PIPELINE, SIZE_NAMES, Closure, Env, LayerWord, Value, describe, in_trace
from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import CnncError, did_you_mean, fail
from cnnc.dsl.source import Span

_E = TypeVar("_E")


class Poisoned(Exception):
    """A size was asked for of a tensor about which a mistake was already reported."""


def evaluate(expr: s.Expr | s.Bracket, env: Env) -> Sourced[Value]:
    """The value of an argument; a pipeline becomes a closure, an unbound name a word."""
    return _RULES[type(expr)](expr, env)


def _closure(expr: s.Bracket, env: Env) -> Sourced[Value]:
    return Sourced(Closure(expr, env), Const(PIPELINE))


def _name(expr: s.Name, env: Env) -> Sourced[Value]:
    return env.names.get(expr.id) or _lookup(expr, env) or _word(expr.id, env)


def _tuple(expr: s.Tuple, env: Env) -> Sourced[Value]:
    return together([evaluate(item, env) for item in expr.items])


def _word(text: str, env: Env) -> Sourced[Value]:
    """A name that stands for nothing: a flag, a word, or one that its user settles (`Handed`)."""
    if text in FLAGS:
        return constant(FLAGS[text])
    return Sourced(env.handed(text) or text, Const(text))


def argument(op: type[Op] | None, name: str, expr: s.Expr | s.Bracket, env: Env) -> Sourced[Value]:
    """The value of a layer's argument; where axes are wanted, their letters are themselves and no sizes."""
    if isinstance(expr, s.Range):
        return _bounds(expr, env)
    if op is not None and name in op.letters:
        if isinstance(expr, s.Name) and expr.id in SIZE_NAMES:
            return constant(expr.id)
        if isinstance(expr, s.Tuple):
            return together([argument(op, name, item, env) for item in expr.items])
    return evaluate(expr, env)


def number(expr: s.Expr, env: Env) -> Sourced[Exact]:
    """The value of an expression that must be a number."""
    found = evaluate(expr, env)
    value = found.value
    if not is_number(value):
        if _is_unbound(expr, env):
            raise _unknown(expr, env)
        raise fail("E303", f"`{expr.span.text}` is {describe(value)}; expected a number", expr.span)
    return cast("Sourced[Exact]", found)


def integer(expr: s.Expr, env: Env) -> Sourced[int]:
    """The value of an expression that must be an integer."""
    found = number(expr, env)
    if isinstance(found.value, Fraction):
        text = expr.span.text
        is_value = "" if text.replace(" ", "") == show(found.value) else f" is {show(found.value)}, which"
        raise fail(
            "E305", f"`{text}`{is_value} is not an integer", expr.span,
            hint="round it: floor(…), ceil(…), round(…), or divide with //",
        )  # fmt: skip
    return Sourced(found.value, found.source)


def truth(expr: s.Expr, env: Env) -> Sourced[bool]:
    """The value of a condition."""
    found = evaluate(expr, env)
    if not isinstance(found.value, bool):
        if _is_unbound(expr, env):
            raise _unknown(expr, env)
        hint = "compare it: n > 0, name == word"
        if isinstance(found.value, int | Fraction):
            hint = f"compare it: {expr.span.text} > 0"
        if isinstance(found.value, str):
            from cnnc.dsl import foreign

            hint = foreign.value(found.value) or hint
        message = f"`{expr.span.text}` is {describe(found.value)}; expected a condition"
        raise fail("E303", message, expr.span, hint=hint)
    return cast("Sourced[bool]", found)


def named_value(word: s.Word, env: Env) -> Sourced[Value] | None:
    """What a word of a chain stands for in arithmetic, an element of a list included; None for any other word."""
    if not word.index:
        return None if word.quoted or word.literal is None else env.value(word.literal)
    head, *more = word.parts
    if more or not isinstance(head, str):
        raise fail(
            "E303", f"`{word.head_span.text}` is no list", word.head_span, hint="an element is NAME[i]"
        )
    values: s.Expr = s.Name(head, word.head_span)
    for index in word.index:
        span = Span(word.span.source, word.span.start, index.span.end + 1)
        values = s.Subscript(values, index, span)
    return evaluate(values, env)


def interpolate(parts: tuple[str | s.Expr, ...], env: Env) -> Sourced[str]:
    """The text of a name with arithmetic in it: `c{i}`."""
    found = [integer(p, env) for p in parts if not isinstance(p, str)]
    if not found:
        return constant("".join(cast("tuple[str, ...]", parts)))
    numbers = iter(found)
    text = "".join([p if isinstance(p, str) else show(next(numbers).value) for p in parts])
    return opaque(text, *(number.source for number in found))


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
        raise fail("E407", f"`{expr.id}` is a size of the input, and there is no input here", expr.span)
    if env.flow.poison:
        raise Poisoned
    channels, *spatial = env.flow.shape
    sizes = {"C": channels, **dict(zip("WHD", reversed(spatial), strict=False))}
    if is_free(sizes.get(expr.id)):
        hint = "give it with --input, or write the layer so that it fits any size"
        raise fail("E407", f"`{expr.id}` is {sizes[expr.id]} here, a free size", expr.span, hint=hint)
    if expr.id not in sizes:
        shape = "x".join(map(str, env.flow.shape))
        raise fail("E407", f"the input here is {shape}: it has no `{expr.id}`", expr.span)
    return Sourced(sizes[expr.id], SizeOf(expr.id, env.flow.number))


def _is_unbound(expr: s.Expr, env: Env) -> TypeGuard[s.Name]:
    """Whether an expression is a name that stands for nothing, and so for itself as a word."""
    return isinstance(expr, s.Name) and expr.id not in SIZE_NAMES and env.value(expr.id) is None


def _unknown(expr: s.Name, env: Env) -> CnncError:
    hint = did_you_mean(expr.id, env.known()) or f"declare it at the head of the file: param {expr.id} = 64"
    if expr.id == "_":
        hint = "`_` takes a value that is not read: give it a name"
    return fail("E202", f"`{expr.id}` is not defined here", expr.span, hint=hint)


_ROUNDS = {"int": "write floor(…), ceil(…) or round(…)"}
"""Functions of Python, and what arithmetic here has in their place."""


def _layer_word(expr: s.Call, env: Env) -> Sourced[LayerWord]:
    known = expr.name.lower() in op_words() or expr.name in ARGUMENT_WORDS
    if not known and expr.name not in env.file.externs:
        from cnnc.dsl import foreign_lines

        form = foreign_lines.form(expr.span.text)
        hint = (
            form.hint
            if form is not None
            else _ROUNDS.get(expr.name) or did_you_mean(expr.name, [*FUNCTIONS, *op_words()])
        )
        raise fail("E202", f"`{expr.name}` is not a function or a layer", expr.span, hint=hint)
    op = op_words().get(expr.name.lower())
    args = [(a.key, argument(op, (a.key or "").lower(), a.value, env)) for a in expr.args]
    word = LayerWord(expr.name, tuple((key, in_trace(arg.value)) for key, arg in args))
    sources = items_source(arg.source for _, arg in args)
    return constant(word) if isinstance(sources, Const) else Sourced(word, sources)


def _number(expr: s.Number, env: Env) -> Sourced[Value]:
    return constant(expr.value)


def _dims(expr: s.Dims, env: Env) -> Sourced[Value]:
    out: list[Sourced[int]] = []
    for size in expr.parts:
        if isinstance(size, str):
            found = env.value(size)
            if found is None or not isinstance(found.value, int):
                raise fail("E407", f"`{size}` in `{expr.span.text}` is not defined here", expr.span)
            out.append(Sourced(found.value, found.source))
        else:
            out.append(constant(size) if isinstance(size, int) else integer(size, env))
    return Sourced(Sizes(x.value for x in out), items_source(x.source for x in out))


def _string(expr: s.String, env: Env) -> Sourced[Value]:
    return Sourced(env.handed(expr.value) or expr.value, Const(expr.value))


def _interpolated(expr: s.Interpolated, env: Env) -> Sourced[Value]:
    found = interpolate(expr.parts, env)
    return Sourced(env.handed(found.value) or found.value, found.source)


def _unary(expr: s.Unary, env: Env) -> Sourced[Value]:
    match expr.op:
        case "not":
            return _not(truth(expr.operand, env))
        case "-":
            operand = number(expr.operand, env)
            return Sourced(-operand.value, symbolic.binary("-", Const(0), operand.source))
        case "+":
            operand = number(expr.operand, env)
            return Sourced(operand.value, operand.source)


def _not(found: Sourced[bool]) -> Sourced[Value]:
    return Sourced(not found.value, symbolic.logic("not", [found.source]))


def _arithmetic(expr: s.Arithmetic, env: Env) -> Sourced[Value]:
    first = number(expr.first, env)
    total, source = first.value, first.source
    for op, operand in expr.rest:
        right = number(operand, env)
        try:
            total = bounded(OPERATORS[op](total, right.value), expr.span)
        except ZeroDivisionError:
            raise fail("E306", f"`{expr.span.text}` divides by zero", operand.span) from None
        if isinstance(source, Const) and isinstance(right.source, Const):
            source = Const(total)
        elif op == "**":
            source = opaque(total, source, right.source).source
        else:
            source = symbolic.binary(op, source, right.source)
    return Sourced(total, source)


def _compare(expr: s.Compare, env: Env) -> Sourced[Value]:
    left, holds = expr.first, True
    sources: list[Sym] = []
    for op, right in expr.rest:
        if op == "~=":
            raise fail("E101", "`~=` compares in `expect` only", expr.span)
        pair = s.Compare(left, ((op, right),), expr.span)
        if holds:
            found = _compare_two(pair, env)
            holds = found.value
            sources.append(found.source)
        else:
            sources.append(_quietly(_compare_two, pair, env))
        left = right
    return Sourced(holds, symbolic.logic("and", sources))


def _compare_two(expr: s.Compare, env: Env) -> Sourced[bool]:
    """One comparison of a chain, by itself."""
    left, ((op, right),) = expr.first, expr.rest
    rule = evaluate if op in ("==", "!=") else number
    a, b = rule(left, env), rule(right, env)
    if op in symbolic.ORDER:
        holds = bool(symbolic.ORDER[op](a.value, b.value))
    else:
        refuse_flag_beside_number(a.value, b.value, expr.span)
        holds = same(a.value, b.value) == (op == "==")
    if isinstance(a.source, Const) and isinstance(b.source, Const):
        return constant(holds)
    return Sourced(holds, Compare(op, a.source, b.source))


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
    return Sourced(total, symbolic.logic(str(expr.op), sources))


def _if_else(expr: s.IfElse, env: Env) -> Sourced[Value]:
    arms: list[tuple[Sym, Sym]] = []
    for arm, condition in expr.arms:
        holds = truth(condition, env)
        if holds.value:
            found = evaluate(arm, env)
            if isinstance(holds.source, Const):
                return Sourced(found.value, choice_of(arms, found.source))
            rest = s.IfElse(expr.arms[len(arms) + 1 :], expr.otherwise, expr.span)
            other = _quietly(_if_else, rest, env) if rest.arms else _quietly(evaluate, rest.otherwise, env)
            return Sourced(found.value, choice_of(arms, IfElse(holds.source, found.source, other)))
        arms.append((holds.source, _quietly(evaluate, arm, env)))
    found = evaluate(expr.otherwise, env)
    return Sourced(found.value, choice_of(arms, found.source))


def _bounds(expr: s.Range, env: Env) -> Sourced[Value]:
    """A range as an argument: counting from the end needs the minus sign in the text."""
    ends = [None if end is None else (end, integer(end, env)) for end in (expr.low, expr.high)]
    for end, found in filter(None, ends):
        from_end = isinstance(end, s.Unary) and end.op == "-"
        if from_end != (found.value < 0):
            what = "a place from the end" if from_end else "a place from 0"
            hint = None if from_end else "a place from the end has a minus sign in the text: ..-2"
            raise fail("E303", f"`{end.span.text}` is {found.value}; expected {what}", end.span, hint=hint)
    low, high = (None if pair is None else pair[1].value for pair in ends)
    return opaque(OpenRange(low, high), *(found.source for _, found in filter(None, ends)))


def _range(expr: s.Range, env: Env) -> Sourced[Value]:
    if expr.low is None or expr.high is None:
        raise fail("E303", f"the range `{expr.span.text}` needs both its ends here", expr.span, hint="0..n-1")
    low, high = integer(expr.low, env), integer(expr.high, env)
    ends = (low.source, high.source)
    source = Const(None) if all(isinstance(end, Const) for end in ends) else Items(ends)
    return Sourced(range(low.value, high.value + 1), source)


def _membership(expr: s.Membership, env: Env) -> Sourced[Value]:
    found = is_in(evaluate(expr.item, env), evaluate(expr.members, env), expr.members.span)
    return _not(found) if expr.negated else Sourced(found.value, found.source)


def _subscript(expr: s.Subscript, env: Env) -> Sourced[Value]:
    if _is_unbound(expr.values, env):
        raise fail(
            "E202", f"no list `{expr.values.id}` is defined here", expr.values.span,
            hint=did_you_mean(expr.values.id, env.known()),
        )  # fmt: skip
    values = a_list(evaluate(expr.values, env), expr.values.span)
    if not isinstance(expr.index, s.Range):
        return element(values, integer(expr.index, env), expr.span)
    low, high = (None if end is None else integer(end, env) for end in (expr.index.low, expr.index.high))
    found = part(values, low, high, expr.span)
    return Sourced(found.value, found.source)


def _call(expr: s.Call, env: Env) -> Sourced[Value]:
    if expr.name not in FUNCTIONS:
        return _layer_word(expr, env)
    exprs = []
    for arg in expr.args:
        if arg.key is not None or isinstance(arg.value, s.Bracket):
            wanted = "a list" if expr.name in ("len", "sum") else "plain numbers"
            raise fail("E303", f"`{expr.name}` takes {wanted}", arg.span)
        exprs.append(arg.value)
    match exprs:
        case [only] if expr.name in OF_LISTS:
            found = evaluate(only, env)
            if expr.name in ("len", "sum") or isinstance(found.value, tuple):
                return of_list(expr, a_list(found, only.span))
    if expr.name in ("len", "sum"):
        raise fail("E303", f"`{expr.name}` takes a list", expr.span, hint=f"{expr.name}((1, 2, 3))")
    return called(expr, [number(x, env) for x in exprs])


def _guarded_arithmetic(expr: s.Arithmetic, env: Env) -> Sourced[Value]:
    try:
        return _arithmetic(expr, env)
    except NoValue as error:
        raise fail("E306", str(error), expr.span) from None
    except TooLarge:
        raise fail("E901", f"`{expr.span.text}` needs more than {MAX_BITS} bits", expr.span) from None


_RULES: dict[type, Callable[..., Sourced[Value]]] = {
    s.Bracket: _closure,
    s.Name: _name,
    s.Tuple: _tuple,
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
    s.Membership: _membership,
    s.Subscript: _subscript,
}
