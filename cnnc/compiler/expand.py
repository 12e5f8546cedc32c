"""The flat core: every layer on a line of its own, named and explicit, as a valid spec.

before: layer1: [bottleneck(64)]*2
after:  maxpool1 -> layer1.0.conv1: conv1-64/1(dilation=1, pad=0, groups=1, bias=no)
        layer1.0.bn1: bn(eps=1e-05, momentum=0.1, affine=yes)
        …
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from fractions import Fraction
from typing import Any

from cnnc.compiler.graph import Graph, Node, Scope
from cnnc.compiler.ops import Op, op_words, show
from cnnc.compiler.ops.base import Causal, SameTF, Sizes
from cnnc.compiler.ops.connection import TABLES
from cnnc.compiler.ops.extern import Extern
from cnnc.compiler.ops.merge import Add, Concat, MatMul, Multiply
from cnnc.compiler.reading import written_whole
from cnnc.compiler.sizes import is_free
from cnnc.compiler.walk.again import REUSING
from cnnc.compiler.walk.fit import FITTED
from cnnc.dsl.tokens import RESERVED, STATEMENTS

_JOINS: dict[type[Op], str] = {Concat: "|", Add: "+", Multiply: "&", MatMul: "@"}
_Reference = Callable[[int], str]
PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*")


def expand(graph: Graph) -> str:
    """The text of the flat core of a graph.

    It has the same graph, names, weights and figures; expanding it again gives the same text.
    """
    return "\n".join(_Core(graph).lines()) + "\n"


class _Core:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.shared = _shared_uses(graph)
        """For each node in a shared module, the scope of the use it belongs to."""
        self.names_outside = {n.name for n in graph.nodes if n.index not in self.shared}
        self.taken = self.names_outside | _names_inside(graph, self.shared)
        self.externs: dict[str, str] = {}
        self.places = {node.name: node.index for node in graph.nodes}
        self.folded = _folded(graph)
        """For each layer written with the norm and activation it brings: those."""
        self.names = {brought[-1].index: graph.nodes[i].name for i, brought in self.folded.items()}
        self.labels: dict[int, str] = {}
        """For each use of a module by `again`, the label of what flows out, which is not its name."""
        for node in graph.reuses():
            label = _left(node.name.replace("@", "_"), {*self.taken, *self.labels.values()})
            self.labels[node.index] = self.names[node.index] = label
        self.folded |= self._folded_reuses()

    def lines(self) -> list[str]:
        body = list(self._flow())
        lines = [f"model {self.graph.name}"] if PLAIN_NAME.fullmatch(self.graph.name) else []
        for name, index in self.graph.inputs.items():
            size = "x".join(map(str, self.graph.nodes[index].out))
            lines.append(f"input {size}" if name == "input" else f"input {name}: {size}")
        kinds = sorted({n.op.kind for n in self.graph.nodes if n.op.brings is not None and n.op.brings.act})
        lines += [f"default {kind}(act=none)" for kind in kinds]
        lines += self.externs.values()
        lines += self._shared_statements()
        lines += ["", *body]
        if list(self.graph.outputs) != ["output"]:
            lines += ["", f"output {', '.join(label_text(name) for name in self.graph.outputs)}"]
        return lines

    # --- lines ---------------------------------------------------------------------------

    def _flow(self) -> Iterator[str]:
        """The model's own layers and its uses of shared modules, in topological order."""
        inputs = list(self.graph.inputs.values())
        before = inputs[0] if len(inputs) == 1 else None
        body: list[str] = []
        done: set[int] = set()
        brought = {node.index for nodes in self.folded.values() for node in nodes}
        for node in self.graph.layers:
            use = self.shared.get(node.index)
            if node.index in brought:
                continue
            if use is None:
                body.append(self._line(node, self.labels.get(node.index, node.name), before, self._reference))
                before = (node, *self.folded.get(node.index, ()))[-1].index
            elif id(use) not in done:
                done.add(id(use))
                assert use.source is not None
                head = "" if use.source == before else f"{self._reference(use.source)} -> "
                body += [f"{head}{use.module}", f"{label_text(self._use_name(use))}: id"]
                before = use.result
        for name, index in self.graph.outputs.items():
            if name not in ("output", self._reference_text(index)):
                body.append(f"{self._reference(index)} -> {label_text(name)}: id")
        if "input" in self.graph.inputs and any(_refers(line, '"input"') for line in body):
            yield '"input": id'
        if not body and list(self.graph.outputs) == ["output"]:
            yield "id"
        taps = {f"{label_text(self._use_name(use))}: id" for use in self.shared.values()}
        for line in body:
            if line not in taps or any(_refers(other, line.removesuffix(": id")) for other in body):
                yield line

    def _line(
        self, node: Node, name: str, before: int | None, reference: _Reference, prefix: str = ""
    ) -> str:
        join = _JOINS.get(type(node.op))
        if join is not None:
            axis = getattr(node.op, "axis", "C")
            along = "" if axis == "C" else f"(axis={axis})"
            return f"{label_text(name)}: [{f' {join} '.join(reference(i) for i in node.inputs)}]{along}"
        if node.again is not None:
            word = self._reuse(node, prefix, reference)
        else:
            word = written_whole("text", node, lambda watched: self._word(watched, reference))
        head = "" if not node.inputs or node.inputs[0] == before else f"{reference(node.inputs[0])} -> "
        return f"{head}{label_text(name)}: {word}"

    def _reference(self, index: int) -> str:
        return label_text(self._reference_text(index))

    def _reference_text(self, index: int) -> str:
        """The name of a tensor on the model's own level."""
        use = self.shared.get(index)
        if use is not None:
            return self._use_name(use)
        return self.names.get(index, self.graph.nodes[index].name)

    def _use_name(self, use: Scope) -> str:
        """The label of what flows out of one use of a shared module: a name that nothing else has."""
        named = self.graph.outputs.items()
        taken = {*self.names_outside, *(name for name, index in named if index != use.result)}
        return _left(f"{use.name.replace('@', '_')}_out", taken)

    # --- words ---------------------------------------------------------------------------

    def _word(self, node: Node, reference: _Reference) -> str:
        op = node.op
        if isinstance(op, Extern):
            return self._extern(op, [reference(i) for i in node.inputs[1:]])
        fields = {name: getattr(op, name) for name in type(op).model_fields}
        size = fields.pop(op.word.size, None) if op.word.size else None
        width = fields.pop(op.word.width, None) if op.word.width and op.word.width != op.word.size else None
        stride = fields.pop(op.word.stride, None) if op.word.stride else None
        word = op.kind
        word += "" if size is None else _sizes(size)
        word += "" if width is None else f"-{width}"
        word += "" if stride is None else f"/{_sizes(stride)}"
        fields.pop(op.rest or "", None)
        # A free size among sizes that are given by position can only be what is left.
        args = ["_" if is_free(value) else _value(value) for value in op.by_position]
        args += [f"{name}={_value(value)}" for name, value in fields.items() if value is not None]
        operands = list(zip(op.operands, node.inputs, strict=False))[1:]
        args += [f"{name}={reference(i)}" for name, i in operands if i != node.inputs[0]]
        further = iter(node.inputs[1:])
        for x in self.folded.get(node.index, ()):
            args.append(f"{x.role}={self._word(x, reference)}")
        args += [f"{name}=[{reference(next(further))}]" for name in op.pipelines if name in node.given]
        args += [f"{name}={reference(node.named[name])}" for name in op.tensors if name in node.given]
        # Parentheses tell a layer from a tensor of its name: counters reach relu6.
        return f"{word}({', '.join(args)})" if args or word in self.taken else word

    def _reuse(self, node: Node, prefix: str, reference: _Reference) -> str:
        """`again(label, …)` or `weight(label)`; `prefix` are the levels of names around its line."""
        assert node.again is not None
        args = [label_text(node.again.removeprefix(prefix))]
        if node.op.source:
            return f"weight({args[0]})"
        args += [reference(i) for i in node.inputs[1:]]
        args += [
            "transpose=yes" if name == "transpose" else f"{name}={_value(getattr(node.op, name))}"
            for name in node.applied
        ]
        followers = {x.role: x for x in self.folded.get(node.index, ())}
        first = self.graph.nodes[self.places[node.again]]
        for x in self.folded.get(first.index, ()) if node.applied[:1] != ("transpose",) else ():
            mine = followers.pop(x.role, None)
            if mine is None or mine.again != x.name:
                args.append(f"{x.role}={'none' if mine is None else self._word(mine, reference)}")
        args += [f"{x.role}={self._word(x, reference)}" for x in followers.values()]
        return f"again({', '.join(args)})"

    def _folded_reuses(self) -> dict[int, tuple[Node, ...]]:
        """The same for the uses of these: `again(label)` brings what the label's word brings."""
        found: dict[int, tuple[Node, ...]] = {}
        names = {self.graph.nodes[i].name for i in self.folded}
        for node in self.graph.reuses():
            if node.again not in names or node.applied[:1] == ("transpose",) or node.op.source:
                continue
            chain: list[Node] = []
            for after in self.graph.nodes[node.index + 1 :]:
                if after.role not in ("norm", "act") or after.inputs != ((chain or [node])[-1].index,):
                    break
                chain.append(after)
            found[node.index] = tuple(chain)
            self.names[(chain or [node])[-1].index] = self.labels[node.index]
        return found

    def _extern(self, op: Extern, further: Sequence[str]) -> str:
        """An extern's use; its declaration, with everything worked out, is kept for the head of the file."""
        names = [name for name, _ in op.arguments]
        name = op.name
        facts = [f"ins={len(further) + 1}"] if further else []
        facts += [f"shape={'x'.join(map(str, op.shape))}"]
        facts += [f"params={op.params_declared}"] if op.params_declared is not None else []
        facts += [f"macs={op.macs_declared}"] if op.macs_declared is not None else []
        signature = f"({', '.join(names)})" if names else ""
        text = f'extern NAME{signature} = "{op.target}" ({", ".join(facts)})'
        number = 1
        while self.externs.get(name, text.replace("NAME", name)) != text.replace("NAME", name):
            number += 1
            name = f"{op.name}_{number}"
        self.externs[name] = text.replace("NAME", name)
        args = ", ".join([*further, *(_value(value) for _, value in op.arguments)])
        return f"{name}({args})" if args or name in self.taken else name

    # --- shared modules ------------------------------------------------------------------

    def _shared_statements(self) -> Iterator[str]:
        """Each shared module once, its body as flat as the model."""
        for scope in self.graph.shared_uses():
            if scope.name == scope.module:
                yield from [
                    "",
                    f"shared {scope.module} = [",
                    *(f"  {line}" for line in self._body(scope)),
                    "]",
                ]

    def _body(self, scope: Scope) -> list[str]:
        prefix = f"{scope.name}."
        inflow = _left("inflow", {self.graph.nodes[i].name.removeprefix(prefix) for i in scope.nodes()})

        def reference(index: int) -> str:
            name = self.labels.get(index, self.graph.nodes[index].name)
            return label_text(name.removeprefix(prefix) if name.startswith(prefix) else inflow)

        before = scope.source
        body: list[str] = []
        for index in sorted(scope.nodes()):
            node = self.graph.nodes[index]
            name = self.labels.get(index, node.name).removeprefix(prefix)
            body.append(self._line(node, name, before, reference, prefix))
            before = index
        if any(_refers(line, inflow) for line in body):
            body.insert(0, f"{inflow}: id")
        return body


