"""Labels under the volumes (above them in a U) in as many rows as keep them apart, and the stages' names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from math import fsum

from cnnc.backends.vector.scene import Item, Line, Text, text_width
from cnnc.backends.volumes.paint import Brush
from cnnc.backends.volumes.place import (
    BELOW,
    LABEL_ROOM,
    LEADING,
    SMALL,
    Lane,
    Placed,
    label_lines,
    label_width,
)
from cnnc.backends.volumes.ushape import Side


def labels(placed: Sequence[Placed], brush: Brush) -> tuple[list[Item], dict[Lane, float]]:
    """The labels of every lane under its volumes, and where the room under each lane begins."""
    items: list[Item] = []
    base: dict[Lane, float] = {}
    for lane, inside in _by_lane(placed).items():
        bottom = max(one.bottom for one in inside) + BELOW
        spans = [(one.middle, label_width(one.volume)) for one in inside]
        rows = packed(spans)
        heights = [0.0] * (max(rows, default=0) + 1)
        for one, row in zip(inside, rows, strict=True):
            heights[row] = max(heights[row], len(label_lines(one.volume)) * LEADING + 2)
        for one, row in zip(inside, rows, strict=True):
            top = bottom + fsum(heights[:row])
            if row and label_lines(one.volume):
                ends = ((one.middle, one.bottom + 1.5), (one.middle, top))
                items.append(Line(ends, brush.theme.faint, 0.35, (1.0, 1.0)))
        # Texts after all leaders: a leader between two labels must not strike a letter.
        for one, row in zip(inside, rows, strict=True):
            items += _written(one, bottom + fsum(heights[:row]), brush)
        base[lane] = bottom + fsum(heights)
    return items, base


def labels_beside(placed: Sequence[Placed], sides: Mapping[str, Side], brush: Brush) -> list[Item]:
    """Each label right above or below its volume, in a U."""
    items: list[Item] = []
    for one in placed:
        if sides[one.volume.id] == "below":
            items += _written(one, one.bottom + BELOW / 2, brush)
        else:
            items += _written(
                one, one.top - one.arc - BELOW / 2 - len(label_lines(one.volume)) * LEADING, brush
            )
    return items


def _written(one: Placed, top: float, brush: Brush) -> list[Item]:
    """A label's lines, its first baseline under `top`."""
    items: list[Item] = []
    for i, line in enumerate(label_lines(one.volume)):
        bold = i == 0 and one.volume.title is not None
        at = (one.middle, top + SMALL * 0.85 + i * LEADING)
        colour = brush.theme.ink if bold or i else brush.theme.faint
        if i == len(label_lines(one.volume)) - 1:
            colour = brush.theme.ink
        items.append(Text(at, line, colour, SMALL, bold=bold))
    return items


def packed(spans: Sequence[tuple[float, float]]) -> list[int]:
    """A row for each span (its middle and its length), left to right, so that none overlap in a row.

    >>> packed([(10, 12), (20, 12), (30, 12)])
    [0, 1, 0]
    """
    rows: list[float] = []
    found: list[int] = []
    for middle, length in spans:
        left = middle - length / 2
        row = next((i for i, right in enumerate(rows) if right + LABEL_ROOM <= left + 0.01), len(rows))
        if row == len(rows):
            rows.append(0.0)
        rows[row] = middle + length / 2
        found.append(row)
    return found


def stages(placed: Sequence[Placed], brush: Brush, base: Mapping[Lane, float]) -> list[Item]:
    """A bracket with the stage's name under each run of volumes of one stage."""
    items: list[Item] = []
    for lane, inside in _by_lane(placed).items():
        runs = [
            (stage, list(run)) for stage, run in groupby(inside, key=lambda one: one.volume.stage) if stage
        ]
        spans = [
            (
                (run[0].x + run[-1].right) / 2,
                max(text_width(stage, SMALL + 0.5, bold=True), run[-1].right - run[0].x),
            )
            for stage, run in runs
        ]
        for (stage, run), row in zip(runs, packed(spans), strict=True):
            y = base[lane] + 3 + row * (LEADING + 5)
            left, right = run[0].x, run[-1].right
            items.append(Line(((left, y - 2), (left, y), (right, y), (right, y - 2)), brush.theme.faint, 0.6))
            at = ((left + right) / 2, y + LEADING)
            items.append(Text(at, stage, brush.theme.ink, SMALL + 0.5, bold=True))
    return items


def _by_lane(placed: Sequence[Placed]) -> dict[Lane, list[Placed]]:
    """The volumes of each lane from left to right."""
    lanes: dict[Lane, list[Placed]] = {}
    for one in sorted(placed, key=lambda one: one.x):
        lanes.setdefault(one.lane, []).append(one)
    return lanes
