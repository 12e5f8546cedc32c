"""What one unit sees of every map on the way back to the input, with exact numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, prod

from cnnc.backends.diagram.words import brief_text, shape_text
from cnnc.compiler.features import node_named
from cnnc.compiler.graph import Graph, Node
from cnnc.compiler.lattice import Interval
from cnnc.compiler.ops.base import Pointwise
from cnnc.compiler.receptive_field import AxisField, ReceptiveField, receptive_field, receptive_fields
from cnnc.dsl.diagnostics import CnncError, fail

MOST_STEPS = 22
"""More maps than this are not told; those at which the size changes come first."""

Region = tuple[Interval | None, ...]
"""The first and the last position seen, by axis of a map; None where nothing is."""


@dataclass(frozen=True, slots=True)
class Step:
    """One map on the way. `seen` is what the unit sees of it, padding included, `field` what
    the middle one of these positions sees of the input: both by axis."""

    node: int
    name: str
    word: str
    channels: int
    sizes: tuple[int, ...]
    seen: Region
    field: Region
    whole: bool
    """The unit sees all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trail:
    """The way from a unit back to the input: `steps` begin with the input and end with the unit's map."""

    model: str
    name: str
    position: tuple[int, ...]
    steps: tuple[Step, ...]
    layers: int
    """How many maps there are on the way, those not told included."""
    whole_by: str | None
    """The layer by which the unit comes to see the whole input."""
    gated: bool
    """A gate lets the unit see the whole input; the regions are those without it."""
    spread: tuple[tuple[int, int], ...]
    """The smallest and the largest field of any unit of the tensor, by axis: after up-sampling they differ."""
    centred: bool
    """No position was asked for: it is the middle one."""
    branches: bool
    """Whether ways meet: then a region is the hull over all of them."""


def trail_of(graph: Graph, label: str, position: Sequence[int] | None = None) -> Trail:
    """What a unit of the tensor of that label, path or name sees of each map before it.

    `position` has one number for each axis of the tensor's map, from 0; the middle
    where it is None. Where branches meet, the way goes along the one that sees most.

    Raises CnncError: E203 for an unknown label, E303 for a position that the map does
    not have, E801 where there is no field to draw.
    """
    unit = node_named(graph, label)
    where = _position(unit, label, position)
    fields = receptive_fields(graph)
    field = fields[unit.index]
    if field is None or field.undefined is not None:
        reason = field.undefined if field is not None else "it depends on no input"
        raise fail("E801", f"`{label}` has no receptive field to draw: {reason}")
    if len(graph.nodes[field.wrt].out) == 1:
        raise fail(
            "E801",
            "the input is a vector, over which no field can be drawn",
            hint="an input such as 3x224x224",
        )
    way = _way(graph, unit, field.wrt, fields)
    maps = _maps(graph, way)
    steps = tuple(_step(graph, node, unit, where, fields) for node in _chosen(maps, fields))
    wide = (graph.nodes[i] for i in way if _sees_all(fields[i]))
    whole_by = next((node.name for node in wide if node.role != "flatten"), None)
    return Trail(
        model=graph.name, name=label, position=where, steps=steps, layers=len(maps),
        whole_by=whole_by if _sees_all(field) else None, gated=field.ungated is not None,
        spread=tuple((min(axis.sizes), max(axis.sizes)) for axis in field.ungated or field.axes),
        centred=position is None, branches=any(len(graph.values_into(graph.nodes[i])) > 1 for i in way),
    )  # fmt: skip


