"""The graph: what a spec means, fully sized and named. Immutable; analyses read it, none writes into it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, TypeVar

from cnnc.compiler.bounds import Bounds
from cnnc.compiler.limits import Limits, limits, together
from cnnc.compiler.ops import Op, Shape
from cnnc.compiler.sizes import Ledger
from cnnc.compiler.symbolic import Sourced, Sym
from cnnc.compiler.walk.draft import Decision, Role, ScopeKind, scopes_within
from cnnc.compiler.walk.values import InputSizes, Trace, Value
from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import Diagnostic
from cnnc.dsl.record import record
from cnnc.dsl.source import Source, Span

if TYPE_CHECKING:
    from cnnc.compiler.ops.base import Window

_T = TypeVar("_T")


@record(eq=False, repr=False, kw_only=True)
class Node:
    """One layer at one place.

    `name` is unique; `module` is the owner of the weights, the same name but for
    further uses of a shared module. `inputs` are node indices in operand order.
    """

    index: int
    name: str
    module: str
    op: Op
    inputs: tuple[int, ...]
    out: Shape
    span: Span
    trace: Trace | None
    role: Role
    label: str | None
    args: Mapping[str, Sourced[Value]]
    """Its arguments as evaluated, and where they come from; those that a `default` gives among them."""
    written: tuple[str, ...]
    """Those that the text at the layer gives."""
    given: tuple[str, ...]
    """The arguments that brought the inputs after the first, in their order."""
    named: Mapping[str, int]
    """The nodes that arguments name."""
    again: str | None = None
    """For `again(label)` and `weight(label)`: the name of the node whose module it uses."""
    applied: tuple[str, ...] = ()
    """Where it uses that otherwise than as the module is: the arguments that say how."""

    @property
    def local(self) -> str:
        """The last step of the name."""
        return self.name.rpartition(".")[2]

    def __repr__(self) -> str:
        return f"<Node {self.index} {self.name}: {self.op.kind}>"


@record(eq=False)
class Fitted:
    """How a shortcut came to its size: it is operand `branch` of node `merge`, as wide as node `like`;
    `stride` is where its stride comes from, the product of those on the way there."""

    like: int
    stride: Sym
    branch: int
    merge: int


@record(eq=False, repr=False)
class Block:
    """The block that a scope is a call of: its name, its parameters with their defaults, where it is declared."""

    name: str
    params: Mapping[str, object]
    """None for a parameter without a default, and for one whose default is worked out."""
    span: Span


@record(eq=False, repr=False, kw_only=True)
class Scope:
    """A level of names. `children` are nodes (by index) and scopes, in the order of the text."""

    number: int
    """What sources call it by: the parameters of its block are owned by this number."""
    name: str
    kind: ScopeKind
    label: str | None
    children: tuple[int | Scope, ...]
    has_sides: bool
    source: int | None
    result: int | None
    module: str
    """The owner of the weights: the scope's own name, but for further uses of a shared module."""
    block: Block | None
    args: Mapping[str, Sourced[Value]]
    """The values of its block's parameters, and where they come from."""
    given: tuple[str, ...]
    """Those that the call gives; the others have their defaults."""
    decisions: tuple[Decision, ...]
    """What of its structure was decided by values, and where those come from."""
    span: Span
    trace: Trace | None
    fitted: Fitted | None

    @property
    def local(self) -> str:
        return self.name.rpartition(".")[2]

    def __repr__(self) -> str:
        return f"<Scope {self.kind} {self.name}>"

    def scopes(self) -> Iterator[Scope]:
        """This scope and those within it, each before its own."""
        return scopes_within(self)

    def nodes(self) -> Iterator[int]:
        """The indices of every node in this scope and the scopes within."""
        stack: list[int | Scope] = [self]
        while stack:
            item = stack.pop()
            if isinstance(item, Scope):
                stack.extend(reversed(item.children))
            else:
                yield item


def key_of(layer: str, tensor: str) -> str:
    """The key in the state dict of a layer's tensor; a tensor of its own has no name beside its layer's."""
    return f"{layer}.{tensor}" if tensor else layer


@record
class Lost:
    """What is known of a tensor that the graph has no more: its shape, and the file's params that its channels and
    its other sizes depend on."""

    shape: Shape
    channels: frozenset[str]
    space: frozenset[str]


