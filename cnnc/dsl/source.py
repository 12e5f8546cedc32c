"""Where a piece of text stands: sources and the spans within them."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import field

from cnnc.dsl.record import record


@record(eq=False)
class Source:
    """One spec text and the name that messages give it.

    `name` is the path as the user wrote it (`<stdin>` for standard input). With `allow_outside`,
    it may `use` files anywhere; else in the folder it is in and in `homes`.
    """

    name: str
    text: str
    allow_outside: bool = False
    homes: tuple[str, ...] = ()
    _starts: list[int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        starts = [0]
        starts.extend(i + 1 for i, ch in enumerate(self.text) if ch == "\n")
        object.__setattr__(self, "_starts", starts)

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset, both counted from 1."""
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1

    def line(self, number: int) -> str:
        """The text of line `number` (from 1), without its line end."""
        start = self._starts[number - 1]
        if number == len(self._starts):
            return self.text[start:]
        return self.text[start : self._starts[number] - 1].removesuffix("\r")


@record
class Span:
    """The half-open range [start, end) of characters of one source."""

    source: Source
    start: int
    end: int

    @property
    def text(self) -> str:
        return self.source.text[self.start : self.end]

    @property
    def line(self) -> int:
        return self.source.position(self.start)[0]

    @property
    def column(self) -> int:
        return self.source.position(self.start)[1]

    def to(self, other: Span) -> Span:
        """The span from the start of this one to the end of `other`."""
        return Span(self.source, self.start, max(self.end, other.end))
