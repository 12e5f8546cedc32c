"""Forks: where one value enters a frame more than once, one arrow carries it in and parts inside.

So a residual block's skip runs inside its frame, of which `x 6` then holds; and no
arrow but the one at the entry crosses a frame's heading.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cnnc.backends.diagram.picture import Edge, Picture


@dataclass(frozen=True, slots=True)
class Fork:
    """A point just inside a frame."""

    id: str
    cluster: str


@dataclass(frozen=True, slots=True)
class Ways:
    """The arrows of a picture by way of forks. An arrow into a fork has no head of its own."""

    forks: tuple[Fork, ...]
    edges: tuple[Edge, ...]


def ways_of(drawn: Picture) -> Ways:
    """The arrows of a picture, with a fork in each frame that a value enters more than once."""
    around = _frames_around(drawn)
    forks: list[Fork] = []
    edges = list(drawn.edges)
    for cluster in reversed(drawn.clusters):  # the innermost first: an outer frame then sees one arrow
        entering: dict[tuple[str, str], list[Edge]] = {}
        for edge in edges:
            if cluster.id in around[edge.target] and cluster.id not in around[edge.source]:
                entering.setdefault((edge.source, edge.shape), []).append(edge)
        for (source, shape), group in entering.items():
            if len(group) > 1:
                fork = Fork(f"fork{len(forks)}", cluster.id)
                forks.append(fork)
                around[fork.id] = _around(drawn, cluster.id)
                skip = all(edge.skip for edge in group)
                edges = _by_way_of(edges, group, Edge(source, fork.id, shape, skip))
    return Ways(tuple(forks), tuple(edges))


def _by_way_of(edges: Sequence[Edge], group: Sequence[Edge], trunk: Edge) -> list[Edge]:
    """The edges with those of a group leaving from the end of the trunk, which tells their shape."""
    leaving = set(group)
    out: list[Edge] = []
    for edge in edges:
        if edge not in leaving:
            out.append(edge)
            continue
        if edge == group[0]:
            out.append(trunk)
        if edge.turns and edge.skip:  # the trunk has the shape in the first turn, this one those in all
            out.append(replace(edge, source=trunk.target, shape=edge.turns, quiet=False))
        else:
            out.append(replace(edge, source=trunk.target, quiet=True))
    return out


def _around(drawn: Picture, cluster: str | None) -> frozenset[str]:
    """A frame and those around it."""
    parents = {frame.id: frame.parent for frame in drawn.clusters}
    found = set()
    while cluster is not None:
        found.add(cluster)
        cluster = parents[cluster]
    return frozenset(found)


def _frames_around(drawn: Picture) -> dict[str, frozenset[str]]:
    known: Mapping[str | None, frozenset[str]] = {
        cluster: _around(drawn, cluster) for cluster in (None, *(c.id for c in drawn.clusters))
    }
    return {box.id: known[box.cluster] for box in drawn.nodes}
