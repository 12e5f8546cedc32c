"""A trail as a drawing: the maps one behind the other, the input with the growing field, a table."""

from __future__ import annotations

from collections.abc import Sequence

from cnnc.backends.diagram.theme import THEMES, ThemeName
from cnnc.backends.rf_picture.planes import Look, overlay, planes
from cnnc.backends.rf_picture.table import caption, headline, table
from cnnc.backends.rf_picture.trail import Trail, trail_of
from cnnc.backends.vector import to_svg, to_tikz
from cnnc.backends.vector.scene import Item, Scene, extent, framed, moved
from cnnc.compiler.graph import Graph

_BETWEEN = 22.0


def svg(
    graph: Graph, label: str, position: Sequence[int] | None = None, theme: ThemeName = "light", *,
    numbers: bool = True,
) -> str:  # fmt: skip
    """What one unit of a tensor sees, back to the input, as a standalone SVG file.

    `label` and `position` are as of `trail_of`, which raises the errors.
    """
    return to_svg(scene(graph, label, position, theme, numbers=numbers))


def tikz(
    graph: Graph, label: str, position: Sequence[int] | None = None, theme: ThemeName = "light", *,
    numbers: bool = True,
) -> str:  # fmt: skip
    """The same drawing as a standalone TikZ document."""
    return to_tikz(scene(graph, label, position, theme, numbers=numbers))


def scene(
    graph: Graph, label: str, position: Sequence[int] | None = None, theme: ThemeName = "light", *,
    numbers: bool = True,
) -> Scene:  # fmt: skip
    """The drawing: planes from the input to the unit, the field growing over the input, and a table of `numbers`."""
    return draw(trail_of(graph, label, position), theme, numbers=numbers)


def draw(trail: Trail, theme: ThemeName = "light", *, numbers: bool = True) -> Scene:
    """The drawing of a trail."""
    look = Look(THEMES[theme], theme)
    items: list[Item] = planes(trail, look)
    frame = extent(items)
    over = overlay(trail, look)
    box = extent(over)
    shift = (frame.top + frame.bottom - box.top - box.bottom) / 2
    items += [moved(item, frame.right + _BETWEEN - box.left, shift) for item in over]
    if numbers:
        items = _under(items, table(trail, look))
    width = extent(items).right - extent(items).left
    items = _under(items, caption(trail, look, width))
    items = _under(headline(trail, look), items)
    title = f"{trail.model}: the receptive field of {trail.name}"
    return framed(items, title=title, description=f"{len(trail.steps)} maps", paper=look.theme.paper)


def _under(upper: Sequence[Item], lower: Sequence[Item]) -> list[Item]:
    """Two drawings under one another, flush left."""
    above, below = extent(upper), extent(lower)
    return [*upper, *(moved(item, above.left - below.left, above.bottom + 10 - below.top) for item in lower)]
