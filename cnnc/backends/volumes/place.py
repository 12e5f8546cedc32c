"""Where volumes stand: columns by their place in the flow, lanes side by side, levels of a U."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cnnc.backends.diagram.words import MERGE_WORDS
from cnnc.backends.vector.scene import text_width
from cnnc.backends.volumes.plan import Flow, Plan, Volume
from cnnc.backends.volumes.scale import TALLEST, Measure, Scale

SMALL = 6.5
"""The size of the labels' letters."""
LEADING = 7.8
GAP, STEP_GAP = 8.0, 12.0
"""Between neighbours of one size, and where the size changes."""
BELOW = 4.0
"""Between a volume and its label."""
LABEL_ROOM = 3.0
"""Between neighbouring labels."""
CROWDED = 0.6 * TALLEST
"""The height of the largest map where three or more stand side by side."""
LOOP = 6.0
"""The height of the arc over a block that adds to what comes in."""
_BEND = 16.0
"""What an arrow takes that runs down between two labels."""
COLUMN = 500.0
"""About the width of the text on an A4 page: a drawing that fits has its labels in one row."""


Lane = tuple[int, int]
"""A stretch of columns, and a lane in it: labels in one lane keep clear of each other."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A volume in its place: `x` is the left of its front, `y` the middle of its height."""

    volume: Volume
    measure: Measure
    x: float
    y: float
    lane: Lane

    @property
    def top(self) -> float:
        """The highest point of its back."""
        return self.y - self.measure.height / 2 - self.measure.dy

    @property
    def bottom(self) -> float:
        return self.y + self.measure.height / 2

    @property
    def right(self) -> float:
        """The rightmost point of its back."""
        return self.x + self.measure.width + self.measure.dx

    @property
    def arc(self) -> float:
        """The height of the arcs over it."""
        return LOOP if self.volume.around is not None else 0.0

    @property
    def middle(self) -> float:
        return self.x + (self.measure.width + self.measure.dx) / 2


def label_lines(volume: Volume) -> tuple[str, ...]:
    """What stands at a volume: its label, its word with `x n`, its shape."""
    if volume.sign is not None and volume.sign != MERGE_WORDS["matmul"]:
        return ()  # as large as what comes in; a product is not
    times = f" x {volume.times}" if volume.times > 1 else ""
    shapes = ["\N{MULTIPLICATION SIGN}".join(map(str, shape)) for shape in (volume.first, volume.out)]
    if len(set(shapes)) > 1:
        shapes[0] += " …"
    title = () if volume.title is None else (volume.title,)
    if volume.sign is not None:
        return (*title, shapes[-1])
    if volume.made is not None:  # a layer's part, and what it is joined with
        part = "\N{MULTIPLICATION SIGN}".join(map(str, volume.made))
        return (*title, volume.word + times, part, f"joined: {shapes[-1]}")
    return (*title, volume.word + times, *dict.fromkeys(shapes))


def label_width(volume: Volume) -> float:
    """How wide a volume's label is; 0 where it has none."""
    lines = label_lines(volume)
    widths = [
        text_width(line, SMALL, bold=volume.title is not None and i == 0) for i, line in enumerate(lines)
    ]
    return max(widths, default=0.0)


def place(plan: Plan) -> tuple[Placed, ...]:
    """Every volume in its place, in the plan's order."""
    ranks = _ranks(plan)
    lanes = _lanes(plan, ranks)
    abreast = max(map(len, _active(plan, ranks, lanes).values()))
    scale = Scale(plan.volumes, TALLEST if abreast <= 2 else CROWDED)
    measures = {volume.id: scale.measure(volume) for volume in plan.volumes}
    heights = _heights(plan, measures, ranks, lanes, rows=1)
    xs = _columns(plan, measures, ranks, _apart(plan, heights, _in_one_row))
    if _width(xs, measures) > COLUMN:
        heights = _heights(plan, measures, ranks, lanes, rows=2)
        xs = _columns(plan, measures, ranks, _apart(plan, heights, _in_two_rows))
    return tuple(
        Placed(v, measures[v.id], xs[v.id], heights[v.id][0], heights[v.id][1]) for v in plan.volumes
    )


