"""Pieces that differ in numbers only: what they have in common, and arithmetic for what they have not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

from cnnc.dsl.record import record
from cnnc.importer.structure.terms import (
    Call,
    Chain,
    Fit,
    Formula,
    Item,
    Join,
    Layer,
    Leaf,
    Loop,
    Outer,
    Ref,
    Repeat,
    Scope,
    Value,
    items_in,
    mapped,
    rebuilt,
)

_HOLE = Leaf("#")


def skeleton(term: Any) -> Any:
    """A term without its values: equal for those that differ in values only."""
    bare = rebuilt(_without_fit_labels(term), lambda leaf: _HOLE)
    return bare


def _without_fit_labels(term: Any) -> Any:
    if not isinstance(term, tuple):
        return term

    def change(item: Item) -> tuple[Item, ...]:
        return (replace(item, label=()) if isinstance(item, Fit) else item,)

    return mapped(term, change)


@record
class Place:
    """A value in a piece: what it is of, and the channels that flow into the bracket around it (None: not known)."""

    leaf: Leaf
    of: str
    flow: int | None


def places(term: Any, flow: int | None, of: str = "") -> Iterator[Place]:
    """Every value of a term with its place, in the order of `leaves`."""
    if isinstance(term, Leaf):
        yield Place(term, of, flow)
        return
    if isinstance(term, tuple):
        for part in term:
            if isinstance(part, tuple) and len(part) == 2 and isinstance(part[0], str):
                yield from places(part[1], flow, part[0])
            elif not isinstance(part, str):
                yield from places(part, flow, of)
        return
    match term:
        case Layer():
            for name in ("size", "width", "stride", "rest", "args"):
                yield from places(getattr(term, name), flow, name)
            yield from places(term.pipes, term.flow[0] if term.flow else None, "pipes")
            for name in ("norm", "act", "bias"):
                yield from places(getattr(term, name), flow, name)
            yield from places(term.label, flow, "label")
        case Fit():
            yield Place(term.kind, "fit", flow)
            yield from places(term.norm, flow, "norm")
            yield from places(term.label, flow, "label")
        case Join():
            yield from places(term.branches, term.flow[0] if term.flow else None)
            yield from places(term.label, flow, "label")
            yield from places(term.rows, None, "row")
        case Scope():
            yield from places(term.body, term.flow[0] if term.flow else None)
            yield from places(term.label, flow, "label")
        case Call():
            for i, leaf in enumerate(term.args):
                yield Place(leaf, f"{term.block}:{i}", flow)
            yield from places(term.label, flow, "label")
            yield from places(term.pipes, None)
        case Ref():
            yield from places(term.name, flow, "label")
        case Outer():
            yield Place(term.name, "tensor", flow)
        case Repeat():
            yield from places(term.body, None)
            yield Place(term.count, "count", flow)
        case Loop():
            yield from places(term.body, None)
            yield from places(term.rows, None, "row")


@record
class Common:
    """What pieces have in common: the piece with holes, the parameters' names, and their values in each copy."""

    term: Chain
    params: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]
    outer: Mapping[str, tuple[int, ...]]
    """The parameters that are tensors, and how many levels up those are defined, in each copy."""


