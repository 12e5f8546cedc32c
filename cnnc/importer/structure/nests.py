"""Levels that hold the next, as in a U-Net, and are alike but for it: where they are, and what each holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from cnnc.importer.structure.copies import skeleton
from cnnc.importer.structure.terms import (
    Break,
    Chain,
    Fit,
    Hole,
    Item,
    Join,
    Leaf,
    Ref,
    Scope,
    Tap,
    chains_in,
    items_in,
    label_of,
    leaves,
    mapped,
    rebuilt,
)


def nests(chain: Chain) -> Iterator[list[Scope]]:
    """The unresolved levels of a chain that hold one more each, from the outermost to the one that holds none."""
    for scope in _direct(chain):
        line = [scope]
        while len(inner := _direct(line[-1].body)) == 1:
            line += inner
        if not inner:
            yield line
        else:
            yield from nests(line[-1].body)


def _direct(chain: Chain) -> list[Scope]:
    """The unresolved levels of a chain that are in no other."""
    found: list[Scope] = []
    for item in chain:
        if isinstance(item, Scope) and not item.settled:
            found.append(item)
        else:
            found += [scope for inner in chains_in(item) for scope in _direct(inner)]
    return found


def with_hole(chain: Chain, level: Scope, hole: Hole) -> Chain:
    """The chain with a hole in the place of a level."""

    def change(item: Item) -> tuple[Item, ...]:
        is_level = isinstance(item, Scope) and item.name_in_model == level.name_in_model
        return (hole,) if is_level else (item,)

    return mapped(chain, change)


def filled(chain: Chain, content: Chain) -> Chain:
    """The chain with a content in the place of its hole."""
    return mapped(chain, lambda item: content if isinstance(item, Hole) else (item,))


def filling(pattern: Chain, chain: Chain) -> tuple[Chain, Chain] | None:
    """A chain that equals a pattern but for numbers: with the pattern's hole, and what it has there. None where it differs."""
    place = next((i for i, item in enumerate(pattern) if _has_hole(item)), None)
    if place is None:
        return None
    item = pattern[place]
    end = len(chain) - (len(pattern) - place - 1)
    around = skeleton((chain[:place], chain[end:])) == skeleton((pattern[:place], pattern[place + 1 :]))
    if end < place or not around:
        return None
    if isinstance(item, Hole):
        return (*chain[:place], item, *chain[end:]), chain[place:end]
    if end != place + 1:
        return None
    found = _filling_inside(item, chain[place])
    return None if found is None else ((*chain[:place], found[0], *chain[end:]), found[1])


def _filling_inside(pattern: Item, item: Item) -> tuple[Item, Chain] | None:
    if isinstance(pattern, Join) and isinstance(item, Join):
        at = next(i for i, branch in enumerate(pattern.branches) if any(map(_has_hole, branch)))
        if len(item.branches) != len(pattern.branches):
            return None
        found = filling(pattern.branches[at], item.branches[at])
        if found is None:
            return None
        made = replace(item, branches=(*item.branches[:at], found[0], *item.branches[at + 1 :]))
        return (made, found[1]) if skeleton((made,)) == skeleton((pattern,)) else None
    return None


def _has_hole(item: Item) -> bool:
    return any(isinstance(inner, Hole) for inner in items_in((item,)))


def differing(
    one: Chain, other: Chain, hole: Hole, kind: Callable[[Item], int]
) -> tuple[Chain, Chain, Chain] | None:
    """Two chains that are alike but for numbers, and for a chain in one place: the first with a hole there, and both
    chains. None where they differ in more; `kind` is a number for an item that leaves its numbers out."""
    mine, theirs = [*map(kind, one)], [*map(kind, other)]
    least = min(len(mine), len(theirs))
    start = next((i for i in range(least) if mine[i] != theirs[i]), least)
    end = next((i for i in range(least - start) if mine[-1 - i] != theirs[-1 - i]), least - start)
    inner, others = one[start : len(one) - end], other[start : len(other) - end]
    if start + end == 0 or any(isinstance(item, Hole | Tap | Fit) for item in items_in((*inner, *others))):
        return None
    labels = {label_of(getattr(item, "label", ())) for item in items_in((*inner, *others))}
    if any(name.partition(".")[0] in labels for name in _used(one) | _used(other)):
        return None
    return (*one[:start], hole, *one[len(one) - end :]), inner, others


def _used(chain: Chain) -> set[str]:
    """What could be the labels of tensors that a chain needs."""
    names = {label_of(item.name) for item in items_in(chain) if isinstance(item, Ref)}
    return names | {leaf.value for leaf in leaves(chain) if isinstance(leaf.value, str)}


def lifted(chain: Chain, levels: int) -> Chain | None:
    """A chain written so many levels further out; None where it needs a label of one of those."""
    if any(isinstance(item, Break | Ref | Tap) for item in items_in(chain)):
        return None
    least = levels + any(isinstance(item, Scope) and not item.settled for item in chain)
    if any(0 < leaf.outer < least for leaf in leaves(chain)):
        return None

    def out(leaf: Leaf) -> Leaf:
        return replace(leaf, outer=leaf.outer - levels) if leaf.outer else leaf

    return rebuilt(chain, out)
