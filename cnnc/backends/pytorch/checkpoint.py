"""The form for training in less memory, and which blocks are computed again."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

from cnnc.backends.pytorch.form import Form, Formed
from cnnc.backends.pytorch.in_place import overwriting
from cnnc.compiler.graph import Graph, Node, Scope
from cnnc.compiler.ops.merge import Add
from cnnc.dsl.diagnostics import fail

Call = tuple[Scope, tuple[Scope, ...]]
"""A call of a block, and the calls around it."""


class Checkpointed(Form):
    """The plain form with the inner values of its blocks computed again in the backward pass."""

    note = "blocks checkpointed"

    def of(self, graph: Graph) -> Formed:
        return Formed(graph, helpers=("Checkpointed",), checkpointed=checkpointed_blocks(graph))


def checkpointed_blocks(graph: Graph) -> frozenset[int]:
    """The `id` of each scope to checkpoint: the calls of those blocks for which the least is held at once.

    A block has two or more weighted layers, since one would keep as much as it saves, and none is within
    another, where it would be computed a third time. Raises CnncError (E801) where the spec has no such block.
    """
    calls = [(scope, outer) for scope, outer in _block_calls(graph) if _saves(graph, scope)]
    if not calls:
        hint = "write what repeats as a block: `block name(w) = [conv3-w -> conv3-w]`"
        raise fail("E801", "there is no block of two or more weighted layers to checkpoint", hint=hint)
    values = _values(graph)
    inside = {id(scope): _inside(scope, values) for scope, _ in calls}
    ways = _ways(calls, inside)
    return frozenset(id(scope) for scope in min(ways, key=lambda way: _peak(way, values, inside)))


def _ways(calls: Sequence[Call], inside: Mapping[int, int]) -> list[list[Scope]]:
    """Choices of calls, none within another: those of blocks without others in them, and the
    outermost of the blocks that have at most so much inside. All calls of a block are written as one class, so it is
    all of them, but for a block within itself, of which it is the innermost."""
    largest: dict[object, int] = {}
    around: dict[object, set[object]] = {}
    for scope, outer in calls:
        name = _name(scope)
        largest[name] = max(largest.get(name, 0), inside[id(scope)])
        around.setdefault(name, set()).update(map(_name, outer))
    around = {name: outer - {name} for name, outer in around.items()}
    with_itself = {id(o) for scope, outer in calls for o in outer if _name(o) == _name(scope)}
    ways = [largest.keys() - set().union(*around.values())]
    for most in sorted(set(largest.values())):
        small = {name for name, size in largest.items() if size <= most}
        ways.append({name for name in small if not around[name] & small})
    found = ([s for s, _ in calls if _name(s) in way and id(s) not in with_itself] for way in ways)
    return [way for way in found if way]


def _peak(way: Sequence[Scope], values: Sequence[int], inside: Mapping[int, int]) -> int:
    """The most held in the backward pass: what was made up to a block, its inner values and their gradients."""
    left = list(values)
    again = [0] * len(values)
    for scope in way:
        again[max(scope.nodes())] = 2 * inside[id(scope)]
        for i in scope.nodes():
            if i != scope.result:
                left[i] = 0
    return max(made + more for made, more in zip(accumulate(left), again, strict=True))


def _block_calls(graph: Graph) -> Iterator[Call]:
    """Each call of a block, and the calls around it."""
    todo: list[tuple[Scope, tuple[Scope, ...]]] = [(graph.root, ())]
    while todo:
        scope, outer = todo.pop()
        if scope.kind == "block":
            yield scope, outer
            outer = (*outer, scope)
        todo += [(child, outer) for child in scope.children if isinstance(child, Scope)]


def _saves(graph: Graph, scope: Scope) -> bool:
    return sum(graph.nodes[i].op.weighted for i in scope.nodes()) > 1


def _name(scope: Scope) -> object:
    assert scope.block is not None
    return scope.block.name, scope.block.span


def _values(graph: Graph) -> list[int]:
    """How many values of one image of each layer are kept for the backward pass.

    That is none of views, of what an activation overwrites, and of what sums alone read.
    """
    in_place = overwriting(graph, lambda node, activation: True)
    readers = graph.consumers()

    def is_kept(node: Node) -> bool:
        read = [graph.nodes[i].op for i in readers[node.index]]
        return not (node.op.is_view or node.index in in_place or all(isinstance(op, Add) for op in read))

    return [math.prod(map(int, node.out)) if is_kept(node) else 0 for node in graph.nodes]


def _inside(scope: Scope, values: Sequence[int]) -> int:
    """What its layers make for each other."""
    return sum(values[i] for i in scope.nodes() if i != scope.result)
