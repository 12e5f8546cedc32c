"""A scene: polygons, lines and texts in points, y downwards, before anybody chose a file format.

Every picture that needs no Graphviz is made as a scene first; the SVG and the
TikZ writer read the same scene, so that what is right in one is right in both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

Point = tuple[float, float]
Anchor = Literal["start", "middle", "end"]


@dataclass(frozen=True, slots=True)
class Polygon:
    """A closed shape; `dash` are the lengths of strokes and gaps, `opacity` is of the filling."""

    points: tuple[Point, ...]
    fill: str | None
    stroke: str | None = None
    width: float = 0.5
    dash: tuple[float, ...] = ()
    opacity: float = 1.0


@dataclass(frozen=True, slots=True)
class Line:
    """An open line through its points, straight or, with `curved`, a Bezier curve of four points.

    With `arrow` its end has a head.
    """

    points: tuple[Point, ...]
    stroke: str
    width: float = 0.6
    dash: tuple[float, ...] = ()
    curved: bool = False
    arrow: bool = False

    def __post_init__(self) -> None:
        if self.curved and len(self.points) != 4:
            raise ValueError(f"a Bezier curve has 4 points, not {len(self.points)}")


@dataclass(frozen=True, slots=True)
class Text:
    """One line of text; `at` is on its baseline, `size` the height of the letters' em."""

    at: Point
    text: str
    colour: str
    size: float = 7.0
    anchor: Anchor = "middle"
    bold: bool = False

    @property
    def length(self) -> float:
        """About how long it is."""
        return text_width(self.text, self.size, bold=self.bold)


@dataclass(frozen=True, slots=True)
class Group:
    """What belongs together: a `role` (a class in SVG), and a title that a browser shows on hovering.

    `data` are further attributes, written as `data-NAME`.
    """

    role: str
    items: tuple[Item, ...]
    title: str | None = None
    data: Mapping[str, str] = field(default_factory=dict)


Item = Polygon | Line | Text | Group


@dataclass(frozen=True, slots=True)
class Scene:
    """A whole drawing. `title` and `description` say to a screen reader what is drawn."""

    title: str
    description: str
    width: float
    height: float
    paper: str
    items: tuple[Item, ...]


# --- how much room things take -----------------------------------------------------------

_NARROW = frozenset("fijlrtI.,:;'|!()[]/ -·")
_WIDE = frozenset("mwMW@%—…ABCDEFGHKNOPQRSTUVXYZ+=×")


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """About how long a text is in Helvetica or a font of its widths; rather too long than too short."""
    # Hundredths: Python 3.12 adds fractions up in another way than 3.11, and pictures are the same bytes everywhere.
    ems = sum(33 if ch in _NARROW else 76 if ch in _WIDE else 57 if ord(ch) < 0x2000 else 100 for ch in text)
    return size * ems / 100 * (1.06 if bold else 1.0)


def wrapped(text: str, width: float, size: float) -> list[str]:
    """A text in lines no longer than the width, broken at its blanks.

    >>> wrapped("height and depth", 40, 7)
    ['height and', 'depth']
    """
    lines: list[str] = []
    for word in text.split():
        if lines and text_width(f"{lines[-1]} {word}", size) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def number(value: float) -> str:
    """A length as both writers write it: a hundredth of a point is below what any printer shows.

    >>> number(2.50), number(3.0), number(-0.001)
    ('2.5', '3', '0')
    """
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def every(items: Iterable[Item]) -> Iterator[Polygon | Line | Text]:
    """The shapes of items, those in groups included."""
    for item in items:
        if isinstance(item, Group):
            yield from every(item.items)
        else:
            yield item


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle that encloses something."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: Box) -> bool:
        """Whether they share more than a border."""
        return (
            self.left < other.right and other.left < self.right
            and self.top < other.bottom and other.top < self.bottom
        )  # fmt: skip


def bounds(item: Polygon | Line | Text) -> Box:
    """The rectangle around a shape; of a text, around its letters."""
    if isinstance(item, Text):
        x, y = item.at
        left = x - {"start": 0.0, "middle": 0.5, "end": 1.0}[item.anchor] * item.length
        return Box(left, y - 0.76 * item.size, left + item.length, y + 0.22 * item.size)
    xs, ys = [x for x, _ in item.points], [y for _, y in item.points]
    return Box(min(xs), min(ys), max(xs), max(ys))


def extent(items: Iterable[Item]) -> Box:
    """The rectangle around items. Raises ValueError where there are none."""
    boxes = [bounds(item) for item in every(items)]
    if not boxes:
        raise ValueError("there is nothing to enclose")
    return Box(
        min(box.left for box in boxes), min(box.top for box in boxes),
        max(box.right for box in boxes), max(box.bottom for box in boxes),
    )  # fmt: skip


def moved(item: Item, dx: float, dy: float) -> Item:
    """The same shape elsewhere."""
    match item:
        case Group(role, items, title, data):
            return Group(role, tuple(moved(inner, dx, dy) for inner in items), title, data)
        case Text((x, y), text, colour, size, anchor, bold):
            return Text((x + dx, y + dy), text, colour, size, anchor, bold)
        case Polygon(points, fill, stroke, width, dash, opacity):
            return Polygon(tuple((x + dx, y + dy) for x, y in points), fill, stroke, width, dash, opacity)
        case Line(points, stroke, width, dash, curved, arrow):
            return Line(tuple((x + dx, y + dy) for x, y in points), stroke, width, dash, curved, arrow)


def framed(items: Iterable[Item], *, title: str, description: str, paper: str, margin: float = 8.0) -> Scene:
    """A scene of items with a margin around them, its corner at 0, 0."""
    items = tuple(items)
    box = extent(items)
    dx, dy = margin - box.left, margin - box.top
    return Scene(
        title, description,
        width=box.right - box.left + 2 * margin, height=box.bottom - box.top + 2 * margin,
        paper=paper, items=tuple(moved(item, dx, dy) for item in items),
    )  # fmt: skip


def mixed(colour: str, other: str, share: float) -> str:
    """A colour with `share` (0 to 1) of another in it, as `#rrggbb`."""
    pairs = zip(_rgb(colour), _rgb(other), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
