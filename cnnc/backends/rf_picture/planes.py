"""The maps as planes in space, each with what the unit sees of it; and the input seen from the front."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from cnnc.backends.diagram.theme import Theme, ThemeName
from cnnc.backends.diagram.words import cut
from cnnc.backends.rf_picture.trail import Region, Step, Trail, evenly
from cnnc.backends.vector.scene import Group, Item, Line, Point, Polygon, Text, extent, mixed, text_width
from cnnc.compiler.lattice import Interval

SMALL = 6.5
MOST_PLANES = 7
MOST_CELLS = 26
"""A region of up to so many positions is drawn cell by cell."""
_PANEL = 128.0
_TALLEST, _LOWEST = 104.0, 18.0
_CELL = 7.0
BEYOND = 0.15
"""How much of the padding around a whole map is drawn, as a share of the map."""
_LEAN_X, _LEAN_Y = 0.42, 0.30
"""How far a plane's columns lead to the right and up, for each point of their length."""


@dataclass(frozen=True, slots=True)
class Look:
    """The colours: one for each step, from the first layers to the unit, in grey too from light to dark."""

    theme: Theme
    name: ThemeName

    def shade(self, place: int, number: int) -> str:
        ends = ("#b5d4ea", "#0b3c6f") if self.name == "light" else ("#2c5078", "#cfe3f5")
        return mixed(*ends, place / max(1, number - 1))

    @property
    def unit(self) -> str:
        return self.theme.skip


@dataclass(frozen=True, slots=True)
class Window:
    """The part of a map that is shown, in positions from `first` to `last` + 1 of rows and columns."""

    rows: Interval
    columns: Interval

    @property
    def height(self) -> int:
        return self.rows[1] - self.rows[0] + 1

    @property
    def width(self) -> int:
        return self.columns[1] - self.columns[0] + 1


def flat(region: Region) -> tuple[Interval | None, Interval | None]:
    """A region's rows and columns: of a signal one row, of a volume the last two axes."""
    if len(region) == 0:
        return (0, 0), (0, 0)
    return ((0, 0), region[0]) if len(region) == 1 else (region[-2], region[-1])


def is_fine(trail: Trail) -> bool:
    """Whether what the unit sees is small enough to be drawn cell by cell."""
    spans = [span for step in trail.steps for span in flat(step.seen) if span is not None]
    return not trail.whole_by and all(last - first < MOST_CELLS for first, last in spans)


def chosen(trail: Trail) -> list[Step]:
    """The steps that are drawn as planes: the ends, and those at which the size changes."""
    steps = trail.steps
    if len(steps) <= MOST_PLANES:
        return list(steps)
    last = len(steps) - 1
    turns = [i for i in range(len(steps)) if i in (0, last) or steps[i].sizes != steps[i - 1].sizes]
    return [steps[i] for i in evenly(turns, MOST_PLANES)]


def window_of(step: Step, *, fine: bool) -> Window:
    """What is shown of a map: the region and a cell around it, or all of it."""
    whole = flat(tuple((0, n - 1) for n in step.sizes))
    assert whole[0] is not None and whole[1] is not None
    rows, columns = flat(step.seen)
    if not fine or rows is None or columns is None:
        return Window(whole[0], whole[1])
    return Window(_around(rows, whole[0]), _around(columns, whole[1]))


def _around(span: Interval, whole: Interval) -> Interval:
    """A span with one more position at each side, where the map has it."""
    return min(span[0], max(span[0] - 1, whole[0])), max(span[1], min(span[1] + 1, whole[1]))


# --- planes in space ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Plane:
    """A window in its place: its lower left corner, and the length of a row's and a column's step."""

    step: Step
    window: Window
    x: float
    y: float
    row: float
    column: float

    def point(self, row: float, column: float) -> Point:
        """Where a position's upper left corner is."""
        across = (column - self.window.columns[0]) * self.column
        down = (row - self.window.rows[0]) * self.row
        return self.x + _LEAN_X * across, self.y + down - _LEAN_Y * across

    def patch(self, rows: Interval, columns: Interval) -> tuple[Point, Point, Point, Point]:
        """The corners of a rectangle of positions, both ends included."""
        return (
            self.point(rows[0], columns[0]), self.point(rows[0], columns[1] + 1),
            self.point(rows[1] + 1, columns[1] + 1), self.point(rows[1] + 1, columns[0]),
        )  # fmt: skip


def planes(trail: Trail, look: Look) -> list[Item]:
    """The planes from the input on the left to the unit on the right, joined by the cone of what is seen."""
    fine = is_fine(trail)
    steps = chosen(trail)
    placed = _placed(steps, fine=fine)
    shades = {step.node: look.shade(i, len(trail.steps)) for i, step in enumerate(trail.steps)}
    items: list[Item] = []
    for i, plane in enumerate(placed):
        if i:
            items += _cone(placed[i - 1], plane, look)
        is_unit = i == len(placed) - 1
        items.append(_drawn(plane, look, look.unit if is_unit else shades[plane.step.node], fine=fine))
    bottom = extent(items).bottom
    for plane in placed:
        items += _named(plane, bottom + 5, look)
    return items