def _position(unit: Node, label: str, position: Sequence[int] | None) -> tuple[int, ...]:
    sizes = tuple(map(int, unit.out[1:]))
    if position is None:
        return tuple(n // 2 for n in sizes)
    if len(position) != len(sizes):
        raise _misplaced(unit, label, f"{len(position)} numbers, and its map has {len(sizes)} axes")
    for i, n in zip(position, sizes, strict=True):
        if not 0 <= i < n:
            raise _misplaced(unit, label, f"{i} where positions go from 0 to {n - 1}")
    return tuple(position)


def _misplaced(unit: Node, label: str, what: str) -> CnncError:
    return fail("E303", f"the position in `{label}`, which is {shape_text(unit.out)}, has {what}")


def _way(graph: Graph, unit: Node, source: int, fields: Sequence[ReceptiveField | None]) -> list[int]:
    """The nodes from the input to the unit, at each merge along the branch that sees most."""
    way = [unit.index]
    while way[-1] != source:
        behind = [
            i for i in graph.values_into(graph.nodes[way[-1]])
            if (field := fields[i]) is not None and field.wrt == source
        ]  # fmt: skip
        way.append(max(dict.fromkeys(behind), key=lambda i: _reach(fields[i])))
    return way[::-1]


def _maps(graph: Graph, way: Sequence[int]) -> list[Node]:
    """The maps to tell: the input, each that a window gave, and at the end the merge that joins branches."""
    found = [graph.nodes[way[0]]]
    for i in way[1:]:
        node = graph.nodes[i]
        if node.role != "flatten" and not _is_pointwise(graph, node):
            found.append(node)
    after = [graph.nodes[i] for i in way if i > found[-1].index]
    merges = [node for node in after if len(graph.values_into(node)) > 1]
    return [*found, *merges[-1:]]


def _reach(field: ReceptiveField | None) -> float:
    """How much a node sees; a branch that sees all by a gate or pool is not the way that a map takes."""
    if field is None:
        return -1
    axes = field.ungated or field.axes
    return prod(axis.size for axis in axes) if not _sees_all(field) else inf


def _sees_all(field: ReceptiveField | None) -> bool:
    return field is not None and field.whole and field.ungated is None


def _is_pointwise(graph: Graph, node: Node) -> bool:
    """Whether what a node gives at a place depends on that place alone: it is the same map, for the picture."""
    return all(
        window is None or isinstance(window, Pointwise) for window in node.op.windows(*graph.ins(node))
    )


def _chosen(maps: Sequence[Node], fields: Sequence[ReceptiveField | None]) -> list[Node]:
    """Few enough maps: those at which the field grows, then those at which the size of the map changes,
    and further ones evenly between them."""
    if len(maps) > MOST_STEPS:
        sizes = [None if (field := fields[node.index]) is None else field.size for node in maps]
        maps = [
            node for i, node in enumerate(maps)
            if i in (0, len(maps) - 1) or sizes[i] != sizes[i - 1] or node.out[1:] != maps[i - 1].out[1:]
        ]  # fmt: skip
    if len(maps) <= MOST_STEPS:
        return list(maps)
    turns = [i for i in range(len(maps)) if i in (0, len(maps) - 1) or maps[i].out[1:] != maps[i - 1].out[1:]]
    if len(turns) > MOST_STEPS:
        return [maps[i] for i in evenly(turns, MOST_STEPS)]
    others = [i for i in range(len(maps)) if i not in set(turns)]
    return [maps[i] for i in sorted([*turns, *evenly(others, MOST_STEPS - len(turns))])]


def evenly(items: Sequence[int], number: int) -> list[int]:
    """So many items at even distances, the first and the last included.

    >>> evenly(range(10), 4)
    [0, 3, 6, 9]
    """
    if number >= len(items):
        return list(items)
    if number <= 1:
        return list(items[:number])
    return [items[i * (len(items) - 1) // (number - 1)] for i in range(number)]


def _step(
    graph: Graph, node: Node, unit: Node, where: tuple[int, ...], fields: Sequence[ReceptiveField | None]
) -> Step:
    sizes = tuple(map(int, node.out[1:]))
    whole = False
    seen: Region = tuple((i, i) for i in where)
    if node.index != unit.index:
        field = receptive_field(graph, unit.index, node.index)
        assert field is not None, "the way leads through it"
        whole = _sees_all(field)
        seen = _at(field.ungated or field.axes, (0,) * len(sizes) if whole else where)
    word = "input" if node.role == "input" else brief_text(node)
    return Step(
        node.index,
        node.name,
        word,
        node.out[0],
        sizes,
        seen,
        _field_of_middle(fields[node.index], seen),
        whole,
    )


def _field_of_middle(field: ReceptiveField | None, seen: Region) -> Region:
    """What the middle position of a region sees of the input."""
    assert field is not None and field.undefined is None, "the way leads to the input"
    if _sees_all(field):
        return _at(field.axes, (0,) * len(field.axes))
    middle = tuple(0 if span is None else (span[0] + span[1]) // 2 for span in seen)
    return _at(field.ungated or field.axes, middle)


def _at(axes: Sequence[AxisField], position: Sequence[int]) -> Region:
    return tuple(axis.at(i) for axis, i in zip(axes, position, strict=True))
