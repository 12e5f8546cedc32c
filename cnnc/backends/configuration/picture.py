"""A configuration table as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum

from cnnc.backends.configuration.stages import Entry
from cnnc.backends.configuration.table import Row, Table
from cnnc.backends.diagram.theme import THEMES, Theme, ThemeName
from cnnc.backends.vector import to_svg
from cnnc.backends.vector.scene import Group, Item, Line, Scene, Text, framed, text_width

SMALL = 7.0
_LEADING = 9.4
_PAD = 6.0
_BRACKET = 3.0


def svg_of(table: Table, theme: ThemeName = "light") -> str:
    """The table as a standalone SVG file."""
    return to_svg(scene_of(table, theme))


def scene_of(table: Table, theme: ThemeName = "light") -> Scene:
    """The table as a drawing, in points."""
    painter = _Painter(table, THEMES[theme])
    return framed(
        painter.items(), title=f"configurations of {', '.join(table.names)}",
        description=f"{len(table.rows)} stages of {len(table.names)} networks", paper=THEMES[theme].paper,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Columns:
    """Where columns stand: the left of each, and the right of the last."""

    edges: tuple[float, ...]
    first: int
    """The first column of a network."""

    @property
    def width(self) -> float:
        return self.edges[-1]

    def middle(self, column: int) -> float:
        return (self.edges[column] + self.edges[column + 1]) / 2

    @property
    def middle_of_all(self) -> float:
        """The middle of all networks' columns together."""
        return (self.edges[self.first] + self.edges[-1]) / 2


