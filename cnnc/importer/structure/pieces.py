"""Pieces that come again where no level of names marks them: stretches of chains alike but for numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cnnc.compiler.walk.again import AGAIN
from cnnc.dsl.record import record
from cnnc.importer.structure.blocks import Program
from cnnc.importer.structure.folding import Folder
from cnnc.importer.structure.terms import (
    Break,
    Chain,
    Item,
    Join,
    Layer,
    Outer,
    Ref,
    Scope,
    Tap,
    items_in,
)

LONGEST = 12
"""Items of a piece."""
LONGER = 1.2
"""How much more a longer piece must save than a shorter one."""
MOST = 30
"""Kinds of pieces that are marked in one go."""


@record
class _Found:
    """A stretch of kinds, where it begins (the chain's number, the place in it), and what a block of it could save."""

    length: int
    starts: tuple[tuple[int, int], ...]
    gain: int


def marked(program: Program, folder: Folder) -> bool:
    """Make levels of the stretches that come again, the most worthwhile first; whether there were any.

    They need not be levels of names: what no block is made of is put back in its place.
    """
    chains = [program.root, *program.shared.values()]
    count = 0
    while count < MOST and (found := _best(chains, folder)) is not None:
        count += 1
        for number, start in reversed(found.starts):
            chain = chains[number]
            name = f"~{count}.{number}.{start}"
            piece = chain[start : start + found.length]
            scope = Scope(piece, flow=_flow(piece[0]), bound=False, name_in_model=name)
            chains[number] = (*chain[:start], scope, *chain[start + found.length :])
    program.root = chains[0]
    program.shared = dict(zip(program.shared, chains[1:], strict=True))
    return count > 0


def _flow(item: Item) -> tuple[int, ...]:
    """The channels that flow into an item."""
    return item.flow if isinstance(item, Join | Layer | Scope) else ()


def _best(chains: Sequence[Chain], folder: Folder) -> _Found | None:
    """The stretch that is most worth a block."""
    kinds = [[folder.kind(item) if _is_plain(item) else -1 - i for i, item in enumerate(c)] for c in chains]
    best: _Found | None = None
    for length in range(1, LONGEST + 1):
        for starts in _again(kinds, length):
            found = _judged(chains, starts, length, folder)
            if found is not None and (best is None or found.gain > LONGER * best.gain):
                best = found
    return best


def _again(kinds: Sequence[Sequence[int]], length: int) -> Iterator[list[tuple[int, int]]]:
    """Where the stretches of a length begin that come at least twice, without overlaps."""
    places: dict[tuple[int, ...], list[tuple[int, int]]] = {}
    for number, row in enumerate(kinds):
        for start in range(len(row) - length + 1):
            key = tuple(row[start : start + length])
            if min(key) < 0:
                continue
            taken = places.setdefault(key, [])
            if not taken or taken[-1][0] != number or taken[-1][1] + length <= start:
                taken.append((number, start))
    return (taken for taken in places.values() if len(taken) > 1)


def _judged(
    chains: Sequence[Chain], starts: Sequence[tuple[int, int]], length: int, folder: Folder
) -> _Found | None:
    stretches = [chains[number][start : start + length] for number, start in starts]
    codes = [tuple(map(folder.code, stretch)) for stretch in stretches]
    size = sum(folder.cost(item) for item in stretches[0])
    runs = 1 + sum(
        one != two or a[0] != b[0] or a[1] + length != b[1]
        for one, two, a, b in zip(codes, codes[1:], starts, starts[1:], strict=False)
    )
    varied = sum(len(set(column)) > 1 for column in zip(*codes, strict=True))
    gain = (runs - 1) * size - runs * (3 + 2 * varied) - 6 - 2 * varied
    return _Found(length, tuple(starts), gain) if gain > 0 else None


def _is_plain(item: Item) -> bool:
    """Whether an item may be in a piece: it begins no line, and has no label by which it is known."""
    if isinstance(item, Break | Ref | Outer | Tap):
        return False
    if isinstance(item, Scope) and item.name_in_model.startswith("~"):
        return False
    return not any(
        isinstance(i, Tap) or getattr(i, "label", ()) or (isinstance(i, Layer) and i.kind == AGAIN)
        for i in items_in((item,))
    )
