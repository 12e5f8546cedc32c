"""What a scope's forward takes and gives: tensors from outside, tensors for outside, modules that others have."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from cnnc.backends.pytorch.context import Sources
from cnnc.backends.pytorch.names import child_of, distinct, variable
from cnnc.compiler.graph import Graph, Scope


class ScopeEnds:
    """Answers for the scopes of one graph, each once it was settled, those within it before."""

    def __init__(self, graph: Graph, sources: Sources, batch_from: Collection[int]) -> None:
        """`batch_from` are the scopes that take an input of the model for the number of its images alone."""
        self.graph = graph
        self.sources = sources
        self._batch_from = batch_from
        self._consumers = graph.consumers()
        self._outputs = set(graph.outputs.values())
        self._given: dict[int, tuple[int, ...]] = {}
        self._modules: dict[int, tuple[str, ...]] = {}
        self._owners = {scope.name: scope for scope in graph.scopes() if scope.name == scope.module}
        self._homes = self._find_homes()
        self._reused = {s.module for s in graph.scopes() if s.module != s.name and s.kind != "shared"}
        self._uses = self._find_uses()
        self._in_reuses = {i for scope in graph.reused_scopes() for i in scope.nodes()}

    def settle(self, scope: Scope) -> None:
        """Find what a scope takes and gives."""
        self._modules[id(scope)] = self._used_modules(scope)
        self.sources.inputs[id(scope)] = self._external_inputs(scope)
        self._given[id(scope)] = self._external_outputs(scope)

    def _find_homes(self) -> Mapping[str, Scope]:
        """The scope in which each module is, by the module's name; shared modules are the model's."""
        homes = {
            node.name: self.sources.scope_of[node.index]
            for node in self.graph.layers
            if node.module == node.name
        }
        for scope in self._owners.values():
            home = self.sources.parent[id(scope)]
            homes[scope.name] = self.graph.root if home is None or scope.kind == "shared" else home
        return homes

    def _find_uses(self) -> Mapping[str, list[list[int]]]:
        """The nodes of each use of a scope that `again` uses more than once, by its module."""
        found: dict[str, list[list[int]]] = {}
        for scope in self.graph.scopes():
            if scope.kind != "shared" and scope.module in self._reused:
                found.setdefault(scope.module, []).append(self.aligned(scope))
        return {name: uses for name, uses in found.items() if len(uses) > 1}

    def modules(self, scope: Scope) -> tuple[str, ...]:
        """The shared modules used in a scope, in its own scopes too: forward is handed them.

        The model owns them, so for the model there are none.
        """
        return self._modules[id(scope)]

    def module_names(self, scope: Scope) -> tuple[str, ...]:
        """What forward calls these."""
        return tuple(
            distinct(["x", *(variable(name.rpartition(".")[2]) for name in self.modules(scope))])[1:]
        )

    def reach(self, module: str, scope: Scope) -> str:
        """A module as the forward of a scope's class reaches it: by way of its own children, or as it is handed."""
        if not self.sources.contains(scope, self._homes[module]):
            return self.module_names(scope)[self.modules(scope).index(module)]
        around: list[Scope] = []
        home: Scope | None = self._homes[module]
        while home is not None and home is not scope:
            around.insert(0, home)
            home = self.sources.parent[id(home)]
        text, outer = "self", scope
        for step, inner in zip(
            [*(s.local for s in around), module.rpartition(".")[2]], [*around, scope], strict=True
        ):
            text = child_of(text, step, is_key=outer.kind == "path")
            outer = inner
        return text

    def owner(self, scope: Scope) -> Scope:
        """The first use of what a scope uses again; any other scope itself."""
        return self._owners.get(scope.module, scope)

    def _used_modules(self, scope: Scope) -> tuple[str, ...]:
        known = self._modules.get(id(scope))
        if known is not None:
            return known
        found: dict[str, None] = {}
        for child in scope.children if scope is not self.graph.root else ():
            if isinstance(child, int):
                node = self.graph.nodes[child]
                found |= dict.fromkeys([node.module] if node.again is not None else [])
            else:
                found |= dict.fromkeys([child.module] if child.kind in ("shared", "again") else [])
                found |= dict.fromkeys(self._used_modules(self.owner(child)))
        self._modules[id(scope)] = tuple(
            name for name in found if not self.sources.contains(scope, self._homes[name])
        )
        return self._modules[id(scope)]

    def readers(self, node: int) -> tuple[int, ...]:
        """The nodes that read a node's output."""
        return self._consumers[node]

    def takes(self, scope: Scope) -> tuple[int, ...]:
        """The nodes outside a scope that it reads, what flows in first."""
        return self.sources.inputs[id(scope)]

    def gives(self, scope: Scope) -> tuple[int, ...]:
        """The nodes in a scope that are read outside it, what flows out first."""
        return self._given[id(scope)]

    def _external_inputs(self, scope: Scope) -> tuple[int, ...]:
        if scope is self.graph.root:
            return tuple(self.graph.inputs.values())
        inside = set(scope.nodes())
        seen = dict.fromkeys(
            s for n in sorted(inside) for s in self.graph.nodes[n].inputs
            if s not in inside and not (n in self._in_reuses and self._is_own(s))  # a module has its tensors with it
        )  # fmt: skip
        if id(scope) in self._batch_from:
            seen.setdefault(next(iter(self.graph.inputs.values())))
        return _first(seen, scope.source)

    def _external_outputs(self, scope: Scope) -> tuple[int, ...]:
        if scope is self.graph.root:
            return tuple(self.graph.outputs.values())
        uses = self._uses.get(scope.module)
        if uses is None:
            nodes = sorted(scope.nodes())
            return _first([nodes[place] for place in self._read_outside(nodes, set(nodes))], scope.result)
        places = {place for nodes in uses for place in self._read_outside(nodes, set(nodes))}
        first = self.owner(scope)
        own = [n for n in sorted(first.nodes()) if self._is_own(n)]
        read = self._read_outside(own, {*first.nodes(), *self._in_reuses})
        given = [n for place, n in enumerate(self.aligned(scope)) if place in places]
        return _first([*given, *(own[place] for place in read)], scope.result)

    def _is_own(self, node: int) -> bool:
        """Whether a node is a tensor of the network's own, which a further use of its scope has not again."""
        return self.graph.nodes[node].op.source and self.graph.nodes[node].again is None

    def aligned(self, scope: Scope) -> list[int]:
        """The nodes of a use, so that those of the same layers are at the same places."""
        return sorted(n for n in scope.nodes() if not self._is_own(n))

    def _read_outside(self, nodes: Sequence[int], inside: Collection[int]) -> Iterator[int]:
        """The places of those of some nodes that are read outside `inside`."""
        for place, n in enumerate(nodes):
            if n in self._outputs or any(c not in inside for c in self._consumers[n]):
                yield place


def _first(nodes: Iterable[int], head: int | None) -> tuple[int, ...]:
    """The nodes with `head` before the others, if it is among them."""
    ordered = list(nodes)
    if head in ordered:
        ordered.remove(head)
        ordered.insert(0, head)
    return tuple(ordered)
