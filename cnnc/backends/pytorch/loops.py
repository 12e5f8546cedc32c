"""Children that come from one repeat or comprehension of the spec, folded into a loop and written as one.

before: Layer(c, k), Layer(c + k, k), Layer(c + 2 * k, k)
after:  *[Layer(c + i * k, k) for i in range(n)]
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import groupby, pairwise
from math import isclose
from typing import Any

from cnnc.backends.pytorch.classes import (
    LEFT_OUT,
    LoopNew,
    LoopSlot,
    LoopText,
    New,
    Text,
    is_positional,
    walk,
)
from cnnc.backends.pytorch.layer import Val
from cnnc.backends.pytorch.names import literal
from cnnc.backends.pytorch.sym import integral
from cnnc.compiler.symbolic import (
    TURN,
    Binary,
    Const,
    Param,
    Sym,
    binary,
    difference,
    grows_one_way,
    params_of,
    substituted,
    value,
)
from cnnc.compiler.walk.values import Trace, Turn

LEAST_TURNS = 4
LEAST_SAVED = 12
"""Of so many turns at least, and so many lines fewer than its turns one by one, is a loop that saves lines alone."""

Depends = Callable[[int, Sym | None], bool]
Known = Mapping[Param, Any]
"""The numbers of one instance's parameters."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A child of a chain: its name, its expression, and the repeats of its scope that it stands in, outermost first."""

    name: str
    new: New
    turns: tuple[Turn, ...]


def turns_between(trace: Trace | None, outer: Trace | None) -> tuple[Turn, ...]:
    """The turns on the way from `outer` to `trace`, outermost first."""
    found: list[Turn] = []
    while trace is not None and trace is not outer:
        if isinstance(trace, Turn):
            found.append(trace)
        trace = trace.parent
    return tuple(reversed(found))


def fold(children: Sequence[Placed], count: Callable[[Turn], Val], depth: int = 0) -> list[tuple[str, New]]:
    """Children with a loop for every repeat whose turns give one child each, all of one kind and regular names.

    `count` tells how many turns a repeat has, with its source.
    """
    items: list[tuple[str, New]] = []
    for _, group in groupby(children, lambda child: _repeat(child, depth)):
        run = list(group)
        if len(run[0].turns) <= depth:
            items += [(child.name, child.new) for child in run]
        else:
            turns = [list(turn) for _, turn in groupby(run, lambda child: child.turns[depth].index)]
            inner = [fold(turn, count, depth + 1) for turn in turns]
            loop = (
                _loop(inner, run[0].turns[depth], count) if len(turns) == run[0].turns[depth].total else None
            )
            items += [item for turn in inner for item in turn] if loop is None else [(run[0].name, loop)]
    return items


def _repeat(child: Placed, depth: int) -> tuple[int, int]:
    """What repeat a child stands in: the bracket, and the place where it is repeated."""
    if len(child.turns) <= depth:
        return (0, 0)
    turn = child.turns[depth]
    return (hash(turn.loop), id(turn.parent))


def _loop(
    turns: Sequence[Sequence[tuple[str, New]]], turn: Turn, count: Callable[[Turn], Val]
) -> LoopNew | None:
    """The loop that gives the children of some turns; None where they are not alike."""
    names = [name for name, _ in turns[0]]
    strides = strides_of(names, [name for name, _ in turns[1]] if len(turns) > 1 else None)
    if strides is None or not are_alike(turns, strides):
        return None
    return LoopNew(tuple(map(tuple, turns)), count(turn), strides)


def strides_of(names: Sequence[str], following: Sequence[str] | None) -> tuple[int, ...] | None:
    """How far the numbers in the names of a turn's children grow up to the next turn's; None where that has others.

    Of one turn alone it is as far as it takes for no name to come twice.
    """
    if following is None:
        kinds = [(before, after) for before, _, after in map(numbered, names)]
        return tuple(map(kinds.count, kinds))
    if len(following) != len(names):
        return None
    return tuple(numbered(b)[1] - numbered(a)[1] for a, b in zip(names, following, strict=True))


