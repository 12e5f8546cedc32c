"""Arrows: straight ones between neighbours, steps between the levels of a U, arcs for skips."""

from __future__ import annotations

from collections.abc import Sequence

from cnnc.backends.vector.scene import Item, Line, Text
from cnnc.backends.volumes.paint import Brush
from cnnc.backends.volumes.place import LOOP, SMALL, Placed, flows_of, label_width
from cnnc.backends.volumes.plan import Flow, Plan

_ARC = 8.0
"""Between an arc and what it goes over."""
_DASH = (3.0, 2.0)


def arrows(plan: Plan, placed: Sequence[Placed], brush: Brush, *, as_u: bool) -> list[Item]:
    """All arrows, to be drawn before the volumes, which hide their ends."""
    by_id = {one.volume.id: one for one in placed}
    items: list[Item] = []
    arcs: list[tuple[float, float, float]] = []
    skips = [flow for flow in flows_of(plan) if flow.skip]
    for flow in flows_of(plan):
        source, target = by_id[flow.source], by_id[flow.target]
        if not flow.skip:
            items.append(_step(source, target, brush) if as_u else _straight(source, target, brush))
    for flow in sorted(skips, key=lambda f: by_id[f.target].x - by_id[f.source].x):
        source, target = by_id[flow.source], by_id[flow.target]
        if as_u and abs(source.y - target.y) < 1:
            items += _across(flow, source, target, placed, brush)
        else:
            items += _arc(flow, source, target, placed, arcs, brush)
    return items


def _straight(source: Placed, target: Placed, brush: Brush) -> Line:
    """Between neighbours; from lane to lane by a bend that is clear of the labels."""
    start, end = (source.right, source.y), (target.x - 0.8, target.y)
    if abs(source.y - target.y) < 0.01:
        return Line((start, end), brush.theme.ink, 0.7, arrow=True)
    if source.lane[0] < target.lane[0] and abs(source.y) < abs(target.y):  # apart: right behind the source
        bend = max(source.right + 3, source.middle + label_width(source.volume) / 2 + 3)
    else:  # together: right before the target
        bend = min(target.x - 9, target.middle - label_width(target.volume) / 2 - 3)
    return Line((start, (bend, source.y), (bend, target.y), end), brush.theme.ink, 0.7, arrow=True)


def _step(source: Placed, target: Placed, brush: Brush) -> Line:
    """In a U: across on one level, else down from below the source, or up to below the target."""
    if abs(source.y - target.y) < 1:
        return _straight(source, target, brush)
    if target.y > source.y:
        x = source.x + source.measure.width / 2
        points = ((x, source.bottom), (x, target.y), (target.x - 0.8, target.y))
    else:
        x = target.x + target.measure.width / 2
        points = ((source.right, source.y), (x, source.y), (x, target.bottom + 0.8))
    return Line(points, brush.theme.ink, 0.7, arrow=True)


def _across(flow: Flow, source: Placed, target: Placed, placed: Sequence[Placed], brush: Brush) -> list[Item]:
    """A skip on one level of a U, with the layer on it; behind what stands there, apart from the arrows to that."""
    lane = [one for one in placed if one.lane == source.lane and source.x < one.x < target.x]
    least = min(one.measure.height for one in (source, target, *lane))
    y = source.y + (0.3 * least if lane else 0.0)
    start = lane[-1].right if lane else source.right
    items: list[Item] = [
        Line(((source.right, y), (target.x - 0.8, y)), brush.theme.skip, 0.9, _DASH, arrow=True)
    ]
    if flow.via is not None:
        items.append(Text(((start + target.x) / 2, y - 2.5), flow.via, brush.theme.skip, SMALL))
    return items


def _arc(
    flow: Flow, source: Placed, target: Placed, placed: Sequence[Placed],
    arcs: list[tuple[float, float, float]], brush: Brush,
) -> list[Item]:  # fmt: skip
    """A skip over what stands between, and over the arcs that it holds."""
    x0 = source.x + source.measure.width / 2 + source.measure.dx / 2
    x1 = target.x + target.measure.width / 2 + target.measure.dx / 2
    tops = [one.top for one in placed if one.right > x0 and one.x < x1]
    held = [y for a, b, y in arcs if a < x1 + 1 and b > x0 - 1]
    y = min([*tops, *held]) - _ARC
    arcs.append((x0, x1, y))
    corner = min(4.0, (x1 - x0) / 4)
    points = (
        (x0, source.top + source.measure.dy / 2), (x0, y + corner), (x0 + corner, y),
        (x1 - corner, y), (x1, y + corner), (x1, target.top + target.measure.dy / 2 - 0.8),
    )  # fmt: skip
    items: list[Item] = [Line(points, brush.theme.skip, 0.9, _DASH, arrow=True)]
    if flow.via is not None:
        items.append(Text(((x0 + x1) / 2, y - 2), flow.via, brush.theme.skip, SMALL))
    return items


def loops(placed: Placed, brush: Brush) -> list[Item]:
    """A small arc over each slab of a block that adds to, or multiplies, what comes in."""
    if placed.volume.around is None:
        return []
    m = placed.measure
    items: list[Item] = []
    for start in m.slabs:
        left = placed.x + start + m.dx - 0.7
        right = left + m.thickness + 1.4
        y = placed.top
        lift = LOOP / 0.75  # a Bezier curve rises to three quarters of its handles
        curve = ((left, y), (left, y - lift), (right, y - lift), (right, y))
        items.append(Line(curve, brush.theme.skip, 0.9, curved=True))
    return items
