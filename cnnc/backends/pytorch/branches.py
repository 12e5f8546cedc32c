"""A class that is one thing or another by a condition: what both have in common once, the rest under `if`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from cnnc.backends.pytorch.body import Body, Line
from cnnc.backends.pytorch.classes import ClassDef
from cnnc.backends.pytorch.names import MODULE_ATTRIBUTES
from cnnc.backends.pytorch.sym import text
from cnnc.compiler.graph import Graph

_FLAGS = {"add": "adds", "concat": "joins", "multiply": "scales"}
"""What a class is said to do under a condition under which alone it merges so."""


def joined(cls: ClassDef, bodies: Sequence[Body], graph: Graph) -> tuple[list[Line], list[Line]]:
    """The constructor and the forward of a class after their signatures; `bodies` has one for each leaf."""
    conditions = [text(leaf.condition, cls.names) for leaf in cls.leaves if leaf.condition is not None]
    super_call, *_ = bodies[0].constructor
    flags: list[Line] = []
    if any(body.forward != bodies[0].forward for body in bodies):
        names = _flag_names(cls, conditions, graph)
        flags = [(0, f"self.{name} = {condition}") for name, condition in zip(names, conditions, strict=True)]
        conditions = [f"self.{name}" for name in names]
    if flags:
        chunks = [body.constructor[1:] for body in bodies]
        constructor = [*super_call, *flags, *_under(conditions, chunks)]
    else:
        constructor = _chain(conditions, [body.layers for body in bodies])
        constructor = constructor or _under(conditions, [body.constructor for body in bodies])
    forward: list[Line] = []
    for condition, body in zip(conditions, bodies, strict=False):
        if flags:
            forward += [(0, f"if {condition}:"), *_indented(body.forward)]
    return constructor, [*forward, *bodies[-1].forward]


def _chain(conditions: Sequence[str], bodies: Sequence[list[str]]) -> list[Line]:
    """The constructor of a chain whose layers differ by condition: those that all begin and end with once."""
    before = _common(bodies)
    rests = [body[before:] for body in bodies]
    after = _common([rest[::-1] for rest in rests])
    if not before:
        return []
    middles = [rest[: len(rest) - after] for rest in rests]
    added = [[] if not m else [_added(m)] for m in middles]
    last = rests[0][len(rests[0]) - after :]
    return [
        (0, f"layers: list[nn.Module] = [{', '.join(bodies[0][:before])}]"),
        *_choice(conditions, added),
        (0, f"super().__init__({', '.join(['*layers', *last])})"),
    ]


def _added(layers: Sequence[str]) -> Line:
    if len(layers) == 1 and not layers[0].startswith("*"):
        return 0, f"layers.append({layers[0]})"
    return 0, f"layers += [{', '.join(layers)}]"


def _under(conditions: Sequence[str], bodies: Sequence[list[list[Line]]]) -> list[Line]:
    """Chunks of lines of which one list applies: what all begin and end with once, the rest by condition."""
    before = _common(bodies)
    rests = [body[before:] for body in bodies]
    after = _common([rest[::-1] for rest in rests])
    middles = [[line for chunk in rest[: len(rest) - after] for line in chunk] for rest in rests]
    lines = [line for chunk in bodies[0][:before] for line in chunk]
    if any(middles):
        lines += _choice(conditions, middles)
    return lines + [line for chunk in rests[0][len(rests[0]) - after :] for line in chunk]


def _common(lists: Sequence[Sequence[object]]) -> int:
    """How many items all lists begin with."""
    return sum(1 for _ in takewhile(lambda same: all(c == same[0] for c in same), zip(*lists, strict=False)))


def _choice(conditions: Sequence[str], bodies: Sequence[list[Line]]) -> list[Line]:
    """`if … elif … else`; an empty body in the middle passes, and an empty end is left out."""
    if len(bodies) == 2 and not bodies[0]:
        return [(0, f"if {_negated(conditions[0])}:"), *_indented(bodies[1])]
    lines: list[Line] = []
    for i, (condition, body) in enumerate(zip(conditions, bodies, strict=False)):
        lines += [(0, f"{'if' if i == 0 else 'elif'} {condition}:"), *_indented(body or [(0, "pass")])]
    return [*lines, (0, "else:"), *_indented(bodies[-1])] if bodies[-1] else lines


def _negated(condition: str) -> str:
    return (
        f"not {condition}"
        if condition.isidentifier() or condition.startswith("self.")
        else f"not ({condition})"
    )


def _indented(lines: Sequence[Line]) -> list[Line]:
    return [(indent + 4, line) for indent, line in lines]


def _flag_names(cls: ClassDef, conditions: Sequence[str], graph: Graph) -> list[str]:
    """The attributes that keep the conditions for forward; for one that is a parameter, the parameter's name."""
    children = MODULE_ATTRIBUTES | {name for leaf in cls.leaves for name, _ in leaf.cls.first.children}
    taken = children | {param.name for param in cls.params}
    kinds = [_merges(leaf.cls, graph) for leaf in cls.leaves]
    names: list[str] = []
    for i, leaf in enumerate(cls.leaves):
        if leaf.condition is None:
            continue
        others = set().union(*(kinds[:i] + kinds[i + 1 :]))
        name = next((_FLAGS[kind] for kind in sorted(kinds[i] - others)), "")
        if not name and conditions[i].isidentifier() and conditions[i] not in (*children, *names):
            names.append(conditions[i])
            continue
        name = name or "chosen"
        while name in taken or name in names:
            name += "_"
        names.append(name)
    return names


def _merges(cls: ClassDef, graph: Graph) -> set[str]:
    nodes = [graph.nodes[child] for child in cls.first.scope.children if isinstance(child, int)]
    return {node.op.kind for node in nodes if node.op.kind in _FLAGS}
