"""Which of a file's params the model's constructor can take, by the decisions that made the structure.

`VGG16(width=0.5)` must be what `cnnc -D width=0.5` compiles. What of the structure depends on a param was recorded
as it was decided; what of the numbers does is found as they are written (`Sources.fixed`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cnnc.backends.pytorch.context import Sources
from cnnc.backends.pytorch.loops import turns_between
from cnnc.compiler.dependence import Dependence, Names, union
from cnnc.compiler.graph import Graph, Scope
from cnnc.compiler.symbolic import Binary, Const, Param, Sym


def kept_params(graph: Graph, dependence: Dependence) -> list[str]:
    """The params of a file that are numbers which decide nothing of the structure."""
    kept = [
        name
        for name, given in graph.params.items()
        if isinstance(given.source, Param)
        and given.source.kind in ("int", "float")
        and name not in graph.root.args
    ]
    if not kept:
        return []
    decided = union([*_decided(graph, dependence), *_shortcuts(graph, kept, dependence)])
    return [name for name in kept if name not in decided]


def _decided(graph: Graph, dependence: Dependence) -> Iterator[Names]:
    """What the decisions depend on that made the structure, but for choices that a class can have as an `if`."""
    for scope in graph.scopes():
        decisions = dependence.of_decisions(scope)
        if not is_open(scope):
            yield union(names for _, names in decisions)


def is_open(scope: Scope) -> bool:
    """Whether all that is decided in a scope is one choice of a block between two arms."""
    if scope.kind != "block" or len(scope.decisions) != 1:
        return False
    (decision,) = scope.decisions
    return decision.is_closed and not turns_between(decision.trace, scope.trace)


def _shortcuts(graph: Graph, kept: Sequence[str], dependence: Dependence) -> Iterator[Names]:
    """What it depends on whether shortcuts are identities, where that can change."""
    sources = Sources(graph, kept, dependence)
    for scope in graph.scopes():
        if scope.fitted is None or scope.source is None:
            continue
        flow, like = scope.source, scope.fitted.like
        yield dependence.of(scope.fitted.stride) | dependence.space[flow] | dependence.space[like]
        if dependence.channels[flow] | dependence.channels[like]:
            before, after = (sources.channels(node, graph.root) for node in (flow, like))
            if not (before == after or _differ(before, after)):
                yield dependence.channels[flow] | dependence.channels[like]


def _differ(before: Sym, after: Sym) -> bool:
    """Whether two numbers of channels differ, whatever their params are: multiples of one number that is not 0."""
    pairs = [
        (sym.right, sym.left)
        if isinstance(sym, Binary) and sym.op == "*" and isinstance(sym.left, Const)
        else (sym, Const(1))
        for sym in (before, after)
    ]
    (base, factor), (other, times) = pairs
    return base == other and factor != times
