"""Published weights in a network with another head, other input channels, or features only: what fits, strictly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cnnc.backends.pytorch.weights import Tensors, compare, wanted_tensors
from cnnc.compiler.build import build
from cnnc.compiler.graph import Graph
from cnnc.compiler.ops import by_x
from cnnc.compiler.ops.base import COUNTER
from cnnc.dsl.diagnostics import CnncError, fail
from cnnc.dsl.parse import parse
from cnnc.dsl.record import record


@record
class Fitting:
    """What a network takes of a state dict: `state`; and what it does not.

    `left_out` are the tensors of the state dict that it has no place for, with what is in their place:
    another shape, or None. `fresh` are its own tensors that keep their initial values.
    """

    state: Mapping[str, Any]
    left_out: Mapping[str, str | None]
    fresh: tuple[str, ...]

    def __str__(self) -> str:
        return told(len(self.state), self.left_out)


def told(taken: int, left_out: Mapping[str, str | None]) -> str:
    """The fit in words."""
    parts = [
        f"{name} (here {shape})" if shape is not None else name for name, shape in list(left_out.items())[:8]
    ]
    more = [f"{len(left_out) - 8} more"] if len(left_out) > 8 else []
    rest = f"; left out: {', '.join([*parts, *more])}" if left_out else ""
    return f"{taken} tensors taken{rest}"


def fitted(graph: Graph, state: Mapping[str, Any]) -> Fitting:
    """What a graph takes of a state dict of its spec, or of its own. Raises CnncError (E801) where it is neither's."""
    found = {name: tuple(map(int, tensor.shape)) for name, tensor in state.items()}
    left_out = unfitting(graph, found)
    taken = {name: tensor for name, tensor in state.items() if name not in left_out}
    own, _ = wanted_tensors(graph)
    fresh = tuple(n for n in own if n not in taken and n.rpartition(".")[2] != COUNTER)
    return Fitting(taken, left_out, fresh)


def unfitting(graph: Graph, found: Tensors) -> dict[str, str | None]:
    """The tensors of a state dict that a graph leaves out, each with the shape that it has in its place.

    Raises CnncError (E801) where they are neither those of the graph nor of its spec as it is written.
    """
    own, unknown = wanted_tensors(graph)
    if compare(own, found, unknown).holds:
        return {}
    whole, unknown = wanted_tensors(as_written(graph))
    compared = compare(whole, found, unknown)
    if not compared.holds:
        lines = [f"missing {name}" for name, _ in compared.missing]
        lines += [f"extra {name}" for name, _ in compared.extra]
        lines += [
            f"{name} is {by_x(theirs)}, and {by_x(ours)} in the spec"
            for name, ours, theirs in compared.shapes
        ]
        raise _refused(lines)
    prefixes = tuple(f"{name}." for name in unknown)
    return {
        name: by_x(own[name]) or "a number" if name in own else None
        for name, shape in found.items()
        if own.get(name) != shape and not name.startswith(prefixes or "\0")
    }


def as_written(graph: Graph) -> Graph:
    """The network of the spec with the same params, and its own heads, input sizes and outputs."""
    if not (graph.heads or graph.sizes or graph.tupled):
        return graph
    return build(
        parse(graph.source), stem=graph.name, params=graph.changed, max_layers=graph.max_layers or 20_000
    )


def _refused(lines: list[str]) -> CnncError:
    shown = "; ".join(lines[:6]) + (f"; and {len(lines) - 6} more" if len(lines) > 6 else "")
    hint = "`cnnc weights SPEC FILE` lists all, and can rename"
    return fail("E801", f"the weights are not those of the spec: {shown}", hint=hint)
