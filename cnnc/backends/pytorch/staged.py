"""The form in stages, for several GPUs: which scopes are in which stage, and what a stage passes on.

A stage is a bracket around consecutive layers. A scope that is cut is in several stages, each with its
layers in it, under the scope's name: so a stage's tensors have their plain names after its own, and the
state dicts of all stages together are that of the plain form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count

from cnnc.backends.pytorch.classes import ClassDef
from cnnc.backends.pytorch.form import Form, Formed
from cnnc.backends.pytorch.forward import Step
from cnnc.backends.pytorch.kept import kept_params
from cnnc.backends.pytorch.wrap import lay_out
from cnnc.compiler.dependence import Dependence
from cnnc.compiler.graph import Graph, Node, Scope
from cnnc.compiler.split import cut
from cnnc.compiler.symbolic import Param, Sourced, Sym, parts, rebuilt
from cnnc.compiler.walk.draft import Decision
from cnnc.compiler.walk.values import Value
from cnnc.dsl.diagnostics import fail

Crossed = tuple[str, tuple[int, ...], tuple[int, ...]]


class Staged(Form):
    """The plain form with its layers in stages of equal work, `pipeline` and `shard`."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.note = f"in {count} stages"

    def of(self, graph: Graph) -> Formed:
        shared = graph.shared_uses()
        if shared:
            raise fail(
                "E801", f"the shared module `{shared[0].module}` cannot be part of stages", shared[0].span,
                hint="each stage has its own weights: leave --stages out",
            )  # fmt: skip
        again: list[Node | Scope] = [*graph.reuses(), *graph.reused_scopes()]
        if again:
            raise fail(
                "E801", f"`{again[0].module}` is used again, and cannot be part of stages", again[0].span,
                hint="each stage has its own weights: leave --stages out",
            )  # fmt: skip
        return Formed(
            _Stager(graph, cut(graph, self.count)).run(),
            helpers=("InStages", "pipeline", "shard"),
            staged=True,
        )


