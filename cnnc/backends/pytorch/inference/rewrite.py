"""A graph with some of its nodes run as one: the same structure, names and places in the text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from cnnc.backends.pytorch.inference.match import Fusion
from cnnc.backends.pytorch.inference.ops import ChannelsLast
from cnnc.compiler.graph import Fitted, Graph, Node, Scope


def rewrite(graph: Graph, fusions: Iterable[Fusion]) -> Graph:
    """The graph with each fusion as one node, where its last was, and its maps with their channels innermost.

    A fused node keeps the name and the place among its siblings of its first, so that
    parameters keep their names; all that referred to one of its nodes refers to it.
    """
    return _Rewriter(graph, {fusion.nodes[-1]: fusion for fusion in fusions}).run()


class _Rewriter:
    def __init__(self, graph: Graph, fusions: Mapping[int, Fusion]) -> None:
        self.graph = graph
        self.fusions = fusions
        self.inner = {i for fusion in fusions.values() for i in fusion.nodes[:-1]}
        self.relaid = [i for i in graph.inputs.values() if len(graph.nodes[i].out) == 3]
        self.new: dict[int, int] = {}
        """Where each node is now; for an input, what the layers read in its place."""
        self.position: dict[int, int] = {}
        """Where each input itself is now."""

    def run(self) -> Graph:
        nodes = self._nodes()
        for fusion in self.fusions.values():
            self.new.update(dict.fromkeys(fusion.nodes, self.new[fusion.nodes[-1]]))
        added = [self.new[i] for i in self.relaid]
        root = self._scope(self.graph.root)
        return replace(
            self.graph,
            nodes=nodes,
            inputs={name: self.position[i] for name, i in self.graph.inputs.items()},
            outputs={name: self.new[i] for name, i in self.graph.outputs.items()},
            root=replace(root, children=(*added, *root.children)),
            labels={name: self.new[i] for name, i in self.graph.labels.items()},
            placed=tuple(self.new.get(i, -1) for i in self.graph.placed),  # -1: left out before
        )

    def _nodes(self) -> tuple[Node, ...]:
        nodes: list[Node] = []
        for node in self.graph.nodes:
            if node.index in self.inner:
                continue
            fusion = self.fusions.get(node.index)
            made = self._mapped(node) if fusion is None else self._fused(fusion, nodes)
            self.new[node.index] = len(nodes)
            nodes.append(replace(made, index=len(nodes)))
            if node.role == "input":
                self.position[node.index] = self.new[node.index]
            if node.index in self.relaid:
                self.new[node.index] = len(nodes)
                nodes.append(self._channels_last(nodes[-1]))
        return tuple(nodes)

    def _mapped(self, node: Node) -> Node:
        named = {name: self._now(i) for name, i in node.named.items()}
        return replace(node, inputs=tuple(self._now(i) for i in node.inputs), named=named)

    def _now(self, old: int) -> int:
        return self.new[old]

    def _fused(self, fusion: Fusion, before: Sequence[Node]) -> Node:
        old = [self.graph.nodes[i] for i in fusion.nodes]
        sources = [*old[0].inputs, *([fusion.other] if fusion.other is not None else [])]
        inputs = tuple(map(self._now, sources))
        labels = [node.label for node in old if node.label is not None]
        out = fusion.op.out_shape(*(before[i].out for i in inputs))
        return replace(old[0], op=fusion.op, inputs=inputs, out=out, label=labels[-1] if labels else None)

    def _channels_last(self, source: Node) -> Node:
        taken = set(self.graph.labels) | {node.name for node in self.graph.nodes}
        name = next(
            n for n in (f"{source.local}_last{'_' * i}" for i in range(len(taken) + 1)) if n not in taken
        )
        return replace(
            source, index=source.index + 1, name=name, module=name, op=ChannelsLast(), inputs=(source.index,),
            role="own", label=None, args={}, written=(), given=(), named={},
        )  # fmt: skip

    def _scope(self, scope: Scope) -> Scope:
        children: list[int | Scope] = []
        firsts = {fusion.nodes[0] for fusion in self.fusions.values()}
        lasts = {i for fusion in self.fusions.values() for i in fusion.nodes[1:]}
        for child in scope.children:
            if isinstance(child, Scope):
                children.append(self._scope(child))
            elif child in firsts or child not in lasts:
                children.append(self.new[child])
        return replace(
            scope,
            children=tuple(children),
            source=None if scope.source is None else self.new[scope.source],
            result=None if scope.result is None else self.new[scope.result],
            fitted=None if scope.fitted is None else self._fitted(scope.fitted),
        )

    def _fitted(self, fitted: Fitted) -> Fitted:
        branch = fitted.branch
        for fusion in self.fusions.values():
            if fitted.merge in fusion.nodes:
                # The shortcut is what comes in second, or the layers before the sum hold it.
                old = self.graph.nodes[fitted.merge].inputs[fitted.branch]
                branch = 1 if fusion.other == old else 0
        return Fitted(self.new[fitted.like], fitted.stride, branch, self.new[fitted.merge])