def _placed(steps: Sequence[Step], *, fine: bool) -> list[_Plane]:
    windows = [window_of(step, fine=fine) for step in steps]
    most = max(max(w.height, w.width) for w in windows)
    cell = min(_CELL, _TALLEST / most)
    placed: list[_Plane] = []
    x = 0.0
    for step, window in zip(steps, windows, strict=True):
        row = column = cell if fine else _scaled(max(window.height, window.width), most)
        height = max(window.height * row, 3.0)
        width = max(window.width * column, 3.0)
        row, column = height / window.height, width / window.width
        middle = (height - _LEAN_Y * width) / 2
        label = max(text_width(line, SMALL) for line in _lines(step))
        reach = max(_LEAN_X * width, label)
        placed.append(_Plane(step, window, x + (reach - _LEAN_X * width) / 2, -middle, row, column))
        x += reach + (9.0 if len(steps) > 4 else 20.0)
    return placed


def _scaled(size: int, most: int) -> float:
    """The length of one position: planes shrink with the square root of their size, so that the last can be seen."""
    return max(_LOWEST, _TALLEST * sqrt(size / most)) / size


def _drawn(plane: _Plane, look: Look, shade: str, *, fine: bool) -> Group:
    window, step = plane.window, plane.step
    items: list[Item] = []
    whole = flat(tuple((0, n - 1) for n in step.sizes))
    inside = _clipped((window.rows, window.columns), whole)
    assert inside is not None
    items.append(Polygon(plane.patch(*inside), look.theme.frame, look.theme.faint, 0.5))
    rows, columns = flat(step.seen)
    if rows is not None and columns is not None:
        seen = _clipped((rows, columns), whole)
        if seen is not None:
            items.append(Polygon(_visible(plane.patch(*seen)), shade, None, opacity=0.85))
        if fine:
            items += _grid(plane, inside, look)
        dash = () if seen == (rows, columns) else (1.6, 1.2)
        items.append(Polygon(_visible(plane.patch(*_reach(step))), None, look.theme.ink, 0.8, dash))
    return Group("plane", tuple(items), _told(step), {"node": str(step.node)})


def _reach(step: Step) -> tuple[Interval, Interval]:
    """The region as it is drawn: what lies far out in the padding is not."""
    rows, columns = flat(step.seen)
    assert rows is not None and columns is not None
    whole = flat(tuple((0, n - 1) for n in step.sizes))
    near = [
        (-round(BEYOND * (end[1] + 1)), end[1] + round(BEYOND * (end[1] + 1)))
        for end in whole
        if end is not None
    ]
    clipped = _clipped((rows, columns), (near[0], near[1]))
    return (rows, columns) if clipped is None else clipped


def _visible(patch: tuple[Point, Point, Point, Point]) -> tuple[Point, Point, Point, Point]:
    """A patch of at least a point's height: one position of a large map is less than a hair."""
    a, b, c, d = patch
    if d[1] - a[1] >= 1.6 or b[0] - a[0] >= 1.6:
        return patch
    x, y = (a[0] + c[0]) / 2, (a[1] + c[1]) / 2
    return (x - 0.6, y - 0.8), (x + 0.6, y - 1.2), (x + 0.6, y + 0.8), (x - 0.6, y + 1.2)


def _told(step: Step) -> str:
    return f"{step.name}: {'x'.join(map(str, (step.channels, *step.sizes)))}, seen {region_text(step.seen)}"


def _grid(plane: _Plane, inside: tuple[Interval, Interval], look: Look) -> list[Item]:
    rows, columns = inside
    lines: list[Item] = []
    for r in range(rows[0] + 1, rows[1] + 1):
        ends = (plane.point(r, columns[0]), plane.point(r, columns[1] + 1))
        lines.append(Line(ends, look.theme.faint, 0.25))
    for c in range(columns[0] + 1, columns[1] + 1):
        ends = (plane.point(rows[0], c), plane.point(rows[1] + 1, c))
        lines.append(Line(ends, look.theme.faint, 0.25))
    return lines


def _cone(one: _Plane, other: _Plane, look: Look) -> list[Item]:
    """The four edges from what is seen of one map to what is seen of the next."""
    if None in (*flat(one.step.seen), *flat(other.step.seen)):
        return []
    pairs = zip(one.patch(*_reach(one.step)), other.patch(*_reach(other.step)), strict=True)
    return [Line(ends, look.theme.skip, 0.4) for ends in pairs]


