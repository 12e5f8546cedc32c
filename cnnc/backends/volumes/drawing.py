"""A plan as a drawing: boxes, labels, arrows and the legend."""

from __future__ import annotations

from collections.abc import Sequence

from cnnc.backends.diagram.theme import THEMES, ThemeName
from cnnc.backends.vector.scene import Item, Scene, extent, framed
from cnnc.backends.volumes.arrows import arrows, loops
from cnnc.backends.volumes.labels import labels, labels_beside, stages
from cnnc.backends.volumes.legend import legend
from cnnc.backends.volumes.paint import Brush, box
from cnnc.backends.volumes.place import Placed, is_single_file, place
from cnnc.backends.volumes.plan import Plan, plan_of
from cnnc.backends.volumes.scale import Scale
from cnnc.backends.volumes.streams import (
    arrows_of_streams,
    exchanged_levels,
    place_in_streams,
    stages_of_streams,
)
from cnnc.backends.volumes.ushape import place_as_u
from cnnc.compiler.graph import Graph


def scene(graph: Graph, theme: ThemeName = "light") -> Scene:
    """The feature maps of a graph as boxes, in points; about as wide as a text column of A4.

    Sizes come from the shapes, repeats stand as slabs side by side, a merge that
    concatenates shows its parts as stripes, and skips are arcs. A net that comes
    back to its resolution with skips across (U-Net) is drawn as a U, and streams of several
    resolutions that exchange their maps (HRNet) in a row each.

    Raises CnncError E901 where the picture would be too large to read.
    """
    return draw(plan_of(graph), theme)


def draw(plan: Plan, theme: ThemeName = "light") -> Scene:
    """The drawing of a plan."""
    as_u = plan.returns() and is_single_file(plan)
    brush = Brush(THEMES[theme], theme)
    if exchanged_levels(plan):
        items = _in_streams(plan, brush)
    else:
        items = _as_u(plan, brush) if as_u else _in_line(plan, brush)
    frame = extent(items)
    items += legend(plan, brush, Scale(plan.volumes).caption(), frame)
    return framed(
        items, title=f"{plan.name}: its feature maps",
        description=_description(plan), paper=brush.theme.paper,
    )  # fmt: skip


def _as_u(plan: Plan, brush: Brush) -> list[Item]:
    placed, sides = place_as_u(plan)
    return [
        *arrows(plan, placed, brush, as_u=True),
        *_boxes(placed, brush),
        *labels_beside(placed, sides, brush),
    ]


def _in_streams(plan: Plan, brush: Brush) -> list[Item]:
    streams = place_in_streams(plan)
    return [
        *arrows_of_streams(plan, streams, brush),
        *_boxes(streams.placed, brush),
        *labels_beside(streams.placed, {volume.id: "below" for volume in plan.volumes}, brush),
        *stages_of_streams(streams, brush),
    ]


def _in_line(plan: Plan, brush: Brush) -> list[Item]:
    placed = place(plan)
    written, base = labels(placed, brush)
    flows = arrows(plan, placed, brush, as_u=False)
    return [*flows, *_boxes(placed, brush), *written, *stages(placed, brush, base)]


def _boxes(placed: Sequence[Placed], brush: Brush) -> list[Item]:
    items: list[Item] = []
    for one in placed:
        items.append(box(one, brush))
        items += loops(one, brush)
    return items


def _description(plan: Plan) -> str:
    first, last = plan.volumes[0], plan.volumes[-1]
    return f"{len(plan.volumes)} feature maps, from {'x'.join(map(str, first.out))} to {'x'.join(map(str, last.out))}"
