"""Which numbers free sizes have while a spec is walked: others are tried where these are refused.

A walk at one number finds the conditions under which what it says holds for other numbers too.
Where it is refused, every comparison that would have to come out otherwise is known, and the
nearest number is found at which one does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from cnnc.compiler.sizes import Condition, Ledger, at, symbols

REFERENCE = 224
"""A multiple of many numbers, and large enough for most networks."""
MAX_TRIES = 32
MAX_LAYERS = 20_000
"""Placed by all tries together: looking for a size takes no longer than a large model."""
SCANNED = range(2, (1 << 14) + 1)
"""A map of one position is no size that is left free."""

Reference = Mapping[str, int]
"""The numbers of the free sizes that are not REFERENCE."""


class References:
    """The references to try, those learnt from a refused one after it."""

    def __init__(self) -> None:
        self._queue: list[Reference] = [{}]
        self._seen: set[frozenset[tuple[str, int]]] = {frozenset()}
        self._layers = 0

    def __iter__(self) -> Iterator[Reference]:
        tries = 0
        while self._queue and tries < MAX_TRIES and self._layers <= MAX_LAYERS:
            tries += 1
            yield self._queue.pop(0)

    def learn(self, reference: Reference, free: Iterable[str], ledger: Ledger, layers: int) -> None:
        """Go on from a reference that was refused with what its walk noted before it was."""
        self._layers += layers
        sizes = {name: reference.get(name, REFERENCE) for name in free}
        # What the refused layer assumed itself is what has to change.
        assumed = [c for c in ledger.conditions.values() if c.why not in ledger.refused]
        nearer: list[Reference] = []
        misses = [missed for missed in ledger.otherwise.values() if missed.why in ledger.refused]
        for missed in reversed(misses):  # the last is most likely what was refused
            for name in sorted(symbols(missed.poly)):
                for number in _nearest(name, missed, assumed, sizes):
                    found = {**reference, name: number}
                    key = frozenset(found.items())
                    if key not in self._seen:
                        self._seen.add(key)
                        nearer.append(found)
        self._queue[:0] = nearer


def _nearest(
    name: str, missed: Condition, assumed: list[Condition], sizes: Mapping[str, int]
) -> Iterator[int]:
    """The nearest numbers of one size, above and below, at which a condition holds and all that was assumed does."""
    now = sizes[name]
    for numbers in (range(now + 1, SCANNED.stop), range(now - 1, SCANNED.start - 1, -1)):
        for n in numbers:
            there = {**sizes, name: n}
            if _holds(missed, there) and all(_holds(c, there) for c in assumed if name in symbols(c.poly)):
                yield n
                break


def _holds(condition: Condition, sizes: Mapping[str, int]) -> bool:
    value = at(condition.poly, sizes)
    return value == 0 if condition.equal else value >= 0
