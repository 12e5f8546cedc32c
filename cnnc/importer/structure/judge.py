"""Whether two graphs are the same network: the first difference, attribute by attribute, from the outputs backward."""

from __future__ import annotations

from typing import Any, Literal

from cnnc.compiler.graph import Graph, Node
from cnnc.compiler.ops.extern import Extern
from cnnc.compiler.ops.merge import Concat

Names = Literal["none", "keys", "all"]
"""Which names must be equal: of the inputs and outputs alone, of the layers that have tensors too (the keys of the
state dict), or of every layer."""


def same(a: Graph, b: Graph, *, names: Names = "none", nested: bool = False) -> str | None:
    """The first difference between two graphs, in words; None where they are the same network.

    Compared are the inputs and outputs with their names and order, and of every layer its kind, all of its
    arguments, its inputs in order, its shape, and which layers share one module. With `nested` a concat of
    concats is what it joins in the end, so that `[[x | y] | z]` is `[x | y | z]`.

    >>> from cnnc.compiler.build import build
    >>> from cnnc.dsl.parse import parse
    >>> from cnnc.dsl.source import Source
    >>> a, b = (build(parse(Source("net.cnn", f"input 3x8x8\\nconv3-4 -> c: conv3-8/{s}"))) for s in (1, 2))
    >>> same(a, a)
    >>> same(a, b)
    'c: stride is (1, 1), and (2, 2) in the other'
    """
    return _Pairing(a, b, names, nested).difference()


class _Pairing:
    """The layers of one graph, each with the one of the other that stands in its place."""

    def __init__(self, a: Graph, b: Graph, names: Names, nested: bool) -> None:
        self.a, self.b = a, b
        self.names = names
        self.nested = nested
        self.there: dict[int, int] = {}
        self.back: dict[int, int] = {}
        self.modules: dict[str, str] = {}
        self.owners: dict[str, str] = {}

    def difference(self) -> str | None:
        """The difference of the first layer that has one, in the order of the first graph."""
        a, b = self.a, self.b
        for what, mine, other in (
            ("inputs", a.inputs, b.inputs), ("outputs", a.outputs, b.outputs), ("free sizes", a.free, b.free),
        ):  # fmt: skip
            if list(mine) != list(other):
                names = [", ".join(some) or "none" for some in (mine, other)]
                return f"the {what} are {names[0]}, and {names[1]} in the other"
        found: dict[int, str] = {}
        todo = [*zip(a.outputs.values(), b.outputs.values(), strict=True)]
        todo += zip(a.inputs.values(), b.inputs.values(), strict=True)
        while todo:
            one, two = todo.pop()
            if one in self.there or two in self.back:
                if self.there.get(one) != two or self.back.get(two) != one:
                    found.setdefault(one, self._crossed(one, two))
                continue
            self.there[one], self.back[two] = two, one
            problem = self._difference(a.nodes[one], b.nodes[two])
            if problem is not None:
                found[one] = problem
            sources = self._sources(a, one), self._sources(b, two)
            if type(a.nodes[one].op) is type(b.nodes[two].op) and len(sources[0]) == len(sources[1]):
                todo += reversed([*zip(*sources, strict=True)])
        if found:
            return found[min(found)]
        if not self.nested and (len(self.there), len(self.back)) != (len(a.nodes), len(b.nodes)):
            return f"{len(a.nodes)} layers, and {len(b.nodes)} in the other"
        return None

    def _crossed(self, one: int, two: int) -> str:
        node, other = self.a.nodes[one], self.b.nodes[two]
        return f"{node.name}: what stands in its place, {other.name}, is wired otherwise in the other"

    def _sources(self, graph: Graph, index: int) -> tuple[int, ...]:
        node = graph.nodes[index]
        if not (self.nested and isinstance(node.op, Concat)):
            return node.inputs
        found: list[int] = []
        todo = [*reversed(node.inputs)]
        while todo:
            source = todo.pop()
            op = graph.nodes[source].op
            if isinstance(op, Concat) and op.axis == node.op.axis:
                todo += reversed(graph.nodes[source].inputs)
            else:
                found.append(source)
        return tuple(found)

    def _difference(self, one: Node, two: Node) -> str | None:
        what = one.name
        if type(one.op) is not type(two.op):
            return f"{what}: is {one.op.kind}, and {two.op.kind} in the other"
        for key in type(one.op).model_fields:
            if key == "name" and isinstance(one.op, Extern):
                continue  # what the spec calls it
            mine, other = getattr(one.op, key), getattr(two.op, key)
            if not _equal(mine, other):
                return f"{what}: {key} is {_shown(mine)}, and {_shown(other)} in the other"
        shapes = one.out, two.out
        if any(not _equal(x, y) for x, y in zip(self.a.ins(one), self.b.ins(two), strict=False)):
            shapes = ((), ())  # it follows from a difference before
        for key, mine, other in (
            ("shape", *shapes),
            ("role of the further inputs", one.given, two.given),
            (
                "number of inputs",
                len(self._sources(self.a, one.index)),
                len(self._sources(self.b, two.index)),
            ),
        ):
            if not _equal(mine, other):
                return f"{what}: the {key} is {_shown(mine)}, and {_shown(other)} in the other"
        return self._sharing(one, two) or self._naming(one, two)

    def _sharing(self, one: Node, two: Node) -> str | None:
        """A module is used at the same places in both, and the layers of a use belong together."""
        if not (one.op.params(*self.a.ins(one)) or one.op.state(*self.a.ins(one)) or one.op.unknown):
            return None
        theirs = self.modules.setdefault(one.module, two.module)
        mine = self.owners.setdefault(two.module, one.module)
        if theirs != two.module or mine != one.module:
            return f"{one.name}: its module is {one.module}, which is shared otherwise in the other"
        return None

    def _naming(self, one: Node, two: Node) -> str | None:
        if one.role == "input" or self.names == "none":
            return None
        if self.names == "all":
            called = (one.name, one.module) == (two.name, two.module)
        else:
            called = one.module == two.module or not has_key(self.a, one)
        return None if called else f"{one.name}: is called {two.name} in the other"


def has_key(graph: Graph, node: Node) -> bool:
    """Whether a layer has tensors, so that its name is in the keys of the state dict."""
    ins = graph.ins(node)
    return bool(node.op.params(*ins) or node.op.state(*ins) or node.op.unknown)


def _equal(one: Any, two: Any) -> bool:
    """Equality; of expressions of free sizes, that they read the same."""
    return type(one) is type(two) and (bool(one == two) or repr(one) == repr(two))


def _shown(value: Any) -> str:
    return str(value)
