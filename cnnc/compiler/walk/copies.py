"""Calls that come to what an earlier one came to: what that placed is copied instead of walked.

A block's body sees the values of its parameters, what flows in, and its own file. Where these are equal, so is all that
it places, but for the numbers of tensors and scopes, and the way to it. A fraction may differ where layers alone take it,
as the dropout of a unit: then these layers are made anew.

before: unit(64) -> unit(64)
after:  the layers of `unit(64)`, made from its body, and the same once more, made from those layers
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, TypeAlias

from cnnc.compiler.ops import Op, Shape
from cnnc.compiler.symbolic import Param, SizeOf, Sourced, Sym, of_parts, parts
from cnnc.compiler.walk.arguments import Arguments
from cnnc.compiler.walk.brackets import is_open
from cnnc.compiler.walk.draft import Decision, Draft, Fitted, Scope
from cnnc.compiler.walk.made import Form, Wanted, form_of, made
from cnnc.compiler.walk.values import BlockDef, CallStep, Labelled, LabelScope, Trace, Turn, Value
from cnnc.dsl.diagnostics import CnncError
from cnnc.dsl.record import record

if TYPE_CHECKING:
    from cnnc.compiler.walk.elaborate import Walk

_REUSING = re.compile(r"(again|weight)\s*\(", re.IGNORECASE)
"""What asks how labels came to their tensors, which a copy of a label does not know."""


_IN_VAIN = 64
"""So many calls of a block that were walked, and none copied, tell that all of them differ: no more are kept."""


@record(eq=False, repr=False)
class _Point:
    """How far a walk is: its steps, layers, taps and scopes up to here, and the calls and brackets that are open."""

    turns: int
    layers: int
    taps: int
    scopes: int
    calls: int
    brackets: int


@record(frozen=False, eq=False, repr=False, kw_only=True)
class _Call:
    """A call that was walked; `begin` and `end` are where its body begins and ends."""

    flow: Draft
    labels: LabelScope
    scope: Scope
    trace: CallStep
    begin: _Point
    end: _Point
    ahead: tuple[int, int]
    """The most steps and layers that were foreseen within it, counted from its begin."""
    out: Draft
    body: _Body | None = None
    """What it placed, once somebody asked for it."""
    is_alone: bool = False
    """Whether it turned out to be none that can be copied."""


_Key: TypeAlias = tuple[int, Shape, Form]
"""The identity of a block, the shape of what flows in, and the values of its parameters as `form_of` has them."""


def _alike(key: _Key) -> Hashable:
    """A key without the values of fractions; itself where it has none."""
    block, shape, form = key
    if not any(one[1] is Fraction for one in form):
        return key
    return block, shape, tuple([one[:2] if one[1] is Fraction else one for one in form])


class _Alone(Exception):
    """What a call placed hangs together with more than what flowed into it."""


class Copies:
    """Knows the calls of a walk, and copies what they placed."""

    def __init__(self, walk: Walk) -> None:
        self.walk = walk
        self.paused = 0
        """In how many shared modules the walk is, whose layers are changed at their end."""
        self._known: dict[Hashable, _Call] = {}
        """Calls by all that they come from, and the first of those that are alike but for fractions."""
        self._walked: dict[int, int] = {}
        """How many calls of each block were walked since one was copied."""
        self._is_possible: bool | None = None

    def placed(
        self, block: BlockDef, values: Mapping[str, Sourced[Value]], flow: Draft | None, labels: LabelScope,
        scope: Scope, trace: CallStep, walked: Callable[[], Draft | None],
    ) -> Draft | None:  # fmt: skip
        """What flows out of a call with these values, which opened `scope`: a copy, or its body `walked`."""
        walk, brackets = self.walk, self.walk.brackets
        if flow is None or flow.poison or self.paused or walk.is_wrong or walk.free or walk.widths:
            return walked()
        tried = self._walked.get(id(block), 0)
        if tried > _IN_VAIN:
            return walked()
        form = form_of(values)
        if form is None:
            return walked()
        key = (id(block), flow.shape, form)
        alike = _alike(key)
        found = self._found(key, alike, values, flow)
        if found is not None:
            call, body, other = found
            brackets.foresaw(brackets.turns + call.ahead[0], len(walk.drafts) + call.ahead[1])
            brackets.turns += call.end.turns - call.begin.turns
            self._walked[id(block)] = 0
            return body.copied(walk, flow, labels, scope, trace, other)
        self._walked[id(block)] = tried + 1
        begin, before = self._point(), brackets.ahead
        brackets.ahead = begin.turns, begin.layers
        out = walked()
        turns, layers = brackets.ahead
        brackets.foresaw(*before)
        known = self._known.get(key)
        if out is not None and not walk.is_wrong and (known is None or not known.is_alone):
            self._known[key] = call = _Call(
                flow=flow, labels=labels, scope=scope, trace=trace, begin=begin, end=self._point(),
                ahead=(turns - begin.turns, layers - begin.layers), out=out,
            )  # fmt: skip
            if alike is not key:
                self._known.setdefault(alike, call)
        return out

    def _found(
        self, key: _Key, alike: Hashable, values: Mapping[str, Sourced[Value]], flow: Draft
    ) -> tuple[_Call, _Body, _Other] | None:
        """An earlier call that can be copied, and what is otherwise in the copy."""
        exact = self._known.get(key)
        call = self._known.get(alike) if exact is None and alike is not key else exact
        body = None if call is None else self._body(call, flow)
        if call is None or body is None:
            return None
        other = _SAME if call is exact else body.other(values, self.walk)
        return None if other is None else (call, body, other)

    def _body(self, call: _Call, flow: Draft) -> _Body | None:
        """What an earlier call placed, where it can be copied on what flows in."""
        if call.is_alone or not self._fits(call):
            return None
        if call.body is None:
            try:
                call.body = _Body(self.walk, call)
            except _Alone:
                call.is_alone = True
                return None
        told = call.body.is_after_default
        return call.body if told is None or told == is_open(flow) else None

    def _point(self) -> _Point:
        walk, brackets = self.walk, self.walk.brackets
        turns, layers, taps = brackets.turns, len(walk.drafts), len(walk.labels.taps)
        return _Point(turns, layers, taps, walk.scopes, walk.calls.depth, brackets.depth)

    def _fits(self, call: _Call) -> bool:
        """Whether a copy here meets no limit, and nothing may be asked of it later that it does not know."""
        if self._is_possible is None:
            self._is_possible = not any(map(_REUSING.search, self._texts()))
        walk, brackets = self.walk, self.walk.brackets
        turns, layers = brackets.progress()
        return (
            self._is_possible
            and walk.calls.depth <= call.begin.calls
            and brackets.depth <= call.begin.brackets
            and turns + max(call.ahead[0], call.end.turns - call.begin.turns) <= brackets.most
            and layers + call.end.layers - call.begin.layers <= walk.max_layers
            and layers + call.ahead[1] <= 2 * walk.max_layers
        )

    def _texts(self) -> set[str]:
        """The texts of the spec and of the files that it uses."""
        files = (self.walk.file, *self.walk.library.files.values())
        bodies = [block.syntax.body for file in files for block in file.blocks.values()]
        bodies += [shared.syntax.body for file in files for shared in file.shareds.values()]
        return {self.walk.spec.source.text, *(body.span.source.text for body in bodies)}


_Numbered = tuple[tuple[str, int], ...]
"""The names of values whose sources have numbers in them, and their places among such."""


@record(eq=False, repr=False)
class _Layer:
    """A draft, with the places of what it is made anew of."""

    draft: Draft
    inputs: tuple[int, ...]
    home: int
    way: int
    args: _Numbered
    named: Mapping[str, int]


@record(eq=False, repr=False)
class _Decided:
    """A decision; its sources have a place, or are as they were."""

    decision: Decision
    sources: tuple[int | Sym, ...]
    way: int


@record(eq=False, repr=False, kw_only=True)
class _Level:
    """A scope; its children are the places of drafts, and those of scopes turned round (`~`)."""

    scope: Scope
    home: int
    way: int
    args: _Numbered
    children: tuple[int, ...]
    source: int | None
    result: int | None
    fitted: tuple[int, int | Sym, int, int | None] | None
    decided: tuple[_Decided, ...]


@record(eq=False, repr=False)
class _Other:
    """What a copy has otherwise: the values of parameters by the places of their sources, and the layers that take them."""

    values: Mapping[int, Value]
    ops: Mapping[int, Op]


_SAME = _Other({}, {})


class _Body:
    """What a call placed: all that is made anew in each copy, by its place."""

    def __init__(self, walk: Walk, call: _Call) -> None:
        """Raises _Alone where it cannot be copied."""
        self.flow = call.flow.number
        self.first = call.begin.layers
        """The number of its first draft."""
        self.number = call.scope.number
        """That of its first scope, the call's own."""
        self.opened = call.end.scopes - call.begin.scopes
        self.labels = call.labels
        self.sources: list[tuple[Sym, tuple[int | Sym, ...]]] = []
        """Those with numbers in them, after their parts; each of these has a place, or is as it was."""
        self._source_places: dict[object, int | None] = {}
        self.values: list[tuple[Value, int]] = []
        """The values that have such sources."""
        self._value_places: dict[int, int] = {}
        self._decisive: set[int | None] = set()
        """The places of sources that more than the arguments of layers comes from."""
        self.ways: list[tuple[Trace, int, int | Sym]] = []
        """The steps of the way, after those that lead to them; the count of a turn."""
        self._way_places: dict[int, int] = {id(call.trace): 0}
        """By the identity of the step; the call's own is at 0."""

        drafts = walk.drafts[call.begin.layers : call.end.layers]
        self._places = {id(call.flow): -1} | {id(draft): place for place, draft in enumerate(drafts)}
        scopes = [*call.scope.scopes()]
        self._homes = {id(scope): place for place, scope in enumerate(scopes)}
        self.layers = [self._layer(draft) for draft in drafts]
        self.outer = self._level(scopes[0])
        self.levels = [self._level(scope) for scope in scopes[1:]]
        self.taps = [
            (text, entry, self._way(way))
            for text, entry, way in walk.labels.taps[call.begin.taps : call.end.taps]
        ]
        for entry in (*call.labels.entries.values(), *(entry for _, entry, _ in self.taps)):
            self._check(entry)
        self.out = self.place(call.out)
        decisions = [decided.decision for level in (self.outer, *self.levels) for decided in level.decided]
        tells = any(decision.kind == "choice" for decision in decisions)
        self.is_after_default = is_open(call.flow) if tells else None
        """Whether what flowed in ends in a default activation; None where nothing that was placed tells of it."""
        self.fractions = {
            name: (given.value, self._takers(Param(name, self.number, "float"), given.value))
            for name, given in call.scope.args.items()
            if type(given.value) is Fraction
        }
        """Those among the call's arguments, and the layers that take each; None where more depends on it."""

    def place(self, draft: Draft) -> int:
        """The place of a tensor, -1 for what flows in."""
        place = self._places.get(id(draft))
        if place is None:
            raise _Alone
        return place

    def _layer(self, draft: Draft) -> _Layer:
        if not draft.inputs or draft.twin is not None or draft.reused is not None or draft.fit is not None:
            raise _Alone
        named = {name: self.place(x) for name, x in draft.named.items()}
        if -1 in named.values():  # the layer depends on how that was made
            raise _Alone
        inputs = tuple([self.place(x) for x in draft.inputs])
        home = self._homes.get(id(draft.scope))
        if home is None:
            raise _Alone
        return _Layer(draft, inputs, home, self._way(draft.trace), self._args(draft.args), named)

    def _level(self, scope: Scope) -> _Level:
        if scope.kind in ("shared", "again"):
            raise _Alone
        is_outer = scope.number == self.number
        args = () if is_outer else self._args(scope.args)
        self._decisive.update(self.values[place][1] for _, place in args)
        children = tuple([
            ~self._homes[id(child)] if isinstance(child, Scope) else self.place(child) for child in scope.children
        ])  # fmt: skip
        fitted = None
        if scope.fitted is not None:
            merge = scope.fitted.merge
            fitted = (
                self.place(scope.fitted.like), self._deciding(scope.fitted.stride), scope.fitted.branch,
                None if merge is None else self.place(merge),
            )  # fmt: skip
        return _Level(
            scope=scope,
            home=0 if is_outer else self._homes[id(scope.parent)],
            way=0 if is_outer else self._way(scope.trace),
            args=args,
            children=children,
            source=None if is_outer or scope.source is None else self.place(scope.source),
            result=None if is_outer or scope.result is None else self.place(scope.result),
            fitted=fitted,
            decided=tuple([
                _Decided(decision, tuple(map(self._deciding, decision.sources)), self._way(decision.trace))
                for decision in scope.decisions
            ]),
        )  # fmt: skip

    def _way(self, step: Trace | None) -> int:
        """The place of a step of the way to a layer."""
        if step is None:
            raise _Alone
        place = self._way_places.get(id(step))
        if place is None:
            before = self._way(step.parent)
            self.ways.append((step, before, self._deciding(step.count) if isinstance(step, Turn) else 0))
            place = self._way_places[id(step)] = len(self.ways)
        return place

    def _args(self, args: Mapping[str, Sourced[Value]]) -> _Numbered:
        found = []
        for name, given in args.items():
            place = self._value_places.get(id(given))
            if place is None:
                source = self._source(given.source)
                if not isinstance(source, int):
                    continue
                place = self._value_places[id(given)] = len(self.values)
                self.values.append((given.value, source))
            found.append((name, place))
        return tuple(found)

    def _deciding(self, sym: Sym) -> int | Sym:
        """A source of more than a layer's argument, as of `_source`."""
        place = self._source(sym)
        if isinstance(place, int):
            self._decisive.add(place)
        return place

    def _source(self, sym: Sym) -> int | Sym:
        """The place of a source with numbers in it; any other as it is."""
        key: object = sym
        of: tuple[int | Sym, ...] = ()
        if isinstance(sym, Param):
            if sym.owner < 0:
                return sym
            if sym.owner < self.number:
                raise _Alone
        elif isinstance(sym, SizeOf):
            if sym.tensor < self.first and sym.tensor != self.flow:
                raise _Alone
        else:
            key = id(sym)
            if key not in self._source_places:
                of = tuple(map(self._deciding, parts(sym)))
                if not any(isinstance(part, int) for part in of):
                    self._source_places[key] = None
        if key not in self._source_places:
            self._source_places[key] = len(self.sources)
            self.sources.append((sym, of))
        place = self._source_places[key]
        return sym if place is None else place

    def _check(self, entry: Labelled) -> None:
        self.place(entry.tensor)
        if entry.inner is not None:
            for inner in entry.inner.entries.values():
                self._check(inner)

    def _takers(self, param: Param, value: Value) -> tuple[int, ...] | None:
        """The layers that take a parameter as it is; None where something else may depend on it."""
        place = self._source_places.get(param)
        bound = [value for step, *_ in self.ways if isinstance(step, Turn) for _, value in step.bindings]
        is_told = not all(isinstance(value, int | str) for value in bound)  # by the way to a layer
        if is_told or place in self._decisive or any(layer.named for layer in self.layers):
            return None
        takers = []
        for i, layer in enumerate(self.layers):
            taken = [self.values[at][0] for _, at in layer.args if self.values[at][1] == place]
            if any(one != value or type(one) is not Fraction for one in taken):
                return None
            takers += [i] if taken else []
        return tuple(takers)

    def other(self, values: Mapping[str, Sourced[Value]], walk: Walk) -> _Other | None:
        """What is otherwise where the call has these fractions; None where what it placed is not the same for them."""
        changed: dict[int, Value] = {}
        remade: set[int] = set()
        for name, (before, takers) in self.fractions.items():
            now = values[name].value
            if now != before:
                place = self._source_places.get(Param(name, self.number, "float"))
                if takers is None:
                    return None
                if place is not None:
                    changed[place] = now
                remade.update(takers)
        ops: dict[int, Op] = {}
        for i in remade:
            one = self.layers[i].draft
            assert one.op is not None
            args = dict(one.args)
            for name, at in self.layers[i].args:
                value, place = self.values[at]
                args[name] = Sourced(changed.get(place, value), args[name].source)
            shapes = tuple([x.shape for x in one.inputs])
            wanted = Wanted(type(one.op), Arguments(args), shapes, one.given, one.span)
            try:
                ops[i], shape = made(wanted, walk.ledger, has_free=False)
            except CnncError:
                return None  # told where it is walked
            if shape != one.shape or ops[i].windows(*shapes) != one.op.windows(
                *shapes
            ):  # as of a shortcut around it
                return None
        return _Other(changed, ops)

    # --- a copy --------------------------------------------------------------------------

    def copied(
        self, walk: Walk, flow: Draft, labels: LabelScope, scope: Scope, trace: CallStep, other: _Other
    ) -> Draft:
        """Place all of it in a scope, on a flow of the same shape; what flows out."""
        first, further = len(walk.drafts), scope.number - self.number
        sources = self._sources(flow.number, first - self.first, further)
        values = [Sourced(other.values.get(place, value), sources[place]) for value, place in self.values]
        ways: list[Trace] = [trace]
        for step, before, count in self.ways:
            if isinstance(step, CallStep):
                ways.append(CallStep(step.name, step.values, step.span, ways[before]))
            else:
                turns = sources[count] if isinstance(count, int) else count
                way = Turn(step.loop, step.index, step.total, turns, step.bindings, step.span, ways[before])
                ways.append(way)
        scopes = [scope]
        for level in self.levels:
            old = level.scope
            scopes.append(Scope(
                number=old.number + further, kind=old.kind, label=old.label,
                parent=scopes[level.home], span=old.span, trace=ways[level.way], block=old.block,
                args=_with(old.args, level.args, values), given=old.given,
            ))  # fmt: skip
        walk.scopes += self.opened
        drafts: list[Draft] = []
        for number, layer in enumerate(self.layers, first):
            one = layer.draft
            drafts.append(Draft(
                number=number, op=other.ops.get(number - first, one.op), inputs=tuple([drafts[i] if i >= 0 else flow for i in layer.inputs]),
                shape=one.shape, span=one.span, trace=ways[layer.way], role=one.role, label=one.label,
                scope=scopes[layer.home], args=_with(one.args, layer.args, values), written=one.written, given=one.given,
                named={name: drafts[i] for name, i in layer.named.items()} if layer.named else one.named,
                tentative=one.tentative, alone=one.alone, plain_bias=one.plain_bias, applied=one.applied,
            ))  # fmt: skip
        walk.drafts += drafts
        drafts.append(flow)  # which is at -1
        for level, new in zip((self.outer, *self.levels), scopes, strict=True):
            _complete(new, level, drafts, scopes, sources, ways)
        self._label(walk, labels, drafts, ways)
        return drafts[self.out]

    def _sources(self, flow: int, drafts: int, scopes: int) -> list[Sym]:
        """The sources with other numbers: that of what flows in, and how much larger those of drafts and scopes are."""
        found: list[Sym] = []
        for sym, of in self.sources:
            if isinstance(sym, Param):
                found.append(Param(sym.name, sym.owner + scopes, sym.kind))
            elif isinstance(sym, SizeOf):
                is_flow = sym.tensor == self.flow
                found.append(SizeOf(sym.axis, flow if is_flow else sym.tensor + drafts))
            else:
                found.append(of_parts(sym, tuple([found[x] if isinstance(x, int) else x for x in of])))
        return found

    def _label(self, walk: Walk, labels: LabelScope, drafts: list[Draft], ways: list[Trace]) -> None:
        """Let the labels name the new tensors."""
        made: dict[int, Labelled] = {}
        for text, old in self.labels.entries.items():
            labels.entries[text] = self._entry(old, drafts, made)
        for text, old, way in self.taps:
            walk.labels.taps.append((text, self._entry(old, drafts, made), ways[way]))

    def _entry(self, old: Labelled, drafts: list[Draft], made: dict[int, Labelled]) -> Labelled:
        """What a label names in the copy; `made` are those there are, by the identity of the old ones."""
        found = made.get(id(old))
        if found is None:
            inner = None
            if old.inner is not None:
                entries = {text: self._entry(one, drafts, made) for text, one in old.inner.entries.items()}
                inner = LabelScope(None, entries)
            found = made[id(old)] = Labelled(drafts[self.place(old.tensor)], inner, old.span, old.used)
        return found


