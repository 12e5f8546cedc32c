"""Parallel streams that exchange their maps, as volumes: HRNet-W32, and a module of it."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, pairwise
from pathlib import Path

import pytest
from graphs import graph_of

from cnnc.backends import volumes
from cnnc.backends.vector import Line, Polygon, Text
from cnnc.backends.vector.scene import Group, bounds, every
from cnnc.backends.volumes.plan import Plan, plan_of
from cnnc.backends.volumes.streams import exchanged_levels, place_in_streams
from cnnc.net import load

HERE = Path(__file__).parent
DRAWN = (HERE / "data" / "hrnet_w32.cnn", HERE / "cases" / "weird" / "high-resolution.cnn")
TWO_RATES = """
input 8x32x32
a: conv3-8
a -> b: conv3-16/2
x0: [a + b -> conv1-8(act=none) -> upsample(2)]
x1: [a -> conv3-16/2(act=none) + b]
"""
# Over what stands in the source's row, along the target's; over what stands in both.
FURTHER = (
    "x0 -> p: conv3-8 -> q: conv3-8\nz: [x0 -> conv3-16/2(act=none) + q -> conv3-16/2(act=none)]\n[z | x1] -> fc-2\n",
    "x0 -> p: conv3-8 -> q: conv3-8\nx1 -> r: conv3-16 -> s: conv3-16\n"
    "[x0 -> conv3-16/2 | s | q -> conv3-16/2] -> fc-2\n",
)


def plan(path: Path) -> Plan:
    return plan_of(load(str(path)).graph)


def test_hrnet_has_a_row_for_each_resolution() -> None:
    drawn = plan(DRAWN[0])
    assert exchanged_levels(drawn) == {2, 3, 4, 5}
    streams = place_in_streams(drawn)
    rows: dict[int, set[tuple[int, ...]]] = {}
    for one in streams.placed:
        volume = one.volume
        if volume.stage is not None and volume.stage.startswith(("s2", "s3", "s4")):
            rows.setdefault(one.lane[1], set()).add(volume.out)
    # Table 1 of the paper: 1/4 to 1/32 of 224 with 32 to 256 channels.
    assert list(rows.values()) == [{(32, 56, 56)}, {(64, 28, 28)}, {(128, 14, 14)}, {(256, 7, 7)}]
    assert all(len({one.y for one in streams.placed if one.lane[1] == row}) == 1 for row in rows)


def test_every_exchange_is_a_sum_of_all_streams() -> None:
    drawn = plan(DRAWN[0])
    arrows = Counter(flow.target for flow in drawn.flows)
    sums = [volume for volume in drawn.volumes if volume.word.startswith("sum of ")]
    assert [(v.stage, v.title, v.word, arrows[v.id]) for v in sums] == [
        (stage, f"y{i}", f"sum of {n}", n)
        for stage, n in (
            [("s2", 2)] + [(f"s3m{m}", 3) for m in (1, 2, 3, 4)] + [(f"s4m{m}", 4) for m in (1, 2, 3)]
        )
        for i in range(n)
    ]


@pytest.mark.parametrize("path", DRAWN, ids=lambda path: path.stem)
def test_no_arrow_strikes_a_box_or_a_label(path: Path) -> None:
    drawn = plan(path)
    clear(drawn)


@pytest.mark.parametrize("text", FURTHER)
def test_what_goes_past_other_boxes_passes_over_them(text: str) -> None:
    drawn = plan_of(graph_of(TWO_RATES + text))
    assert exchanged_levels(drawn) == {0, 1}
    clear(drawn)


def clear(drawn: Plan) -> None:
    """Arrows pass boxes and labels by, labels stand apart, each stage is named once."""
    scene = volumes.draw(drawn)
    flows = list(scene.items[: len(drawn.flows)])
    texts = [item for item in every(scene.items) if isinstance(item, Text)]
    assert not [(a.text, b.text) for a, b in combinations(texts, 2) if bounds(a).overlaps(bounds(b))]
    boxes = [item for item in scene.items if isinstance(item, Group) and item.role == "volume"]
    things = [bounds(part) for part in (*every(boxes), *scene.items) if isinstance(part, Polygon | Text)]
    for flow, line in zip(drawn.flows, flows, strict=True):
        assert isinstance(line, Line) and line.arrow
        for start, end in pairwise(line.points):
            steps = [
                (start[0] + (end[0] - start[0]) * t / 40, start[1] + (end[1] - start[1]) * t / 40)
                for t in range(1, 40)
            ]
            for box in things:
                struck = [
                    p for p in steps if box.left < p[0] < box.right and box.top + 1 < p[1] < box.bottom - 1
                ]
                assert not struck, (flow, box)
    stages = [volume.stage for volume in drawn.volumes if volume.stage]
    written = Counter(text.text for text in texts)
    assert all(written[stage] == 1 for stage in stages)
