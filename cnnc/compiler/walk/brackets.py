"""Brackets: repeats, comprehensions, choices, branches side by side, and what holds them in bounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from cnnc.compiler.ops import Op, Sizes
from cnnc.compiler.ops.merge import Add, Concat, Multiply
from cnnc.compiler.walk.draft import Decided, Draft, Spot, poison
from cnnc.compiler.walk.evaluate import FUNCTIONS, evaluate, integer, truth
from cnnc.compiler.walk.fit import Fitter, waits_for_siblings
from cnnc.compiler.walk.layers import Arguments
from cnnc.compiler.walk.misfit import at_its_branch
from cnnc.compiler.walk.values import (
    SIZE_NAMES,
    Binding,
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

_MERGES: dict[str, type[Op]] = {"|": Concat, "+": Add, "&": Multiply}


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
                self.walk.labels.define(label, out, None, item, env, spot.scope)
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
            self.walk.labels.define(label, out, inner, item, env, spot.scope)
        return out

    def _repeated(
        self, item: s.Item, bracket: s.Bracket, flow: Draft | None, env: Env, spot: Spot
    ) -> Draft | None:
        if item.count is None:
            return self.once(bracket, flow, env, spot)
        times = integer(item.count, env)
        if times < 0:
            raise fail(
                "E303", f"`*{times}` repeats a negative number of times", item.count.span,
                hint="`*0` is the least: *{max(0, …)}",
            )  # fmt: skip
        for i in range(times):
            before = self._turns
            self.count_turn(bracket.span)
            turn = Turn(item, i, times, (), bracket.span, spot.trace, env)
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
            arms = enumerate(body.arms)
            taken = next((i for i, (_, condition) in arms if truth(condition, env)), len(body.arms))
            spot.scope.choices.append(Decided(body, taken, env, spot.trace))
            chosen = (*(arm for arm, _ in body.arms), body.otherwise)[taken]
            assert chosen is not None
            return self.walk.pipeline(chosen, flow, env, spot)
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

    def _turns_of(self, loop: s.Loop, bracket: s.Bracket, env: Env, spot: Spot) -> list[tuple[Env, Turn]]:
        """The turns of a comprehension, each with its loop variables bound."""
        values: list[tuple[Value, Span]] = []
        for expr in loop.values:
            value = evaluate(expr, env)
            if isinstance(value, range):
                if len(values) + len(value) > self._most:
                    hint = f"repeat less, or raise the limit: --max-layers {10 * self.walk.max_layers}"
                    message = f"the comprehension has more than {self._most:,} values"
                    raise fail("E901", message, expr.span, hint=hint)
                values += [(v, expr.span) for v in value]
            else:
                values.append((value, expr.span))
        for name in loop.targets:
            if name in SIZE_NAMES or name in FUNCTIONS:
                raise fail(
                    "E204", f"`{name}` has a meaning of its own and cannot be a loop variable", loop.span
                )
        out = []
        for i, (value, span) in enumerate(values):
            whole = len(loop.targets) == 1 or not isinstance(value, tuple) or isinstance(value, Sizes)
            parts = (value,) if whole else value
            if len(parts) != len(loop.targets):
                raise fail(
                    "E303", f"{describe(value)} does not fit the names {', '.join(loop.targets)}", span,
                    hint=f"each value needs {len(loop.targets)} parts: ({', '.join(loop.targets)})",
                )  # fmt: skip
            bound = tuple(zip(loop.targets, parts, strict=True))
            turn = Turn(bracket, i, len(values), bound, bracket.span, spot.trace, env)
            out.append((env.bind({n: Binding(v, None) for n, v in bound}), turn))
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
            if error.diagnostics[0].code != "E405":
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
