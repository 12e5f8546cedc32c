"""One volume: its slabs with front, top and side, its stripes, or the circle of a merge."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from math import cos, pi, sin

from cnnc.backends.diagram.picture import Kind
from cnnc.backends.diagram.theme import LOOKS, Theme, ThemeName, fill
from cnnc.backends.vector.scene import Group, Item, Polygon, Text, mixed
from cnnc.backends.volumes.place import Placed
from cnnc.backends.volumes.plan import Stripe, Volume

MOST_STRIPES = 6
"""More parts than this have no lines between them, and neighbours of one kind are drawn as one."""


@dataclass(frozen=True, slots=True)
class Brush:
    """The colours of one theme."""

    theme: Theme
    name: ThemeName

    def face(self, kind: Kind) -> str:
        """The colour of a front: the diagram's, a little stronger, for a slab's front is narrow."""
        return mixed(fill(kind, self.name), self.theme.ink, 0.08)

    def top(self, colour: str) -> str:
        """A top is lit."""
        return mixed(colour, "#ffffff", 0.45 if self.name == "light" else 0.14)

    def side(self, colour: str) -> str:
        """A side lies in the shade."""
        return mixed(colour, "#000000", 0.10 if self.name == "light" else 0.25)

    @property
    def edge(self) -> str:
        return mixed(self.theme.faint, self.theme.ink, 0.3)


def pen(kind: Kind) -> tuple[float, tuple[float, ...]]:
    """The width and the dashes of a kind's edges: what tells kinds apart where there is no colour."""
    border = LOOKS[kind].border
    width = 0.9 if LOOKS[kind].weight > 1 else 0.5
    dash = (2.2, 1.4) if "dashed" in border else (0.8, 1.2) if "dotted" in border else ()
    return width, dash


def box(placed: Placed, brush: Brush) -> Group:
    """A volume as a group, with its nodes' indices as data."""
    volume = placed.volume
    items: list[Item] = []
    if volume.sign is not None:
        items += circle(
            placed.x + placed.measure.width / 2, placed.y, placed.measure.width / 2, volume.sign, brush
        )
    else:
        for start in placed.measure.slabs:
            items += _slab(placed, placed.x + start, brush)
        if placed.measure.dots is not None:
            at = (placed.x + placed.measure.dots + placed.measure.dx / 2, placed.y)
            items.append(Text(at, "…", brush.theme.ink, 8, bold=True))
    nodes = " ".join(map(str, volume.nodes))
    return Group(
        "volume", tuple(items), _title(volume), {"id": volume.id, "nodes": nodes, "kind": volume.kind}
    )


def _title(volume: Volume) -> str:
    shape = "x".join(map(str, volume.out))
    name = f"{volume.title}: " if volume.title is not None else ""
    times = f" x {volume.times}" if volume.times > 1 else ""
    return f"{name}{volume.word}{times}, {shape}"


def circle(x: float, y: float, radius: float, sign: str, brush: Brush) -> list[Item]:
    """A merge's sign in a circle."""
    around = tuple((x + radius * cos(2 * pi * i / 24), y + radius * sin(2 * pi * i / 24)) for i in range(24))
    return [
        Polygon(around, brush.theme.paper, brush.theme.ink, 0.8),
        Text((x, y + 2.9), sign, brush.theme.ink, 9, bold=True),
    ]


def _slab(placed: Placed, x: float, brush: Brush) -> list[Item]:
    """Front, top and side; the front and the top in stripes where parts were concatenated."""
    m, volume = placed.measure, placed.volume
    top, bottom = placed.y - m.height / 2, placed.y + m.height / 2
    width, dash = pen(volume.kind)
    stripes = _few(volume.stripes)
    items: list[Item] = []
    edges = _edges(stripes, m.thickness) if stripes else [(0.0, m.thickness)]
    colours = [_stripe_colour(s, brush) for s in stripes] or [brush.face(volume.kind)]
    outlined = len(edges) > 1
    for (a, b), colour in zip(edges, colours, strict=True):
        line = None if len(volume.stripes) > MOST_STRIPES else brush.edge
        stroke, gaps = (0.3, ()) if outlined else (width, dash)
        front = ((x + a, top), (x + b, top), (x + b, bottom), (x + a, bottom))
        lid = ((x + a, top), (x + b, top), (x + b + m.dx, top - m.dy), (x + a + m.dx, top - m.dy))
        items.append(Polygon(front, colour, line, stroke, gaps))
        items.append(Polygon(lid, brush.top(colour), line, stroke, gaps))
    right = x + m.thickness
    side = ((right, top), (right + m.dx, top - m.dy), (right + m.dx, bottom - m.dy), (right, bottom))
    items.append(Polygon(side, brush.side(colours[-1]), brush.edge, width, dash))
    if outlined:
        outline = (
            (x, top),
            (x + m.dx, top - m.dy),
            (right + m.dx, top - m.dy),
            (right, top),
            (right, bottom),
            (x, bottom),
        )
        items.append(Polygon(outline, None, brush.edge, width, dash))
    return items


def _few(stripes: tuple[Stripe, ...]) -> tuple[Stripe, ...]:
    """Stripes, neighbours alike as one where there are many."""
    if len(stripes) <= MOST_STRIPES:
        return stripes
    runs = [list(run) for _, run in groupby(stripes, key=lambda stripe: (stripe.kind, stripe.copied))]
    return tuple(replace(run[0], channels=sum(stripe.channels for stripe in run)) for run in runs)


def _edges(stripes: tuple[Stripe, ...], thickness: float) -> list[tuple[float, float]]:
    """Where each stripe begins and ends, in proportion to its channels."""
    total = sum(stripe.channels for stripe in stripes)
    edges, start = [], 0.0
    for stripe in stripes:
        end = start + thickness * stripe.channels / total
        edges.append((start, end))
        start = end
    return edges


def _stripe_colour(stripe: Stripe, brush: Brush) -> str:
    return brush.theme.paper if stripe.copied else brush.face(stripe.kind)
