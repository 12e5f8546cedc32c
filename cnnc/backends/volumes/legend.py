"""The legend: a sample of every kind that appears, and what sizes mean."""

from __future__ import annotations

from cnnc.backends.diagram.picture import FAMILY_NAMES, Kind
from cnnc.backends.vector.scene import Box, Item, Line, Polygon, Text, text_width, wrapped
from cnnc.backends.volumes.paint import Brush, pen
from cnnc.backends.volumes.place import SMALL
from cnnc.backends.volumes.plan import Plan

_SAMPLE = 9.0
_BETWEEN = 12.0
_LEAST = 300.0
"""A legend is let to be so wide under a narrow drawing."""


def legend(plan: Plan, brush: Brush, caption: str, frame: Box) -> list[Item]:
    """Samples in rows as wide as the drawing, then the caption."""
    width = max(frame.right - frame.left, _LEAST)
    items: list[Item] = []
    x, y = frame.left, frame.bottom + 16
    for sample, name in _entries(plan):
        room = _SAMPLE + 4 + text_width(name, SMALL)
        if x > frame.left and x + room > frame.left + width:
            x, y = frame.left, y + 13
        items += _sample(sample, x, y, brush)
        items.append(Text((x + _SAMPLE + 4, y + 2.2), name, brush.theme.ink, SMALL, "start"))
        x += room + _BETWEEN
    for line in wrapped(caption, width, SMALL):
        y += 11
        items.append(Text((frame.left, y + 3), line, brush.theme.faint, SMALL, "start"))
    return items


def _entries(plan: Plan) -> list[tuple[Kind | str, str]]:
    shown = [volume for volume in plan.volumes if volume.sign is None]
    kinds: set[Kind] = {volume.kind for volume in shown if not volume.stripes}
    kinds |= {stripe.kind for volume in shown for stripe in volume.stripes if not stripe.copied}
    kinds |= {volume.kind for volume in shown if volume.kind == "block"}
    entries: list[tuple[Kind | str, str]] = [(k, name) for k, name in FAMILY_NAMES.items() if k in kinds]
    if any(stripe.copied for volume in shown for stripe in volume.stripes):
        entries.append(("copied", "copied, in a concatenation"))
    if any(volume.around for volume in shown):
        entries.append(("around", "around a block: what comes in is added or multiplied"))
    if any(flow.skip for flow in plan.flows):
        entries.append(("skip", "skip"))
    return entries


def _sample(what: Kind | str, x: float, y: float, brush: Brush) -> list[Item]:
    half = _SAMPLE / 2
    if what == "skip":
        ends = ((x - 2, y), (x + _SAMPLE + 2, y))
        return [Line(ends, brush.theme.skip, 0.9, (3.0, 2.0), arrow=True)]
    if what == "around":
        curve = ((x, y + 3), (x, y - 6), (x + _SAMPLE, y - 6), (x + _SAMPLE, y + 3))
        return [Line(curve, brush.theme.skip, 0.9, curved=True)]
    square = ((x, y - half), (x + _SAMPLE, y - half), (x + _SAMPLE, y + half), (x, y + half))
    for kind in FAMILY_NAMES:
        if kind == what:
            width, dash = pen(kind)
            return [Polygon(square, brush.face(kind), brush.edge, width, dash)]
    return [Polygon(square, brush.theme.paper, brush.edge)]
