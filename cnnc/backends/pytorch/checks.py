"""What is asked of planned classes: that a choice is one for all numbers, and that what is used again is one module."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cnnc.backends.pytorch.classes import ClassDef
from cnnc.backends.pytorch.context import Sources
from cnnc.backends.pytorch.kept import is_open
from cnnc.backends.pytorch.layer import Function, Layer, Module, Reads, emit
from cnnc.backends.pytorch.unify import settle
from cnnc.backends.pytorch.uses import check_alike
from cnnc.compiler.dependence import NONE, AnyParameter
from cnnc.compiler.graph import Node, Scope

if TYPE_CHECKING:
    from cnnc.backends.pytorch.plan import Planner


def fix_choices(planner: Planner) -> None:
    """Fix the params on which a choice depends that its class has not as an `if` for all numbers alike."""
    for scope in planner.graph.scopes():
        names = planner.sources.dependence.of_decisions(scope)[0][1] if is_open(scope) else NONE
        instance = planner.made.get(id(scope))
        if names and not (
            instance is not None and instance.cls is not None and _is_if(planner, instance.cls, scope)
        ):
            planner.sources.fixed |= names


def check_uses(planner: Planner) -> None:
    """Whether what is used again is one module: written alike at each use."""
    for scope in planner.graph.scopes():
        first = planner.ends.owner(scope)
        if first is scope or scope.kind not in ("shared", "again"):
            continue
        for one, other in zip(planner.ends.aligned(first), planner.ends.aligned(scope), strict=True):
            nodes = planner.graph.nodes[one], planner.graph.nodes[other]
            if not any(node.applied or node.op.source for node in nodes):
                check_alike(*nodes, (_bare(planner, nodes[0]), _bare(planner, nodes[1])))


def _bare(planner: Planner, node: Node) -> Module | Function:
    """A node's code with its numbers alone."""
    node = planner.as_used(node)
    channels = (None,) * len(node.inputs)
    return emit(Layer(node, planner.graph.ins(node), channels, {}, None, node.index in planner.varying))


def _is_if(planner: Planner, cls: ClassDef, scope: Scope) -> bool:
    """Whether a class has the one choice of a block's call as an `if`, and each arm right for any numbers."""
    condition = planner.sources.of(scope.decisions[0].sources[0], scope)
    if (
        len(cls.leaves) != 2
        or cls.leaves[0].condition != condition
        or not all(map(is_open, [instance.scope for instance in cls.instances]))
    ):
        return False
    made = [instance.scope.decisions[0] for instance in cls.instances]
    if any(one.is_after_default for one in made) and not all(one.keeps_default for one in made):
        return False  # the other arm might leave out the activation before it
    ends = [planner.ends.gives(i.scope) for i in cls.instances]
    gives = {
        planner.sources.channels(nodes[0], i.scope) for nodes, i in zip(ends, cls.instances, strict=True)
    }
    return (
        len(gives) == 1
        and all(len(nodes) == 1 for nodes in ends)
        and all(_is_general(planner, leaf.cls) for leaf in cls.leaves)
    )


def _is_general(planner: Planner, cls: ClassDef) -> bool:
    """Whether no number in a class is written as it is that could be another in another call."""
    sources = Sources(planner.graph, planner.kept, AnyParameter(planner.graph))
    sources.inputs = planner.sources.inputs
    settle(cls.instances, sources)
    for instance in cls.instances:
        for node in _own(planner, instance.scope):
            reads = Reads(node, sources.dependence, sources.fixed)
            planner.emitted(node, instance.scope, reads)
    return not sources.fixed


def _own(planner: Planner, scope: Scope) -> Iterator[Node]:
    """The layers of a scope that are written in its own class, and not in one that this calls."""
    for child in scope.children:
        if isinstance(child, int):
            yield planner.graph.nodes[child]
        elif not planner.needs_class(child):
            yield from _own(planner, child)
