"""Streams of several resolutions that exchange their maps (HRNet): a row for each resolution, arrows between rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations, groupby

from cnnc.backends.vector.scene import Item, Line, Text, text_width
from cnnc.backends.volumes.labels import packed
from cnnc.backends.volumes.paint import Brush
from cnnc.backends.volumes.place import (
    BELOW,
    CROWDED,
    GAP,
    LEADING,
    LOOP,
    SMALL,
    STEP_GAP,
    Placed,
    label_lines,
    label_width,
)
from cnnc.backends.volumes.plan import Flow, Plan
from cnnc.backends.volumes.scale import Measure, Scale

_CHANNEL = 30.0
"""Between columns where arrows go from row to row."""
_OVER = 7.0
"""The gap between the boxes of a row and an arrow over them."""
_DASH = (3.0, 2.0)

Cells = Mapping[str, tuple[int, int]]
"""The column and the row of every volume."""


@dataclass(frozen=True, slots=True)
class Streams:
    """Volumes in rows and columns. `channels` are the left and the right of the room before each column."""

    placed: tuple[Placed, ...]
    cells: Cells
    channels: Mapping[int, tuple[float, float]]

    def is_free(self, row: int, columns: range) -> bool:
        """Whether a row has no box in these columns."""
        return not any(cell[1] == row and cell[0] in columns for cell in self.cells.values())

    def over(self, row: int) -> float:
        """The height at which an arrow passes over every box of a row."""
        return min(one.top - one.arc for one in self.placed if one.lane[1] == row) - _OVER


def exchanged_levels(plan: Plan) -> set[int]:
    """The resolutions at which maps are exchanged: two of them, each of which flows to both of two.

    Nothing where the plan has no exchange.
    """
    level = {volume.id: volume.level for volume in plan.volumes}
    takers: dict[str, set[str]] = {}
    for flow in plan.flows:
        takers.setdefault(flow.source, set()).add(flow.target)
    found: set[int] = set()
    for one, other in combinations(takers, 2):
        shared = {level[target] for target in takers[one] & takers[other]}
        if level[one] != level[other] and len(shared) > 1:
            found |= shared | {level[one], level[other]}
    return found


def place_in_streams(plan: Plan) -> Streams:
    """Every volume in its place: its row is its resolution's, its column is behind those that it takes from."""
    scale = Scale(plan.volumes, CROWDED)
    measures = {volume.id: scale.measure(volume) for volume in plan.volumes}
    cells = _cells(plan)
    spans = _columns(plan, measures, cells)
    ys = _rows(plan, measures, cells)
    placed = []
    for volume in plan.volumes:
        column, row = cells[volume.id]
        measure, (left, right) = measures[volume.id], spans[column]
        x = (left + right - measure.width - measure.dx) / 2
        placed.append(Placed(volume, measure, x, ys[row], (0, row)))
    channels = {column: (spans[column - 1][1], left) for column, (left, _) in spans.items() if column}
    return Streams(tuple(placed), cells, channels)


def _cells(plan: Plan) -> dict[str, tuple[int, int]]:
    """The column and the row of each volume; those before or after the exchange are in its outermost rows."""
    levels = exchanged_levels(plan)
    sources: dict[str, list[str]] = {volume.id: [] for volume in plan.volumes}
    for flow in plan.flows:
        sources[flow.target].append(flow.source)
    found: dict[str, tuple[int, int]] = {}
    for volume in plan.volumes:
        row = min(max(volume.level, min(levels)), max(levels))
        column = max((found[source][0] + 1 for source in sources[volume.id]), default=0)
        while (column, row) in found.values():
            column += 1
        found[volume.id] = column, row
    return found


