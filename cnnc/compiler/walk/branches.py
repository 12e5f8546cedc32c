"""Branches side by side: each placed on the same input, and joined; those of which nothing is left are none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnc.compiler.ops import Op
from cnnc.compiler.ops.merge import Add, Concat, MatMul, Multiply
from cnnc.compiler.symbolic import constant
from cnnc.compiler.walk.arguments import Arguments
from cnnc.compiler.walk.draft import NO_BRANCH, Draft, Spot, poison
from cnnc.compiler.walk.fit import Fitter, waits_for_siblings
from cnnc.compiler.walk.misfit import at_its_branch
from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import CnncError, fail
from cnnc.dsl.source import Span

if TYPE_CHECKING:
    from cnnc.compiler.walk.brackets import Brackets
    from cnnc.compiler.walk.elaborate import Walk

_MERGES: dict[str, type[Op]] = {"|": Concat, "+": Add, "&": Multiply, "@": MatMul}

Branch = tuple[s.Pipeline, Spot]
"""A chain, and where it is placed."""


class Branches:
    """Places and joins branches for a walk."""

    def __init__(self, walk: Walk, brackets: Brackets) -> None:
        self.walk = walk
        self.brackets = brackets

    def join(
        self, op: str, branches: list[Branch], bracket: s.Bracket, flow: Draft | None, spot: Spot,
        label: str | None = None,
    ) -> Draft | None:  # fmt: skip
        """Branches on the same input, joined. Those that wait for their siblings' size come second."""
        arguments = _arguments(op, bracket)
        spot.scope.has_sides = True
        fitter = Fitter(self.walk, op, flow)
        results = self._placed(op, branches, bracket, flow, fitter)
        fitter.settle(results)
        left = [i for i, result in enumerate(results) if result is not NO_BRANCH]
        if not left:
            raise fail(
                "E505", "no branch is left of this bracket", bracket.span,
                hint="let one be `id`, or choose the bracket as a whole: [[…] if condition]",
            )  # fmt: skip
        joined = [self.walk.need(results[i], bracket.span) for i in left]
        if any(x.poison for x in joined):
            return poison(bracket.span)
        try:
            merge = self.walk.layers.place(
                _MERGES[op], arguments, tuple(joined), bracket.span, label, spot, "merge"
            )
        except CnncError as error:
            if error.diagnostics[0].code != "E405" or op == "@" or arguments.values:
                raise
            chains = [branches[i][0] for i in left]
            raise at_its_branch(error, _MERGES[op], chains, joined) from None
        merge.alone = len(joined) == 1
        fitter.joined(merge, left)
        return merge

    def _placed(
        self, op: str, branches: list[Branch], bracket: s.Bracket, flow: Draft | None, fitter: Fitter
    ) -> list[Draft | None]:
        """What flows out of each branch; None for those that wait."""
        results: list[Draft | None] = []
        before = (0, 0)
        for i, (pipeline, spot) in enumerate(branches):
            if i == 2:
                self.brackets.foresee(len(branches) - 2, before, bracket.span)
            before = self.brackets.progress()
            self.brackets.count_turn(pipeline.span)
            if waits_for_siblings(pipeline, op, spot.env):
                results.append(None)
                fitter.defer(len(results) - 1, pipeline, spot)
            else:
                results.append(self._branch(pipeline, flow, spot))
        return results

    def _branch(self, pipeline: s.Pipeline, flow: Draft | None, spot: Spot) -> Draft | None:
        """One branch. A choice or a comprehension that is the whole of it may leave NO_BRANCH."""
        bracket = _whole(pipeline)
        if bracket is None:
            return self.walk.pipeline(pipeline, flow, spot)
        self.brackets.enter(bracket)
        try:
            return self._opened(bracket, flow, spot)
        finally:
            self.brackets.leave()

    def _opened(self, bracket: s.Bracket, flow: Draft | None, spot: Spot) -> Draft | None:
        """The bracket that is the whole of a branch."""
        body, inner = bracket.body, spot.inside(flow)
        if isinstance(body, s.Pipeline):
            return self._branch(body, flow, inner)
        if isinstance(body, s.Choice):
            return self._chosen(bracket, body, flow, inner)
        if isinstance(body, s.Loop) and body.op is not None:
            turns = self.brackets.turns_of(body, bracket, inner)
            return self.join(body.op, turns, bracket, flow, spot) if turns else NO_BRANCH
        return self.brackets.open(bracket, flow, spot)

    def _chosen(self, bracket: s.Bracket, choice: s.Choice, flow: Draft | None, spot: Spot) -> Draft | None:
        """The arm of a choice that is a whole branch. Raises E505 where it might be left without one."""
        if choice.otherwise is None:
            raise fail(
                "E505", "a choice that is a whole branch needs its `else`",
                bracket.span, hint="end it with `else id` to pass the input on, or with `else none` for no branch",
            )  # fmt: skip

        def place(arm: s.Pipeline | None) -> Draft | None:
            assert arm is not None
            return NO_BRANCH if is_none(arm) else self._branch(arm, flow, spot)

        return self.brackets.choice(choice, flow, spot, place)


def _arguments(op: str, bracket: s.Bracket) -> Arguments:
    """What stands in parentheses behind a bracket of branches: the axis along which `|` joins them."""
    found = Arguments()
    for argument in bracket.args or ():
        if op != "|" or argument.key != "axis":
            what = (
                f"a bracket of `{op}` takes no argument"
                if op != "|"
                else "a bracket of `|` takes `axis` alone"
            )
            raise fail("E301", what, argument.span, hint="for instance: [a | b](axis=W)")
        # A bare letter is an axis here and no size.
        letter = argument.value.id if isinstance(argument.value, s.Name) else argument.value.span.text
        found.values["axis"] = constant(letter)
        found.written.append("axis")
        found.spans["axis"] = argument.span
    return found


def refuse_none(choice: s.Choice) -> None:
    """Raise E505 where an arm of a choice in a chain is `none`, whichever arm is taken."""
    arms = [arm for arm, _ in choice.arms] + ([] if choice.otherwise is None else [choice.otherwise])
    for arm in filter(is_none, arms):
        raise misplaced_none(arm.span)


def misplaced_none(span: Span) -> CnncError:
    """E505 for the word `none` where it is no branch."""
    return fail(
        "E505", "`none` is an arm of a choice that is a whole branch, and nothing else", span,
        hint="for no branch: [a + [b if c else none]]; to pass the input on: id",
    )  # fmt: skip


def is_none(arm: s.Pipeline) -> bool:
    """Whether an arm is the word `none`: no branch."""
    item = arm.items[0]
    word = item.core
    return (
        len(arm.items) == 1 and item.label is None and isinstance(word, s.Word) and not word.quoted
        and word.literal == "none" and word.args is None
    )  # fmt: skip


def _whole(pipeline: s.Pipeline) -> s.Bracket | None:
    """The bracket that is the whole of a branch: without a label, a count, or arguments."""
    item = pipeline.items[0]
    alone = len(pipeline.items) == 1 and item.label is None and item.count is None
    return item.core if alone and isinstance(item.core, s.Bracket) and item.core.args is None else None