def is_single_file(plan: Plan) -> bool:
    """Whether no two volumes stand side by side."""
    ranks = _ranks(plan)
    return all(len(lanes) == 1 for lanes in _active(plan, ranks, _lanes(plan, ranks)).values())


# --- columns -----------------------------------------------------------------------------


def _ranks(plan: Plan) -> dict[str, int]:
    """The column of every volume: one behind the last that it takes from; an input right before its taker."""
    sources: dict[str, list[str]] = {volume.id: [] for volume in plan.volumes}
    targets: dict[str, list[str]] = {volume.id: [] for volume in plan.volumes}
    for flow in plan.flows:
        sources[flow.target].append(flow.source)
        targets[flow.source].append(flow.target)
    ranks: dict[str, int] = {}
    for volume in plan.volumes:
        ranks[volume.id] = max((ranks[s] + 1 for s in sources[volume.id]), default=0)
    for volume in plan.volumes:
        if not sources[volume.id] and targets[volume.id]:
            ranks[volume.id] = min(ranks[t] for t in targets[volume.id]) - 1
    return ranks


Apart = Callable[[Volume, Volume], float]
"""How far the middles of two neighbours must be apart for their labels."""


def _columns(
    plan: Plan, measures: Mapping[str, Measure], ranks: Mapping[str, int], apart: Apart
) -> dict[str, float]:
    """The left of every volume; volumes of one column have their fronts' middles over one another."""
    by_rank: dict[int, list[Volume]] = {}
    for volume in plan.volumes:
        by_rank.setdefault(ranks[volume.id], []).append(volume)
    xs: dict[str, float] = {}
    before: Sequence[Volume] = ()
    x = 0.0
    for _, column in sorted(by_rank.items()):
        width = max(measures[v.id].width for v in column)
        if before:
            x += max(_gap(one, other) for one in before for other in column)
            x = max(x, *(
                _middle(xs[one.id], measures[one.id]) + apart(one, other)
                - _middle((width - measures[other.id].width) / 2, measures[other.id])
                for one in before for other in column
            ))  # fmt: skip
        for volume in column:
            xs[volume.id] = x + (width - measures[volume.id].width) / 2
        x = max(xs[v.id] + measures[v.id].width + measures[v.id].dx for v in column)
        before = column
    return xs


def _middle(x: float, measure: Measure) -> float:
    return x + (measure.width + measure.dx) / 2


def _width(xs: Mapping[str, float], measures: Mapping[str, Measure]) -> float:
    return max(x + measures[v].width + measures[v].dx for v, x in xs.items())


def _apart(plan: Plan, heights: Mapping[str, tuple[float, Lane]], pitch: Apart) -> Apart:
    """The pitch of neighbours in a lane; where an arrow changes its lane it runs down between the labels."""
    flows = {(flow.source, flow.target) for flow in plan.flows if not flow.skip}

    def apart(one: Volume, other: Volume) -> float:
        if heights[one.id][1] == heights[other.id][1]:
            return pitch(one, other)
        if heights[one.id][0] == heights[other.id][0]:  # their rows of labels begin at different heights
            return _in_one_row(one, other)
        return _in_one_row(one, other) + _BEND if (one.id, other.id) in flows else 0.0

    return apart


def _in_one_row(one: Volume, other: Volume) -> float:
    return (label_width(one) + label_width(other)) / 2 + LABEL_ROOM


def _in_two_rows(one: Volume, other: Volume) -> float:
    """Labels in turns in two rows, each clear of its neighbours' leaders."""
    return max(label_width(one), label_width(other)) / 2 + LABEL_ROOM


def _gap(one: Volume, other: Volume) -> float:
    same = one.out[1:] == other.out[1:]
    return GAP if same or one.sign or other.sign else STEP_GAP


# --- lanes -------------------------------------------------------------------------------


def _lanes(plan: Plan, ranks: Mapping[str, int]) -> dict[str, int]:
    """A lane for every volume: the first to take from another goes on in its lane, the others open new ones."""
    flows = [flow for flow in plan.flows if not flow.skip]
    lanes: dict[str, int] = {}
    continued: set[str] = set()
    opened = 0
    for volume in sorted(plan.volumes, key=lambda v: (ranks[v.id], int(v.id[1:]))):
        free = [f.source for f in flows if f.target == volume.id and f.source not in continued]
        if free:
            source = min(free, key=lambda s: lanes[s])
            continued.update(free)
            lanes[volume.id] = lanes[source]
        else:
            lanes[volume.id] = opened
            opened += 1
    return lanes


