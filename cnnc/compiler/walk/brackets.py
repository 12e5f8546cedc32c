"""Brackets: repeats, comprehensions, choices, branches side by side, and what holds them in bounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from cnnc.compiler.ops import Op, Sizes
from cnnc.compiler.ops.merge import Add, Concat, MatMul, Multiply
from cnnc.compiler.symbolic import Const, Items, Sourced, Sym, binary, difference
from cnnc.compiler.walk.draft import Decision, Draft, Spot, poison
from cnnc.compiler.walk.evaluate import FUNCTIONS, evaluate, integer, parts_of, truth
from cnnc.compiler.walk.fit import Fitter, waits_for_siblings
from cnnc.compiler.walk.layers import Arguments
from cnnc.compiler.walk.misfit import at_its_branch
from cnnc.compiler.walk.values import (
    SIZE_NAMES,
    Env,
    LabelScope,
    Turn,
    Value,
    describe,
)
from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import CnncError, Diagnostic, fail
from cnnc.dsl.source import Span

if TYPE_CHECKING:
    from cnnc.compiler.walk.elaborate import Walk

STEPS_PER_LAYER = 5
"""A repeat or a comprehension may take so many steps for each layer that a model may have."""
MAX_DEPTH = 500
"""Of brackets, those in the calls and pipelines they open included; Python's stack holds them all."""

_MERGES: dict[str, type[Op]] = {"|": Concat, "+": Add, "&": Multiply, "@": MatMul}