def are_alike(turns: Sequence[Sequence[tuple[str, New]]], strides: Sequence[int]) -> bool:
    """Whether the children of some turns differ in numbers only, and those in their names grow by the strides."""
    parts = [numbered(name) for name, _ in turns[0]]
    if any(number < 0 for _, number, _ in parts):
        return False
    skeletons: list[list[str]] = []
    for t, turn in enumerate(turns):
        grown = [(a, number + t * stride, b) for (a, number, b), stride in zip(parts, strides, strict=True)]
        if [numbered(name) for name, _ in turn] != grown:
            return False
        skeletons.append([])
        for _, new in turn:
            if not all(isinstance(slot, Val) for slot in walk(new, skeletons[-1])):
                return False  # a loop in a loop
    return all(skeleton == skeletons[0] for skeleton in skeletons)


def with_empty_loops(
    children: Sequence[tuple[str, New]], like: Sequence[tuple[str, New]], known: Known
) -> list[tuple[str, New]] | None:
    """The children of a chain with the loops of another that have no turns here; None where more than that differs."""
    found: list[tuple[str, New]] = []
    rest = list(children)
    by_position = is_positional(children) and is_positional(like)
    for name, new in like:
        if rest and _is_alike(rest[0][1], new) and (by_position or rest[0][0] == name):
            found.append(rest.pop(0))
        elif isinstance(new, LoopNew) and new.count.sym is not None and value(new.count.sym, known) == 0:
            found.append((name, LoopNew((), replace(new.count, value=0), new.strides)))
        else:
            return None
    return None if rest else found


def _is_alike(one: New, other: New) -> bool:
    skeletons: tuple[list[str], list[str]] = ([], [])
    for new, skeleton in zip((one, other), skeletons, strict=True):
        list(walk(new, skeleton))
    return skeletons[0] == skeletons[1]


def stem(name: str) -> str:
    """A name without the number at its end."""
    return name.rstrip("0123456789")


def numeral(name: str) -> int:
    """The number at the end of a name; -1 where there is none, or one with leading zeros."""
    digits = name[len(stem(name)) :]
    return int(digits) if re.fullmatch(r"0|[1-9]\d*", digits, re.ASCII) else -1


def numbered(name: str) -> tuple[str, int, str]:
    """A name as what comes before its last number, the number, and what comes after it; -1 where there is none."""
    found = re.fullmatch(r"(.*?)(0|[1-9][0-9]*)([^0-9]*)", name)
    return (found[1], int(found[2]), found[3]) if found else (name, -1, "")


# --- how a loop is written ----------------------------------------------------------------

Common = Callable[[Sequence[Val]], Text]
"""The text for a value, one of each instance; where there is none, a new parameter's."""


def loop_text(
    slots: Sequence[LoopSlot],
    known: Sequence[Known],
    common: Common,
    settled: Callable[[Sequence[Val]], Text | None],
    depends: Depends,
) -> LoopText | None:
    """How a loop is written that has these values in the instances of a class; None where it cannot be.

    Its first turn may differ from the others and is then written before it. Short loops whose
    number of turns is the same everywhere are written turn by turn, and so are irregular ones.
    `depends` says of a source in one instance whether it changes with a param of the file.
    """
    lengths = {len(slot.turns) for slot in slots}
    if lengths == {0}:
        return LoopText(())
    counted = settled([slot.count for slot in slots])
    for peeled in (0, 1):
        is_short = isinstance(counted, str) and _is_short(max(lengths) - peeled, slots[0].strides)
        if is_short or min(lengths) < peeled:
            continue
        body = _body(slots, known, peeled, depends)
        if body is None:
            continue
        head = tuple(
            tuple(common(vals) for vals in zip(*(slot.turns[t] for slot in slots), strict=True))
            for t in range(peeled)
        )
        counts = [_less(slot.count, peeled) for slot in slots]
        return LoopText(head, body, common(counts))
    if len(lengths) > 1:
        return None
    turns = zip(*(slot.turns for slot in slots), strict=True)
    return LoopText(tuple(tuple(common(vals) for vals in zip(*turn, strict=True)) for turn in turns))


def _is_short(turns: int, strides: Sequence[int]) -> bool:
    """Whether a loop of so many turns is written turn by turn: where it reads no better, it must save lines."""
    is_plain = tuple(strides) == (1,)
    saves = turns >= LEAST_TURNS and (turns - 1) * len(strides) >= LEAST_SAVED
    return turns <= 2 or not (is_plain or saves)


def _less(count: Val, peeled: int) -> Val:
    sym = None if count.sym is None else binary("-", count.sym, Const(peeled))
    return Val(count.value - peeled, sym)


