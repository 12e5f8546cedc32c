"""Positions of the protocol: a line, and the UTF-16 units before it on the line; lines end as the protocol says."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

Range = dict[str, dict[str, int]]

_LINE_END = re.compile(r"\r\n|\n|\r")


class Text:
    """A text with its lines. Offsets are those of the analysis, which leaves out a byte order mark at the head."""

    def __init__(self, text: str) -> None:
        self.raw = text
        self.mark = 1 if text.startswith("\ufeff") else 0
        self._starts = [0, *(match.end() for match in _LINE_END.finditer(text))]
        self._is_plain = text.isascii()

    @property
    def text(self) -> str:
        """What is analysed."""
        return self.raw[self.mark :]

    def line_of(self, number: int) -> int:
        """The protocol's number of a line that the analysis counts from 1, by line feeds alone."""
        if "\r" not in self.raw:
            return number - 1
        at = 0
        for _ in range(number - 1):
            at = self.raw.index("\n", at) + 1
        return bisect_right(self._starts, at) - 1

    def position(self, offset: int) -> dict[str, int]:
        """Where an offset is."""
        at = min(max(0, offset + self.mark), len(self.raw))
        line = bisect_right(self._starts, at) - 1
        return {"line": line, "character": self._units(self._starts[line], at)}

    def range(self, start: int, end: int) -> Range:
        return {"start": self.position(start), "end": self.position(end)}

    def end_of_line(self, line: int) -> dict[str, int]:
        """The end of a line, its line end left out."""
        line = min(max(0, line), len(self._starts) - 1)
        end = self._starts[line + 1] if line + 1 < len(self._starts) else len(self.raw)
        end = self._starts[line] + len(self.raw[self._starts[line] : end].rstrip("\r\n"))
        return {"line": line, "character": self._units(self._starts[line], end)}

    def offset(self, position: Mapping[str, int]) -> int:
        """The offset of a position; one beyond the end of its line is that end."""
        return max(0, self._raw_offset(position) - self.mark)

    def changed(self, change: Mapping[str, Any]) -> Text:
        """The text after a change: of a range, or of all of it."""
        if "range" not in change:
            return Text(change["text"])
        start, end = (self._raw_offset(change["range"][side]) for side in ("start", "end"))
        return Text(self.raw[:start] + change["text"] + self.raw[max(start, end) :])

    def _raw_offset(self, position: Mapping[str, int]) -> int:
        line, units = int(position["line"]), max(0, int(position["character"]))
        if line < 0:
            return 0
        if line >= len(self._starts):
            return len(self.raw)
        start = self._starts[line]
        end = self._starts[line + 1] if line + 1 < len(self._starts) else len(self.raw)
        content = self.raw[start:end].rstrip("\r\n")
        if self._is_plain or content.isascii():
            return start + min(units, len(content))
        for i, ch in enumerate(content):
            if units <= 0:
                return start + i
            units -= 2 if ord(ch) > 0xFFFF else 1
        return start + len(content)

    def _units(self, start: int, end: int) -> int:
        if self._is_plain:
            return end - start
        return sum(2 if ord(ch) > 0xFFFF else 1 for ch in self.raw[start:end])
