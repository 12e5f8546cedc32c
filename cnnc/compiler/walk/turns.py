"""The turns of a comprehension: which values its names take, and how many turns that makes."""

from __future__ import annotations

from collections.abc import Sequence

from cnnc.compiler.ops import Sizes
from cnnc.compiler.since import hint as renaming
from cnnc.compiler.since import since
from cnnc.compiler.symbolic import Const, Items, Sourced, Sym, binary, difference
from cnnc.compiler.walk.draft import Spot
from cnnc.compiler.walk.evaluate import evaluate
from cnnc.compiler.walk.lists import length, parts_of
from cnnc.compiler.walk.operations import FUNCTIONS
from cnnc.compiler.walk.values import SIZE_NAMES, Env, Turn, Value, describe, in_trace
from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import fail
from cnnc.dsl.record import record
from cnnc.dsl.source import Span


@record
class Turns:
    """The value of each turn with its place, the source of their number, and the values that decided it."""

    values: tuple[tuple[Sourced[Value], Span], ...]
    count: Sym
    deciding: tuple[tuple[Sourced[Value], Span], ...]


def turns_of(loop: s.Loop, env: Env, most: int, hint: str) -> Turns:
    """The turns of a comprehension, at most so many. Raises E901 beyond that, E204 for a name it cannot bind.

    A range is a turn for each number, and so is a list that stands alone after `in` where there is one name, or
    where all its elements are lists; any other value is one turn.
    """
    _check_names(loop)
    values: list[tuple[Sourced[Value], Span]] = []
    deciding: list[tuple[Sourced[Value], Span]] = []
    count: Sym = Const(0)
    for expr in loop.values:
        found = evaluate(expr, env)
        if isinstance(found.value, range):
            if len(values) + len(found.value) > most:
                raise fail("E901", f"the comprehension has more than {most:,} values", expr.span, hint=hint)
            low, high = _ends(found)
            values += [(Sourced(v, binary("+", low, Const(i))), expr.span) for i, v in enumerate(found.value)]
            count = binary("+", count, difference(binary("+", high, Const(1)), low))
            deciding.append((found, expr.span))
        elif len(loop.values) == 1 and _spreads(found.value, len(loop.targets)):
            values += [(part, expr.span) for part in parts_of(found)]
            number = length(found)
            count = number.source
            deciding.append((number, expr.span))
        else:
            values.append((found, expr.span))
            count = binary("+", count, Const(1))
    return Turns(tuple(values), count, tuple(deciding))


def _spreads(value: Value, names: int) -> bool:
    """Whether a list that stands alone after `in` is a turn for each element."""
    if not isinstance(value, tuple) or isinstance(value, Sizes):
        return False
    return names == 1 or all(isinstance(x, tuple) and not isinstance(x, Sizes) for x in value)


def _ends(found: Sourced[Value]) -> tuple[Sym, Sym]:
    """Where the first and the last number of a range come from."""
    if isinstance(found.source, Items):
        low, high = found.source.items
        return low, high
    assert isinstance(found.value, range)
    return Const(found.value.start), Const(found.value.stop - 1)


def _check_names(loop: s.Loop) -> None:
    bound: set[str] = set()
    for name in loop.targets:
        if name in SIZE_NAMES or name in FUNCTIONS:
            message = f"`{name}` has a meaning of its own{since(name)} and cannot be a loop variable"
            raise fail("E204", message, loop.span, hint=renaming(name))
        if name in bound:
            raise fail("E204", f"the loop binds `{name}` twice", loop.span, hint="`_` takes what is not read")
        bound |= {name} - {"_"}


def bindings(targets: Sequence[str], found: Sourced[Value], span: Span) -> dict[str, Sourced[Value]]:
    """The names of a turn with their values; `_` is none. Raises E303 where a value does not fit the names."""
    value = found.value
    whole = len(targets) == 1 or not isinstance(value, tuple) or isinstance(value, Sizes)
    parts = (found,) if whole else parts_of(found)
    if len(parts) != len(targets):
        raise fail(
            "E303", f"{describe(value)} does not fit the names {', '.join(targets)}", span,
            hint=f"each value needs {len(targets)} parts: ({', '.join(targets)})",
        )  # fmt: skip
    return {name: part for name, part in zip(targets, parts, strict=True) if name != "_"}


def a_turn(
    bracket: s.Bracket, index: int, turns: Turns, bound: dict[str, Sourced[Value]], spot: Spot
) -> Turn:
    """One turn, as a step of the way to what is placed in it."""
    return Turn(
        loop=bracket.span,
        index=index,
        total=len(turns.values),
        count=turns.count,
        bindings=tuple((name, in_trace(part.value)) for name, part in bound.items()),
        span=bracket.span,
        parent=spot.trace,
    )
