"""The figures that stand on a box on request: parameters, MACs, the receptive field."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from cnnc.backends.diagram.words import count_text
from cnnc.compiler.cost import costs, total
from cnnc.compiler.graph import Graph
from cnnc.compiler.receptive_field import ReceptiveField, receptive_fields

Figure = Literal["params", "macs", "rf"]
Note = Callable[[Sequence[int]], str | None]
"""From the nodes of a box to what is written on it; None where there is nothing to say."""


def figures(graph: Graph, show: Sequence[Figure]) -> tuple[Note, ...]:
    """A writer of notes for each figure asked for.

    Parameters and MACs are sums over the box, all its turns; the receptive field is
    that of what flows out of the last layer.
    """
    return tuple(_WRITERS[figure](graph) for figure in dict.fromkeys(show))


def _params(graph: Graph) -> Note:
    per_node = costs(graph).nodes

    def note(nodes: Sequence[int]) -> str | None:
        number = total(per_node[n] for n in nodes).params
        return f"{count_text(number)} params" if number else None

    return note


def _macs(graph: Graph) -> Note:
    per_node = costs(graph).nodes

    def note(nodes: Sequence[int]) -> str | None:
        number = total(per_node[n] for n in nodes).macs
        return f"{count_text(number)} MACs" if number else None

    return note


def _rf(graph: Graph) -> Note:
    fields = receptive_fields(graph)

    def note(nodes: Sequence[int]) -> str | None:
        field = fields[max(nodes)]
        if field is None or graph.nodes[max(nodes)].role == "input":
            return None
        return f"RF {_field_text(field)}"

    return note


def _field_text(field: ReceptiveField) -> str:
    if field.undefined is not None:
        return "undefined"
    if field.whole:
        return "whole input"
    return "x".join(map(str, field.size))


_WRITERS: Mapping[Figure, Callable[[Graph], Note]] = {"params": _params, "macs": _macs, "rf": _rf}
