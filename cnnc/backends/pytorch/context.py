"""Where numbers come from, seen from one scope: expressions of the spec as `Sym`s over its parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

from cnnc.backends.pytorch.sym import (
    Compare,
    Const,
    Extreme,
    Logic,
    Number,
    Param,
    Rounded,
    Sym,
    binary,
    difference,
    integral,
    is_real,
)
from cnnc.compiler.graph import Graph, Node, Scope
from cnnc.compiler.walk.draft import Draft, Origin
from cnnc.compiler.walk.evaluate import truth
from cnnc.compiler.walk.values import CallStep, Closure, Env, Trace, Turn
from cnnc.dsl import syntax as s

CHANNELS = "in_channels"
CHANNELS_OF = "channels"


class Sources:
    """Answers, for any scope, what a number in it comes from."""

    def __init__(self, graph: Graph, kept: Mapping[str, bool]) -> None:
        """`kept` are the file's params that the model's constructor takes, and whether they are real."""
        self.graph = graph
        self.kept = {name: real for name, real in kept.items() if name not in graph.root.args}
        self.parent: dict[int, Scope | None] = {}
        self.scope_of: dict[int, Scope] = {}
        self.by_identity: dict[int, Scope] = {}
        self.inputs: dict[int, tuple[int, ...]] = {}
        self.handed: dict[int, Mapping[str, Scope]] = {}
        self._names = {**graph.labels, **{node.name: node.index for node in graph.nodes}}
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
            self.handed[id(scope)] = self._pipelines(scope)

    def _pipelines(self, scope: Scope) -> Mapping[str, Scope]:
        """The children of a block that are a pipeline it was given, and one module: by the parameter's name.

        A pipeline that gives several children, or stands in the block more than once, is not among them:
        its layers are the block's own.
        """
        if scope.kind != "block" or not any(isinstance(value, Closure) for value in scope.args.values()):
            return {}
        placed: dict[str, list[int | Scope]] = {}
        direct: dict[str, Scope] = {}
        for child in scope.children:
            inner = child if isinstance(child, Scope) else self.graph.nodes[child]
            steps = _steps_between(inner.trace, scope.trace)[1:]  # the first is the block's own call
            name = steps[0].text if steps and isinstance(steps[0], CallStep) else ""
            if not isinstance(scope.args.get(name), Closure):
                continue
            placed.setdefault(name, []).append(child)
            if isinstance(inner, Scope) and inner.kind in ("block", "bracket") and len(steps) == 1:
                direct[name] = inner
        return {
            name: child for name, child in direct.items() if placed[name] == [child] and not is_empty(child)
        }

    def contains(self, outer: Scope, inner: Scope | None) -> bool:
        """Whether `inner` is `outer` or lies in it."""
        while inner is not None:
            if inner is outer:
                return True
            inner = self.parent[id(inner)]
        return False

    def home(self, node: int) -> Scope:
        """The scope whose forward computes a node; steps of dotted labels have none of their own."""
        scope = self.scope_of[node]
        while scope.kind == "path":
            outer = self.parent[id(scope)]
            assert outer is not None
            scope = outer
        return scope

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
            for name, child in self.handed[id(scope)].items():
                if child.result == node:
                    return Param(f"{name}_{CHANNELS_OF}", 0)
            n = self.graph.nodes[node]
            width = n.origins.get("width") or n.origins.get(f"{n.op.rest}.0")
            if width is not None:
                found = self.of_origin(width, scope)
                return Const(n.out[0]) if found is None else integral(found)
            fitted = self._fitted(n)
            if fitted is not None:
                node = fitted
            elif n.op.kind == "concat":
                total = self.channels(n.inputs[0], scope)
                for i in n.inputs[1:]:
                    total = binary("+", total, self.channels(i, scope))
                return total
            elif n.op.kind == "flatten":
                size = math.prod(self.graph.nodes[n.inputs[0]].out[1:])
                return binary("*", Const(int(size)), self.channels(n.inputs[0], scope))
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
            return _const(expr.value)
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
        if isinstance(expr, s.Call) and expr.name in _ROUNDED:
            return self._rounded(expr, env, scope)
        if isinstance(expr, s.IfElse):
            taken = next((arm for arm, condition in expr.arms if truth(condition, env)), expr.otherwise)
            return self.of_expr(taken, env, scope)
        return None

    def _rounded(self, expr: s.Call, env: Env, scope: Scope) -> Sym | None:
        items = [self.of_expr(a.value, env, scope) for a in expr.args if not isinstance(a.value, s.Bracket)]
        known = tuple(i for i in items if i is not None)
        if not known or len(known) < len(items):
            return None
        if expr.name == "round":  # half away from zero; sizes are not negative
            known = (binary("+", known[0], Const(0.5)),)
        elif len(known) == 1 and not is_real(known[0]):
            return known[0]
        return Rounded(_ROUNDED[expr.name], known)

    def condition(self, expr: s.Expr, env: Env, scope: Scope) -> Sym | None:
        """The source of a condition, as the class of `scope` would write it; None where it cannot."""
        if isinstance(expr, s.Compare):
            sides = [
                self.of_expr(side, env, scope) for side in (expr.first, *(side for _, side in expr.rest))
            ]
            known = [side for side in sides if side is not None]
            if len(known) < len(sides):
                return None
            operators = [op for op, _ in expr.rest]
            parts = tuple(Compare(op, a, b) for op, a, b in zip(operators, known, known[1:], strict=False))
            return parts[0] if len(parts) == 1 else Logic("and", parts)
        if isinstance(expr, s.Logic):
            op, operands = str(expr.op), expr.operands
        elif isinstance(expr, s.Unary) and expr.op == "not":
            op, operands = "not", (expr.operand,)
        else:
            return None
        found = [self.condition(operand, env, scope) for operand in operands]
        items = tuple(item for item in found if item is not None)
        return Logic(op, items) if len(items) == len(found) else None

    def _arithmetic(self, expr: s.Arithmetic, env: Env, scope: Scope) -> Sym | None:
        total = self.of_expr(expr.first, env, scope)
        for op, operand in expr.rest:
            right = self.of_expr(operand, env, scope)
            if total is None or right is None or op == "**":
                return None
            # A quotient that is used as a number of channels is whole; what is not is caught by the check
            # of every instance.
            real = is_real(total) or is_real(right)
            total = binary("//" if op == "/" and not real else op, total, right)
        return total

    def _name(self, name: str, env: Env, scope: Scope) -> Sym | None:
        binding = env.names.get(name)
        if binding is None:
            if name in env.file.params:
                home = self.graph.root if env.file is self.graph.env.file else None
                return self.parameter(name, home, env.file.params[name], scope)
            return self._size(name, env.flow, scope)
        if binding.owner is None:
            return _const(binding.value)
        return self.parameter(name, self.by_identity.get(id(binding.owner)), binding.value, scope)

    def turns(self, turn: Turn, scope: Scope) -> Sym | None:
        """The number of turns of a repeat or comprehension, as the class of `scope` would write it."""
        loop = turn.loop
        if isinstance(loop, s.Item):
            return None if loop.count is None else self.of_expr(loop.count, turn.env, scope)
        values = loop.body.values if isinstance(loop.body, s.Loop) else ()
        if len(values) != 1 or not isinstance(values[0], s.Range):
            return Const(turn.total)
        ends = (values[0].low, values[0].high)
        low, high = (None if end is None else self.of_expr(end, turn.env, scope) for end in ends)
        if low is None or high is None:
            return None
        return difference(binary("+", high, Const(1)), low)

    def parameter(self, name: str, home: Scope | None, value: object, scope: Scope) -> Sym | None:
        """Parameter `name` of the block call `home`, or of the file, as the class of `scope` would write it."""
        const = _const(value)
        if home is None or const is None:
            return const
        if home is self.graph.root:
            if name not in self.kept:
                return const
        elif home is not scope and self.contains(scope, home):
            origin = home.arg_origins.get(name)
            return const if origin is None else self.of_origin(origin, scope)
        level = self.level(scope, home)
        real = self.kept[name] if home is self.graph.root else is_real(const)
        return const if level is None else Param(name, level, real)

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

    def channels_of(self, scope: Scope, param: Param) -> int | None:
        """The node whose channels a parameter of a scope's class is; None for a parameter of the text."""
        if param.level or param.name in scope.args:
            return None
        for name, child in self.handed[id(scope)].items():
            if param.name == f"{name}_{CHANNELS_OF}":
                return child.result
        return self.inputs[id(scope)][int(param.name.removeprefix(CHANNELS) or 1) - 1]

    def param_values(self, scope: Scope) -> Mapping[Param, Number]:
        """The number behind every parameter that can appear in the class of `scope`."""
        values: dict[Param, Number] = {}
        for position, node in enumerate(self.inputs.get(id(scope), ())):
            name = CHANNELS if position == 0 else f"{CHANNELS}{position + 1}"
            values[Param(name, 0)] = self.graph.nodes[node].out[0]
        for name, child in self.handed[id(scope)].items():
            if child.result is not None:
                values[Param(f"{name}_{CHANNELS_OF}", 0)] = self.graph.nodes[child.result].out[0]
        around: Scope | None = scope
        level = 0
        while around is not None:
            for name, given in around.args.items():
                const = _const(given)
                if isinstance(const, Const):
                    values.setdefault(Param(name, level, is_real(const)), const.value)
            if around is self.graph.root:
                for name, real in self.kept.items():
                    number = self.graph.env.file.params[name]
                    values[Param(name, level, real)] = float(number) if real else number
            around = self.parent[id(around)]
            level += 1
        return values


def _const(value: object) -> Const | None:
    if isinstance(value, bool) or not isinstance(value, int | Fraction):
        return None
    return Const(value if isinstance(value, int) else float(value))


_ROUNDED = {"floor": "math.floor", "round": "math.floor", "ceil": "math.ceil", "divisible": "divisible"}
"""What the functions of the language are in Python."""


def _steps_between(trace: Trace | None, outer: Trace | None) -> list[Trace]:
    """The steps from `outer` to `trace`, outermost first."""
    steps: list[Trace] = []
    while trace is not None and trace is not outer:
        steps.append(trace)
        trace = trace.parent
    return steps[::-1]


def is_empty(scope: Scope) -> bool:
    """Whether a scope places no layer."""
    return next(scope.nodes(), None) is None
