"""A graph without what its outputs do not need: the same names, places in the text and sources of numbers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from cnnc.compiler.dependence import Dependence
from cnnc.compiler.graph import Fitted, Graph, Lost, Node, Scope
from cnnc.compiler.symbolic import Opaque, Param
from cnnc.compiler.walk.draft import Decision


def pruned(graph: Graph, outputs: Mapping[str, int]) -> Graph:
    """The graph with these outputs, and the layers and inputs they need.

    Layers keep their names, so that weights of the whole network fit. A shared module stays whole where a use of it
    is needed; the first use that is left has its weights. Inputs stay where no output needs any.
    """
    needed = _needed(graph, outputs.values())
    if len(needed) == len(graph.nodes):
        return replace(graph, outputs=dict(outputs))
    return _Pruner(graph, outputs, needed).run()


def _needed(graph: Graph, ends: Iterable[int]) -> frozenset[int]:
    """The nodes that these need, themselves among them, and the uses of shared modules whole."""
    whole = {i: list(use.nodes()) for use in graph.shared_uses() for i in use.nodes()}
    found: set[int] = set()
    todo = list(ends)
    while todo:
        index = todo.pop()
        if index not in found:
            found.add(index)
            node = graph.nodes[index]
            todo += [*node.inputs, *node.named.values(), *whole.get(index, ())]
    inputs = set(graph.inputs.values())
    return frozenset(found if found & inputs else found | inputs)


class _Pruner:
    def __init__(self, graph: Graph, outputs: Mapping[str, int], needed: Collection[int]) -> None:
        self.graph = graph
        self.outputs = outputs
        self.new = {old: i for i, old in enumerate(sorted(needed))}
        """Where each node is now."""
        self.dependence = Dependence(graph)
        self.renamed = self._renamed()

    def run(self) -> Graph:
        nodes = tuple(self._node(self.graph.nodes[old], at) for old, at in self.new.items())
        root = self._scope(self.graph.root)
        assert root is not None
        labels = {self._name(name): self.new[i] for name, i in self.graph.labels.items() if i in self.new}
        return replace(
            self.graph,
            nodes=nodes,
            inputs={name: self.new[i] for name, i in self.graph.inputs.items() if i in self.new},
            outputs={name: self.new[i] for name, i in self.outputs.items()},
            root=root,
            labels={**labels, **{node.name: node.index for node in nodes if node.name not in labels}},
            placed=tuple(self.new.get(i, -1) for i in self.graph.placed),
            claims=(),
            lost=self._lost(),
        )

    # --- shared modules ------------------------------------------------------------------

    def _renamed(self) -> dict[str, str]:
        """For each shared module whose first use is gone, the name of the first use that is left to its own."""
        found: dict[str, str] = {}
        owned: set[str] = set()
        for use in self.graph.shared_uses():
            if any(i in self.new for i in use.nodes()) and use.module not in owned:
                owned.add(use.module)
                if use.name != use.module:
                    found[use.name] = use.module
        return found

    def _name(self, name: str) -> str:
        """A name as it is now; what is called by a shared module's further use may be the module's own."""
        head, dot, rest = name.partition(".")
        return f"{self.renamed[head]}{dot}{rest}" if head in self.renamed else name

    # --- nodes and scopes ----------------------------------------------------------------

    def _node(self, node: Node, index: int) -> Node:
        return replace(
            node,
            index=index,
            name=self._name(node.name),
            inputs=tuple(self.new[i] for i in node.inputs),
            named={key: self.new[i] for key, i in node.named.items()},
        )

    def _scope(self, scope: Scope) -> Scope | None:
        """A scope with what is left in it; None where nothing is."""
        if not self._is_left(scope):
            return None
        children = list(self._children(scope))
        fitted = self._fitted(scope)
        loses_sum = scope.fitted is not None and fitted is None
        decisions = (*scope.decisions, self._projection(scope)) if loses_sum else scope.decisions
        return replace(
            scope,
            name=self._name(scope.name),
            kind="bracket" if loses_sum else scope.kind,
            children=tuple(children),
            source=self._at(scope.source),
            result=self._at(scope.result),
            decisions=decisions,
            fitted=fitted,
        )

    def _children(self, scope: Scope) -> Iterator[int | Scope]:
        """The children that are left; one that was empty before, where a sibling after it is left."""
        left = [i for i, child in enumerate(scope.children) if not _is_empty(child) and self._is_left(child)]
        last = left[-1] if left else -1
        for i, child in enumerate(scope.children):
            if isinstance(child, int):
                if child in self.new:
                    yield self.new[child]
            elif self._is_left(child) and i <= last:
                inner = self._scope(child)
                if inner is not None:
                    yield inner

    def _is_left(self, child: int | Scope) -> bool:
        if isinstance(child, int):
            return child in self.new
        if child.fitted is not None and not child.children:
            return child.fitted.merge in self.new
        return _is_empty(child) or any(i in self.new for i in child.nodes())

    def _at(self, node: int | None) -> int | None:
        return None if node is None else self.new.get(node)

    def _fitted(self, scope: Scope) -> Fitted | None:
        """What a shortcut was fitted to; None where its sum is gone, and it is a chain like any other."""
        fitted = scope.fitted
        if fitted is None or fitted.merge not in self.new or fitted.like not in self.new:
            return None
        return replace(fitted, like=self.new[fitted.like], merge=self.new[fitted.merge])

    def _projection(self, scope: Scope) -> Decision:
        """That it depends on sizes whether a shortcut is a projection, where what it is fitted to is gone."""
        assert scope.fitted is not None
        nodes = [i for i in (scope.source, scope.fitted.like) if i is not None]
        names = self.dependence.of(scope.fitted.stride).union(
            *(self.dependence.channels[i] | self.dependence.space[i] for i in nodes)
        )
        found = (self.graph.params[name].source for name in sorted(names))
        params = Opaque(tuple(sym for sym in found if isinstance(sym, Param)))
        return Decision("choice", scope.span, (params,), 0, scope.trace)

    def _lost(self) -> dict[int, Lost]:
        """What sources may still ask of the tensors that are gone."""
        graph, of = self.graph, self.dependence
        gone = {n: i for n, i in enumerate(graph.placed) if i not in self.new and n not in graph.lost}
        return {
            number: Lost(graph.nodes[i].out, of.channels[i], of.space[i]) for number, i in gone.items()
        } | dict(graph.lost)


def _is_empty(child: int | Scope) -> bool:
    return not isinstance(child, int) and next(child.nodes(), None) is None
