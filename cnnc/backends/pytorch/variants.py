"""Instances of one block that a choice in it makes differ: one class with the choice in it.

before: class Unit(nn.Module): …            class Unit2(nn.Module): …
after:  class Unit(nn.Module): if s == 1: … else: …
"""

from __future__ import annotations

from collections.abc import Sequence

from cnnc.backends.pytorch.classes import ClassDef, HandedNew, Instance, Leaf
from cnnc.backends.pytorch.context import Sources
from cnnc.backends.pytorch.loops import turns_between
from cnnc.backends.pytorch.unify import Unlike, ordered, settle
from cnnc.compiler.symbolic import Param, Sym, params_of, value
from cnnc.compiler.walk.draft import Decision

Group = list[Instance]


def merged(groups: Sequence[Group], sources: Sources) -> ClassDef | None:
    """One class for groups of instances of one block; None where no choice tells them apart.

    Its name is left to the caller.
    """
    chain = _chain(list(groups), sources)
    if chain is None or not _alike(groups):
        return None
    leaves: list[Leaf] = []
    for condition, group in chain:
        try:
            leaves.append(Leaf(condition, settle(group, sources)))
        except Unlike:
            return None
    if any(param.given for leaf in leaves for param in leaf.cls.params):
        return None  # what only calls know is not known for the other arm's
    used: list[Param] = [p.sym for leaf in leaves for p in leaf.cls.params if p.sym is not None]
    used += [p for leaf in leaves if leaf.condition is not None for p in params_of(leaf.condition)]
    instances = [i for group in groups for i in group]
    if any(p not in sources.param_values(i.scope) for i in instances for p in used):
        return None
    handed = [p for p in leaves[0].cls.params if p.pipeline is not None]
    params = sorted([*ordered(instances[0].scope, used), *handed], key=lambda p: p.default is not None)
    for leaf in leaves:
        leaf.cls.params = params
    first = leaves[0].cls
    return ClassDef("", instances, params, first.texts, first.shortcuts, leaves)


def _alike(groups: Sequence[Group]) -> bool:
    """Whether the instances take, give and are handed the same, and are of one kind."""

    def signature(instance: Instance) -> tuple[object, ...]:
        handed = [new.name for _, new in instance.children if isinstance(new, HandedNew)]
        return (len(instance.inputs), len(instance.returns), instance.modules, instance.sequential, handed)

    return all(signature(group[0]) == signature(groups[0][0]) for group in groups)


def _chain(groups: list[Group], sources: Sources) -> list[tuple[Sym | None, Group]] | None:
    """The groups in an order in which each but the last has a condition that it alone of those left meets."""
    if len(groups) == 1:
        return [(None, groups[0])]
    for decided in _decisions(groups[0][0]):
        for group in groups:
            condition = _condition(decided, group, [g for g in groups if g is not group], sources)
            if condition is not None:
                rest = _chain([g for g in groups if g is not group], sources)
                if rest is not None:
                    return [(condition, group), *rest]
    return None


def _decisions(instance: Instance) -> list[Decision]:
    """The choices that were made once in an instance."""
    scope = instance.scope
    return [d for d in scope.decisions if d.kind == "choice" and not turns_between(d.trace, scope.trace)]


def _condition(decided: Decision, group: Group, others: Sequence[Group], sources: Sources) -> Sym | None:
    """The condition of a choice's first arm, if it holds for all of a group and for none of the others."""
    found: Sym | None = None
    for instance in (i for g in (group, *others) for i in g):
        here = [d for d in _decisions(instance) if d.place == decided.place]
        if len(here) != 1:
            return None
        condition = sources.of(here[0].sources[0], instance.scope)
        if condition is None or (found is not None and condition != found):
            return None
        found = condition
        if value(condition, sources.param_values(instance.scope)) is not (instance in group):
            return None
    return found
