"""Repeats: the cheapest way to write a chain with `[…]*n` and `[… for …]`, by dynamic programming over its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cnnc.importer.structure.copies import Common, Namer, common, skeleton
from cnnc.importer.structure.naming import on_level
from cnnc.importer.structure.sequences import follows, is_run, placed
from cnnc.importer.structure.spell import Speller, size
from cnnc.importer.structure.terms import (
    Break,
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
    Tap,
    items_in,
    rebuilt,
)

LONGEST = 40
"""Items of a stretch whose repetition is looked for."""
MOST = 8
"""Variables of a comprehension."""

Rows = tuple[tuple[Leaf, ...], ...]


class Folder:
    """Folds chains; what was folded once is remembered."""

    def __init__(self, speller: Speller, namer: Namer, *, loops: bool = True) -> None:
        self.speller = speller
        self.namer = namer
        self.loops = loops
        self.known: dict[tuple[tuple[int, ...], bool], Chain] = {}
        self.sizes: dict[int, int] = {}
        self.codes: dict[Item, int] = {}
        self.codes_by_identity: dict[int, tuple[Item, int]] = {}
        self.kinds: dict[int, int] = {}
        self.skeletons: dict[object, int] = {}

    def fold(self, chain: Chain) -> Chain:
        """The chain, and those inside it, in fewer tokens: first equal stretches, then those alike."""
        inside = tuple(self._inside(item) for item in chain)
        while True:
            folded = self._best(inside, False)
            if folded == inside:
                break
            inside = folded
        while self.loops:
            folded = self._best(inside, True)
            if folded == inside:
                break
            inside = folded
        return inside

    def _inside(self, item: Item) -> Item:
        match item:
            case Join():
                return self._turns(replace(item, branches=tuple(self.fold(b) for b in item.branches)))
            case Scope() | Repeat() | Loop():
                return replace(item, body=self.fold(item.body))
            case Layer() if item.pipes:
                return replace(item, pipes=tuple((key, self.fold(chain)) for key, chain in item.pipes))
            case Call() if item.pipes:
                return replace(item, pipes=tuple(map(self.fold, item.pipes)))
        return item

    def code(self, item: Item) -> int:
        """A number for an item, the same for equal ones; to compare terms again and again takes long."""
        found = self.codes_by_identity.get(id(item))
        if found is None:
            code = self.codes.setdefault(item, len(self.codes))
            found = self.codes_by_identity[id(item)] = (item, code)
        return found[1]

    def kind(self, item: Item) -> int:
        """A number for an item's skeleton."""
        code = self.code(item)
        found = self.kinds.get(code)
        if found is None:
            found = self.skeletons.setdefault(skeleton((item,)), len(self.skeletons))
            self.kinds[code] = found
        return found

    def cost(self, item: Item) -> int:
        code = self.code(item)
        found = self.sizes.get(code)
        if found is None:
            found = self.sizes[code] = size(self.speller.item(item)) + 1
        return found

    def _best(self, chain: Chain, alike: bool) -> Chain:
        """The cheapest chain, each stretch folded at most once."""
        key = tuple(map(self.code, chain)), alike
        found = self.known.get(key)
        if found is not None:
            return found
        codes = [self.kind(item) for item in chain] if alike else key[0]
        count = len(chain)
        costs = [0] * (count + 1)
        after: list[tuple[int, Item]] = [(0, Break())] * count
        for i in range(count - 1, -1, -1):
            costs[i] = self.cost(chain[i]) + costs[i + 1]
            after[i] = (i + 1, chain[i])
            periods: list[tuple[int, int]] = []
            for length in range(1, min((count - i) // 2, LONGEST) + 1):
                if codes[i] != codes[i + length] or _is_periodic(length, periods):
                    continue
                times = _times(codes, i, length)
                if times >= 2:
                    periods.append((length, times * length))
                if times < 2 or not _may_repeat(chain[i : i + length]):
                    continue
                item = self._folded(chain[i : i + times * length], length, alike)
                if item is None:
                    continue
                end = i + times * length
                cost = self.cost(item) + costs[end]
                if cost < costs[i] or (cost == costs[i] and not alike):
                    costs[i], after[i] = cost, (end, item)
        out, i = [], 0
        while i < count:
            i, item = after[i]
            out.append(item)
        self.known[key] = tuple(out)
        return tuple(out)

    def _folded(self, stretch: Chain, length: int, alike: bool) -> Item | None:
        times = len(stretch) // length
        if not alike:
            return Repeat(self.fold(stretch[:length]), Leaf(times))
        copies = [stretch[i : i + length] for i in range(0, len(stretch), length)]
        found = common(copies, [None] * times, self.namer)
        rows = None if found is None else _rows(found)
        if found is None or rows is None or any(isinstance(i, Fit) and i.label for i in on_level(found.term)):
            return None
        loop = Loop(found.term, found.params, rows)
        term, params, rows = _counted(found)
        return min(loop, Loop(term, params, rows), key=self.cost)

    def _turns(self, join: Join) -> Join:
        """A join, with a comprehension for branches that are alike, where that is shorter."""
        branches = join.branches
        if len(branches) < 3 or len({tuple(map(self.kind, branch)) for branch in branches}) > 1:
            return join
        if not branches[0] or any(isinstance(item, Fit | Tap | Break) for item in items_in(branches[0])):
            return join
        found = common(branches, [None] * len(branches), self.namer)
        if found is None or _rows(found) is None:
            return join
        term, params, rows = _counted(found)
        return min(join, replace(join, branches=(term,), targets=params, rows=rows), key=self.cost)


def _rows(found: Common) -> Rows | None:
    """The values of a comprehension's variables, turn by turn; None where these are none, or no values."""
    rows = tuple(tuple(Leaf(value) for value in row) for row in found.rows)
    if not 0 < len(found.params) <= MOST or any(
        isinstance(leaf.value, Formula) for row in rows for leaf in row
    ):
        return None
    return rows


def _counted(found: Common) -> tuple[Chain, tuple[str, ...], Rows]:
    """A comprehension's body, variables and values; what follows from a number that counts up is no variable."""
    columns = dict(zip(found.params, zip(*found.rows, strict=True), strict=True))
    counter = next((name for name, column in columns.items() if is_run(column)), None)
    term = found.term
    if counter is not None:
        counts = [int(str(value)) for value in columns[counter]]
        for name in [name for name in columns if name != counter]:
            formula = follows(columns[name], counts, counter)
            if formula is not None:
                term = rebuilt(term, lambda leaf: _with(leaf, name, formula))  # noqa: B023
                del columns[name]
    rows = tuple(tuple(map(Leaf, row)) for row in zip(*columns.values(), strict=True))
    return term, tuple(columns), rows


def _with(leaf: Leaf, name: str, formula: Formula) -> Leaf:
    return replace(leaf, value=placed(leaf.value, name, formula)) if isinstance(leaf.value, Formula) else leaf


def _is_periodic(length: int, periods: Sequence[tuple[int, int]]) -> bool:
    """Whether a stretch is itself a repetition that was looked at."""
    return any(length % period == 0 and length <= reach for period, reach in periods)


def _times(codes: Sequence[int], start: int, length: int) -> int:
    times = 1
    while codes[start + times * length : start + (times + 1) * length] == codes[start : start + length]:
        times += 1
    return times


def _may_repeat(stretch: Chain) -> bool:
    """Whether a stretch can stand in a repeat: no line begins in it, and nothing in it has a fixed label."""
    return not any(isinstance(item, Break | Ref | Outer | Tap) for item in stretch) and not any(
        isinstance(item, Tap) for item in items_in(stretch)
    )