@record(eq=False, repr=False, kw_only=True)
class Graph:
    """A whole model. `nodes` are in topological order and include the inputs."""

    name: str
    nodes: tuple[Node, ...]
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]
    root: Scope
    labels: Mapping[str, int]
    """Every label and path, and every node's and scope's name, to the node it names."""
    source: Source
    """The text that it was built from."""
    params: Mapping[str, Sourced[Value]]
    """The file's params: `Param` where another value can be given, else what they are made of."""
    bounds: Mapping[str, Bounds]
    """The ranges that `within` gives the file's params."""
    claims: tuple[s.Expect, ...]
    """What `expect` says of the model; the only syntax that is kept, for it speaks of figures of the graph."""
    warnings: tuple[Diagnostic, ...]
    free: Mapping[str, int]
    """The free sizes of the inputs by name; shapes are expressions of them."""
    ledger: Ledger
    """What the layers assume of the free sizes."""
    placed: tuple[int, ...]
    """The node that each tensor became that sources speak of (`SizeOf`), by the tensor's number."""
    changed: Mapping[str, Value] = field(default_factory=dict)
    """The params that have another value than the text gives them."""
    accepted: tuple[Diagnostic, ...] = ()
    """Warnings that the spec silences, each with its reason (`# allow W203: …`)."""
    sizes: InputSizes = field(default_factory=dict)
    """The input sizes that were given from outside, as of `build`."""
    max_layers: int = 0
    """The limit that it was built under."""
    heads: Mapping[str | None, int] = field(default_factory=dict)
    """The widths that were given from outside, as of `build`."""
    tupled: bool = False
    """Whether the outputs are named even where there is only one."""
    lost: Mapping[int, Lost] = field(default_factory=dict)
    """The tensors that sources speak of and that were left out, by the tensor's number."""
    _ins: tuple[tuple[Shape, ...], ...] = field(init=False)
    """The shapes that flow into each node."""

    def __post_init__(self) -> None:
        outs = [node.out for node in self.nodes]
        ins = tuple([tuple([outs[i] for i in node.inputs]) for node in self.nodes])
        object.__setattr__(self, "_ins", ins)

    def __repr__(self) -> str:
        return f"<Graph {self.name}: {len(self.nodes)} nodes>"

    @property
    def limits(self) -> tuple[Limits, ...]:
        """What the free sizes of the inputs must be for every layer to fit."""
        return tuple(limits(self.ledger, name) for name in self.free)

    @property
    def conditions(self) -> tuple[str, ...]:
        """What binds several free sizes to one another."""
        return together(self.ledger)

    def tensors(self) -> Iterator[tuple[Node, str, Shape]]:
        """The learnable tensors and the running statistics: the layer, the key in its state dict, the shape.

        A shared module's are told at its first use. A layer whose `unknown` names params has others too.
        """
        for node in self.nodes:
            if node.module == node.name:
                ins = self.ins(node)
                for key, shape in (*node.op.params(*ins).items(), *node.op.state(*ins).items()):
                    yield node, key_of(node.name, key), shape

    def ins(self, node: Node) -> tuple[Shape, ...]:
        """The shapes that flow into a node, in operand order."""
        return self._ins[node.index]

    def kept(self, node: Node, question: Hashable, answer: Callable[[], _T]) -> _T:
        """An answer that a node's layer and the shapes that flow in decide, worked out once for all equal layers;
        again and again where sizes are free, for which equal is a question of its own."""
        if self.free:
            return answer()
        return node.op.kept((question, self.ins(node)), answer)

    def windows(self, node: Node) -> tuple[Window | None, ...]:
        """What one output position sees of each input in turn; None for an input of which only the size matters."""
        if not node.inputs:
            return ()
        return self.kept(node, "windows", lambda: node.op.windows(*self.ins(node)))

    def values_into(self, node: Node) -> tuple[int, ...]:
        """The inputs whose values flow into a node: all but those that only lend it their size."""
        windows = self.windows(node)
        return tuple(i for i, window in zip(node.inputs, windows, strict=True) if window is not None)

    @property
    def layers(self) -> tuple[Node, ...]:
        """The nodes that are layers: all but the inputs."""
        return tuple(n for n in self.nodes if n.role != "input")

    def scopes(self) -> Iterator[Scope]:
        """Every scope of the model, each before those within it."""
        return self.root.scopes()

    def shared_uses(self) -> tuple[Scope, ...]:
        """Every use of a shared module, in topological order; at its first, name and module are the same."""
        uses = [scope for scope in self.scopes() if scope.kind == "shared"]
        return tuple(sorted(uses, key=lambda scope: next(scope.nodes(), -1)))

    def reuses(self) -> tuple[Node, ...]:
        """The nodes that use a module again by `again` or `weight`."""
        return tuple(node for node in self.nodes if node.again is not None)

    def reused_scopes(self) -> tuple[Scope, ...]:
        """The brackets and calls that `again` places, each as a further use of a module."""
        return tuple(scope for scope in self.scopes() if scope.kind == "again")

    def consumers(self) -> tuple[tuple[int, ...], ...]:
        """For each node, the nodes that take its output."""
        out: list[list[int]] = [[] for _ in self.nodes]
        for node in self.nodes:
            for i in dict.fromkeys(node.inputs):
                out[i].append(node.index)
        return tuple(map(tuple, out))

    def lint(self) -> None:
        """Check the invariants. Raises AssertionError: a failure is a mistake of the compiler."""
        names = set()
        for i, node in enumerate(self.nodes):
            assert node.index == i, f"{node.name} is out of place"
            assert all(j < i for j in node.inputs), f"{node.name} comes before its input"
            assert node.name not in names, f"two nodes are called {node.name}"
            assert node.op.out_shape(*self.ins(node)) == node.out, f"{node.name} has a wrong shape"
            names.add(node.name)
        assert sorted(self.root.nodes()) == [n.index for n in self.nodes if n.role != "input"]