def _shared_uses(graph: Graph) -> dict[int, Scope]:
    return {node: use for use in graph.shared_uses() for node in use.nodes()}


def _names_inside(graph: Graph, shared: dict[int, Scope]) -> set[str]:
    """The names of the layers of shared modules, as their bodies have them."""
    return {graph.nodes[index].name.removeprefix(f"{use.name}.") for index, use in shared.items()}


def _folded(graph: Graph) -> dict[int, tuple[Node, ...]]:
    """For each layer whose label is an output with its norm and activation in: those, written in its word.

    On lines of their own they would leave the output's name to the bare layer.
    """
    folded = {}
    for name, index in graph.outputs.items():
        layer = graph.nodes[index]
        chain: list[Node] = []
        while layer.role in ("norm", "act"):
            chain.insert(0, layer)
            layer = graph.nodes[layer.inputs[0]]
        if chain and layer.name == name:
            folded[layer.index] = tuple(chain)
    return folded


def _left(name: str, taken: Collection[str]) -> str:
    """A name that is not taken."""
    while name in taken:
        name += "_"
    return name


def _refers(line: str, label: str) -> bool:
    return re.search(rf"(?<![\w.]){re.escape(label)}(?![\w.:])", line) is not None


def label_text(name: str) -> str:
    """A name as a label or tensor name: quoted where it is no plain path."""
    first = name.partition(".")[0]
    is_word = (
        first in RESERVED or first in STATEMENTS or name.lower() in (*op_words(), *FITTED, *REUSING, "id")
    )
    if PLAIN_NAME.fullmatch(name) and not is_word:
        return name
    return f'"{name}"'