def common(
    copies: Sequence[Chain], flows: Sequence[int | None], names: Namer, *, is_block: bool = False
) -> Common | None:
    """What pieces of one skeleton have in common; None where shortcuts of two kinds stand in one place.

    `flows` are the channels that flow into each. A block does not see the tensors around it, so `is_block` makes
    parameters of them.
    """
    fitted = _alike_fits(copies)
    if fitted is None:
        return None
    columns = [*zip(*(places(c, flow) for c, flow in zip(fitted, flows, strict=True)), strict=True)]
    params: dict[str, tuple[Value, ...]] = {}
    made: list[Leaf] = []
    relative: dict[int, tuple[Value, ...]] = {}
    tensors: dict[str, tuple[int, ...]] = {}
    loops = {name for item in items_in(copies[0]) if isinstance(item, Loop) for name in item.targets}
    for column in columns:
        values = tuple(place.leaf.value for place in column)
        first = column[0].leaf
        outers = tuple(place.leaf.outer for place in column)
        if len(set(outers)) > 1 and not (is_block and all(outers)):
            return None
        default = first.default if all(p.leaf.default == first.default for p in column) else None
        welcome = first.welcome if all(p.leaf.welcome == first.welcome for p in column) else None
        if column[0].of == "pad" and all(p.leaf.welcome in (None, True) for p in column):
            welcome = True if any(p.leaf.welcome for p in column) else None
        if all(value == values[0] for value in values) and not (is_block and first.outer):
            value: Value = values[0]
        elif any(isinstance(value, Formula) or value in ("C", "H", "W", "D") for value in values):
            return None  # it means something else where the piece would be called from, or is a size there
        elif any(isinstance(value, str) and ".." in value for value in values):
            found = _range(values, [p.flow for p in column], params, names, loops)
            if found is None:
                return None
            value = found
        else:
            found = None if first.outer and values not in params.values() else _formula(
                values, [p.flow for p in column], params
            )  # fmt: skip
            if found is not None and found.text != "C" and "C" in found.text:
                relative[len(made)] = values
            value = found or _new(values, "tensor" if first.outer else column[0].of, params, names, loops)
            if first.outer and tensors.setdefault(value.text, outers) != outers:
                return None
        outer = 0 if isinstance(value, Formula) else first.outer
        made.append(Leaf(value, default, welcome, outer))
    for (
        i,
        values,
    ) in relative.items():  # a parameter that is there anyway says more than a share of what flows in
        found = _formula(values, (), params)
        made[i] = made[i] if found is None else replace(made[i], value=found)
    turn = iter(made)
    term = rebuilt(fitted[0], lambda leaf: next(turn))
    rows = tuple(zip(*params.values(), strict=True)) if params else tuple(() for _ in copies)
    return Common(term, tuple(params), rows, tensors)


def _formula(
    values: tuple[Value, ...], flows: Sequence[int | None], params: dict[str, tuple[Value, ...]]
) -> Formula | None:
    """Arithmetic on the channels that flow in, or on a parameter, that gives the values."""
    for name, column in params.items():
        if column == values:
            return Formula(name)
    known: list[tuple[str, tuple[Any, ...]]] = [("C", tuple(flows))] if flows else []
    for name, column in [*known, *params.items()]:
        found = _ratio(values, column)
        if found is not None:
            return Formula(found.replace("C", name))
    return _sizes(values, params)


def _sizes(values: tuple[Value, ...], params: dict[str, tuple[Value, ...]]) -> Formula | None:
    """A list of sizes, such as `(d, 0)`, each of whose numbers is the same everywhere or arithmetic on a parameter."""
    pieces = [re.split(r"(\d+)", value) if isinstance(value, str) else [] for value in values]
    if any(not parts or re.search(r"[^(), ]", "".join(parts[::2])) for parts in pieces):
        return None
    out = []
    for column in zip(*pieces, strict=False):
        same = all(part == column[0] for part in column)
        found = None if same or not column[0].isdecimal() else _formula(tuple(map(int, column)), (), params)
        if not same and found is None:
            return None
        out.append(column[0] if found is None else found.text)
    return Formula("".join(out)) if len({len(parts) for parts in pieces}) == 1 else None


