"""Lists: their elements, parts, lengths and sums, and what is in them; each with its source."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cnnc.compiler.symbolic import Compare, Const, Items, Logic, Sourced, Sym, binary, constant, opaque
from cnnc.compiler.walk.values import Value, describe
from cnnc.dsl.diagnostics import CnncError, fail
from cnnc.dsl.source import Span


def parts_of(found: Sourced[Value]) -> tuple[Sourced[Value], ...]:
    """The items of a tuple, each with its own source where that is known."""
    source, values = found.source, found.value
    assert isinstance(values, tuple)
    if isinstance(source, Items):
        return tuple(Sourced(value, part) for value, part in zip(values, source.items, strict=True))
    if isinstance(source, Const):
        return tuple(Sourced(value, Const(plain)) for value, plain in zip(values, source.value, strict=True))
    return tuple(opaque(value, source) for value in values)


def items_source(sources: Iterable[Sym]) -> Sym:
    """The source of a tuple."""
    found = tuple(sources)
    if all(isinstance(source, Const) for source in found):
        return Const(tuple(source.value for source in found if isinstance(source, Const)))
    return Items(found)


def together(items: Sequence[Sourced[Value]]) -> Sourced[tuple[Value, ...]]:
    """Values as one list."""
    return Sourced(tuple(item.value for item in items), items_source(item.source for item in items))


def a_list(found: Sourced[Value], span: Span) -> Sourced[tuple[Value, ...]]:
    """A value that must be a list. Raises E303."""
    if not isinstance(found.value, tuple):
        raise fail(
            "E303", f"`{span.text}` is {describe(found.value)}; expected a list", span,
            hint="for instance: (64, 128, 256)",
        )  # fmt: skip
    return Sourced(found.value, found.source)


def element(values: Sourced[tuple[Value, ...]], index: Sourced[int], span: Span) -> Sourced[Value]:
    """`values[index]`, counted from 0. Raises E306 outside the list."""
    if not 0 <= index.value < len(values.value):
        raise _outside(values.value, index.value, span)
    if not isinstance(index.source, Const):
        return opaque(values.value[index.value], values.source, index.source)
    return parts_of(values)[index.value]


def part(
    values: Sourced[tuple[Value, ...]], low: Sourced[int] | None, high: Sourced[int] | None, span: Span
) -> Sourced[tuple[Value, ...]]:
    """`values[low..high]`, both included; `low..low-1` is the empty list. Raises E306 outside the list."""
    first = 0 if low is None else low.value
    last = len(values.value) - 1 if high is None else high.value
    for bound in (first, last):
        is_empty = last == first - 1 and 0 <= first <= len(values.value)
        if not is_empty and not 0 <= bound < len(values.value):
            raise _outside(values.value, bound, span)
    if last < first - 1:
        raise fail(
            "E306", f"`{span.text}` is no part: it would end at {last}, before it begins at {first}", span
        )
    chosen = values.value[first : last + 1]
    ends = [end.source for end in (low, high) if end is not None]
    if not all(isinstance(end, Const) for end in ends):
        return opaque(chosen, values.source, *ends)
    return Sourced(chosen, items_source(x.source for x in parts_of(values)[first : last + 1]))


def _outside(values: tuple[Value, ...], index: int, span: Span) -> CnncError:
    count = len(values)
    has = (
        "is empty" if not count else f"has {count} elements, 0 to {count - 1}" if count > 1 else "has one, 0"
    )
    hint = f"from the end: [len(…) - {-index}]" if index < 0 else None
    return fail("E306", f"`{span.text}` asks for element {index}, and the list {has}", span, hint=hint)


def length(values: Sourced[Value]) -> Sourced[int]:
    """`len(values)` of a list."""
    assert isinstance(values.value, tuple)
    count = len(values.value)
    return constant(count) if isinstance(values.source, Items | Const) else opaque(count, values.source)


def total(sources: Iterable[Sym]) -> Sym:
    """The source of `sum(values)`."""
    whole: Sym = Const(0)
    for source in sources:
        whole = binary("+", whole, source)
    return whole


def is_in(item: Sourced[Value], members: Sourced[Value], span: Span) -> Sourced[bool]:
    """`item in members`, a list or a range. Raises E303 for anything else."""
    if isinstance(members.value, range):
        value = item.value in members.value
        if isinstance(item.source, Const) and isinstance(members.source, Const):
            return constant(value)
        if isinstance(members.source, Items) or not isinstance(item.value, int):
            return opaque(value, item.source, members.source)
        low, high = Const(members.value.start), Const(members.value.stop - 1)
        return Sourced(
            value, Logic("and", (Compare(">=", item.source, low), Compare("<=", item.source, high)))
        )
    found = a_list(members, span)
    value = any(same(item.value, other) for other in found.value)
    parts = parts_of(found)
    if not parts:  # how many there are may depend on something
        return opaque(False, members.source)
    if isinstance(item.source, Const) and all(isinstance(x.source, Const) for x in parts):
        return constant(value)
    tests = tuple(Compare("==", item.source, x.source) for x in parts)
    return Sourced(value, tests[0] if len(tests) == 1 else Logic("or", tests))


def same(left: Value, right: Value) -> bool:
    """Equality of values; a flag is no number."""
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)