def _sizes(value: Any) -> str:
    if not isinstance(value, tuple):
        return str(value)
    if isinstance(value, Sizes):  # a shape, not a number for each axis
        return "x".join(map(str, value))
    return str(value[0]) if all(v == value[0] for v in value) else "x".join(map(str, value))


def _value(value: Any) -> str:
    """An argument's value as the language writes it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, SameTF | Causal):
        return show(value)
    if isinstance(value, str):
        return value if value.isidentifier() and value.isascii() else f'"{value}"'
    if (known := next((name for name, rows in TABLES.items() if rows == value), None)) is not None:
        return known
    if isinstance(value, tuple) and value and all(_is_pair(v) for v in value):
        return _pads(value)
    if isinstance(value, tuple) and value and all(isinstance(v, int) for v in value):
        return _sizes(value)
    if isinstance(value, tuple) and value and all(isinstance(v, int | Fraction) for v in value):
        return str(value[0]) if len(set(value)) == 1 else f"({', '.join(map(str, value))})"
    if isinstance(value, tuple) and len(value) == 1 and isinstance(value[0], str):
        return _value(value[0])
    if isinstance(value, tuple):
        return f"({', '.join(_value(v) for v in value)})"
    return repr(value) if isinstance(value, float) else str(value)


def _is_pair(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(isinstance(v, int) for v in value)


def _pads(pads: Sequence[tuple[int, int]]) -> str:
    """Padding as short as it can be said: 1, 1x3, (0, 1), ((0, 1), (2, 2))."""
    if all(before == after for before, after in pads):
        return _sizes(tuple(before for before, _ in pads))
    if all(pair == pads[0] for pair in pads):
        return str(pads[0])
    return str(tuple(pads)) if len(pads) > 1 else f"({pads[0]},)"
