"""What the page's script works on: the diagram opened as far as it goes, and receptive fields, as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from cnnc.backends.diagram import Cluster, Picture, open_picture
from cnnc.backends.diagram.words import cut
from cnnc.backends.report.ranges import ranges_text
from cnnc.compiler.graph import Graph
from cnnc.compiler.ops import by_x
from cnnc.compiler.receptive_field import AxisField, ReceptiveField, receptive_fields

OPEN_AT_FIRST = 30
"""Frames are open while no more boxes are shown: what one takes in at a glance."""


def record(graph: Graph) -> dict[str, Any]:
    """The diagram and the receptive fields of a graph.

    Raises CnncError E901 where the diagram is too large even with blocks closed.
    """
    drawn = open_picture(graph)
    opened = opened_at_first(drawn)
    return {
        "boxes": [
            {
                "id": box.id, "kind": box.kind, "title": None if box.title is None else cut(box.title),
                "lines": [cut(line) for line in box.lines], "count": box.count, "frame": box.cluster,
                "nodes": ranges_text(box.nodes),
            }
            for box in drawn.nodes
        ],
        "frames": [
            {
                "id": frame.id, "lines": [cut(line) for line in frame.lines], "count": frame.count,
                "frame": frame.parent, "open": frame.id in opened,
            }
            for frame in drawn.clusters
        ],
        "edges": [[edge.source, edge.target, edge.shape, edge.skip] for edge in drawn.edges],
    }  # fmt: skip


def opened_at_first(drawn: Picture) -> frozenset[str]:
    """The frames that are open when the page is: one level after the other, as long as few boxes are shown.

    A level is opened as a whole: of two equal blocks none is shown with its inside and the other without.
    """
    inside: dict[str | None, int] = {None: 0}
    for frame in drawn.clusters:
        inside[frame.id] = 0
    for place in [box.cluster for box in drawn.nodes] + [frame.parent for frame in drawn.clusters]:
        inside[place] += 1
    shown = inside[None]
    opened: set[str] = set()
    for level in _levels(drawn):
        shown += sum(inside[frame.id] - 1 for frame in level)
        if shown > OPEN_AT_FIRST:
            break
        opened |= {frame.id for frame in level}
    return frozenset(opened)


def _levels(drawn: Picture) -> list[list[Cluster]]:
    """The frames by how deep they stand."""
    depth: dict[str | None, int] = {None: -1}
    levels: list[list[Cluster]] = []
    for frame in drawn.clusters:
        depth[frame.id] = depth[frame.parent] + 1
        if depth[frame.id] == len(levels):
            levels.append([])
        levels[depth[frame.id]].append(frame)
    return levels


# --- receptive fields --------------------------------------------------------------------


def fields(graph: Graph) -> list[dict[str, Any]]:
    """Every layer that has a receptive field: on which input, and on each axis the interval of each position."""
    names = {index: name for name, index in graph.inputs.items()}
    return [
        _field(node.index, node.name, by_x(node.out), found, names[found.wrt], graph.nodes[found.wrt].out)
        for node, found in zip(graph.nodes, receptive_fields(graph), strict=True)
        if found is not None and node.role != "input"
    ]


def _field(
    index: int, name: str, out: str, found: ReceptiveField, wrt: str, shape: Sequence[int]
) -> dict[str, Any]:
    return {
        "node": index, "name": name, "out": out, "input": wrt, "shape": [int(size) for size in shape],
        "whole": found.whole, "undefined": found.undefined,
        "axes": None if found.undefined is not None else [_axis(axis) for axis in found.axes],
        "ungated": None if found.ungated is None else [_axis(axis) for axis in found.ungated],
    }  # fmt: skip


def _axis(axis: AxisField) -> dict[str, Any]:
    """`hull` has a step and the spans of a period for each lattice: see `cnnc.compiler.lattice`."""
    return {
        "length": int(axis.length),
        "hull": [[lattice.step, [span and list(span) for span in lattice.spans]] for lattice in axis.hull],
    }


def to_script(data: Mapping[str, Any]) -> str:
    """JSON that may stand in a `<script>` element: no text in it can close the element or open a comment."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
