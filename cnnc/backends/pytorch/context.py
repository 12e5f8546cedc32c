"""Where numbers come from, seen from one scope: expressions of the spec as `Sym`s over its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from cnnc.backends.pytorch.sym import Const, Extreme, Param, Sym, binary
from cnnc.compiler.draft import Draft, Origin
from cnnc.compiler.graph import Graph, Node, Scope
from cnnc.compiler.values import Env
from cnnc.dsl import syntax as s

CHANNELS = "in_channels"


class Sources:
    """Answers, for any scope, what a number in it comes from."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.parent: dict[int, Scope | None] = {}
        self.scope_of: dict[int, Scope] = {}
        self.by_identity: dict[int, Scope] = {}
        self.inputs: dict[int, tuple[int, ...]] = {}
        self._names = {node.name: node.index for node in graph.nodes}
        self._channels: dict[tuple[int, int], Sym] = {}
        self._walk()

    def _walk(self) -> None:
        todo: list[tuple[Scope, Scope | None]] = [(self.graph.root, None)]
        while todo:
            scope, parent = todo.pop()
            self.parent[id(scope)] = parent
            self.by_identity[id(scope.identity)] = scope
            for child in scope.children:
                if isinstance(child, Scope):
                    todo.append((child, scope))
                else:
                    self.scope_of[child] = scope

    def contains(self, outer: Scope, inner: Scope | None) -> bool:
        """Whether `inner` is `outer` or lies in it."""
        while inner is not None:
            if inner is outer:
                return True
            inner = self.parent[id(inner)]
        return False

    def node_in(self, scope: Scope, node: int) -> bool:
        return self.contains(scope, self.scope_of.get(node))

    # --- channels ------------------------------------------------------------------------

    def channels(self, node: int, scope: Scope) -> Sym:
        """The channels of a node's output as the class of `scope` knows them."""
        key = (node, id(scope))
        if key not in self._channels:
            self._channels[key] = self._find_channels(node, scope)
        return self._channels[key]

    def _find_channels(self, node: int, scope: Scope) -> Sym:
        while True:
            if not self.node_in(scope, node):
                return self._outside(node, scope)
            n = self.graph.nodes[node]
            width = n.origins.get("width")
            if width is not None:
                found = self.of_origin(width, scope)
                return Const(n.out[0]) if found is None else found
            fitted = self._fitted(n)
            if fitted is not None:
                node = fitted
            elif n.op.kind == "concat":
                total = self.channels(n.inputs[0], scope)
                for i in n.inputs[1:]:
                    total = binary("+", total, self.channels(i, scope))
                return total
            elif n.inputs and self.graph.nodes[n.inputs[0]].out[0] == n.out[0]:
                node = n.inputs[0]
            else:
                return Const(n.out[0])

    def _fitted(self, node: Node) -> int | None:
        """The node that a shortcut's projection is as wide as."""
        scope = self.scope_of.get(node.index)
        if scope is None or scope.kind != "shortcut" or scope.fitted is None:
            return None
        same = self.graph.nodes[scope.fitted.like].out[0] == node.out[0]
        return scope.fitted.like if same else None

    def _outside(self, node: int, scope: Scope) -> Sym:
        if scope is self.graph.root:
            return Const(self.graph.nodes[node].out[0])
        inputs = self.inputs.get(id(scope), ())
        if node not in inputs:
            return Const(self.graph.nodes[node].out[0])
        position = inputs.index(node)
        return Param(CHANNELS if position == 0 else f"{CHANNELS}{position + 1}", 0)

    # --- expressions ---------------------------------------------------------------------

    def of_origin(self, origin: Origin, scope: Scope) -> Sym | None:
        """The source of an argument, as the class of `scope` would write it; None where it cannot."""
        return self.of_expr(origin.expr, origin.env, scope)

    def of_expr(self, expr: s.Expr, env: Env, scope: Scope) -> Sym | None:
        if isinstance(expr, s.Number):
            return Const(expr.value) if isinstance(expr.value, int) else None
        if isinstance(expr, s.Name):
            return self._name(expr.id, env, scope)
        if isinstance(expr, s.Arithmetic):
            return self._arithmetic(expr, env, scope)
        if isinstance(expr, s.Call) and expr.name in ("min", "max"):
            items = [
                self.of_expr(a.value, env, scope) for a in expr.args if not isinstance(a.value, s.Bracket)
            ]
            known = tuple(i for i in items if i is not None)
            return Extreme(expr.name, known) if len(known) == len(items) and len(known) > 1 else None
        return None

    def _arithmetic(self, expr: s.Arithmetic, env: Env, scope: Scope) -> Sym | None:
        total = self.of_expr(expr.first, env, scope)
        for op, operand in expr.rest:
            right = self.of_expr(operand, env, scope)
            if total is None or right is None or op == "**":
                return None
            # A quotient that is used as a number of channels is whole; what is not is caught by the check
            # of every instance.
            total = binary("//" if op == "/" else op, total, right)
        return total

    def _name(self, name: str, env: Env, scope: Scope) -> Sym | None:
        binding = env.names.get(name)
        if binding is None:
            if name in env.file.params:
                return _const(env.file.params[name])
            return self._size(name, env.flow, scope)
        if binding.owner is None:
            return _const(binding.value)
        return self.parameter(name, self.by_identity.get(id(binding.owner)), binding.value, scope)

    def parameter(self, name: str, home: Scope | None, value: object, scope: Scope) -> Sym | None:
        """Parameter `name` of the block call `home`, as the class of `scope` would write it."""
        if home is None or home is self.graph.root or _const(value) is None:
            return _const(value)
        if home is not scope and self.contains(scope, home):
            origin = home.arg_origins.get(name)
            return _const(value) if origin is None else self.of_origin(origin, scope)
        level = self.level(scope, home)
        return _const(value) if level is None else Param(name, level)

    def level(self, scope: Scope, home: Scope) -> int | None:
        """How many scopes `home` lies around `scope`; None where it does not."""
        steps = 0
        around: Scope | None = scope
        while around is not None:
            if around is home:
                return steps
            around = self.parent[id(around)]
            steps += 1
        return None

    def around(self, scope: Scope, level: int) -> Scope:
        """The scope `level` steps around `scope`."""
        for _ in range(level):
            outer = self.parent[id(scope)]
            assert outer is not None
            scope = outer
        return scope

    def _size(self, name: str, flow: Draft | None, scope: Scope) -> Sym | None:
        if flow is None:
            return None
        node = self._names.get(flow.settled().name)
        if node is None:
            return None
        shape = self.graph.nodes[node].out
        if name == "C":
            return self.channels(node, scope)
        spatial = dict(zip("WHD", reversed(shape[1:]), strict=False))
        return Const(spatial[name]) if name in spatial else None

    def stride_of_path(self, path: tuple[int, ...], scope: Scope) -> Sym:
        """The product of the strides of the nodes of a path."""
        total: Sym = Const(1)
        for node in path:
            stride = getattr(self.graph.nodes[node].op, "stride", None)
            if stride is None:
                continue
            origin = self.graph.nodes[node].origins.get("stride")
            sym = self.of_origin(origin, scope) if origin is not None else None
            total = binary("*", total, sym if sym is not None else Const(stride[0]))
        return total

    def param_values(self, scope: Scope) -> Mapping[Param, int]:
        """The number behind every parameter that can appear in the class of `scope`."""
        values: dict[Param, int] = {}
        for position, node in enumerate(self.inputs.get(id(scope), ())):
            name = CHANNELS if position == 0 else f"{CHANNELS}{position + 1}"
            values[Param(name, 0)] = self.graph.nodes[node].out[0]
        around: Scope | None = scope
        level = 0
        while around is not None:
            for name, given in around.args.items():
                const = _const(given)
                if isinstance(const, Const):
                    values.setdefault(Param(name, level), const.value)
            around = self.parent[id(around)]
            level += 1
        return values


def _const(value: object) -> Const | None:
    if isinstance(value, bool) or not isinstance(value, int | Fraction):
        return None
    return Const(value) if isinstance(value, int) else None
