"""A net that comes back to its resolution, drawn as a U: levels under one another, skips across."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Literal

from cnnc.backends.volumes.place import (
    BELOW,
    GAP,
    LABEL_ROOM,
    LEADING,
    LOOP,
    STEP_GAP,
    Placed,
    label_lines,
    label_width,
)
from cnnc.backends.volumes.plan import Plan, Volume
from cnnc.backends.volumes.scale import Measure, Scale

Side = Literal["above", "below"]

_LINE = 4.0
"""Between a label and an arrow that runs beside it."""


def place_as_u(plan: Plan) -> tuple[tuple[Placed, ...], dict[str, Side]]:
    """Every volume in its place, and on which side of it its label stands."""
    scale = Scale(plan.volumes)
    measures = {volume.id: scale.measure(volume) for volume in plan.volumes}
    runs = [list(run) for _, run in groupby(plan.volumes, key=lambda volume: volume.level)]
    sides = _sides(runs)
    ys = _levels(plan, measures, sides)
    placed: list[Placed] = []
    for volume in plan.volumes:
        one = Placed(volume, measures[volume.id], 0.0, ys[volume.level], (0, volume.level))
        placed.append(replace(one, x=_left(one, placed, sides)))
    return tuple(placed), sides


def _sides(runs: Sequence[Sequence[Volume]]) -> dict[str, Side]:
    """Labels in turns above and below: neighbours on a level then need no room for them.

    An arrow leaves a run downwards from below its last volume, or comes up to below
    its first one; the label of that volume stands above.
    """
    sides: dict[str, Side] = {}
    for place, run in enumerate(runs):
        goes_down = place + 1 < len(runs) and runs[place + 1][0].level > run[0].level
        order = list(reversed(run)) if goes_down else run
        sides.update((volume.id, "below" if i % 2 else "above") for i, volume in enumerate(order))
    return sides


def _left(one: Placed, placed: Sequence[Placed], sides: dict[str, Side]) -> float:
    """The least x at which a volume clears what stands left of it."""
    if not placed:
        return 0.0
    before = placed[-1]
    half, front = label_width(one.volume) / 2, (one.measure.width + one.measure.dx) / 2
    if before.volume.level == one.volume.level:
        x = before.right + (GAP if before.volume.out[1:] == one.volume.out[1:] else STEP_GAP)
    elif one.y > before.y:  # an arrow comes down from below the one before, then goes right
        line = before.x + before.measure.width / 2
        x = max(line + STEP_GAP, line + _LINE + half - front)
    else:  # an arrow goes right, then up to below this one; the label of the one before stays left of it
        over = before.middle + label_width(before.volume) / 2 if sides[before.volume.id] == "above" else 0.0
        x = max(before.right + _LINE, over + _LINE) - one.measure.width / 2
    for other in placed:
        if other.volume.level == one.volume.level and sides[other.volume.id] == sides[one.volume.id]:
            apart = (label_width(other.volume) + label_width(one.volume)) / 2 + LABEL_ROOM
            x = max(x, other.middle + apart - front)
        if other.volume.level == one.volume.level and sides[other.volume.id] == "below":
            # What leaves this one downwards passes beside the label under the other.
            clear = other.middle + label_width(other.volume) / 2 + _LINE
            x = max(x, clear - one.measure.width / 2)
    return x


def _levels(plan: Plan, measures: dict[str, Measure], sides: dict[str, Side]) -> dict[int, float]:
    """The middle of each level, under one another."""
    ys: dict[int, float] = {}
    y = 0.0
    for level in sorted({volume.level for volume in plan.volumes}):
        here = [volume for volume in plan.volumes if volume.level == level]
        half = max(measures[v.id].height / 2 for v in here)
        above = max(
            measures[v.id].dy + LOOP * (v.around is not None) + _room(v) * (sides[v.id] == "above")
            for v in here
        )
        y += (above + half + BELOW) if ys else 0.0
        ys[level] = y
        y += half + max(_room(v) * (sides[v.id] == "below") for v in here) * _SHARED
    return ys


_SHARED = 0.5
"""A level's labels below and the next one's above stand at other columns, and may share some room."""


def _room(volume: Volume) -> float:
    return len(label_lines(volume)) * LEADING + BELOW
