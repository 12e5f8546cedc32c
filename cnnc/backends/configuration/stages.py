"""One network as the stages of a paper's table: what stands between two changes of the resolution."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import Literal

from cnnc.backends.diagram.words import MERGE_WORDS, SMALL_PRINT, brief_text, layer_text, shape_text
from cnnc.backends.outline import is_small
from cnnc.backends.volumes.units import Unit, Units, near
from cnnc.compiler.graph import Graph, Node
from cnnc.compiler.ops import show
from cnnc.compiler.ops.base import Sizes

Kind = Literal["stage", "pool", "vector"]

LISTED = frozenset({"convolution", "linear", "pooling", "head"})
"""The families that papers list; what only joins, reshapes or normalises is left out."""
RUN = 5
"""So many equal layers one after another, or more, are told as `x n`; fewer are listed."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a cell, or a block in brackets: `branches` side by side, each a list of layers."""

    branches: tuple[tuple[str, ...], ...]
    times: int
    is_block: bool
    sign: str = "|"
    """How the branches are joined: `|`, or the sign of a sum or product."""

    @property
    def text(self) -> str:
        """`conv3-64`, or `[1x1, 64; 3x3, 64; 1x1, 256] x 3`."""
        inner = f" {self.sign} ".join("; ".join(branch) for branch in self.branches)
        return (f"[{inner}]" if self.is_block else inner) + (f" x {self.times}" if self.times > 1 else "")


@dataclass(frozen=True, slots=True)
class Stage:
    """One row of one network: a run of layers of one resolution, a pool, or a layer on vectors."""

    kind: Kind
    label: str | None
    size: tuple[int, ...]
    output: str
    entries: tuple[Entry, ...]


def stages_of(graph: Graph) -> tuple[Stage, ...]:
    """The rows of one network, in the order of the flow."""
    units = Units(graph)
    closed = units.cells()
    found = units.of(graph.root, lambda scope: id(scope) in closed)
    projections = frozenset(n for s in graph.scopes() if s.kind == "shortcut" for n in s.nodes())
    told = [(unit, entries) for unit in found if (entries := tuple(_entries(graph, unit, projections)))]
    runs: list[list[tuple[Unit, tuple[Entry, ...]]]] = []
    for unit, entries in told:
        before = runs[-1][-1][0] if runs else None
        if before is not None and _is_same_stage(graph, before, unit):
            runs[-1].append((unit, entries))
        else:
            runs.append([(unit, entries)])
    return _labelled([_stage(graph, run) for run in runs])


def _kind(graph: Graph, unit: Unit) -> Kind:
    if unit.kind == "pooling":
        return "pool"
    return "vector" if all(int(n) == 1 for n in graph.nodes[unit.result].out[1:]) else "stage"


def _is_same_stage(graph: Graph, before: Unit, unit: Unit) -> bool:
    """Pools stand alone, and so do layers on vectors."""
    return _kind(graph, before) == _kind(graph, unit) == "stage" and near(graph, before, unit)


def _stage(graph: Graph, run: Sequence[tuple[Unit, tuple[Entry, ...]]]) -> Stage:
    first, last = run[0][0], run[-1][0]
    out = graph.nodes[last.result].out
    entries = tuple(_told([entry for _, entries in run for entry in entries]))
    return Stage(
        _kind(graph, first), _label(run), tuple(map(int, out[1:])), shape_text(out[1:] or out), entries
    )


def _label(run: Sequence[tuple[Unit, tuple[Entry, ...]]]) -> str | None:
    """The label that all of a stage stands under; of a single layer, its own."""
    if len(run) == 1 and run[0][0].title is not None:
        return run[0][0].title
    labels = {unit.stage for unit, _ in run}
    if len(labels) == 1:
        return labels.pop()
    return None


def _labelled(stages: Sequence[Stage]) -> tuple[Stage, ...]:
    """A label that several stages stand under tells none of them apart, and is left out."""
    labels = [stage.label for stage in stages]
    return tuple(
        replace(stage, label=None) if stage.label is not None and labels.count(stage.label) > 1 else stage
        for stage in stages
    )


