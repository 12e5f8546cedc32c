"""A scope that is no plain chain: its children and the steps of its forward."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from cnnc.backends.pytorch.classes import DictNew, Instance, LayerNew, New
from cnnc.backends.pytorch.context import is_empty
from cnnc.backends.pytorch.forward import Step
from cnnc.backends.pytorch.layer import Function, Module, Val
from cnnc.backends.pytorch.loops import turns_between
from cnnc.backends.pytorch.names import check_child, tensor_attribute
from cnnc.compiler.graph import Node, Scope
from cnnc.compiler.walk.values import Trace, Turn
from cnnc.dsl.diagnostics import fail

if TYPE_CHECKING:
    from cnnc.backends.pytorch.plan import Planner


def trace_scope(planner: Planner, scope: Scope) -> Instance:
    """The instance of a scope: constructor expressions, and steps over numbered values."""
    return _Tracer(planner, scope).instance()


class _Tracer:
    def __init__(self, planner: Planner, scope: Scope) -> None:
        self.planner = planner
        self.graph = planner.graph
        self.scope = scope
        self.number = {node: i for i, node in enumerate(planner.ends.takes(scope))}
        self.count = len(self.number)
        self.steps: list[Step] = []
        self.values: list[dict[str, Val]] = []
        self.traces: list[Trace | None] = []
        self.shortcut_value: dict[tuple[int, int], int] = {}

    def instance(self) -> Instance:
        children = [*self._shared_elsewhere(), *self._children(self.scope)]
        for child, path in sorted(self._timed(self.scope, ""), key=lambda pair: _time(pair[0])):
            if isinstance(child, Scope):
                self._call_scope(child, path)
            else:
                self._node(child, path)
            trace = (child if isinstance(child, Scope) else self.graph.nodes[child]).trace
            self.traces += [trace] * (len(self.steps) - len(self.traces))
        takes = self.planner.ends.takes(self.scope)
        returns = tuple(self.number[n] for n in self.planner.ends.gives(self.scope))
        return Instance(
            scope=self.scope, children=children, sequential=False, inputs=takes,
            modules=self.planner.ends.module_names(self.scope), steps=self.steps, values=self.values, returns=returns,
            traces=self.traces, nodes={value: node for node, value in self.number.items()},
            turns=self._turns(name for name, new in children if not _is_tensor(new)),
        )  # fmt: skip

    def _turns(self, names: Iterable[str]) -> dict[str, tuple[Turn, ...]]:
        """The turns of the repeats in which children are placed."""
        inner = [c if isinstance(c, Scope) else self.graph.nodes[c] for c in self.scope.children]
        traces = {child.local: child.trace for child in inner}
        return {name: turns_between(traces[name], self.scope.trace) for name in names if name in traces}

    def _shared_elsewhere(self) -> list[tuple[str, New]]:
        """For the model: the shared modules whose first use stands in a block or labelled bracket."""
        if self.scope is not self.graph.root:
            return []
        uses = [u for u in self.graph.shared_uses() if u.name == u.module and u not in self.scope.children]
        return [(use.module, self.planner.new(use, self.scope)) for use in uses if not is_empty(use)]

    def _children(self, scope: Scope) -> list[tuple[str, New]]:
        """Constructor expressions for the modules of a scope; dotted labels open dictionaries."""
        container = "nn.ModuleDict" if scope.kind == "path" else "nn.Module"
        children: list[tuple[str, New]] = []
        for child in scope.children:
            if isinstance(child, int):
                node = self.graph.nodes[child]
                if node.again is None and not self._is_expression(child):
                    check_child(node.local, node.span, container)
                    children.append((node.local, self.planner.new_layer(child, self.scope)))
            elif child.kind == "path":
                check_child(child.local, child.span, container)
                inner = self._children(child)
                tensors = [(name, new) for name, new in inner if _is_tensor(new)]
                modules = [(name, new) for name, new in inner if not _is_tensor(new)]
                if inner:
                    children.append((child.local, DictNew(tuple(modules))))
                children += [(f"{child.local}.{name}", new) for name, new in tensors]
            elif child.kind == "shared" and scope is not self.graph.root:
                continue  # the model has it
            elif child.module == child.name and (not is_empty(child) or child.kind == "shortcut"):
                check_child(child.local, child.span, container)
                children.append((child.local, self.planner.new(child, self.scope)))
        return children

    def _timed(self, scope: Scope, prefix: str) -> Iterator[tuple[int | Scope, str]]:
        """What forward does in a scope, each with the dotted way to it."""
        for child in scope.children:
            if isinstance(child, Scope) and child.kind == "path":
                yield from self._timed(child, f"{prefix}{child.local}.")
            else:
                yield child, prefix

    def _is_expression(self, node: int) -> bool:
        """Whether a node stands in forward as an expression, without a child module."""
        n = self.graph.nodes[node]
        code = self.planner.emit(n, self.scope)
        return isinstance(code, Function) and (code.module is None or n.role == "flatten")

    def _add(
        self, target: str | None, template: str, ins: Sequence[int], outs: Sequence[int | None], *,
        starts: bool, labels: Sequence[str | None], values: dict[str, Val] | None = None,
        modules: tuple[str, ...] = (),
    ) -> tuple[int, ...]:  # fmt: skip
        numbers = tuple(range(self.count, self.count + len(outs)))
        self.count += len(outs)
        self.number |= {node: i for node, i in zip(outs, numbers, strict=True) if node is not None}
        self.steps.append(Step(target, template, tuple(ins), numbers, starts, tuple(labels), modules))
        self.values.append(values or {})
        return numbers

    def _node(self, node: int, path: str) -> None:
        n = self.graph.nodes[node]
        code = self.planner.emit(n, self.scope)
        ins = [self.shortcut_value.get((node, k), self.number.get(x, -1)) for k, x in enumerate(n.inputs)]
        label = n.label if n.role in ("own", "merge") else None
        if isinstance(code, Module) and code.kept is not None:
            self._tensor(n, tensor_attribute(f"{path}{n.local}"))
            return
        if n.again is not None and n.op.source:
            assert isinstance(code, Function)
            self._tensor(n, code.template)
            return
        if n.again is not None and not self._is_expression(node):
            module = self.planner.ends.reach(n.module, self.scope)
            self._add(None, f"{module}({{all}})", ins, [node], starts=n.op.weighted, labels=[None])
            return
        if isinstance(code, Function) and self._is_expression(node):
            values = dict(code.values)
            self._add(None, code.template, ins, [node], starts=False, labels=[label], values=values)
        else:
            self._add(f"{path}{n.local}", "", ins, [node], starts=n.op.weighted, labels=[label])

    def _tensor(self, node: Node, attribute: str) -> None:
        """A tensor of the module's own, repeated for each image unless whatever reads it does so itself."""
        if node.index in self.planner.broadcast:
            self._add(None, attribute, [], [node.index], starts=False, labels=[node.label])
            return
        axes = ", ".join(["-1"] * len(node.out))
        template = f"{attribute}.expand({{0}}.shape[0], {axes})"
        self._add(None, template, [self._batch(node)], [node.index], starts=False, labels=[node.label])

    def _batch(self, node: Node) -> int:
        """A value that has the batch's size: what the tensor is joined to, or the first that comes in."""
        beside = [
            i
            for reader in self.planner.ends.readers(node.index)
            for i in self.graph.nodes[reader].inputs
            if i < node.index and i in self.number and i not in self.planner.broadcast
        ]
        return self.number[beside[0]] if beside else 0

    def _call_scope(self, scope: Scope, path: str) -> None:
        target = f"{path}{scope.module.rpartition('.')[2]}"
        if scope.fitted is not None and not scope.children:
            assert scope.source is not None
            ins = [self.number[scope.source]]
            (number,) = self._add(target, "", ins, [None], starts=True, labels=[scope.label])
            self.shortcut_value[scope.fitted.merge, scope.fitted.branch] = number
            return
        if is_empty(scope):
            return
        owner = self.planner.ends.owner(scope)
        ins = [self.number[n] for n in self.planner.ends.takes(scope)]
        outs = self.planner.ends.gives(scope)
        if self.planner.flattens_before(owner):
            first = scope.children[0]
            assert isinstance(first, int)
            ins = list(self._add(None, "torch.flatten({0}, 1)", ins, [first], starts=False, labels=[None]))
        labels = [scope.label if n == scope.result else self.graph.nodes[n].label for n in outs]
        modules = tuple(
            self.planner.ends.reach(name, self.scope) for name in self.planner.ends.modules(owner)
        )
        if scope.kind == "again":
            self._check_inputs(scope, owner)
        if scope.kind == "again" or (scope.kind == "shared" and self.scope is not self.graph.root):
            handed = "".join(f", {module}" for module in modules)
            template = f"{self.planner.ends.reach(scope.module, self.scope)}({{all}}{handed})"
            self._add(None, template, ins, outs, starts=True, labels=[None for _ in outs])
            return
        if scope.kind == "shared":
            labels = [None for _ in outs]
        self._add(target, "", ins, outs, starts=True, labels=labels, modules=modules)

    def _check_inputs(self, scope: Scope, first: Scope) -> None:
        """Whether a further use takes what the first takes, but for what flows in. Raises CnncError (E801)."""
        ways = [[None if i == x.source else i for i in self.planner.ends.takes(x)] for x in (first, scope)]
        if ways[0] != ways[1]:
            raise fail(
                "E801", f"the PyTorch backend cannot write `{scope.span.text}`: its first use reads what flows into it "
                "under a label, too", scope.span, hint="write `id` for what flows in",
            )  # fmt: skip


def _is_tensor(new: New) -> bool:
    """Whether a child is no module, but a parameter or buffer; its name may have dots already."""
    return isinstance(new, LayerNew) and new.module.kept is not None


def _time(child: int | Scope) -> tuple[int, int]:
    """Children in an order in which their inputs exist; an identity shortcut comes just before its sum."""
    if isinstance(child, int):
        return child, 0
    first = min(child.nodes(), default=None)
    if first is not None:
        return first, -1
    return (child.fitted.merge if child.fitted is not None else -1), -1