def _body(
    slots: Sequence[LoopSlot], known: Sequence[Known], peeled: int, depends: Depends
) -> tuple[Text, ...] | None:
    """The texts of a loop's values after `peeled` turns; None where one of them is irregular."""
    turn = next(turn for slot in slots for turn in slot.turns)
    texts = []
    for k in range(len(turn)):
        text = regular_text([[turn[k] for turn in slot.turns[peeled:]] for slot in slots], known, depends)
        if text is None:
            return None
        texts.append(text)
    return tuple(texts)


def regular_text(rows: Sequence[Sequence[Val]], known: Sequence[Known], depends: Depends) -> Text | None:
    """The source of a value that grows by the same step from turn to turn; `rows` has a row for each instance."""
    longest = max(rows, key=len)
    kinds = {type(v.value) for row in rows for v in row}
    if not longest:
        return None
    if all(v.is_default for row in rows for v in row):
        return LEFT_OUT
    free = [[depends(i, v.sym) for v in row] for i, row in enumerate(rows)]
    for candidate in _candidates(longest) if len(kinds) == 1 else ():
        text = integral(candidate) if kinds == {int} else candidate
        if all(
            gives(text, {**numbers, TURN: t}, v.value)
            and (not free[i][t] or (v.sym is not None and _same(candidate, t, v.sym)))
            for i, (row, numbers) in enumerate(zip(rows, known, strict=True))
            for t, v in enumerate(row)
        ):
            return text
    values = [v.value for row in rows for v in row]
    if all(v == values[0] and type(v) is type(values[0]) for v in values) and not any(map(any, free)):
        return literal(values[0])
    return None


def _same(candidate: Sym, turn: int, sym: Sym) -> bool:
    """Whether a source with the number of the turn in it is another, whatever the parameters are."""
    return difference(substituted(candidate, {TURN: Const(turn)}), sym) == Const(0)


def gives(sym: Sym, known: Known, wanted: object) -> bool:
    """Whether an expression gives a number: exactly, and also by Python's arithmetic where a parameter is a float.

    Where the number is a float itself, rounding is allowed for.
    """
    params = params_of(sym)
    floats = {p: float(x) if isinstance(x := known.get(p), Fraction) else x for p in params}
    if isinstance(wanted, float):
        found = value(sym, floats)
        return found is not None and isclose(found, wanted, rel_tol=1e-15)
    if value(sym, known) != wanted:
        return False
    return not any(isinstance(known.get(p), Fraction) for p in params) or bool(value(sym, floats) == wanted)


def _candidates(row: Sequence[Val]) -> list[Sym]:
    """What could be the source of a row of values."""
    found: list[Sym] = []
    first = row[0].sym
    if first is not None and not isinstance(first, Const):
        found.append(first)
    if not isinstance(row[0].value, int | float) or isinstance(row[0].value, bool):
        return found
    for turn, (one, other) in enumerate(pairwise(row[:3])):
        if one.sym is not None and other.sym is not None:
            found.append(_growing(one.sym, other.sym, turn))
    are_bare = all(type(v.value) is int and isinstance(v.sym, Const | None) for v in row[:2])
    if len(row) > 1 and are_bare and row[0].value != row[1].value:
        found.append(_grown(Const(row[0].value), Const(row[1].value - row[0].value)))
    return [sym for sym in found if not isinstance(sym, Const)]


def _growing(one: Sym, other: Sym, turn: int) -> Sym:
    """What is `one` at a turn and `other` at the next, and grows by one step; of quotients, in the numerator."""
    match one, other:
        case Binary("/", above, below), Binary("/", next_above, next_below) if below == next_below:
            return binary("/", _factor(above, next_above, turn), below)
    step = difference(other, one)
    return _grown(difference(one, binary("*", Const(turn), step)) if turn else one, step)


def _factor(one: Sym, other: Sym, turn: int) -> Sym:
    """The same of products that have a factor in common."""
    match one, other:
        case Binary("*", factor, rest), Binary("*", next_factor, next_rest) if factor == next_factor:
            return binary("*", factor, _growing(rest, next_rest, turn))
    return _growing(one, other, turn)


def _grown(first: Sym, step: Sym) -> Sym:
    """What grows by a step from turn to turn."""
    if step == Const(0) or not grows_one_way(step):
        return first
    growth = binary("*", step, TURN) if isinstance(step, Const) else binary("*", TURN, step)
    return binary("+", first, growth)
