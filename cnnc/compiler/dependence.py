"""On which of a file's params values depend, and which params decide the structure.

A number in the graph was worked out for one value of each param. Whoever writes a model that takes a param
as an argument needs to know what would change with it: whatever depends on the param, here never less than that,
must be written by its source, and the structure must not depend on it at all.
"""

from __future__ import annotations

from collections.abc import Iterable

from cnnc.compiler.graph import Graph, Node, Scope
from cnnc.compiler.ops.base import PositionWise, Whole
from cnnc.compiler.symbolic import FILE, Param, Sourced, Sym, is_constant, leaves
from cnnc.compiler.walk.draft import Decision

Names = frozenset[str]
NONE: Names = frozenset()
ANYTHING: Names = frozenset({"anything"})


class Dependence:
    """Answers for one graph; the names are those of the file's params."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.scopes = {scope.number: scope for scope in graph.scopes()}
        self.channels = [NONE] * len(graph.nodes)
        """What the channels of each node's output depend on."""
        self.space = [NONE] * len(graph.nodes)
        """What the other sizes of each node's output depend on."""
        before: list[Names] | None = None
        while before != self.channels + self.space and any(map(_can_change, graph.params.values())):
            before = self.channels + self.space
            chosen = self._chosen()
            for node in graph.nodes:
                self._measure(node, chosen.get(node.index, NONE))

    def of(self, *sources: Sym) -> Names:
        """What values with these sources depend on."""
        found: set[str] = set()
        for leaf in (leaf for source in sources for leaf in leaves(source)):
            if not isinstance(leaf, Param) and leaf.tensor in self.graph.lost:
                lost = self.graph.lost[leaf.tensor]
                found |= lost.channels if leaf.axis == "C" else lost.space
            elif not isinstance(leaf, Param):
                node = self.graph.placed[leaf.tensor]
                found |= self.channels[node] if leaf.axis == "C" else self.space[node]
            elif leaf.owner == FILE:
                found.add(leaf.name)
            else:
                found |= self.of(self.scopes[leaf.owner].args[leaf.name].source)
        return frozenset(found) if found else NONE

    def of_layer(self, node: Node, *, but: str | None = None) -> Names:
        """What a layer's arguments depend on, all or all but one."""
        return self.of(*(given.source for name, given in node.args.items() if name != but))

    def of_decisions(self, scope: Scope) -> list[tuple[Decision, Names]]:
        """The decisions in a scope, each with what it depends on."""
        return [(decision, self.of(*decision.sources)) for decision in scope.decisions]

    def _chosen(self) -> dict[int, Names]:
        """For nodes in an arm of a choice: what the choice depends on."""
        found: dict[int, Names] = {}
        for scope in self.scopes.values():
            names = union(names for _, names in self.of_decisions(scope))
            for node in scope.nodes() if names else ():
                found[node] = found.get(node, NONE) | names
        return found

    def _measure(self, node: Node, chosen: Names) -> None:
        ins, width = node.inputs, node.op.word.width
        channels = union(self.channels[i] for i in ins)
        space = union(self.space[i] for i in ins)
        if not isinstance(node.op, PositionWise):
            rest = self.of_layer(node, but=width)
            given = node.args.get(width or "")
            channels = channels | rest | space if given is None else self.of(given.source)
            space |= rest
        self.channels[node.index] = channels
        self.space[node.index] = NONE if _is_global(node, self.graph) else space | chosen


class AnyParameter(Dependence):
    """The same question about any parameter at all, a block's too: the one name is `anything`."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.channels = self.space = [ANYTHING] * len(graph.nodes)

    def of(self, *sources: Sym) -> Names:
        return NONE if all(map(is_constant, sources)) else ANYTHING


def _can_change(param: Sourced[object]) -> bool:
    """Whether the value of a param of the file can be given anew; else it is made of others' values."""
    return isinstance(param.source, Param)


def _is_global(node: Node, graph: Graph) -> bool:
    """Whether a layer makes one position of all there are, however many."""
    ones = node.op.family == "pooling" and not node.args and all(n == 1 for n in node.out[1:])
    return ones and isinstance(node.op.window(*graph.ins(node)), Whole)


def union(names: Iterable[Names]) -> Names:
    return NONE.union(*names)