def _named(plane: _Plane, top: float, look: Look) -> list[Item]:
    middle = plane.x + _LEAN_X * plane.window.width * plane.column / 2
    name, *rest = _lines(plane.step)
    items: list[Item] = [Text((middle, top + SMALL), name, look.theme.ink, SMALL, bold=True)]
    for i, line in enumerate(rest, 1):
        items.append(Text((middle, top + SMALL + i * 7.8), line, look.theme.ink, SMALL))
    return items


def _lines(step: Step) -> tuple[str, ...]:
    *levels, name = step.name.split(".")
    if levels:  # a number alone says little, and several levels may have a maxpool1
        name = f"{levels[-1]}.{name}"
    name = cut(name, 16)
    word = () if step.word == name else (step.word,)
    size = "\N{MULTIPLICATION SIGN}".join(map(str, step.sizes)) or "vector"
    return (name, *word, size)


# --- the input from the front ------------------------------------------------------------


def overlay(trail: Trail, look: Look) -> list[Item]:
    """The input, or the part around the field, with the fields of the steps' middles over one another."""
    source = trail.steps[0]
    fine = is_fine(trail)
    window = _over_input(trail, fine=fine)
    cell = _PANEL / max(window.height, window.width)
    whole = flat(tuple((0, n - 1) for n in source.sizes))

    def patch(rows: Interval, columns: Interval) -> tuple[Point, ...]:
        left, right = (columns[0] - window.columns[0]) * cell, (columns[1] + 1 - window.columns[0]) * cell
        top, bottom = (rows[0] - window.rows[0]) * cell, (rows[1] + 1 - window.rows[0]) * cell
        return (left, top), (right, top), (right, bottom), (left, bottom)

    inside = _clipped((window.rows, window.columns), whole)
    assert inside is not None
    items: list[Item] = [Polygon(patch(*inside), look.theme.frame, look.theme.faint, 0.6)]
    number = len(trail.steps)
    for place, step in reversed(tuple(enumerate(trail.steps))):
        rows, columns = flat(step.field)
        if place == 0 or rows is None or columns is None:
            continue
        shade = look.unit if place == number - 1 else look.shade(place, number)
        title = f"one unit of {step.name} sees {region_text(step.field)}"
        filled = Polygon(patch(rows, columns), shade, look.theme.paper, 0.6 if fine else 0.25)
        items.append(Group("field", (filled,), title, {"node": str(step.node)}))
    out = inside != (window.rows, window.columns)
    items.append(Polygon(patch(*inside), None, look.unit if out else look.theme.faint, 1.2 if out else 0.6))
    where = (
        "the input (framed) and the padding"
        if out
        else "the input"
        if inside == whole
        else f"the input, {region_text(inside)}"
    )
    items.append(Text((window.width * cell / 2, window.height * cell + 9), where, look.theme.ink, SMALL))
    return items


def _over_input(trail: Trail, *, fine: bool) -> Window:
    """What is shown of the input: all of it, or around the field; the padding where the field reaches there."""
    source = trail.steps[0]
    base = window_of(source, fine=fine)
    rows, columns = flat(source.seen)
    if rows is None or columns is None:
        return base
    fields = [flat(step.field) for step in trail.steps[1:]]
    all_rows = [base.rows, *(r for r, _ in fields if r is not None)]
    all_columns = [base.columns, *(c for _, c in fields if c is not None)]
    return Window(
        (min(a for a, _ in all_rows), max(b for _, b in all_rows)),
        (min(a for a, _ in all_columns), max(b for _, b in all_columns)),
    )


def _clipped(
    spans: tuple[Interval, Interval], whole: tuple[Interval | None, Interval | None]
) -> tuple[Interval, Interval] | None:
    """The part of a rectangle on the map; None where there is none."""
    assert whole[0] is not None and whole[1] is not None
    rows = max(spans[0][0], whole[0][0]), min(spans[0][1], whole[0][1])
    columns = max(spans[1][0], whole[1][0]), min(spans[1][1], whole[1][1])
    return (rows, columns) if rows[0] <= rows[1] and columns[0] <= columns[1] else None


_AXES = {1: ("positions",), 2: ("rows", "columns"), 3: ("frames", "rows", "columns")}


def region_text(region: Region) -> str:
    """`rows 3..5, columns 3..5`; nothing of a vector's one position.

    >>> region_text(((3, 5), (0, 2)))
    'rows 3..5, columns 0..2'
    """
    if any(span is None for span in region):
        return "nothing"
    names = _AXES.get(len(region), ())
    told = [_span_text(name, span) for name, span in zip(names, region, strict=True) if span is not None]
    return ", ".join(told) or "the vector"


def _span_text(name: str, span: Interval) -> str:
    return f"{name.removesuffix('s')} {span[0]}" if span[0] == span[1] else f"{name} {span[0]}..{span[1]}"


def size_text(region: Region) -> str:
    """`3x3`: how many positions a region has on each axis."""
    return (
        "\N{MULTIPLICATION SIGN}".join("0" if span is None else str(span[1] - span[0] + 1) for span in region)
        or "1"
    )