class _Stager:
    def __init__(self, graph: Graph, lasts: Sequence[int]) -> None:
        self.graph = graph
        self.lasts = lasts
        self.split: dict[int, Scope] = {}
        """The scopes that a cut goes through, by number."""
        self.numbers = count(1 + max(scope.number for scope in graph.scopes()))

    def run(self) -> Graph:
        graph = self.graph
        self._find(graph.root)
        nodes = tuple(replace(node, args=self._args(node.args)) for node in graph.nodes)
        stages, first = [], 0
        for number, last in enumerate(self.lasts, 1):
            stages.append(self._stage(number, range(first, last + 1)))
            first = last + 1
        root = replace(graph.root, children=tuple(stages), decisions=(self._structure(),))
        return replace(graph, nodes=nodes, root=root)

    def _structure(self) -> Decision:
        """That the structure depends on the params that the plain form cannot take: the divided scopes said why."""
        graph = self.graph
        kept = kept_params(graph, Dependence(graph))
        fixed = tuple(given.source for name, given in graph.params.items() if name not in kept)
        return Decision("values", graph.root.span, fixed, 0, None)

    def _find(self, scope: Scope) -> None:
        homes = {self._home(i) for i in scope.nodes()}
        if len(homes) > 1 or scope is self.graph.root:
            self.split[scope.number] = scope
            for child in scope.children:
                if isinstance(child, Scope):
                    self._find(child)

    def _home(self, node: int) -> int:
        return next(i for i, last in enumerate(self.lasts) if node <= last)

    def _stage(self, number: int, span: range) -> Scope:
        name = f"stage{number}"
        first = next(self.graph.nodes[i] for i in span if self.graph.nodes[i].role != "input")
        root = self.graph.root
        return replace(
            root, number=next(self.numbers), name=name, module=name, kind="bracket", label=name, has_sides=True,
            source=None, result=None, children=tuple(self._within(root, span)), span=first.span, args={}, given=(),
            block=None, decisions=(), trace=None, fitted=None,
        )  # fmt: skip

    def _within(self, scope: Scope, span: range) -> list[int | Scope]:
        """The children of a scope in one stage."""
        found: list[int | Scope] = []
        for child in scope.children:
            if isinstance(child, int):
                found += [child] if child in span else []
            elif child.number in self.split:
                inner = tuple(self._within(child, span))
                found += [self._part(child, inner)] if inner else []
            elif self._place(child) in span:
                found.append(self._kept(child))
        return found

    def _place(self, scope: Scope) -> int:
        """The node by which an undivided scope has its place; an identity shortcut is where its sum is."""
        empty = scope.fitted.merge if scope.fitted is not None else scope.source or 0
        return next(scope.nodes(), empty)

    def _part(self, scope: Scope, children: tuple[int | Scope, ...]) -> Scope:
        """What of a divided scope is in one stage: a step of names, whose layers are the stage's own."""
        return replace(
            scope, number=next(self.numbers), kind="path", block=None, args={}, given=(), decisions=(), fitted=None,
            children=children, has_sides=False, source=None, result=None,
        )  # fmt: skip

    def _kept(self, scope: Scope) -> Scope:
        children = tuple(self._kept(c) if isinstance(c, Scope) else c for c in scope.children)
        fitted = scope.fitted and replace(scope.fitted, stride=self._inlined(scope.fitted.stride))
        decisions = tuple(self._decision(decision) for decision in scope.decisions)
        return replace(
            scope, children=children, args=self._args(scope.args), fitted=fitted, decisions=decisions
        )

    def _decision(self, decision: Decision) -> Decision:
        return replace(decision, sources=tuple(map(self._inlined, decision.sources)))

    def _args(self, args: Mapping[str, Sourced[Value]]) -> Mapping[str, Sourced[Value]]:
        return {name: replace(given, source=self._inlined(given.source)) for name, given in args.items()}

    def _inlined(self, sym: Sym) -> Sym:
        """A source without the parameters of divided blocks: what their calls gave stands there."""
        if isinstance(sym, Param):
            home = self.split.get(sym.owner)
            return (
                sym
                if home is None or sym.name not in home.args
                else self._inlined(home.args[sym.name].source)
            )
        return rebuilt(sym, tuple(map(self._inlined, parts(sym))))


def crossings(steps: Sequence[Step], inputs: int, returns: Sequence[int]) -> list[Crossed]:
    """For each stage, one a step: its name, what it reads of what comes in, and what goes on.

    What goes on is numbered through what comes in and then what the stage makes. A value that later stages
    read, or that the model returns, goes on from each stage to the next, once.
    """
    coming = list(range(inputs))
    found: list[Crossed] = []
    for i, step in enumerate(steps):
        every = [*coming, *step.outs]
        later = {value for after in steps[i + 1 :] for value in after.ins} | set(returns)
        going = list(returns) if i + 1 == len(steps) else [value for value in every if value in later]
        assert step.target is not None
        reads = tuple(map(coming.index, step.ins))
        found.append((step.target, reads, tuple(map(every.index, going))))
        coming = going
    return found


def stage_lines(classes: Sequence[ClassDef]) -> list[str]:
    """What `pipeline` and `shard` read of the model's class, the last: lines of its body."""
    model = classes[-1].first
    blocks = [cls.name for cls in classes if _is_inner_block(cls.first.scope)]
    crossed = crossings(model.steps, len(model.inputs), model.returns)
    shown = f"({', '.join(blocks)}{',' if len(blocks) == 1 else ''})"
    return [
        "    # Each stage: its name, which of the tensors that come in it reads, and which go on,",
        "    # numbered through those that come in and then those that it makes.",
        "    STAGES = (",
        *(f'        ("{name}", {reads}, {hands_on}),' for name, reads, hands_on in crossed),
        "    )",
        *lay_out(f"BLOCKS: tuple[type[nn.Module], ...] = {shown}", 4),
        "",
    ]


def _is_inner_block(scope: Scope) -> bool:
    """Whether a scope is a block without blocks of its own in it."""
    return scope.kind == "block" and all(inner is scope or inner.kind != "block" for inner in scope.scopes())
