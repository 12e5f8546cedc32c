"""A long diagram wrapped into columns (from left to right: into rows), for slides and wide pages.

Graphviz lays out each piece; here they are put side by side, and arrows are led from each to the next.
"""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from cnnc.backends.diagram.dot import Direction, legend_dot, write_dot
from cnnc.backends.diagram.picture import Picture
from cnnc.backends.diagram.plan import Level, picture
from cnnc.backends.diagram.render import render
from cnnc.backends.diagram.theme import THEMES, Theme, ThemeName
from cnnc.backends.diagram.wrap import Piece, Span, cuts_of, pieces_of
from cnnc.backends.vector.raster import rendered
from cnnc.backends.vector.scene import Point, number
from cnnc.compiler.graph import Graph

_SPACE = "{http://www.w3.org/2000/svg}"
GUTTER = 28.0
"""The room between two pieces, in points: an arrow runs in its middle."""
MARGIN = 10.0
"""The room around the pieces, in which arrows turn."""
MOST_PIECES = 24
EMPTY = 2.0
"""What an empty sheet would cost in nearness to the aspect, as a logarithm: part of it for a part."""
LETTER = 0.05
"""What an arrow that ends at a letter may cost in nearness to the aspect, as a logarithm; it has two letters."""


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A laid out picture: Graphviz's group of shapes, its width and its height."""

    group: ET.Element
    width: float
    height: float

    def at(self, name: str) -> Point:
        """The middle of a node that is drawn as a point."""
        node = next(g for g in self.group.iter(f"{_SPACE}g") if g.get("id") == name)
        point = next(node.iter(f"{_SPACE}ellipse"))
        dx, dy = _offset(self.group)
        return float(point.get("cx", "0")) + dx, float(point.get("cy", "0")) + dy


@dataclass(frozen=True, slots=True)
class _Sheet:
    """A whole sheet; `price` is what speaks against it: each letter, and the share of it that is empty."""

    svg: ET.Element
    price: float


def wrapped(
    graph: Graph, format: str, aspect: float, *, level: Level = "blocks", block: str | None = None,
    show: Sequence[str] = (), rankdir: Direction = "TB", theme: ThemeName = "light",
) -> bytes:  # fmt: skip
    """The diagram of a graph, wrapped, as svg, png or pdf; the other arguments are `to_dot`'s.

    Raises ValueError for another format or an aspect that is not positive, CnncError E802 where Graphviz
    is missing or, for png and pdf, CairoSVG.
    """
    if format not in ("svg", "png", "pdf"):
        raise ValueError(f"a diagram is wrapped as svg, png or pdf, not as {format}")
    if not aspect > 0:
        raise ValueError(f"an aspect is a positive number, not {aspect}")
    svg = wrapped_svg(
        picture(graph, level=level, block=block, show=show), aspect, rankdir=rankdir, theme=theme
    )
    return svg.encode() if format == "svg" else rendered(svg, format)


def wrapped_svg(
    drawn: Picture, aspect: float, *, rankdir: Direction = "TB", theme: ThemeName = "light"
) -> str:
    """A picture as SVG, in as many columns as come nearest an aspect (rows, where it goes from left to right).

    `aspect` is the width divided by the height. Raises CnncError E802 where there is no Graphviz.
    """
    whole = _laid_out(write_dot(drawn, rankdir=rankdir, theme=theme, legend=False).source)
    spans = _spans(whole, rankdir)

    def sheet(pieces: int) -> _Sheet | None:
        cuts = cuts_of(drawn, spans, pieces)
        return None if cuts is None else _sheet(drawn, pieces_of(drawn, cuts), rankdir, theme)

    length, breadth, wanted = whole.height, whole.width, aspect
    if rankdir == "LR":
        length, breadth, wanted = breadth, length, 1 / aspect
    best = _nearest(sheet, round(math.sqrt(wanted * length / breadth)), aspect)
    ET.register_namespace("", _SPACE[1:-1])
    ET.indent(best, " ")
    return ET.tostring(best, encoding="unicode") + "\n"


def _nearest(sheet: Callable[[int], _Sheet | None], guess: int, aspect: float) -> ET.Element:
    """The best sheet, by trying a piece more and a piece less from a guess on.

    Best is the nearest aspect, unless arrows are cut or room is empty for it.
    """
    tried: dict[int, _Sheet | None] = {}

    def miss(pieces: int) -> float:
        if pieces not in tried:
            tried[pieces] = sheet(pieces) if 1 <= pieces <= MOST_PIECES else None
        found = tried[pieces]
        return math.inf if found is None else abs(math.log(aspect_of(found.svg) / aspect)) + found.price

    guess = min(MOST_PIECES, max(1, guess))
    while miss(guess) == math.inf:  # no cuts make so many pieces; one piece can always be drawn
        guess -= 1
    while (better := min((guess, guess + 1, guess - 1), key=miss)) != guess:
        guess = better
    found = tried[guess]
    assert found is not None
    return found.svg


def aspect_of(svg: ET.Element) -> float:
    """The width of a drawing divided by its height."""
    width, height = (float((svg.get(side) or "").removesuffix("pt")) for side in ("width", "height"))
    return width / height


# --- what Graphviz laid out --------------------------------------------------------------


def _laid_out(dot: str) -> _Drawn:
    root = ET.fromstring(render(dot, "svg"))
    group = root.find(f"{_SPACE}g")
    assert group is not None
    width, height = (float((root.get(side) or "").removesuffix("pt")) for side in ("width", "height"))
    return _Drawn(group, width, height)