def _columns(plan: Plan, measures: Mapping[str, Measure], cells: Cells) -> dict[int, tuple[float, float]]:
    """The left and the right of each column, its labels in it, apart where arrows go from row to row."""
    widths: dict[int, float] = {}
    for volume in plan.volumes:
        column, measure = cells[volume.id][0], measures[volume.id]
        widths[column] = max(
            widths.get(column, 0.0), measure.width + measure.dx, label_width(volume)
        )  # fmt: skip
    crossed: set[int] = set()
    for flow in plan.flows:
        (start, row), (end, other) = cells[flow.source], cells[flow.target]
        if row != other:
            crossed |= {start + 1, end}
    spans: dict[int, tuple[float, float]] = {}
    x = 0.0
    for column in range(max(widths) + 1):
        x += (_CHANNEL if column in crossed else STEP_GAP) if spans else 0.0
        spans[column] = x, x + widths.get(column, 0.0)
        x = spans[column][1]
    return spans


def _rows(plan: Plan, measures: Mapping[str, Measure], cells: Cells) -> dict[int, float]:
    """The middle of each row, its labels under it and room for an arrow over it."""
    ys: dict[int, float] = {}
    y = 0.0
    for row in sorted({row for _, row in cells.values()}):
        here = [volume for volume in plan.volumes if cells[volume.id][1] == row]
        half = max(measures[v.id].height / 2 for v in here)
        above = max(measures[v.id].dy + LOOP * (v.around is not None) for v in here) + 2 * _OVER
        y += above + half if ys else 0.0
        ys[row] = y
        y += half + BELOW + max(len(label_lines(v)) for v in here) * LEADING + GAP
    return ys


# --- arrows and stages -------------------------------------------------------------------


def arrows_of_streams(plan: Plan, streams: Streams, brush: Brush) -> list[Item]:
    """All arrows: along a row, over what stands there, or from row to row between two columns."""
    placed = {one.volume.id: one for one in streams.placed}
    return [
        _arrow(flow, placed[flow.source], placed[flow.target], streams, brush) for flow in plan.flows
    ]  # fmt: skip


def _arrow(flow: Flow, source: Placed, target: Placed, streams: Streams, brush: Brush) -> Line:
    (column, row), (last, other) = streams.cells[flow.source], streams.cells[flow.target]
    between = range(column + 1, last)
    first, final = streams.channels[column + 1], streams.channels[last]
    start, end = (source.right, source.y), (target.x - 0.8, target.y)
    points: tuple[tuple[float, float], ...]
    if streams.is_free(row, between):
        points = (start, end) if row == other else (start, (final[0], start[1]), (final[1], end[1]), end)
    elif streams.is_free(other, between) and row != other:
        points = (start, (first[0], start[1]), (first[1], end[1]), end)
    else:
        y = streams.over(row)
        points = (start, (first[0], start[1]), (first[1], y), (final[0], y), (final[1], end[1]), end)
    colour, width = (brush.theme.skip, 0.9) if flow.skip else (brush.theme.ink, 0.7)
    return Line(points, colour, width, _DASH if flow.skip else (), arrow=True)


def stages_of_streams(streams: Streams, brush: Brush) -> list[Item]:
    """A bracket with its name under each stage, once for all rows."""
    base = max(one.bottom + BELOW + len(label_lines(one.volume)) * LEADING for one in streams.placed) + GAP
    staged = sorted(
        (one for one in streams.placed if one.volume.stage), key=lambda one: one.volume.stage or ""
    )
    runs = [list(run) for _, run in groupby(staged, key=lambda one: one.volume.stage)]
    ends = sorted(
        (min(one.x for one in run), max(one.right for one in run), run[0].volume.stage or "") for run in runs
    )
    spans = [
        ((left + right) / 2, max(text_width(stage, SMALL + 0.5, bold=True), right - left))
        for left, right, stage in ends
    ]
    items: list[Item] = []
    for (left, right, stage), place in zip(ends, packed(spans), strict=True):
        y = base + place * (LEADING + 5)
        items.append(Line(((left, y - 2), (left, y), (right, y), (right, y - 2)), brush.theme.faint, 0.6))
        items.append(
            Text(((left + right) / 2, y + LEADING), stage, brush.theme.ink, SMALL + 0.5, bold=True)
        )  # fmt: skip
    return items
