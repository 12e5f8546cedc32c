"""A layer of the graph as a layer word, with the norm and activation that it brings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from cnnc.compiler.expand import _value
from cnnc.compiler.graph import Graph, Node
from cnnc.compiler.ops import Op, OpError, Place, op_words
from cnnc.compiler.ops.base import Sizes
from cnnc.compiler.ops.model import ValidationError
from cnnc.compiler.sizes import is_free
from cnnc.dsl.record import record
from cnnc.importer.structure.judge import has_key
from cnnc.importer.structure.terms import NONE, Chain, Layer, Leaf, Value, Word

_UNNAMED_NORMS = ("lrn",)
_NO_ACTS = ("maxout", "softmax", "logsoftmax")


@record
class Unit:
    """A layer with the norm and activation written in its word; a `flatten` before it that need not be written."""

    own: Node
    norm: Node | None = None
    act: Node | None = None
    flatten: Node | None = None

    @property
    def last(self) -> Node:
        return self.act or self.norm or self.own

    @property
    def nodes(self) -> tuple[Node, ...]:
        """In the order of the parts of a layer: its own, its norm's and its activation's."""
        return tuple(n for n in (self.flatten, self.own, self.norm, self.act) if n is not None)


def units(graph: Graph, joined: Callable[[Node, Node], bool]) -> dict[int, Unit]:
    """Every layer's unit, by the index of the node whose value flows out of it.

    `joined` says whether a layer may be written in the word of another, as far as names go. A module that is used
    several times brings what follows it at each use.
    """
    modules = uses(graph)
    consumers = graph.consumers()
    ends = set(graph.outputs.values())
    named = {index for node in graph.nodes for index in node.named.values()}
    further = {index for node in graph.nodes for index in node.inputs[1:]}

    def follower(node: Node, family: str, refused: Sequence[str]) -> Node | None:
        nodes = modules.get(node.module, [node])
        after = [found for use in nodes if (found := behind(use, family, refused)) is not None]
        if len(after) != len(nodes) or (len(nodes) > 1 and len({*map(what, after)}) > 1):
            return None
        if len(modules.get(after[0].module, after)) != len(after) or not joined(nodes[0], after[0]):
            return None
        return behind(node, family, refused)

    def what(node: Node) -> tuple[str, str]:
        return repr(node.op), node.module if has_key(graph, node) else ""

    def behind(node: Node, family: str, refused: Sequence[str]) -> Node | None:
        takers = consumers[node.index]
        if len(takers) != 1 or node.index in ends or node.index in named or node.index in further:
            return None
        after = graph.nodes[takers[0]]
        fits = after.op.family == family and after.op.kind not in refused and len(after.inputs) == 1
        return after if fits else None

    out: dict[int, Unit] = {}
    brought: set[int] = set()
    for node in graph.nodes:
        if node.index in brought or node.role == "input":
            continue
        norm = act = flatten = None
        brings = node.op.brings
        if brings is not None:
            norm = follower(node, "normalisation", _UNNAMED_NORMS) if brings.norm else None
            act = follower(norm or node, "activation", _NO_ACTS)
        if node.op.flattens and node.inputs:
            before = graph.nodes[node.inputs[0]]
            alone = len(consumers[before.index]) == 1 and before.index not in ends
            flatten = before if before.op.kind == "flatten" and alone else None
        unit = Unit(node, norm, act, flatten)
        brought |= {n.index for n in (norm, act) if n is not None}
        if flatten is not None:
            out.pop(flatten.index, None)
        out[unit.last.index] = unit
    return out


def further_uses(graph: Graph) -> Iterator[Node]:
    """The layers with weights of another layer."""
    return (node for node in graph.reuses() if node.op.source or has_key(graph, node))


def uses(graph: Graph) -> dict[str, list[Node]]:
    """The layers of each module that is used several times, the one that it is named after first."""
    firsts = {node.module for node in further_uses(graph)}
    found: dict[str, list[Node]] = {module: [] for module in firsts}
    for node in graph.nodes:
        if node.module in firsts and node.inputs and has_key(graph, node):
            found[node.module].append(node)
    return found


class Words:
    """Makes terms of units."""

    def __init__(self, graph: Graph, welcome: Mapping[int, bool | None]) -> None:
        self.graph = graph
        self.welcome = welcome
        self._left_out: dict[Any, bool] = {}
        self.paddings = self._paddings()
        """The padding that says what most layers of a kind have, where that is not the usual one."""

    def _paddings(self) -> dict[str, str]:
        padded: dict[str, list[Node]] = {}
        for node in self.graph.nodes:
            if "pad" in type(node.op).model_fields:
                padded.setdefault(_kin(node), []).append(node)
        out = {}
        for kin, nodes in padded.items():
            if any(before != after for node in nodes for before, after in _sides(node)):
                usual = sum(self._may_leave_out(node, "pad") for node in nodes)
                if sum(self._makes(node, "pad", "same_tf") for node in nodes) > usual:
                    out[kin] = "same_tf"
        return out

    def layer(
        self,
        unit: Unit,
        pipes: Sequence[tuple[str, Chain]],
        tensors: Sequence[tuple[str, Leaf]],
        names: Sequence[str | None],
    ) -> Layer:
        """The term of a unit; `pipes` and `tensors` are its arguments that are chains, and labels."""
        node, op = unit.own, unit.own.op
        fields = dict(type(op).model_fields)
        size = self._pieces(node, op.word.size, fields)
        width = None
        if op.word.width is not None and op.word.width != op.word.size:
            width = self._width(node, op.word.width, fields)
        stride = self._stride(node, op.word.stride, fields)
        fields.pop(op.rest or "", None)
        rest = tuple(_leaf("_" if is_free(v) else v) for v in op.by_position)
        bias = None
        if op.brings is not None and "bias" in fields:
            fields.pop("bias")
            bias = Leaf("yes" if getattr(op, "bias") else "no")  # noqa: B009
        args = [(name, leaf) for name in fields if (leaf := self._argument(node, name)) is not None]
        args += tensors
        norm = act = None
        if op.brings is not None:
            norm = Leaf(self.word(unit.norm)) if op.brings.norm else None
            act = Leaf(self.word(unit.act), welcome=self.welcome.get(unit.last.index, True))
        return Layer(
            kind=op.kind, size=size, width=width, stride=stride, rest=rest, args=tuple(args),
            pipes=tuple(pipes), norm=norm, act=act, bias=bias, names=tuple(names),
            flow=tuple(int(shape[0]) for shape in self.graph.ins(node)[:1]),
        )  # fmt: skip

    def changed(self, first: Node, node: Node) -> list[tuple[str, Leaf]]:
        """The arguments of a further use of a module that differ from its first use."""
        return [
            (name, Leaf(_argument_value(getattr(node.op, name))))
            for name in node.applied
            if not all(self._may_leave_out(one, name) for one in (first, node))
        ]

    def word(self, node: Node | None) -> Word:
        """A norm or activation as it stands behind `norm=` or `act=`."""
        if node is None:
            return NONE
        args = []
        for name in type(node.op).model_fields:
            leaf = self._argument(node, name)
            if leaf is not None and leaf.value != leaf.default:
                args.append((name, str(leaf.value)))
        return Word(node.op.kind, tuple(args))

    def _pieces(self, node: Node, name: str | None, fields: dict[str, Any]) -> tuple[Leaf, ...]:
        value = None if name is None else getattr(node.op, name)
        if name is None:
            return ()
        usual = fields.pop(name).default
        if value is None:
            return ()
        parts = value if isinstance(value, tuple) else (value,)
        if not isinstance(value, Sizes) and all(part == parts[0] for part in parts):
            parts = parts[:1]
        usual = usual if type(usual) is int and len(parts) == 1 else None
        return tuple(replace(_leaf(part), default=usual) for part in parts)

    def _width(self, node: Node, name: str, fields: dict[str, Any]) -> Leaf | None:
        field = fields.pop(name)
        value = getattr(node.op, name)
        if value is None:
            return None
        if not field.is_required() and self._may_leave_out(node, name):
            return None
        return _leaf(value)

    def _stride(self, node: Node, name: str | None, fields: dict[str, Any]) -> tuple[Leaf, ...]:
        if name is None:
            return ()
        usual = fields.get(name)
        pieces = self._pieces(node, name, fields)
        if not pieces:
            return ()
        assert usual is not None
        if isinstance(usual.default, int):
            return tuple(Leaf(piece.value, usual.default) for piece in pieces)
        if self._may_leave_out(node, name):
            return tuple(Leaf(piece.value, piece.value) for piece in pieces)
        return tuple(Leaf(piece.value) for piece in pieces)

    def _argument(self, node: Node, name: str) -> Leaf | None:
        """An argument as a leaf whose default need not be written; None where there is nothing to write."""
        value, field = getattr(node.op, name), type(node.op).model_fields[name]
        usual = field.default
        if value is None and usual is None:
            return None
        if usual is not None and not field.is_required() and _is(value, usual):
            return Leaf(_scalar(usual), _scalar(usual))
        if name == "pad":
            return self._pad(node, value, usual)
        if not field.is_required() and self._may_leave_out(node, name):
            return None if usual is None else Leaf(_scalar(usual), _scalar(usual))
        plain = usual if isinstance(usual, int | float | str | bool) else None
        return Leaf(_argument_value(value), None if plain is None else _scalar(plain))

    def _pad(self, node: Node, value: Any, usual: Any) -> Leaf:
        usual = usual if isinstance(usual, int | str) else None
        wanted = self.paddings.get(_kin(node))
        if wanted is not None and self._makes(node, "pad", wanted):
            return Leaf(wanted, usual, None if not any(map(any, _sides(node))) else True)
        if usual is not None and self._may_leave_out(node, "pad"):
            none = all(pair == (0, 0) for pair in value)
            return Leaf(_scalar(usual), _scalar(usual), None if none else True)
        even = all(before == after for before, after in value)
        words = ("valid",) if even else ("same_tf", "causal")
        found = next((word for word in words if self._makes(node, "pad", word)), None)
        return Leaf(found or _argument_value(value), None if usual is None else _scalar(usual))

    def _may_leave_out(self, node: Node, name: str) -> bool:
        return self._makes(node, name, None)

    def _makes(self, node: Node, name: str, word: str | None) -> bool:
        """Whether the layer is the same with this word as an argument, or without the argument."""
        key = (type(node.op), repr(node.op), self.graph.ins(node), name, word)
        found = self._left_out.get(key)
        if found is None:
            found = self._left_out[key] = self._try(node, name, word)
        return found

    def _try(self, node: Node, name: str, word: str | None) -> bool:
        op = node.op
        values = {f: getattr(op, f) for f in type(op).model_fields if f != name}
        values = {f: value for f, value in values.items() if value is not None}
        if word is not None:
            values[name] = word
        makers = {key: self.graph.nodes[i].op for key, i in node.named.items()}
        try:
            made: Op = type(op).model_validate(
                values, context=Place(self.graph.ins(node), node.given, makers)
            )
        except (OpError, ValidationError):
            return False
        return type(getattr(made, name)) is type(getattr(op, name)) and made == op


def _kin(node: Node) -> str:
    """The word whose defaults hold for a layer."""
    word = op_words().get(node.op.kind)
    return (word.kin if word is not None else None) or node.op.kind


def _sides(node: Node) -> tuple[tuple[int, int], ...]:
    """The padding of a layer before and after each axis; none where it has another form."""
    pad = getattr(node.op, "pad")  # noqa: B009
    pairs = pad if isinstance(pad, tuple) else ()
    return tuple(pair for pair in pairs if isinstance(pair, tuple) and all(type(n) is int for n in pair))


def _is(value: Any, usual: Any) -> bool:
    if isinstance(value, tuple):
        return bool(value) and not isinstance(value, Sizes) and all(_is(part, usual) for part in value)
    if isinstance(value, float) and type(usual) is int:
        return value == usual
    return type(value) is type(usual) and bool(value == usual)


def _leaf(value: Any) -> Leaf:
    return Leaf(value if type(value) is int else str(value))


def _scalar(value: Any) -> Value:
    return value if type(value) is int else _value(value)


def _argument_value(value: Any) -> Value:
    text = _value(value)
    return int(text) if text.isdecimal() else text
