"""Brackets: repeats, comprehensions, choices, branches side by side, and what holds them in bounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cnnc.compiler.ops.merge import Multiply
from cnnc.compiler.symbolic import Const, Sym
from cnnc.compiler.walk.branches import Branch, Branches, refuse_none
from cnnc.compiler.walk.draft import Decision, Draft, Spot
from cnnc.compiler.walk.evaluate import integer, truth
from cnnc.compiler.walk.turns import a_turn, bindings, turns_of
from cnnc.compiler.walk.values import Env, LabelScope, Turn
from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import Diagnostic, fail
from cnnc.dsl.source import Span

if TYPE_CHECKING:
    from cnnc.compiler.walk.elaborate import Walk

STEPS_PER_LAYER = 5
"""A repeat or a comprehension may take so many steps for each layer that a model may have."""
MAX_DEPTH = 500
"""Of brackets, those in the calls and pipelines they open included; Python's stack holds them all."""


class Brackets:
    """Opens brackets for a walk."""

    def __init__(self, walk: Walk) -> None:
        self.walk = walk
        self.most = STEPS_PER_LAYER * walk.max_layers
        self.turns = 0
        """How many steps were taken."""
        self.ahead = (0, 0)
        """The most steps and layers that were foreseen."""
        self.branches = Branches(walk, self)
        self.depth = 0
        """How many brackets are open."""

    def item(
        self, item: s.Item, bracket: s.Bracket, label: str | None, flow: Draft | None, spot: Spot
    ) -> Draft | None:
        """A bracket as one step of a chain: repeated, and in a scope of its own where it is labelled."""
        if label is None:
            return self._repeated(item, bracket, flow, spot)
        if item.count is None and self.walk.labels.joins_only(bracket, spot.env):
            assert isinstance(bracket.body, s.Sides)
            turns = [(branch, spot) for branch in bracket.body.branches]
            out = self.branches.join(bracket.body.op, turns, bracket, flow, spot, label)
            if out is not None:
                self.walk.labels.define(label, out, None, item, spot)
            return out
        names = spot.env.within(LabelScope(spot.env.labels))
        return self.scoped(
            item, label, flow, spot, names, lambda inside, x: self._repeated(item, bracket, x, inside)
        )

    def scoped(
        self, item: s.Item, label: str | None, flow: Draft | None, spot: Spot, names: Env,
        body: Callable[[Spot, Draft | None], Draft | None],
    ) -> Draft | None:  # fmt: skip
        """Place a body that sees these names, in a scope of its own where it is labelled."""
        if label is None:
            return body(spot.seeing(names), flow)
        scope = self.walk.open("bracket", label, item.span, flow, spot)
        self.walk.label_scopes[id(scope)] = names.labels
        out = body(Spot(names, scope, spot.trace), flow)
        scope.result = out
        if out is not None:
            self.walk.labels.define(label, out, names.labels, item, spot, scope)
        return out

    def _repeated(self, item: s.Item, bracket: s.Bracket, flow: Draft | None, spot: Spot) -> Draft | None:
        if item.count is None:
            return self.once(bracket, flow, spot)
        count = integer(item.count, spot.env)
        self.walk.decide("count", count, item.count.span, spot)
        times = count.value
        if times < 0:
            raise fail(
                "E303", f"`*{times}` repeats a negative number of times", item.count.span,
                hint="`*0` is the least: *{max(0, …)}",
            )  # fmt: skip
        for i in range(times):
            before = self.progress()
            self.count_turn(bracket.span)
            turn = Turn(
                loop=item.count.span, index=i, total=times, count=count.source, bindings=(), span=bracket.span,
                parent=spot.trace,
            )  # fmt: skip
            flow = self.once(bracket, flow, spot.step(turn))
            if flow is not None and flow.poison:
                break
            if i == 1:
                self.foresee(times - 2, before, bracket.span)
        return flow

    def once(self, bracket: s.Bracket, flow: Draft | None, spot: Spot) -> Draft | None:
        """What stands between `[` and `]`, once."""
        self.enter(bracket)
        try:
            return self.open(bracket, flow, spot)
        finally:
            self.leave()

    def enter(self, bracket: s.Bracket) -> None:
        """Go one level deeper, up to `leave`. Raises E901 where brackets open in each other without end."""
        if self.depth >= MAX_DEPTH:
            hint = "name inner parts as blocks, and let no block hand itself to itself"
            raise fail(
                "E901", f"brackets open in brackets more than {MAX_DEPTH} deep", bracket.span, hint=hint
            )
        self.depth += 1

    def leave(self) -> None:
        self.depth -= 1

    def open(self, bracket: s.Bracket, flow: Draft | None, spot: Spot) -> Draft | None:
        """Place the body of a bracket."""
        spot = spot.inside(flow)
        body = bracket.body
        if bracket.args is not None and not (
            isinstance(body, s.Sides) or (isinstance(body, s.Loop) and body.op)
        ):
            message = "a bracket with arguments, but for [a | b](axis=W), cannot be built yet by this version of cnnc"
            raise fail("E111", message, bracket.span)
        if isinstance(body, s.Pipeline):
            return self.walk.pipeline(body, flow, spot)
        if isinstance(body, s.Sides):
            branches = [(branch, spot) for branch in body.branches]
            return self.branches.join(body.op, branches, bracket, flow, spot)
        if isinstance(body, s.Choice):
            refuse_none(body)
            return self.choice(
                body, flow, spot,
                lambda arm: flow if arm is None else self.walk.pipeline(arm, flow, spot),
            )  # fmt: skip
        turns = self.turns_of(body, bracket, spot)
        if body.op is not None:
            return self.branches.join(body.op, turns, bracket, flow, spot)
        for i, (pipeline, inside) in enumerate(turns):
            before = self.progress()
            self.count_turn(bracket.span)
            flow = self.walk.pipeline(pipeline, flow, inside.inside(flow), new_line=i > 0)
            if flow is not None and flow.poison:
                break
            if i == 1:
                self.foresee(len(turns) - 2, before, bracket.span)
        return flow

    def choice(
        self,
        choice: s.Choice,
        flow: Draft | None,
        spot: Spot,
        place: Callable[[s.Pipeline | None], Draft | None],
    ) -> Draft | None:
        """Place the arm whose condition holds first; None where none does and no `else` ends it."""
        sources: list[Sym] = []
        taken, chosen = len(choice.arms), choice.otherwise
        for i, (arm, condition) in enumerate(choice.arms):
            found = truth(condition, spot.env)
            sources.append(found.source)
            if found.value:
                taken, chosen = i, arm
                break
        at, before = len(spot.scope.decisions), len(self.walk.drafts)
        out = place(chosen)
        if not all(isinstance(source, Const) for source in sources):
            decision = Decision(
                kind="choice",
                place=choice.span,
                sources=tuple(sources),
                taken=taken,
                trace=spot.trace,
                is_closed=len(choice.arms) == 1 and not is_open(out),
                is_after_default=is_open(flow),
                keeps_default=_keep(flow, self.walk.drafts[before:]),
            )
            spot.scope.decisions.insert(at, decision)
        return out

    def turns_of(self, loop: s.Loop, bracket: s.Bracket, spot: Spot) -> list[Branch]:
        """The turns of a comprehension, each with its names bound."""
        turns = turns_of(loop, spot.env, self.most, self._longer())
        for found, span in turns.deciding:
            self.walk.decide("count", found, span, spot)
        out = []
        for i, (found, span) in enumerate(turns.values):
            bound = bindings(loop.targets, found, span)
            turn = a_turn(bracket, i, turns, bound, spot)
            out.append((loop.body, Spot(spot.env.bind(bound), spot.scope, turn)))
        return out

    def count_turn(self, span: Span) -> None:
        self.turns += 1
        if self.turns > self.most:
            self._refuse_length(span)

    def progress(self) -> tuple[int, int]:
        """The turns and the layers up to here."""
        return self.turns, len(self.walk.drafts)

    def foresee(self, turns_left: int, before: tuple[int, int], span: Span) -> None:
        """Refuse a runaway repeat early: its second turn, begun at `before`, is the measure for those left.

        The first turn is none: it often differs (`if i == 1`). Layers may come out fewer than foreseen, where a
        choice hangs on what flows in: twice the limit is refused here, the rest where it is reached.
        """
        turns, layers = self.progress()
        turns += turns_left * (turns - before[0])
        layers += turns_left * (layers - before[1])
        self.foresaw(turns, layers)
        if turns > self.most:
            self._refuse_length(span)
        if layers > 2 * self.walk.max_layers:
            raise self.walk.layers.too_many(span)

    def foresaw(self, turns: int, layers: int) -> None:
        """Note that so many steps and layers were foreseen."""
        most_turns, most_layers = self.ahead
        self.ahead = max(most_turns, turns), max(most_layers, layers)

    def _refuse_length(self, span: Span) -> None:
        hint = self._longer()
        message = f"the spec unrolls to more than {self.most:,} steps"
        self.walk.report(Diagnostic("E901", message, span, hint=hint), None)

    def _longer(self) -> str:
        return f"repeat less, or raise the limit: --max-layers {10 * self.walk.max_layers}"


def is_open(end: Draft | None) -> bool:
    """Whether what follows a layer decides on a default activation at it or before it."""
    seen: set[int] = set()
    todo = [] if end is None else [end]
    while todo:
        draft = todo.pop()
        if draft.tentative:
            return True
        if draft.op is not None and draft.op.transparent and id(draft) not in seen:
            seen.add(id(draft))
            todo += draft.inputs
    return False


def _keep(flow: Draft | None, placed: Sequence[Draft]) -> bool:
    """Whether some layers alone decide that a default activation of what flows into them stays."""
    values, stays = {id(flow)}, False
    for draft in placed:
        if draft.op is not None and any(id(source.settled()) in values for source in draft.inputs):
            if draft.op.transparent:
                values.add(id(draft))
            elif isinstance(draft.op, Multiply):
                return False
            else:
                stays = stays or not (draft.op.takes_linear or draft.op.only_sized)
    return stays
