"""A cache that forgets what was not asked for lately."""

from __future__ import annotations

from typing import Generic, TypeVar

_K = TypeVar("_K")
_V = TypeVar("_V")


class Recent(Generic[_K, _V]):
    """The last `least` entries that were put in or asked for, and at most twice as many.

    There are two generations. The older one goes when the younger is full, and what is found in it is put into the
    younger. So what each text needs anew is not lost at once, as it would be where a full cache is emptied.

    >>> squares = Recent[int, int](2)
    >>> for n in 1, 2, 3, 4, 5:
    ...     squares[n] = n * n
    ...     _ = squares.get(1)
    >>> [n for n in range(6) if squares.get(n)]
    [1, 4, 5]
    """

    def __init__(self, least: int) -> None:
        self.least = least
        self._young: dict[_K, _V] = {}
        self._old: dict[_K, _V] = {}

    def get(self, key: _K) -> _V | None:
        """The entry; None where there is none."""
        found = self._young.get(key)
        if found is None and (found := self._old.get(key)) is not None:
            self[key] = found
        return found

    def __setitem__(self, key: _K, value: _V) -> None:
        if len(self._young) >= self.least:
            self._old, self._young = self._young, {}
        self._young[key] = value

    def __len__(self) -> int:
        return len(self._young.keys() | self._old.keys())

    def clear(self) -> None:
        """Forget all entries."""
        self._young, self._old = {}, {}
