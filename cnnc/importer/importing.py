"""The importer's face: a traced module to a spec, its map of keys, and what is said about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod

from cnnc.compiler.build import build
from cnnc.compiler.cost import costs
from cnnc.compiler.graph import Graph
from cnnc.compiler.ops.base import COUNTER, by_x
from cnnc.dsl.diagnostics import CnncError
from cnnc.dsl.format import format_source
from cnnc.dsl.parse import parse
from cnnc.dsl.source import Source
from cnnc.importer import text as spelling
from cnnc.importer.flat import Flat
from cnnc.importer.idioms import joined_idioms
from cnnc.importer.naming import name_lines, parents
from cnnc.importer.outside import kept_outside
from cnnc.importer.traced import Traced
from cnnc.importer.translate import Refused, translate


@dataclass(frozen=True)
class Imported:
    """A flat spec, and how the module's keys become its."""

    body: str
    """Its lines, without claims and not formatted."""
    graph: Graph
    names: dict[str, str]
    """The module's keys to ours, for those that differ, and for single numbers, of which the spec's have one axis."""
    unused: tuple[str, ...]
    """The module's keys that no output needs."""
    origin: str = ""
    classes: Mapping[str, str] = field(default_factory=dict)
    """The classes of modules by their paths."""

    @cached_property
    def text(self) -> str:
        """The spec with a line for each layer."""
        return self.with_claims(self.body)

    def short(self) -> str:
        """The spec that a person would have written: its graph is the same, every name in a key included."""
        from cnnc.importer.structure import shorten

        return self.with_claims(shorten(self.graph, names="keys", classes=self.classes))

    def with_claims(self, body: str) -> str:
        """A spec of this graph, formatted, with where it came from and what it is held to."""
        total = costs(self.graph).total
        head = f"# {self.origin}\n" if self.origin else ""
        text = f"{head}{body}\nexpect params == {total.params:_}\n"
        text += "" if self.graph.free else f"expect macs == {total.macs:_}\n"
        return format_source(Source(f"{self.graph.name}.cnn", text))


def flat_spec(
    traced: Traced, progress: Callable[[int, int], None] | None = None, *, extern: bool = False
) -> Imported:
    """The flat spec of a trace. Raises CnncError (E805) at what the language lacks.

    With `extern` that is an `extern` of the module that it is in, where its class can be made again.
    """
    traced, flat = _translated(joined_idioms(traced), progress, extern)
    outside = tuple(f"{line.outside.path}." for line in flat.lines if line.outside is not None)
    used = {key for line in flat.lines for key in line.weights.values()}
    names = name_lines(flat, _levels(traced, outside))
    used |= {key for key in traced.state if key.startswith(outside or "\0")}
    names |= _counters(names, traced)
    names |= {
        line.weights[""]: line.name
        for line in flat.lines
        if "" in line.weights and not traced.state[line.weights[""]]
    }
    used |= {key for key, same in traced.tied.items() if same in used}
    unused = tuple(k for k in traced.state if k not in used and k.rpartition(".")[2] != COUNTER)
    inputs = [line.index for line in flat.lines if line.kind == "input"]
    shapes = traced.inputs.values()
    sizes = {i: by_x(shape[1:]) for i, shape in zip(inputs, shapes, strict=True)}
    name = traced.name.rpartition(".")[2]
    body = spelling.body(flat, name, sizes)
    graph = build(parse(Source(f"{name}.cnn", body)), stem=name)
    _hold_keys(graph, traced, names, unused, outside)
    _hold_counts(graph, traced, used)
    return Imported(body, graph, names, unused, traced.origin, traced.classes)


def _translated(
    traced: Traced, progress: Callable[[int, int], None] | None, extern: bool
) -> tuple[Traced, Flat]:
    """The lines of a trace, and the trace with what is kept outside as steps of its own."""
    while True:
        try:
            return traced, translate(traced, progress)
        except CnncError as error:
            refused = error.__cause__
            if not extern or not isinstance(refused, Refused):
                raise error from None
        traced = kept_outside(traced, refused.step, refused.refusal)


def _counters(names: Mapping[str, str], traced: Traced) -> dict[str, str]:
    """The counters of batches, which no operator reads, renamed as the statistics beside them."""
    pairs = ((theirs.rpartition("."), ours.rpartition(".")) for theirs, ours in names.items())
    found = {
        f"{theirs[0]}.{COUNTER}": f"{ours[0]}.{COUNTER}"
        for theirs, ours in pairs
        if theirs[2] == "running_mean"
    }
    return {theirs: ours for theirs, ours in found.items() if theirs in traced.state}


def _hold_counts(graph: Graph, traced: Traced, used: set[str]) -> None:
    """Check parameters against the module's tensors, and multiply-adds against torch's counter where it ran."""
    total = costs(graph).total
    counted = sum(prod(traced.state[k]) for k in used if k in traced.learnt and k not in traced.tied)
    assert total.params == counted, f"{total.params:,} parameters in the spec, {counted:,} in the module"
    wrong = traced.macs is not None and total.macs != traced.macs
    assert not wrong, f"{total.macs:,} multiply-adds in the spec, {traced.macs:,} counted by torch"


def _hold_keys(
    graph: Graph, traced: Traced, names: dict[str, str], unused: tuple[str, ...], outside: tuple[str, ...]
) -> None:
    """Check that the spec has every tensor of the module that an output needs, with its shape, and no other.

    What is `outside` has tensors of its own, which the graph has as one number.
    """
    left = (COUNTER, *(f"{path}*" for path in outside))
    ours = {key: tuple(map(int, shape)) for _, key, shape in graph.tensors() if not key.endswith(left)}
    left_out = {*unused, *traced.tied}
    theirs = {
        names.get(key, key): shape or (1,)
        for key, shape in traced.state.items()
        if key not in left_out and not key.endswith(COUNTER) and not key.startswith(outside or "\0")
    }
    wrong = sorted(key for key in {*ours, *theirs} if ours.get(key) != theirs.get(key))
    assert not wrong, f"{wrong[0]}: {ours.get(wrong[0])} in the spec, {theirs.get(wrong[0])} in the module"


def _levels(traced: Traced, outside: tuple[str, ...]) -> set[str]:
    """The paths of modules that have others inside; none within what is `outside`."""
    holders = (key.rpartition(".")[0] for key in traced.state if not key.startswith(outside or "\0"))
    return parents([*holders, *(step.where.path for step in traced.steps)])
