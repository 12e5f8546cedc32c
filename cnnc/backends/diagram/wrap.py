"""A long picture in pieces that stand side by side: where it is cut, and what goes on from piece to piece."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

from cnnc.backends.diagram.picture import Box, Cluster, Edge, Kind, Picture

SPLIT_FRAME = 8.0
"""What a frame that is cut costs, in points of a piece's length."""
CROSSING = 40.0
"""What each further arrow over a cut costs: it ends at a letter and begins again at the same letter."""
LONGEST_PIECE = 1.7
"""Pieces longer than so many times their average are not considered."""

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a picture; the main arrow enters at the box `enters` and leaves at the box `leaves`."""

    picture: Picture
    enters: str | None
    leaves: str | None


def cuts_of(drawn: Picture, spans: Mapping[str, Span], pieces: int) -> tuple[int, ...] | None:
    """Where to cut a picture into so many pieces of about equal length; None where there are no such places.

    `spans` say where each box begins and ends in the direction of the flow, in points. A cut is the
    place of its next box in `drawn.nodes`. Frames of repeats (x n) are not cut.
    """
    prices = _prices(drawn)
    places = [0, *sorted(prices), len(drawn.nodes)]
    ends = _ends(drawn, spans)
    usual = ends[-1] / pieces
    best: dict[int, tuple[float, tuple[int, ...]]] = {0: (0.0, ())}
    for _ in range(pieces):
        longer: dict[int, tuple[float, tuple[int, ...]]] = {}
        for start, (cost, cuts) in best.items():
            for end in places[bisect_right(places, start) :]:
                length = ends[end] - ends[start]
                if length > LONGEST_PIECE * usual:
                    break
                price = cost + (length - usual) ** 2 / usual + prices.get(end, 0.0)
                if end not in longer or price < longer[end][0]:
                    longer[end] = price, (*cuts, end)
        best = longer
    found = best.get(len(drawn.nodes))
    return found[1][:-1] if found is not None else None


def _ends(drawn: Picture, spans: Mapping[str, Span]) -> list[float]:
    """How far the picture reaches with its first 0, 1, 2, … boxes: one beside those before it adds nothing."""
    top = min(spans[box.id][0] for box in drawn.nodes)
    return list(accumulate((spans[box.id][1] - top for box in drawn.nodes), max, initial=0.0))


def _prices(drawn: Picture) -> dict[int, float]:
    """What a cut before each box costs, where one is allowed."""
    order = {box.id: i for i, box in enumerate(drawn.nodes)}
    frames = {cluster.id: cluster for cluster in drawn.clusters}
    around = [_around(frames, box.cluster) for box in drawn.nodes]
    last = {frame: i for i, inside in enumerate(around) for frame in inside}
    first = {frame: i for i, inside in reversed(list(enumerate(around))) for frame in inside}
    prices = {}
    for i in range(1, len(drawn.nodes)):
        split = [frame for frame in around[i - 1] if first[frame] < i <= last[frame]]
        if any(frames[frame].count for frame in split):
            continue
        over = {(e.source, e.shape) for e in drawn.edges if order[e.source] < i <= order[e.target]}
        prices[i] = SPLIT_FRAME * len(split) + CROSSING * max(0, len(over) - 1)
    return prices


def _around(frames: Mapping[str, Cluster], cluster: str | None) -> list[str]:
    """A frame and those around it, the innermost first."""
    found = []
    while cluster is not None:
        found.append(cluster)
        cluster = frames[cluster].parent
    return found


def pieces_of(drawn: Picture, cuts: Sequence[int]) -> list[Piece]:
    """A picture cut before the boxes at these places.

    One arrow leads from each piece to the next. What else passes a cut ends at a letter, and begins
    again at the same letter.
    """
    bounds = list(pairwise((0, *cuts, len(drawn.nodes))))
    piece_of = {box.id: k for k, (start, end) in enumerate(bounds) for box in drawn.nodes[start:end]}
    joints = _Joints(drawn, piece_of)
    return [joints.piece(k, drawn.nodes[start:end]) for k, (start, end) in enumerate(bounds)]


class _Joints:
    """What passes the cuts: a value (its box and shape) by the arrow to the next piece, or by a letter."""

    def __init__(self, drawn: Picture, piece_of: Mapping[str, int]) -> None:
        self.drawn = drawn
        self.piece_of = piece_of
        self.frame_of = {box.id: box.cluster for box in drawn.nodes}
        order = {box.id: i for i, box in enumerate(drawn.nodes)}
        self.passing = [e for e in drawn.edges if piece_of[e.source] != piece_of[e.target]]
        self.arrows: dict[int, tuple[str, str]] = {}
        """For each piece the value that the arrow from the piece before it carries."""
        for edge in sorted(self.passing, key=lambda e: (e.skip, -order[e.source])):
            target = piece_of[edge.target]
            if target == piece_of[edge.source] + 1:
                self.arrows.setdefault(target, (edge.source, edge.shape))
        lettered = dict.fromkeys((e.source, e.shape) for e in self.passing if not self._by_arrow(e))
        self.letters = {value: _letter(i) for i, value in enumerate(lettered)}

    def _by_arrow(self, edge: Edge) -> bool:
        target = self.piece_of[edge.target]
        return target == self.piece_of[edge.source] + 1 and self.arrows[target] == (edge.source, edge.shape)

    def piece(self, k: int, boxes: Sequence[Box]) -> Piece:
        inside = [e for e in self.drawn.edges if self.piece_of[e.source] == k == self.piece_of[e.target]]
        before: list[Box] = []
        after: list[Box] = []
        enters = leaves = None
        if k in self.arrows:
            enters = f"in{k}"
            before.append(_end(enters, "bend", ""))
        for edge in self.passing:
            if self.piece_of[edge.target] == k:
                inside.append(self._arriving(edge, k, before))
        for source, shape in dict.fromkeys((e.source, e.shape) for e in self.passing):
            if self.piece_of[source] != k:
                continue
            if self.arrows.get(k + 1) == (source, shape):
                leaves = f"out{k}"
                after.append(_end(leaves, "bend", ""))
                inside.append(Edge(source, leaves, shape, quiet=True))
            if (source, shape) in self.letters:
                letter = self.letters[source, shape]
                after.append(_end(f"to{letter}", "link", letter, self.frame_of[source]))
                inside.append(Edge(source, f"to{letter}", shape, skip=True))
        nodes = (*before, *boxes, *after)
        return Piece(self._framed(Picture(self.drawn.name, nodes, tuple(inside), ()), k), enters, leaves)

    def _arriving(self, edge: Edge, k: int, before: list[Box]) -> Edge:
        """An arrow from another piece, drawn from the point that replaces its source here."""
        if self._by_arrow(edge):
            return replace(edge, source=f"in{k}")
        letter = self.letters[edge.source, edge.shape]
        name = f"from{k}{letter}"
        if all(box.id != name for box in before):
            before.append(_end(name, "link", letter, self.frame_of[edge.target]))
        return replace(edge, source=name, skip=True)

    def _framed(self, part: Picture, k: int) -> Picture:
        """A piece with the frames of which there is something in it, those that began before it marked so."""
        frames = {cluster.id: cluster for cluster in self.drawn.clusters}
        began: dict[str, int] = {}
        for box in self.drawn.nodes:
            for frame in _around(frames, box.cluster):
                began.setdefault(frame, self.piece_of[box.id])
        here = {frame for box in part.nodes for frame in _around(frames, box.cluster)}
        names = {frame: frame if began[frame] == k else f"{frame}p{k}" for frame in here}
        clusters = tuple(
            replace(
                c,
                id=names[c.id],
                parent=names[c.parent] if c.parent else None,
                lines=(f"… {c.lines[0]}", *c.lines[1:]) if c.lines and began[c.id] < k else c.lines,
            )
            for c in self.drawn.clusters
            if c.id in here
        )
        nodes = tuple(replace(b, cluster=names[b.cluster]) if b.cluster else b for b in part.nodes)
        return replace(part, nodes=nodes, clusters=clusters)


def _end(name: str, kind: Kind, text: str, cluster: str | None = None) -> Box:
    return Box(id=name, kind=kind, lines=(text,), cluster=cluster)


def _letter(place: int) -> str:
    """A, B, …, Z, A2, B2, …"""
    turn, letter = divmod(place, 26)
    return chr(ord("A") + letter) + (str(turn + 1) if turn else "")
