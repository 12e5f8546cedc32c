"""The figures that are written on a box on request: any count of `Cost`, and the receptive field."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cnnc.backends.diagram.words import count_text
from cnnc.compiler.cost import FIGURES, costs, total
from cnnc.compiler.graph import Graph
from cnnc.compiler.receptive_field import ReceptiveField, receptive_fields

SHOWN = (*FIGURES, "rf")
"""What can be asked for."""
Note = Callable[[Sequence[int]], str | None]
"""From the nodes of a box to what is written on it; None where there is nothing to say."""


def figures(graph: Graph, show: Sequence[str]) -> tuple[Note, ...]:
    """A writer of notes for each figure asked for, one of `SHOWN`. Raises ValueError for another.

    Counts are sums over the box, all its turns; the receptive field is that of what flows out of
    the last layer.
    """
    if not show:
        return ()
    unknown = [key for key in show if key not in SHOWN]
    if unknown:
        raise ValueError(f"no figure {unknown[0]!r}: there are {', '.join(SHOWN)}")
    return tuple(_rf(graph) if key == "rf" else _count(graph, key) for key in dict.fromkeys(show))


def _count(graph: Graph, key: str) -> Note:
    per_node = costs(graph).nodes
    figure = FIGURES[key]
    unit = "B " if figure.unit == "bytes" else " "

    def note(nodes: Sequence[int]) -> str | None:
        number = getattr(total(per_node[n] for n in nodes), key)
        return f"{count_text(number)}{unit}{figure.heading}" if number else None

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
