"""Instances of one block that a choice in it makes differ: one class with the choice in it.

before: class Unit(nn.Module): …            class Unit2(nn.Module): …
after:  class Unit(nn.Module): if s == 1: … else: …
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from cnnc.backends.pytorch.classes import ClassDef, ClassParam, HandedNew, Instance, Leaf, LoopText, walk
from cnnc.backends.pytorch.context import Sources, word_of
from cnnc.backends.pytorch.loops import turns_between
from cnnc.backends.pytorch.unify import Unlike, ordered, settle
from cnnc.compiler.symbolic import Compare, Const, Logic, Param, Sym, kind_of, negated, params_of, value
from cnnc.compiler.walk.draft import Decision

Group = list[Instance]


def merged(groups: Sequence[Group], sources: Sources) -> ClassDef | None:
    """One class for groups of instances of one block; None where no choice tells them apart.

    Its name is left to the caller.
    """
    groups = [part for group in groups for part in _apart(group, sources)]
    chain = _chain(list(groups), sources)
    if chain is None or not _alike(groups):
        return None
    instances = [i for group in groups for i in group]
    leaves: list[Leaf] = []
    for condition, group in chain:
        try:
            leaves.append(Leaf(condition, settle(group, sources, instances)))
        except Unlike:
            return None
    extras = _in_common(leaves, instances, sources)
    if extras is None:
        return None
    used: list[Param] = [p.sym for leaf in leaves for p in leaf.cls.params if p.sym is not None]
    exact = [p.sym for leaf in leaves for p in leaf.cls.params if p.sym is not None and not p.is_rounded]
    asked = [p for leaf in leaves if leaf.condition is not None for p in params_of(leaf.condition)]
    used, exact = [*used, *asked], [*exact, *asked]
    if any(p not in sources.param_values(i.scope) for i in instances for p in used):
        return None
    handed = [p for p in leaves[0].cls.params if p.pipeline is not None]
    own = ordered(instances[0].scope, used, exact, [p.name for p in extras])
    params = sorted([*own, *extras, *handed], key=lambda p: p.default is not None)
    for leaf in leaves:
        leaf.cls.params = params
    first = leaves[0].cls
    return ClassDef("", instances, params, first.texts, first.shortcuts, leaves)


def _in_common(
    leaves: Sequence[Leaf], instances: Sequence[Instance], sources: Sources
) -> Sequence[ClassParam] | None:
    """What only calls know, where it is handed to children that all have: one parameter for all of them.

    None where one of them has it for something that the others lack.
    """
    if not any(param.given for leaf in leaves for param in leaf.cls.params):
        return ()
    wanted: dict[_Place, None] = {}
    for leaf in leaves:
        names = {param.name for param in leaf.cls.params if param.given}
        for place, text in zip(_places(leaf.cls.first), leaf.cls.texts, strict=True):
            if isinstance(text, str) and text in names:
                wanted[place] = None
            elif isinstance(text, LoopText) and names.intersection(t for t in text.all if isinstance(t, str)):
                return None
    if any(place == _FORWARD for place in wanted):
        return None
    joint: list[Instance] = []
    for instance in instances:
        slots = dict(zip(_places(instance), instance.slots, strict=True))
        if any(place not in slots for place in wanted):
            return None
        joint.append(replace(instance, children=[], slots=[slots[place] for place in wanted]))
    found = settle(joint, sources)
    texts = dict(zip(wanted, found.texts, strict=True))
    for leaf in leaves:
        cls = leaf.cls
        cls.texts = [
            texts.get(place, text) for place, text in zip(_places(cls.first), cls.texts, strict=True)
        ]
        cls.params = [param for param in (*cls.params, *found.params) if not param.given]
    return [param for param in found.params if param.given]


_Place = tuple[str, tuple[str, ...], int]
"""Where a value is handed on: a child's name, how the child is written, and which of its values it is."""
_FORWARD: _Place = ("", (), 0)
"""Somewhere in forward."""


def _places(instance: Instance) -> list[_Place]:
    """The places of an instance's slots."""
    found: list[_Place] = []
    for name, new in instance.children:
        skeleton: list[str] = []
        count = len(list(walk(new, skeleton)))
        found += [(name, tuple(skeleton), k) for k in range(count)]
    return found + [_FORWARD] * (len(instance.slots) - len(found))


def _apart(group: Group, sources: Sources) -> list[Group]:
    """A group, or where its numbers have no source, the parts of it for which the same was decided."""
    try:
        if not any(param.given for param in settle(group, sources).params):
            return [group]
    except Unlike:
        return [group]
    parts: dict[str, Group] = {}
    for instance in group:
        parts.setdefault(repr([(d.place, d.taken) for d in _decisions(instance)]), []).append(instance)
    return list(parts.values())


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
    for condition in _conditions(groups, sources):
        values = [{_holds(condition, instance, sources) for instance in group} for group in groups]
        met = [group for group, held in zip(groups, values, strict=True) if held == {True}]
        rest = [group for group, held in zip(groups, values, strict=True) if held == {False}]
        if not met or not rest or len(met) + len(rest) < len(groups):
            continue
        if len(met) > len(rest) == 1:
            condition, met, rest = negated(condition), rest, met
        first, second = _chain(met, sources), _chain(rest, sources)
        if first is not None and second is not None:
            return [
                *((condition if c is None else Logic("and", (condition, c)), g) for c, g in first),
                *second,
            ]
    return None


def _conditions(groups: Sequence[Group], sources: Sources) -> Iterator[Sym]:
    """What the choices and words that were decided once in every instance ask, as their class would write it."""
    for decision in _decisions(groups[0][0]):
        made = [_made(decision, instance) for group in groups for instance in group]
        same = [d for d in made if d is not None]
        if len(same) < len(made):
            continue
        scopes = [instance.scope for group in groups for instance in group]
        found = {sources.of(d.sources[0], scope) for d, scope in zip(same, scopes, strict=True)}
        condition = found.pop()
        if found or condition is None or isinstance(condition, Const):
            continue
        if decision.kind == "choice":
            yield condition
        else:
            words = dict.fromkeys(str(word_of(d.taken)) for d in same)
            yield from (Compare("==", condition, Const(w)) for w in sorted(words, key=lambda w: w == "none"))


def _decisions(instance: Instance) -> list[Decision]:
    """The choices and words that were decided once in an instance."""
    scope = instance.scope
    found = [d for d in scope.decisions if not turns_between(d.trace, scope.trace)]
    return [
        d for d in found if d.kind == "choice" or (d.kind == "word" and kind_of(word_of(d.taken)) == "str")
    ]


def _made(decision: Decision, instance: Instance) -> Decision | None:
    """The same decision in another instance; None where it was made there never, or more than once."""
    here = [d for d in _decisions(instance) if d.kind == decision.kind and d.place == decision.place]
    return here[0] if len(here) == 1 else None


def _holds(condition: Sym, instance: Instance, sources: Sources) -> object:
    return value(condition, sources.param_values(instance.scope))
