"""Where numbers come from, seen from one scope: expressions of the spec as `Sym`s over its parameters."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from cnnc.backends.pytorch.sym import integral, piece, python
from cnnc.compiler.dependence import Dependence
from cnnc.compiler.graph import Graph, Node, Scope
from cnnc.compiler.ops import Shape
from cnnc.compiler.symbolic import (
    FILE,
    TURN,
    Const,
    IfElse,
    Items,
    Opaque,
    Param,
    SizeOf,
    Sym,
    binary,
    is_constant,
    kind_of,
    params_of,
    parts,
    rebuilt,
)
from cnnc.compiler.walk.values import PIPELINE, CallStep, LayerWord, Trace, Value

CHANNELS = "in_channels"
CHANNELS_OF = "channels"


class Sources:
    """Answers, for any scope, what a number in it comes from."""

    def __init__(self, graph: Graph, kept: Collection[str], dependence: Dependence) -> None:
        """`kept` are the file's params that the model's constructor takes."""
        self.graph = graph
        self.kept = kept
        self.dependence = dependence
        self.fixed: set[str] = set()
        """The params on which something depends that is written without them: the constructor cannot take them."""
        self.parent: dict[int, Scope | None] = {}
        self.scope_of: dict[int, Scope] = {}
        self.by_number: dict[int, Scope] = {}
        self.inputs: dict[int, tuple[int, ...]] = {}
        self.handed: dict[int, Mapping[str, Scope]] = {}
        self._channels: dict[tuple[int, int], Sym] = {}
        self._values: dict[int, Mapping[Param, Any]] = {}
        self._walk()

    def _walk(self) -> None:
        todo: list[tuple[Scope, Scope | None]] = [(self.graph.root, None)]
        while todo:
            scope, parent = todo.pop()
            self.parent[id(scope)] = parent
            self.by_number[scope.number] = scope
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
        if scope.kind != "block" or not any(given.value is PIPELINE for given in scope.args.values()):
            return {}
        placed: dict[str, list[int | Scope]] = {}
        direct: dict[str, Scope] = {}
        for child in scope.children:
            inner = child if isinstance(child, Scope) else self.graph.nodes[child]
            steps = _steps_between(inner.trace, scope.trace)[1:]  # the first is the block's own call
            name = steps[0].text if steps and isinstance(steps[0], CallStep) else ""
            if name not in scope.args or scope.args[name].value is not PIPELINE:
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
            width = width_of(n)
            if width is not None:
                found = self.of(width, scope)
                return self._fix_channels(node) if found is None else integral(found)
            if getattr(n.op, "axis", None) == "C" and n.op.kind == "concat":
                total = self.channels(n.inputs[0], scope)
                for i in n.inputs[1:]:
                    total = binary("+", total, self.channels(i, scope))
                return total
            elif n.op.kind == "flatten":
                self.fixed |= self.dependence.space[n.inputs[0]]
                size = math.prod(self.graph.nodes[n.inputs[0]].out[1:])
                return binary("*", Const(int(size)), self.channels(n.inputs[0], scope))
            elif (part := self._piece(n, scope)) is not None:
                return part
            elif n.op.channels_over is not None and all(
                is_constant(given.source) for given in n.args.values()
            ):
                self.fixed |= self.dependence.channels[node] - self.dependence.channels[n.inputs[0]]
                return binary("//", self.channels(n.inputs[0], scope), Const(n.op.channels_over))
            elif n.inputs and self.graph.nodes[n.inputs[0]].out[0] == n.out[0]:
                self.fixed |= self.dependence.channels[node] - self.dependence.channels[n.inputs[0]]
                node = n.inputs[0]
            else:
                return self._fix_channels(node)

    def _piece(self, node: Node, scope: Scope) -> Sym | None:
        """The channels of each of the equal parts of a tensor, where the text says how large they are."""
        given = node.args.get("n")
        if given is None or node.op.channels_over is None:
            return None
        found = piece(self.of(given.source, scope), self.channels(node.inputs[0], scope))
        if found is not None:
            self.fixed |= self.dependence.channels[node.index]  # for other values it need not divide them
        return found

    def _fix_channels(self, node: int) -> Const:
        """The channels of a node as a plain number, which then cannot change."""
        self.fixed |= self.dependence.channels[node]
        return Const(int(self.graph.nodes[node].out[0]))

    def _outside(self, node: int, scope: Scope) -> Sym:
        inputs = () if scope is self.graph.root else self.inputs.get(id(scope), ())
        if node not in inputs:
            return self._fix_channels(node)
        position = inputs.index(node)
        name = CHANNELS if position == 0 else f"{CHANNELS}{position + 1}"
        if scope.block is not None and name in scope.block.params:
            return self._fix_channels(node)  # the block calls a number of its own so
        return Param(name, 0)

    # --- expressions ---------------------------------------------------------------------

    def of(self, sym: Sym, scope: Scope) -> Sym | None:
        """A source as the class of `scope` would write it, in Python's arithmetic; None where it cannot."""
        found = self._seen(sym, scope)
        return None if found is None else python(found)

    def _seen(self, sym: Sym, scope: Scope) -> Sym | None:
        """A source in terms of what the class of `scope` knows."""
        if isinstance(sym, Const):
            return sym if kind_of(sym.value) != "tuple" else None
        if isinstance(sym, Param):
            return self._parameter(sym, scope)
        if isinstance(sym, SizeOf):
            return self._size(sym, scope)
        if isinstance(sym, Opaque):
            return None
        if isinstance(sym, IfElse):
            condition = self._seen(sym.condition, scope)
            if isinstance(condition, Const):
                return self._seen(sym.then if condition.value else sym.otherwise, scope)
        inner = [self._seen(part, scope) for part in parts(sym)]
        known = tuple(part for part in inner if part is not None)
        if len(known) < len(inner):
            return None
        if isinstance(sym, Items):  # a size for each axis: written as one where all are the same
            return known[0] if all(part == known[0] for part in known) else None
        return rebuilt(sym, known)

    def _parameter(self, param: Param, scope: Scope) -> Sym | None:
        """A parameter of a block or of the file: one of the class's own or of those around it, or what it is given."""
        if param.owner == FILE:
            home, value = self.graph.root, self.graph.params[param.name].value
        else:
            home = self.by_number[param.owner]
            given = home.args[param.name]
            if home is self.graph.root or (home is not scope and self.contains(scope, home)):
                return self._seen(given.source, scope)
            value = word_of(given.value)
        if kind_of(value) == "tuple":
            return None
        level = self.level(scope, home)
        if level is None or (param.owner == FILE and param.name not in self.kept):
            self.fixed |= self.dependence.of(param)
            return Const(value)
        return param if param.owner == level else Param(param.name, level, param.kind)

    def handed_on(self, param: Param, home: Scope, scope: Scope) -> Sym | None:
        """What a call in the class of `scope` hands to a parameter that is the file's or that of the block `home`."""
        owner = home.number if param.name in home.args else FILE
        return self.of(Param(param.name, owner, param.kind), scope)

    def _size(self, sym: SizeOf, scope: Scope) -> Sym | None:
        lost = self.graph.lost.get(sym.tensor)
        if lost is not None:
            self.fixed |= self.dependence.of(sym)
            return Const(_size_of(lost.shape, sym.axis))
        node = self.graph.placed[sym.tensor]
        if sym.axis == "C":
            return self.channels(node, scope)
        self.fixed |= self.dependence.space[node]
        return Const(_size_of(self.graph.nodes[node].out, sym.axis))

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

    def channels_of(self, scope: Scope, param: Param) -> int | None:
        """The node whose channels a parameter of a scope's class is; None for a parameter of the text."""
        if param.owner or param.name in scope.args or scope is self.graph.root:
            return None
        for name, child in self.handed[id(scope)].items():
            if param.name == f"{name}_{CHANNELS_OF}":
                return child.result
        return self.inputs[id(scope)][int(param.name.removeprefix(CHANNELS) or 1) - 1]

    def fix(self, sym: Sym | None, scope: Scope) -> None:
        """A value that has this source in the class of `scope` is written as a plain number."""
        for param in params_of(sym) if sym is not None else ():
            if param != TURN:
                self.fixed |= self.dependence_of(param, scope)

    def dependence_of(self, param: Param, scope: Scope) -> frozenset[str]:
        """The params of the file that a parameter of the class of `scope` depends on."""
        home = self.around(scope, param.owner)
        if param.name in home.args:
            return self.dependence.of(replace(param, owner=home.number))
        node = self.channels_of(scope, param) if home is scope else None
        return frozenset({param.name} & set(self.kept)) if node is None else self.dependence.channels[node]

    def param_values(self, scope: Scope) -> Mapping[Param, Any]:
        """The number behind every parameter that can appear in the class of `scope`."""
        found = self._values.get(id(scope))
        if found is None:
            found = self._values[id(scope)] = self._find_values(scope)
        return found

    def _find_values(self, scope: Scope) -> Mapping[Param, Any]:
        values: dict[Param, Any] = {}
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
                value = word_of(given.value)
                for kind in {kind_of(value), "float"} - {"tuple"}:
                    values[Param(name, level, kind)] = value
            if around is self.graph.root:
                for name in self.kept:
                    source = self.graph.params[name].source
                    assert isinstance(source, Param)
                    values[replace(source, owner=level)] = self.graph.params[name].value
            around = self.parent[id(around)]
            level += 1
        return values


def _size_of(shape: Shape, axis: str) -> int:
    return shape[0] if axis == "C" else dict(zip("WHD", reversed(shape[1:]), strict=False))[axis]


def word_of(value: Value) -> Value:
    """A value as a constructor takes it: the word of a layer alone, for its numbers are the class's."""
    return value.name if isinstance(value, LayerWord) else value


def width_of(node: Node) -> Sym | None:
    """Where a layer's number of output channels comes from, if an argument gives it."""
    given = node.args.get("width")
    if given is not None:
        ways = getattr(node.op, "ways", 1)  # a recurrent layer that runs back too has its width twice
        return given.source if ways == 1 or given.source is None else binary("*", Const(ways), given.source)
    sizes = node.args.get(node.op.rest or "")
    return sizes.source.items[0] if sizes is not None and isinstance(sizes.source, Items) else None


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


def origin(scope: Scope) -> tuple[str, int, int]:
    """What in the text a scope comes from: its block, or its own bracket."""
    span = scope.block.span if scope.block is not None else scope.span
    return (span.source.name, span.start, span.end)