class Brackets:
    """Opens brackets for a walk."""

    def __init__(self, walk: Walk) -> None:
        self.walk = walk
        self._most = STEPS_PER_LAYER * walk.max_layers
        self._turns = 0
        self._depth = 0

    def item(
        self, item: s.Item, bracket: s.Bracket, label: str | None, flow: Draft | None, env: Env, spot: Spot
    ) -> Draft | None:
        """A bracket as one step of a chain: repeated, and in a scope of its own where it is labelled."""
        if label is None:
            return self._repeated(item, bracket, flow, env, spot)
        if item.count is None and self.walk.labels.joins_only(bracket, env):
            assert isinstance(bracket.body, s.Sides)
            turns = [(branch, env, spot) for branch in bracket.body.branches]
            out = self._sides(bracket.body.op, turns, bracket, flow, spot, label)
            if out is not None:
                self.walk.labels.define(label, out, None, item, env, spot)
            return out
        inner = LabelScope(env.labels)
        inner_env = replace(env, labels=inner)
        return self.scoped(
            item, label, flow, env, spot, inner,
            lambda inside, x: self._repeated(item, bracket, x, inner_env, inside),
        )  # fmt: skip

    def scoped(
        self, item: s.Item, label: str | None, flow: Draft | None, env: Env, spot: Spot, inner: LabelScope,
        body: Callable[[Spot, Draft | None], Draft | None],
    ) -> Draft | None:  # fmt: skip
        """Place a body, in a scope of its own where it is labelled."""
        if label is None:
            return body(spot, flow)
        scope = self.walk.open("bracket", label, item.span, flow, spot)
        self.walk.label_scopes[id(scope)] = inner
        out = body(Spot(scope, spot.trace), flow)
        scope.result = out
        if out is not None:
            self.walk.labels.define(label, out, inner, item, env, spot)
        return out

    def _repeated(
        self, item: s.Item, bracket: s.Bracket, flow: Draft | None, env: Env, spot: Spot
    ) -> Draft | None:
        if item.count is None:
            return self.once(bracket, flow, env, spot)
        count = integer(item.count, env)
        self.walk.decide("count", count, item.count.span, spot)
        times = count.value
        if times < 0:
            raise fail(
                "E303", f"`*{times}` repeats a negative number of times", item.count.span,
                hint="`*0` is the least: *{max(0, …)}",
            )  # fmt: skip
        for i in range(times):
            before = self._turns
            self.count_turn(bracket.span)
            turn = Turn(
                loop=item.count.span, index=i, total=times, count=count.source, bindings=(), span=bracket.span,
                parent=spot.trace,
            )  # fmt: skip
            flow = self.once(bracket, flow, env, spot.step(turn))
            if flow is not None and flow.poison:
                break
            if i == 1:
                self._foresee(times - 2, before, bracket.span)
        return flow

    def once(self, bracket: s.Bracket, flow: Draft | None, env: Env, spot: Spot) -> Draft | None:
        """What stands between `[` and `]`, once."""
        if self._depth >= MAX_DEPTH:
            hint = "name inner parts as blocks, and let no block hand itself to itself"
            raise fail(
                "E901", f"brackets open in brackets more than {MAX_DEPTH} deep", bracket.span, hint=hint
            )
        self._depth += 1
        try:
            return self._inside(bracket, flow, env, spot)
        finally:
            self._depth -= 1

    def _inside(self, bracket: s.Bracket, flow: Draft | None, env: Env, spot: Spot) -> Draft | None:
        env = env.inside(flow)
        body = bracket.body
        if isinstance(body, s.Pipeline):
            return self.walk.pipeline(body, flow, env, spot)
        if isinstance(body, s.Sides):
            return self._sides(
                body.op, [(branch, env, spot) for branch in body.branches], bracket, flow, spot
            )
        if isinstance(body, s.Choice):
            return self._choice(body, flow, env, spot)
        turns = [
            (body.body, bound, spot.step(turn)) for bound, turn in self._turns_of(body, bracket, env, spot)
        ]
        if body.op is not None:
            return self._sides(body.op, turns, bracket, flow, spot)
        for i, (pipeline, bound, inside) in enumerate(turns):
            before = self._turns
            self.count_turn(bracket.span)
            flow = self.walk.pipeline(pipeline, flow, bound.inside(flow), inside, new_line=i > 0)
            if flow is not None and flow.poison:
                break
            if i == 1:
                self._foresee(len(turns) - 2, before, bracket.span)
        return flow

    def _choice(self, choice: s.Choice, flow: Draft | None, env: Env, spot: Spot) -> Draft | None:
        """Place the arm whose condition holds first."""
        sources: list[Sym] = []
        taken, chosen = len(choice.arms), choice.otherwise
        for i, (arm, condition) in enumerate(choice.arms):
            found = truth(condition, env)
            sources.append(found.source)
            if found.value:
                taken, chosen = i, arm
                break
        assert chosen is not None
        place, before = len(spot.scope.decisions), len(self.walk.drafts)
        out = self.walk.pipeline(chosen, flow, env, spot)
        if not all(isinstance(source, Const) for source in sources):
            is_closed = len(choice.arms) == 1 and not _ends_open(out, self.walk.drafts[before:])
            decision = Decision("choice", choice.span, tuple(sources), taken, spot.trace, is_closed)
            spot.scope.decisions.insert(place, decision)
        return out

    def _turns_of(self, loop: s.Loop, bracket: s.Bracket, env: Env, spot: Spot) -> list[tuple[Env, Turn]]:
        """The turns of a comprehension, each with its loop variables bound."""
        values: list[tuple[Sourced[Value], Span]] = []
        count: Sym = Const(0)
        for expr in loop.values:
            found = evaluate(expr, env)
            value = found.value
            if isinstance(value, range):
                if len(values) + len(value) > self._most:
                    hint = f"repeat less, or raise the limit: --max-layers {10 * self.walk.max_layers}"
                    message = f"the comprehension has more than {self._most:,} values"
                    raise fail("E901", message, expr.span, hint=hint)
                low, high = _ends(found)
                values += [(Sourced(v, binary("+", low, Const(i))), expr.span) for i, v in enumerate(value)]
                count = binary("+", count, difference(binary("+", high, Const(1)), low))
                self.walk.decide("count", found, expr.span, spot)
            else:
                values.append((found, expr.span))
                count = binary("+", count, Const(1))
        for name in loop.targets:
            if name in SIZE_NAMES or name in FUNCTIONS:
                raise fail(
                    "E204", f"`{name}` has a meaning of its own and cannot be a loop variable", loop.span
                )
        out = []
        for i, (found, span) in enumerate(values):
            value = found.value
            whole = len(loop.targets) == 1 or not isinstance(value, tuple) or isinstance(value, Sizes)
            parts = (found,) if whole else parts_of(found)
            if len(parts) != len(loop.targets):
                raise fail(
                    "E303", f"{describe(value)} does not fit the names {', '.join(loop.targets)}", span,
                    hint=f"each value needs {len(loop.targets)} parts: ({', '.join(loop.targets)})",
                )  # fmt: skip
            bound = dict(zip(loop.targets, parts, strict=True))
            turn = Turn(
                loop=bracket.span, index=i, total=len(values), count=count,
                bindings=tuple((name, part.value) for name, part in bound.items()), span=bracket.span,
                parent=spot.trace,
            )  # fmt: skip
            out.append((env.bind(bound), turn))
        return out

    def _sides(
        self, op: str, turns: list[tuple[s.Pipeline, Env, Spot]], bracket: s.Bracket, flow: Draft | None,
        spot: Spot, label: str | None = None,
    ) -> Draft | None:  # fmt: skip
        """Branches on the same input, joined. Those that wait for their siblings' size come second."""
        if not turns:
            return flow
        spot.scope.has_sides = True
        fitter = Fitter(self.walk, op, flow)
        results: list[Draft | None] = []
        before = 0
        for i, (pipeline, env, inside) in enumerate(turns):
            if i == 2:
                self._foresee(len(turns) - 2, before, bracket.span)
            before = self._turns
            self.count_turn(pipeline.span)
            if waits_for_siblings(pipeline, op):
                results.append(None)
                fitter.defer(len(results) - 1, pipeline, env, inside)
            else:
                results.append(self.walk.pipeline(pipeline, flow, env, inside))
        fitter.settle(results)
        joined = [self.walk.need(result, bracket.span) for result in results]
        if len(joined) == 1:
            return joined[0]
        if any(x.poison for x in joined):
            return poison(bracket.span)
        try:
            merge = self.walk.layers.place(
                _MERGES[op], Arguments(), tuple(joined), bracket.span, label, spot, "merge"
            )
        except CnncError as error:
            if error.diagnostics[0].code != "E405" or op == "@":
                raise
            raise at_its_branch(error, _MERGES[op], [branch for branch, _, _ in turns], joined) from None
        fitter.joined(merge)
        return merge

    def count_turn(self, span: Span) -> None:
        self._turns += 1
        if self._turns > self._most:
            self._refuse_length(span)

    def _foresee(self, turns_left: int, before: int, span: Span) -> None:
        """Refuse a runaway repeat early: its second turn, begun at count `before`, stands for those left.

        The first turn is no measure: it often differs (`if i == 1`).
        """
        if self._turns + turns_left * (self._turns - before) > self._most:
            self._refuse_length(span)

    def _refuse_length(self, span: Span) -> None:
        hint = f"repeat less, or raise the limit: --max-layers {10 * self.walk.max_layers}"
        message = f"the spec unrolls to more than {self._most:,} steps"
        self.walk.report(Diagnostic("E901", message, span, hint=hint), None)


def _ends(found: Sourced[Value]) -> tuple[Sym, Sym]:
    """Where the first and the last number of a range come from."""
    if isinstance(found.source, Items):
        low, high = found.source.items
        return low, high
    return Const(found.value.start), Const(found.value.stop - 1)


def _ends_open(out: Draft | None, placed: Sequence[Draft]) -> bool:
    """Whether what follows some layers decides on a default activation among them."""
    seen = {id(out)}
    for draft in reversed(placed):
        if id(draft) in seen:
            if draft.tentative:
                return True
            if draft.op is not None and draft.op.transparent:
                seen.update(map(id, draft.inputs))
    return False