def _told(entries: Sequence[Entry]) -> Iterator[Entry]:
    """Equal blocks as one with a count; equal layers so from RUN on."""
    for _, group in groupby(entries, key=lambda entry: (entry.branches, entry.is_block, entry.sign)):
        run = list(group)
        total = sum(entry.times for entry in run)
        if run[0].is_block or total >= RUN:
            yield replace(run[0], times=total)
        else:
            yield from run


# --- the words of a layer and of a block -------------------------------------------------


def _entries(graph: Graph, unit: Unit, projections: frozenset[int]) -> Iterator[Entry]:
    if unit.closed:
        branches, times = _branches(graph, unit, projections)
        if branches:
            yield Entry(branches, times, is_block=True, sign=_sign(graph, unit))
        return
    for n in unit.nodes:
        node = graph.nodes[n]
        if node.op.family in LISTED or _is_lrn(graph, node):
            yield Entry(((brief_text(node),),), 1, is_block=False)


def _sign(graph: Graph, unit: Unit) -> str:
    """The sign of what joins a block's branches; `|` where they are concatenated, or joined in several ways."""
    kinds = {graph.nodes[n].op.kind for n in unit.nodes if graph.nodes[n].op.family == "merge"}
    return MERGE_WORDS.get(kinds.pop(), "|") if len(kinds) == 1 else "|"


def _is_lrn(graph: Graph, node: Node) -> bool:
    """A norm that learns nothing and keeps nothing: the papers list local response normalisation as a layer."""
    ins = graph.ins(node)
    return node.op.family == "normalisation" and not node.op.params(*ins) and not node.op.state(*ins)


def _branches(
    graph: Graph, unit: Unit, projections: frozenset[int]
) -> tuple[tuple[tuple[str, ...], ...], int]:
    """The layers of a block by branches, shortcuts left out; equal parts one after another as a count."""
    parts = _parts(graph, frozenset(unit.nodes) - projections)
    told = [tuple(_term(graph.nodes[n]) for n in part) for part in parts]
    if all(_follows(graph, unit, one, other) for one, other in pairwise(parts)):
        if len(set(told)) == 1:
            return (told[0],), len(told)
        return (tuple(term for part in told for term in part),) if told else (), 1
    return tuple(told), 1


def _parts(graph: Graph, inside: frozenset[int]) -> list[list[int]]:
    """The listed layers of a block, those that hang together but by merges, in the order of the flow."""
    part: dict[int, int] = {}
    for n in sorted(inside):
        node = graph.nodes[n]
        if node.op.family == "merge":
            continue
        before = {part[i] for i in graph.values_into(node) if i in part}
        part[n] = min(before, default=n)
        if len(before) > 1:
            part.update({k: part[n] for k, owner in part.items() if owner in before})
    parts: dict[int, list[int]] = {}
    for n, owner in part.items():
        node = graph.nodes[n]
        if node.op.family in LISTED and not is_small(node):
            parts.setdefault(owner, []).append(n)
    return list(parts.values())


def _follows(graph: Graph, unit: Unit, one: Sequence[int], other: Sequence[int]) -> bool:
    """Whether the second part takes, within the block, from the first."""
    inside, todo, seen = frozenset(unit.nodes), list(other), set(other)
    goal = set(one)
    while todo:
        for i in graph.values_into(graph.nodes[todo.pop()]):
            if i in goal:
                return True
            if i in inside and i not in seen:
                seen.add(i)
                todo.append(i)
    return False


def _term(node: Node) -> str:
    """A layer of a block as the papers write it: `3x3, 64`; strides show in the sizes of the maps."""
    op, slots = node.op, node.op.word
    if op.kind != "conv" or slots.size is None or slots.width is None:
        word, bracket, rest = brief_text(node).partition("(")
        return word.partition("/")[0] + bracket + rest
    kernel = show(Sizes(getattr(op, slots.size)))
    groups = getattr(op, "groups", 1)
    _, _, rest = layer_text(node, SMALL_PRINT | {"groups", "norm", "act"}).partition("(")
    told = [f"{groups} groups"] if groups > 1 else []
    told += [rest.removesuffix(")").replace("=", " ")] if rest else []
    return ", ".join([kernel, str(getattr(op, slots.width)), *told])