class _Painter:
    def __init__(self, table: Table, theme: Theme) -> None:
        self.table = table
        self.theme = theme
        self.columns = self._columns()

    def _columns(self) -> _Columns:
        table = self.table
        sides = [_widest([row.label for row in table.rows], bold=True)] if table.has_labels else []
        names = [name for name, _ in (*table.head, *table.foot)]
        sides.append(max(_widest([row.output for row in table.rows]), _widest(["output", *names], bold=True)))
        inner = [self._network_width(i) for i in range(len(table.names))]
        common = max((_cell_width(row.cells[0]) for row in table.rows if row.is_common), default=0.0)
        missing = max(0.0, common + 2 * _PAD - fsum(inner) - 2 * _PAD * len(inner)) / len(inner)
        edges = [0.0]
        for width in (*sides, *(width + missing for width in inner)):
            edges.append(edges[-1] + width + 2 * _PAD)
        return _Columns(tuple(edges), len(sides))

    def _network_width(self, i: int) -> float:
        table = self.table
        texts = _widest([texts[i] for _, texts in (*table.head, *table.foot)])
        cells = max((_cell_width(row.cells[i]) for row in table.rows if not row.is_common), default=0.0)
        return max(texts, cells, text_width(table.names[i], SMALL, bold=True))

    def items(self) -> list[Item]:
        """The table from top to bottom, rules between the rows."""
        items: list[Item] = []
        y = 0.0
        items += self._rule(y, 0.9)
        y = self._texts(items, y, "output", self.table.names, bold=True)
        for name, texts in self.table.head:
            y = self._texts(items, y, name, texts)
        items += self._rule(y, 0.9)
        for row in self.table.rows:
            y = self._row(items, y, row)
            items += self._rule(y, 0.35)
        items += self._rule(y, 0.9)
        for name, texts in self.table.foot:
            y = self._texts(items, y, name, texts)
        items += self._rule(y, 0.9)
        x = self.columns.edges[self.columns.first]
        items.append(Line(((x, 0), (x, y)), self.theme.faint, 0.35))
        return items

    def _rule(self, y: float, width: float) -> list[Item]:
        return [Line(((0, y), (self.columns.width, y)), self.theme.faint, width)]

    def _texts(
        self, items: list[Item], y: float, name: str, texts: Sequence[str], *, bold: bool = False
    ) -> float:
        """A row of one text for each network; where it ends."""
        base = y + 3 + SMALL
        side = self.columns.edges[self.columns.first - 1] + _PAD
        items.append(Text((side, base), name, self.theme.ink, SMALL, "start", bold=True))
        for i, text in enumerate(texts):
            at = (self.columns.middle(self.columns.first + i), base)
            items.append(Text(at, text, self.theme.ink, SMALL, bold=bold))
        return base + 4

    def _row(self, items: list[Item], y: float, row: Row) -> float:
        """A stage; where it ends."""
        height = max(map(_cell_height, row.cells)) + 6
        middle = y + height / 2
        base = middle + 0.35 * SMALL
        cells: list[Item] = []
        if self.table.has_labels:
            cells.append(Text((_PAD, base), row.label, self.theme.ink, SMALL, "start", bold=True))
        side = self.columns.edges[self.columns.first - 1] + _PAD
        cells.append(Text((side, base), _signed(row.output), self.theme.ink, SMALL, "start"))
        if row.is_common:
            cells += self._cell(self.columns.middle_of_all, middle, row.cells[0])
        else:
            for i, entries in enumerate(row.cells):
                cells += self._cell(self.columns.middle(self.columns.first + i), middle, entries)
        items.append(Group("stage", tuple(cells)))
        return y + height

    def _cell(self, x: float, middle: float, entries: Sequence[Entry]) -> list[Item]:
        items: list[Item] = []
        y = middle - _cell_height(entries) / 2
        for entry in entries:
            height = _entry_height(entry)
            items += self._entry(x, y, entry)
            y += height
        return items

    def _entry(self, x: float, top: float, entry: Entry) -> list[Item]:
        """A line, or the branches of a block in brackets with the count behind."""
        left = x - _entry_width(entry) / 2
        height = _entry_height(entry)
        items: list[Item] = []
        inner = left + (_BRACKET + 2 if entry.is_block else 0)
        for place, branch in enumerate(entry.branches):
            if place:
                inner += 4
                items.append(
                    Line(((inner - 2, top + 2), (inner - 2, top + height - 2)), self.theme.faint, 0.4)
                )
                inner += 2
            width = _widest(list(map(_signed, branch)))
            start = top + (height - len(branch) * _LEADING) / 2
            for i, term in enumerate(branch):
                at = (inner + width / 2, start + i * _LEADING + 0.72 * _LEADING)
                items.append(Text(at, _signed(term), self.theme.ink, SMALL))
            inner += width
        right = inner
        if entry.is_block:
            right += 2 + _BRACKET
            items += self._bracket(left, left + _BRACKET, top + 1, top + height - 1)
            items += self._bracket(right, right - _BRACKET, top + 1, top + height - 1)
        if entry.times > 1:
            at = (right + 3, top + height / 2 + 0.35 * SMALL)
            items.append(Text(at, _times(entry), self.theme.ink, SMALL, "start"))
        return items

    def _bracket(self, outer: float, inner: float, top: float, bottom: float) -> list[Item]:
        points = ((inner, top), (outer, top), (outer, bottom), (inner, bottom))
        return [Line(points, self.theme.ink, 0.6)]


def _widest(texts: Sequence[str], *, bold: bool = False) -> float:
    return max((text_width(text, SMALL, bold=bold) for text in texts), default=0.0)


def _times(entry: Entry) -> str:
    return f"\N{MULTIPLICATION SIGN} {entry.times}"


def _entry_height(entry: Entry) -> float:
    return max(len(branch) for branch in entry.branches) * _LEADING + (3 if entry.is_block else 0)


def _entry_width(entry: Entry) -> float:
    inner = fsum(_widest(list(map(_signed, branch))) for branch in entry.branches) + 6 * (
        len(entry.branches) - 1
    )
    brackets = 2 * (_BRACKET + 2) if entry.is_block else 0
    times = 3 + text_width(_times(entry), SMALL) if entry.times > 1 else 0
    return inner + brackets + times


def _cell_width(entries: Sequence[Entry]) -> float:
    return max(map(_entry_width, entries), default=0.0)


def _cell_height(entries: Sequence[Entry]) -> float:
    return fsum(map(_entry_height, entries)) if entries else _LEADING


def _signed(text: str) -> str:
    """`3x3` with the sign between its numbers."""
    letters = list(text)
    for i, ch in enumerate(letters):
        if ch == "x" and 0 < i < len(text) - 1 and text[i - 1].isdigit() and text[i + 1].isdigit():
            letters[i] = "\N{MULTIPLICATION SIGN}"
    return "".join(letters)
