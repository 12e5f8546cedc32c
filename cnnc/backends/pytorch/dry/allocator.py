"""What PyTorch's caching allocator takes from a GPU for the allocations of a run.

What is freed is kept in segments for later, parts of which may be too small for what comes next: so a network
that holds 7 GiB at most can need 8. The rules are those of torch's allocator as it is configured by default.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from typing import Any, Literal

Event = tuple[Literal["alloc", "free"], Any, int]
"""What happens, the name of the allocation, and its bytes."""

_BLOCK = 512
_SMALL = 1 << 20
"""Allocations up to this size have segments of their own, and of other segments no rest of this size or less is split off."""
_SMALL_SEGMENT = 2 << 20
_MEDIUM = 10 << 20
_MEDIUM_SEGMENT = 20 << 20
_ROUND = 2 << 20


class DoesNotFitError(MemoryError):
    """An allocation that the limit leaves no room for, cached segments given back."""


class Block:
    """A part of a segment; its neighbours in memory."""

    __slots__ = ("address", "after", "before", "is_free", "pool", "size")

    def __init__(self, address: int, size: int, pool: list[Block]) -> None:
        self.address, self.size, self.pool = address, size, pool
        self.is_free = False
        self.before: Block | None = None
        self.after: Block | None = None

    def __lt__(self, other: Block) -> bool:
        return (self.size, self.address) < (other.size, other.address)


class CachingAllocator:
    """Segments of a GPU's memory and their parts. `reserved` is what is taken from the GPU, `peak` its most, in bytes."""

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self.reserved = 0
        self.peak = 0
        self.end = 0
        self.free_blocks: tuple[list[Block], list[Block]] = ([], [])
        """Those of large segments, and of small ones, by size."""
        self.held: dict[Any, Block] = {}

    def replay(self, events: Iterable[Event]) -> None:
        """Raises DoesNotFitError at the first allocation for which there is no room."""
        for what, name, size in events:
            if what == "alloc":
                self.held[name] = self.allocate(size)
            else:
                self.free(self.held.pop(name))

    def allocate(self, size: int) -> Block:
        """A block for `size` bytes. Raises DoesNotFitError."""
        size = max(-(-size // _BLOCK), 1) * _BLOCK
        small = size <= _SMALL
        pool = self.free_blocks[small]
        at = bisect_left(pool, size, key=lambda block: block.size)
        block = pool.pop(at) if at < len(pool) else self._segment(size, pool)
        block.is_free = False
        rest = block.size - size
        if rest >= (_BLOCK if small else _SMALL + 1):
            self._split(block, size)
        return block

    def free(self, block: Block) -> None:
        """Give a block back, joined with its free neighbours."""
        pool = block.pool
        for other in (block.before, block.after):
            if other is None or not other.is_free:
                continue
            del pool[bisect_left(pool, other)]
            first, second = (other, block) if other is block.before else (block, other)
            first.size += second.size
            first.after = second.after
            if second.after is not None:
                second.after.before = first
            block = first
        block.is_free = True
        insort(pool, block)

    def _split(self, block: Block, size: int) -> None:
        rest = Block(block.address + size, block.size - size, block.pool)
        block.size = size
        rest.is_free = True
        rest.before, rest.after = block, block.after
        if block.after is not None:
            block.after.before = rest
        block.after = rest
        insort(block.pool, rest)

    def _segment(self, size: int, pool: list[Block]) -> Block:
        if size <= _SMALL:
            taken = _SMALL_SEGMENT
        elif size < _MEDIUM:
            taken = _MEDIUM_SEGMENT
        else:
            taken = -(-size // _ROUND) * _ROUND
        if self.limit is not None and self.reserved + taken > self.limit:
            self._give_back()
            if self.reserved + taken > self.limit:
                raise DoesNotFitError
        self.reserved += taken
        self.peak = max(self.peak, self.reserved)
        self.end += taken
        return Block(self.end - taken, taken, pool)

    def _give_back(self) -> None:
        """Segments of which nothing is in use go back to the GPU."""
        for pool in self.free_blocks:
            parts = [block for block in pool if block.before is not None or block.after is not None]
            self.reserved -= sum(block.size for block in pool) - sum(block.size for block in parts)
            pool[:] = parts