def _active(plan: Plan, ranks: Mapping[str, int], lanes: Mapping[str, int]) -> dict[int, set[int]]:
    """The lanes in use at each column, those through which an arrow passes included."""
    active: dict[int, set[int]] = {}
    for volume in plan.volumes:
        active.setdefault(ranks[volume.id], set()).add(lanes[volume.id])
    for flow in plan.flows:
        if not flow.skip:
            for rank in range(ranks[flow.source] + 1, ranks[flow.target]):
                active.setdefault(rank, set()).add(lanes[flow.source])
    return active


def _heights(
    plan: Plan,
    measures: Mapping[str, Measure],
    ranks: Mapping[str, int],
    lanes: Mapping[str, int],
    *,
    rows: int,
) -> dict[str, tuple[float, Lane]]:
    """The middle of every volume's height, and its lane, with room for so many rows of labels."""
    active = _active(plan, ranks, lanes)
    found: dict[str, tuple[float, Lane]] = {}
    for number, stretch in enumerate(_stretches(active)):
        inside = [v for v in plan.volumes if ranks[v.id] in stretch]
        used = sorted(set().union(*(active[rank] for rank in stretch)))
        straight = _goes_on(plan, inside, used[0], lanes, active.get(stretch.start - 1, set()))
        if straight:  # what branches off last lies next to the way, so that no arrow crosses another
            used[1:] = sorted(
                used[1:], key=lambda lane: -min(ranks[v.id] for v in inside if lanes[v.id] == lane)
            )
        ys = _stacked([[v for v in inside if lanes[v.id] == lane] for lane in used], measures, rows)
        shift = ys[0] if straight else (ys[0] + ys[-1]) / 2
        for lane, y in zip(used, ys, strict=True):
            found.update((v.id, (y - shift, (number, lane))) for v in inside if lanes[v.id] == lane)
    return found


def _stretches(active: Mapping[int, set[int]]) -> list[range]:
    """Columns in runs: those with one lane, those with several.

    Where all lanes but one have ended and it is not the first, the run goes on: that
    lane is a branch, and no merge brought it back to the middle.
    """
    runs: list[range] = []
    wide = False
    main = -1
    for rank in sorted(active):
        here = active[rank]
        if runs and wide == (len(here) > 1 or (wide and main not in here)):
            runs[-1] = range(runs[-1].start, rank + 1)
        else:
            wide, main = len(here) > 1, min(here)
            runs.append(range(rank, rank + 1))
    return runs


def _goes_on(
    plan: Plan, inside: Sequence[Volume], main: int, lanes: Mapping[str, int], before: set[int]
) -> bool:
    """Whether the first lane is the way that goes on, and another ends beside it: then it stays straight."""
    sources = {flow.source for flow in plan.flows}
    return main in before and any(lanes[v.id] != main and v.id not in sources for v in inside)


def _stacked(lanes: Sequence[Sequence[Volume]], measures: Mapping[str, Measure], rows: int) -> list[float]:
    """The middle of each lane, one under the other, the labels between them."""
    ys: list[float] = []
    y = 0.0
    for lane in lanes:
        half = max((measures[v.id].height / 2 for v in lane), default=4.0)
        above = max((measures[v.id].dy + LOOP * (v.around is not None) for v in lane), default=0.0)
        y += above + half if ys else 0.0
        ys.append(y)
        y += half + BELOW + _label_zone(lane, rows) + 8
    return ys


def _label_zone(lane: Sequence[Volume], rows: int) -> float:
    """The room of the labels under a lane, and the stage's name."""
    lines = max((len(label_lines(v)) for v in lane), default=0)
    stage = 2 * LEADING if any(v.stage for v in lane) else 0
    return rows * (lines * LEADING + 2) + stage


def flows_of(plan: Plan) -> tuple[Flow, ...]:
    """The arrows, skips last: they are drawn over the others."""
    return tuple(sorted(plan.flows, key=lambda flow: flow.skip))
