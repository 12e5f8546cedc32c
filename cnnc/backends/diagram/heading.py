"""What stands over a frame, and how far the arrow into the frame must keep from it."""

from __future__ import annotations

from dataclasses import dataclass

from cnnc.backends.diagram.fork import Ways
from cnnc.backends.diagram.picture import Cluster, Picture
from cnnc.backends.diagram.words import cut

LETTER = 6.2
"""The width of a bold letter of 11 points, on average, in points."""
FRAME_MARGIN = 10
"""The room between a frame and what is in it, in points."""


@dataclass(frozen=True, slots=True)
class Pad:
    """How far the node at which frames are entered must stand from their left border, in points."""

    beside: str
    width: float


def pads_of(drawn: Picture, ways: Ways) -> dict[str, Pad]:
    """Where a frame's heading would reach to the arrow that enters: the pads by frame.

    Frames within each other may be entered at one node: the innermost has one pad for all of them.
    """
    entered: dict[str, list[Cluster]] = {}
    room: dict[str, float] = {}
    for cluster in drawn.clusters:  # frames stand before the frames within them
        node, left = _entry(drawn, ways, cluster)
        entered.setdefault(node, []).append(cluster)
        room[node] = left
    pads = {}
    for node, frames in entered.items():
        widths = (_width(frame) - FRAME_MARGIN * i for i, frame in enumerate(reversed(frames)))
        overlap = max(widths) - room[node]
        if overlap > 0:
            pads[frames[-1].id] = Pad(node, overlap)
    return pads


def _entry(drawn: Picture, ways: Ways, cluster: Cluster) -> tuple[str, float]:
    """The fork or else the first box in a frame or in the frames within, and half its width."""
    within = {cluster.id}
    for inner in drawn.clusters:
        if inner.parent in within:
            within.add(inner.id)
    first = next(box for box in drawn.nodes if box.cluster in within)
    parents = {frame.id: frame.parent for frame in drawn.clusters}
    forks = {fork.cluster: fork.id for fork in ways.forks}
    way: list[str] = []  # from the frame to the box
    place = first.cluster
    while place is not None and place in within:
        way.insert(0, place)
        place = parents[place]
    fork = next((forks[frame] for frame in way if frame in forks), None)
    if fork is not None:
        return fork, 0
    return first.id, LETTER * max(map(len, (first.title or "", *first.lines))) / 2


def _width(cluster: Cluster) -> float:
    return LETTER * max(map(len, heading(cluster)))


def heading(cluster: Cluster) -> list[str]:
    """The lines over a frame, the count behind the last."""
    lines = [cut(line) for line in cluster.lines]
    if cluster.count is not None:
        lines[-1:] = [f"{lines[-1]} {cluster.count}" if lines else cluster.count]
    return lines
