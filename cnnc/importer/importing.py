"""The importer's face: a traced module to a spec, its map of keys, and what is said about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from cnnc.compiler.build import build
from cnnc.compiler.graph import Graph
from cnnc.compiler.ops.base import COUNTER
from cnnc.dsl.format import format_source
from cnnc.dsl.parse import parse
from cnnc.dsl.source import Source
from cnnc.importer import text as spelling
from cnnc.importer.naming import name_lines, parents
from cnnc.importer.traced import Traced
from cnnc.importer.translate import translate


@dataclass(frozen=True, slots=True)
class Imported:
    """A flat spec, and how the module's keys become its."""

    text: str
    graph: Graph
    names: dict[str, str]
    """The module's keys to ours, for those that differ."""
    unused: tuple[str, ...]
    """The module's keys that no output needs."""


def flat_spec(traced: Traced, progress: Callable[[int, int], None] | None = None) -> Imported:
    """The flat spec of a trace. Raises CnncError (E805) at what the language lacks."""
    flat = translate(traced, progress)
    names = name_lines(flat, _levels(traced))
    used = {key for line in flat.lines for key in line.weights.values()}
    used |= {key for key, same in traced.tied.items() if same in used}
    unused = tuple(k for k in traced.state if k not in used and k.rpartition(".")[2] != COUNTER)
    sizes = {
        line.index: spelling.by_x(shape[1:])
        for line, shape in zip(
            (x for x in flat.lines if x.kind == "input"), traced.inputs.values(), strict=True
        )
    }
    counted = sum(prod(traced.state[k]) for k in used if k in traced.learnt and k not in traced.tied)
    claims = [f"expect params == {counted:_}"]
    claims += [f"expect macs == {traced.macs:_}"] if traced.macs is not None else []
    text = spelling.text(
        flat, _identifier(traced.name), sizes, [traced.origin] if traced.origin else [], claims
    )
    text = format_source(Source(f"{traced.name}.cnn", text))
    graph = build(parse(Source(f"{traced.name}.cnn", text)), stem=_identifier(traced.name))
    _hold_keys(graph, traced, names, unused)
    return Imported(text, graph, names, unused)


def _hold_keys(graph: Graph, traced: Traced, names: dict[str, str], unused: tuple[str, ...]) -> None:
    """Check that the spec has every tensor of the module that an output needs, with its shape, and no other."""
    ours = {key: tuple(map(int, shape)) for _, key, shape in graph.tensors() if not key.endswith(COUNTER)}
    left_out = {*unused, *traced.tied}
    theirs = {
        names.get(key, key): shape
        for key, shape in traced.state.items()
        if key not in left_out and not key.endswith(COUNTER)
    }
    wrong = sorted(key for key in {*ours, *theirs} if ours.get(key) != theirs.get(key))
    assert not wrong, f"{wrong[0]}: {ours.get(wrong[0])} in the spec, {theirs.get(wrong[0])} in the module"


def _levels(traced: Traced) -> set[str]:
    """The paths of modules that have others inside."""
    holders = (key.rpartition(".")[0] for key in traced.state)
    return parents([*holders, *(step.where.path for step in traced.steps)])


def _identifier(name: str) -> str:
    return name.rpartition(".")[2]