def _offset(group: ET.Element) -> Point:
    """How far Graphviz's group is moved: its shapes lie above the origin."""
    match = re.search(r"translate\(([-\d.]+)[ ,]+([-\d.]+)\)", group.get("transform") or "")
    assert match is not None
    return float(match[1]), float(match[2])


def _spans(whole: _Drawn, rankdir: Direction) -> dict[str, Span]:
    """Where each box begins and ends in the direction of the flow."""
    spans = {}
    for node in whole.group.iter(f"{_SPACE}g"):
        if node.get("class") == "node" and (shape := _outline(node)):
            across = shape[1 if rankdir == "TB" else 0 :: 2]
            spans[node.get("id") or ""] = min(across), max(across)
    return spans


def _outline(node: ET.Element) -> list[float]:
    """The coordinates of a node's outline, x and y in turn."""
    for shape in node.iter():
        if shape.tag == f"{_SPACE}ellipse":
            x, y, rx, ry = (float(shape.get(key, "0")) for key in ("cx", "cy", "rx", "ry"))
            return [x - rx, y - ry, x + rx, y + ry]
        if shape.tag in (f"{_SPACE}polygon", f"{_SPACE}path"):
            return [
                float(n) for n in re.findall(r"-?\d+(?:\.\d+)?", shape.get("points") or shape.get("d") or "")
            ]
    return []


# --- side by side ------------------------------------------------------------------------


def _sheet(drawn: Picture, pieces: Sequence[Piece], rankdir: Direction, theme: ThemeName) -> _Sheet:
    """The pieces beside each other (rows: below each other), arrows between them, the legend below."""
    laid = [
        _laid_out(write_dot(piece.picture, rankdir=rankdir, theme=theme, legend=False).source)
        for piece in pieces
    ]
    letters = {box.id for piece in pieces for box in piece.picture.nodes if box.kind == "link"}
    legend = _laid_out(legend_dot(drawn, theme=theme, letters=bool(letters)).source)
    places: list[Point] = []
    x = y = MARGIN
    for one in laid:
        places.append((x, y))
        x, y = (x + one.width + GUTTER, y) if rankdir == "TB" else (x, y + one.height + GUTTER)
    right = max(x + one.width for (x, _), one in zip(places, laid, strict=True)) + MARGIN
    bottom = max(y + one.height for (_, y), one in zip(places, laid, strict=True)) + MARGIN
    width, height = max(right, legend.width), bottom + legend.height
    svg = _paper(drawn, width, height, THEMES[theme])
    for k, (one, place) in enumerate(zip(laid, places, strict=True)):
        svg.append(_placed(one, place, f"p{k}_"))
    svg.append(_placed(legend, ((width - legend.width) / 2, bottom), "legend_"))
    for here, there in pairwise(zip(pieces, laid, places, strict=True)):
        if there[0].enters is not None:
            svg.append(_line(_way(here, there, right, rankdir), THEMES[theme].faint))
    used = math.fsum(one.width * one.height for one in laid) / (right * bottom)
    return _Sheet(svg, LETTER * len(letters) + EMPTY * (1 - used))


def _way(
    here: tuple[Piece, _Drawn, Point], there: tuple[Piece, _Drawn, Point], right: float, rankdir: Direction
) -> list[Point]:
    """The arrow to the next piece: out below a column, up in the gutter, in from above; likewise for rows."""
    (piece, one, place), (following, other, place_2) = here, there
    assert piece.leaves is not None and following.enters is not None
    x, y = (a + b for a, b in zip(one.at(piece.leaves), place, strict=True))
    to_x, to_y = (a + b for a, b in zip(other.at(following.enters), place_2, strict=True))
    start = MARGIN / 2
    if rankdir == "TB":
        turn, gutter = place[1] + one.height, place_2[0] - GUTTER / 2
        return [(x, y), (x, turn), (gutter, turn), (gutter, start), (to_x, start), (to_x, to_y)]
    turn, gutter = right - MARGIN / 2, place_2[1] - GUTTER / 2
    return [(x, y), (turn, y), (turn, gutter), (start, gutter), (start, to_y), (to_x, to_y)]


def _paper(drawn: Picture, width: float, height: float, colours: Theme) -> ET.Element:
    wide, high = number(width), number(height)
    svg = ET.Element(
        f"{_SPACE}svg", {"width": f"{wide}pt", "height": f"{high}pt", "viewBox": f"0 0 {wide} {high}"}
    )
    ET.SubElement(svg, f"{_SPACE}title").text = "".join(ch if ch.isprintable() else "·" for ch in drawn.name)
    ET.SubElement(svg, f"{_SPACE}rect", {"width": wide, "height": high, "fill": colours.paper})
    return svg


def _placed(one: _Drawn, place: Point, prefix: str) -> ET.Element:
    """A laid out picture moved to its place; the ids that Graphviz counts by itself are made unlike."""
    around = ET.Element(f"{_SPACE}g", {"transform": f"translate({number(place[0])},{number(place[1])})"})
    for element in one.group.iter():
        name = element.get("id")
        if name is not None and re.fullmatch(r"(graph|edge|node|clust|a_)\w*", name):
            element.set("id", prefix + name)
    around.append(one.group)
    return around


def _line(points: Sequence[Point], colour: str) -> ET.Element:
    path = "M " + " L ".join(f"{number(x)},{number(y)}" for x, y in points)
    return ET.Element(
        f"{_SPACE}path",
        {"class": "turn", "d": path, "fill": "none", "stroke": colour, "stroke-linejoin": "round"},
    )