def _with(
    args: Mapping[str, Sourced[Value]], numbered: _Numbered, values: list[Sourced[Value]]
) -> Mapping[str, Sourced[Value]]:
    """The arguments, those that are numbered from the new values."""
    return {**args, **{name: values[place] for name, place in numbered}} if numbered else args


def _complete(
    scope: Scope,
    level: _Level,
    drafts: list[Draft],
    scopes: list[Scope],
    sources: list[Sym],
    ways: list[Trace],
) -> None:
    """Put into a new scope what it holds."""
    old = level.scope
    scope.has_sides, scope.is_spare, scope.labels = old.has_sides, old.is_spare, old.labels
    scope.children = [drafts[i] if i >= 0 else scopes[~i] for i in level.children]
    if level.source is not None:
        scope.source = drafts[level.source]
    if level.result is not None:
        scope.result = drafts[level.result]
    if level.fitted is not None:
        like, stride, branch, merge = level.fitted
        scope.fitted = Fitted(
            drafts[like], sources[stride] if isinstance(stride, int) else stride, branch,
            None if merge is None else drafts[merge],
        )  # fmt: skip
    for decided in level.decided:
        one = decided.decision
        scope.decisions.append(Decision(
            one.kind, one.place, tuple([sources[x] if isinstance(x, int) else x for x in decided.sources]), one.taken,
            ways[decided.way], one.is_closed, one.is_after_default, one.keeps_default,
        ))  # fmt: skip