def _range(
    values: tuple[Value, ...],
    flows: Sequence[int | None],
    params: dict[str, tuple[Value, ...]],
    names: Namer,
    loops: Set[str],
) -> Formula | None:
    """A range, such as `C..2*C-1`, each of whose ends is the same everywhere, arithmetic, or a parameter."""
    ends = []
    for column, before in zip(zip(*(str(v).split("..") for v in values), strict=True), (0, 1), strict=True):
        if all(end == column[0] for end in column):
            ends.append(column[0])
            continue
        if not all(end.isdecimal() for end in column):
            return None
        numbers = tuple(int(end) + before for end in column)
        found = _formula(numbers, flows, params) or _new(numbers, "rest", params, names, loops)
        ends.append(f"{found.text}-1" if before else found.text)
    return Formula("..".join(ends))


def _ratio(values: Sequence[Any], column: Sequence[Any]) -> str | None:
    """`C`, `4*C` or `C//4`, where that holds of all values and those of a column."""
    if not all(
        type(v) is int and type(c) is int and v > 0 and c > 0 for v, c in zip(values, column, strict=True)
    ):
        return None
    value, base = values[0], column[0]
    if all(v == c for v, c in zip(values, column, strict=True)):
        return "C"
    if value % base == 0 and all(v == value // base * c for v, c in zip(values, column, strict=True)):
        return f"{value // base}*C"
    if base % value == 0 and all(c == base // value * v for v, c in zip(values, column, strict=True)):
        return f"C//{base // value}"
    return None


def _new(
    values: tuple[Value, ...], of: str, params: dict[str, tuple[Value, ...]], names: Namer, loops: Set[str]
) -> Formula:
    name = names.param(of, params.keys() | loops)
    params[name] = values
    return Formula(name)


_LETTERS = {
    "size": "kqh", "width": "wvu", "stride": "st", "count": "nm", "groups": "gf", "label": "ij", "dilation": "de",
    "p": "pq", "tensor": ["map", "other", "third"], "row": "rxyz", "rest": "abc",
}  # fmt: skip
_WORDS = {"norm": "norm", "act": "act", "bias": "bias", "pad": "pad"}


class Namer:
    """Names for parameters and blocks; a block's parameters are known by its name."""

    def __init__(self, taken: frozenset[str]) -> None:
        self.taken = set(taken)
        self.blocks: dict[str, tuple[str, ...]] = {}

    def param(self, of: str, params: Set[str]) -> str:
        block, _, number = of.partition(":")
        wanted: list[str] = []
        if number and block in self.blocks:
            wanted = [self.blocks[block][int(number)]]
        if of in _WORDS:
            wanted = [_WORDS[of]]
        letters: list[str] = [
            *wanted,
            *_LETTERS.get(of, of[:1] if of[:1].isalpha() else ""),
            *"abcdefghijklmnopqrstuvwxyz",
        ]
        letters += [f"a{number}" for number in range(1, len(params) + len(self.taken) + 2)]
        free = (
            name for name in letters if name.isidentifier() and name not in params and name not in self.blocks
        )
        return next(name for name in free if name not in self.taken)

    def block(self, wanted: str) -> str:
        name, number = wanted, 1
        while name in self.taken or name in self.blocks:
            number += 1
            name = f"{wanted}{number}"
        return name


def _alike_fits(copies: Sequence[Chain]) -> Sequence[Chain] | None:
    """The pieces with the same shortcut in each place: an identity can be written as any of them."""
    fits = [[item for item in items_in(chain) if isinstance(item, Fit)] for chain in copies]
    if not fits[0]:
        return copies
    chosen: list[Fit] = []
    for column in zip(*fits, strict=True):
        others = [fit for fit in column if fit.kind.value != "id"]
        kinds = {fit.kind.value for fit in others}
        labels = {fit.label for fit in others if fit.label}
        if len(kinds) > 1 or len(labels) > 1 or len({fit.norm for fit in others}) > 1:
            return None
        chosen.append(others[0] if others else column[0])
    out = []
    for chain in copies:
        turn = iter(chosen)

        def change(item: Item) -> tuple[Item, ...]:
            return (next(turn),) if isinstance(item, Fit) else (item,)  # noqa: B023

        out.append(mapped(chain, change))
    return out
