"""Weights used again: `again(label)` places what a label has once more on the same weights, `weight(label)` is its weight.

before: c: conv3-16 -> again(c, dilation=2)
after:  conv3-16 -> conv3-16(dilation=2), both with `c.weight` and `c.bias`
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cnnc.compiler.ops import Op, by_x
from cnnc.compiler.ops.extern import Extern
from cnnc.compiler.symbolic import SizeOf, Sourced, constant
from cnnc.compiler.walk.arguments import Arguments
from cnnc.compiler.walk.draft import Draft, Scope, Spot, poison
from cnnc.compiler.walk.evaluate import evaluate, named_value
from cnnc.compiler.walk.fit import pair
from cnnc.compiler.walk.labels import WEIGHT
from cnnc.compiler.walk.layers import in_a_chain
from cnnc.compiler.walk.values import CallStep, Env, Handed, Labelled, LabelScope, describe
from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import CnncError, Diagnostic, fail
from cnnc.dsl.record import record
from cnnc.dsl.source import Span

if TYPE_CHECKING:
    from cnnc.compiler.walk.elaborate import Walk

AGAIN = "again"
REUSING = (AGAIN, WEIGHT)
"""The words that take their weights from a label."""
_BROUGHT = ("norm", "act")


def reusing(word: s.Word) -> str | None:
    """`again` or `weight`, where a word is that; None for any other."""
    return word.keyword if word.keyword in REUSING else None


@record(frozen=False)
class _Replay:
    """What is placed again: the tensors of its own that come next, and how many were taken from there."""

    start: int
    drafts: Sequence[Draft]
    taken: int = 0


class Again:
    """Places what labels have once more, for a walk."""

    def __init__(self, walk: Walk) -> None:
        self.walk = walk
        self._replays: list[_Replay] = []

    # --- again -----------------------------------------------------------------------------

    def place(self, item: s.Item, word: s.Word, label: str | None, flow: Draft, spot: Spot) -> Draft:
        """`again(label, …)` on what flows in."""
        entry, changes = self._named(word, spot.env)
        if flow.poison or entry.tensor.poison:
            return poison(word.span)
        entry, changes = self._first(entry, changes, word)
        transpose, changes = _take_flag(changes, "transpose", spot.env)
        step = CallStep(word.span.text, None, word.span, spot.trace)
        if transpose:
            bias, changes = _take_flag(changes, "bias", spot.env)
            return self._transposed(entry, changes, bias, word, label, flow, spot.step(step))
        if changes and not self._is_extern(entry):
            return self._changed(entry, changes, word, label, flow, spot.step(step))
        return self._whole(entry, changes, word, label, item, flow, spot, step)

    def _named(self, word: s.Word, env: Env) -> tuple[Labelled, list[s.Argument]]:
        """What the label means here, and the arguments after it. Raises E203, E302 or E303."""
        name = reusing(word)
        given = list(word.args or ())
        if not given or given[0].key is not None:
            raise fail(
                "E302",
                f"`{name}` needs the label whose weights it takes",
                word.span,
                hint=f"write {name}(LABEL)",
            )
        first = given[0]
        value = None if isinstance(first.value, s.Bracket) else evaluate(first.value, env).value
        if not isinstance(value, str):
            what = "a pipeline" if value is None else describe(value)
            raise fail("E303", f"`{name}` takes a label, and not {what}", first.span)
        home = env
        if isinstance(value, Handed):
            home, value.in_chain = value.env, True
        if value in self.walk.open_labels and home.labels.reach(value) is None:
            raise fail(
                "E203", f"`{value}` is not complete here: `{name}({value})` stands inside it", first.span,
                hint="label the part that is used again, and name that",
            )  # fmt: skip
        entry = home.labels.reach(value)
        if entry is None:
            raise self.walk.labels.unknown(value, first.span, home)
        entry.used = True
        return entry, given[1:]

    def _first(
        self, entry: Labelled, changes: list[s.Argument], word: s.Word
    ) -> tuple[Labelled, list[s.Argument]]:
        """Where a label names a use again itself: what that uses, with its arguments before these."""
        while entry.made is not None:
            core = entry.made.item.core
            if not isinstance(core, s.Word) or reusing(core) != AGAIN:
                return entry, changes
            entry, earlier = self._named(core, entry.made.env)
            own = {change.key for change in changes}
            changes = [*(one for one in earlier if one.key is None or one.key not in own), *changes]
        raise fail("E303", f"`{word.span.text}`: nothing with weights has that label", word.span)

    def _whole(
        self, entry: Labelled, changes: list[s.Argument], word: s.Word, label: str | None, item: s.Item,
        flow: Draft, spot: Spot, step: CallStep,
    ) -> Draft:  # fmt: skip
        """Everything that the label has, as it was written there."""
        made = entry.made
        assert made is not None
        core = made.item.core
        if self.walk.labels.is_headed(replace(made.item, label=None), made.env) or (
            isinstance(core, s.Word) and core.literal is not None and core.literal.lower() == "id"
        ):
            raise fail(
                "E303", f"nothing flows into what `{word.span.text}` names, so it cannot be applied again", word.span,
                hint="a tensor is used by its label alone, at the head of a chain",
            )  # fmt: skip
        drafts = self.walk.drafts[made.first : made.last]
        inside = spot.step(step).seeing(made.env)
        scope = None
        if made.scope is not None and made.scope.kind == "bracket":
            scope = self.walk.open("again", None, word.span, flow, spot)
            labels = self.walk.label_scopes[id(scope)] = LabelScope(made.env.labels)
            inside = Spot(made.env.within(labels), scope, step)
        before, children = len(self.walk.drafts), len(spot.scope.children)
        self.walk.calls.check_depth(word.span)
        self.walk.calls.depth += 1
        self._replays.append(_Replay(before, drafts))
        try:
            bare = replace(made.item, label=None, core=_with_inputs(core, changes))
            out = self.walk.item(bare, flow, inside, head=False)
        finally:
            self._replays.pop()
            self.walk.calls.depth -= 1
        if out is None or out.poison:
            return poison(word.span)
        if made.scope is not None:
            if scope is None:
                (opened,) = spot.scope.children[children:]
                assert isinstance(opened, Scope)
                scope = opened
                scope.kind = "again"
            scope.result = out
            _pair_scopes(scope, made.scope)
        if not self._is_shared(entry):
            # A flattening that is put in is no part of a layer; in a bracket it is part of the module.
            placed, kept = (
                [d for d in some if d.inputs and (scope is not None or d.role != "flatten")]
                for some in (self.walk.drafts[before:], drafts)
            )
            _pair(placed, kept, word, flow)
        if label is not None:
            inner = None if scope is None else self.walk.label_scopes.get(id(scope))
            self.walk.labels.define(label, out, inner, item, spot)
        return out

    def _is_extern(self, entry: Labelled) -> bool:
        file = self._declared(entry)
        return file is not None and file[1] in file[0].file.externs

    def _is_shared(self, entry: Labelled) -> bool:
        file = self._declared(entry)
        return file is not None and file[1] in file[0].file.shareds

    def _declared(self, entry: Labelled) -> tuple[Env, str] | None:
        """The name that a labelled word is, and where it is looked up."""
        made = entry.made
        if made is None or not isinstance(made.item.core, s.Word) or made.item.core.literal is None:
            return None
        found = named_value(made.item.core, made.env)
        if found is None:
            return made.env, made.item.core.literal
        return (found.value.env, str(found.value)) if isinstance(found.value, Handed) else None

    def source(self, span: Span) -> Draft | None:
        """While something is placed again: the tensor of its own that was placed at this point the first time."""
        if not self._replays:
            return None
        now = self._replays[-1]
        at = len(self.walk.drafts) - now.start + now.taken
        if at >= len(now.drafts) or now.drafts[at].inputs or now.drafts[at].span != span:
            return None
        now.taken += 1
        return now.drafts[at]

    # --- with other arguments ----------------------------------------------------------------

    def _own(self, entry: Labelled, word: s.Word) -> Draft:
        """The layer that a label is of. Raises E303 where it is a bracket or a block."""
        made = entry.made
        assert made is not None
        drafts = self.walk.drafts[made.first : made.last]
        own = [draft for draft in drafts if draft.role == "own"]
        core = made.item.core
        is_layer = isinstance(core, s.Word) and made.item.count is None and len(own) == 1
        if not is_layer or own[0].scope is None or not own[0].inputs:
            raise fail(
                "E303", f"`{word.span.text}`: only a layer can be used again otherwise than it is written", word.span,
                hint="label the layer itself",
            )  # fmt: skip
        return own[0]

    def _changed(
        self, entry: Labelled, changes: list[s.Argument], word: s.Word, label: str | None, flow: Draft, spot: Spot,
    ) -> Draft:  # fmt: skip
        """A layer with the same weights and other arguments, those that shape no weight."""
        made, own = entry.made, self._own(entry, word)
        assert made is not None and own.op is not None
        core = made.item.core
        assert isinstance(core, s.Word)
        if named_value(core, made.env) is not None:
            raise fail(
                "E303", f"`{word.span.text}`: its layer was handed in, and takes no arguments here", word.span
            )
        op = type(own.op)
        if own.op.weighted and own.op.weight_of(*(x.shape for x in own.inputs)) is None:
            allowed: tuple[str, ...] = ()  # what the layer makes of its weights is its own
        else:
            allowed = op.reusable
        allowed += () if op.brings is None else _BROUGHT if op.brings.norm else ("act",)
        args = self.walk.layers.arguments(core, made.env)
        for change in changes:
            name = self._changeable(op, change, allowed)
            args.forget(name)
            self.walk.layers.take(args, op, name, change.value, change.span, spot.env)
        if "bias" in op.model_fields:
            layer: Any = own.op
            args.values["bias"] = constant(layer.bias)
        names = [change.key or "" for change in changes]
        home = spot.seeing(made.env)
        before = len(self.walk.drafts)
        out = self.walk.layers.layer(op, args, word.span, None, flow, home, brings_label=label)
        if out.poison:
            return out
        first = {d.role: d for d in self.walk.drafts[made.first : made.last]}
        for draft in self.walk.drafts[before:]:
            draft.plain_bias = False
            if draft.role in (*names, "flatten") or draft.role not in first:
                continue
            _reuse(draft, first[draft.role], word, flow)
            if draft.role == "own":
                draft.applied = tuple(n for n in op.reusable if getattr(draft.op, n) != getattr(own.op, n))
        return out

    def _changeable(self, op: type[Op], change: s.Argument, allowed: Sequence[str]) -> str:
        key = (change.key or "").lower()
        if key not in allowed:
            what = f"`{key}`" if key else f"`{change.span.text}`"
            can = ", ".join(dict.fromkeys(allowed))
            raise fail(
                "E301", f"{what} cannot differ where the weights of a `{op.kind}` are used again", change.span,
                hint=f"what can: {can}" if can else "label a layer of its own",
            )  # fmt: skip
        return key

    def _transposed(
        self, entry: Labelled, changes: list[s.Argument], bias: bool, word: s.Word, label: str | None, flow: Draft,
        spot: Spot,
    ) -> Draft:  # fmt: skip
        """The weights of a convolution or linear layer the other way, without bias, norm and activation of their own."""
        from cnnc.compiler.ops.bias import Bias

        own = self._own(entry, word)
        assert own.op is not None
        found = own.op.transposed(own.inputs[0].shape)
        if found is None:
            raise fail(
                "E303", f"`transpose=yes` is for a convolution or linear layer, and `{own.op.kind}` "
                f"{'as it is here ' if own.op.weighted else ''}is none that can be", word.span,
            )  # fmt: skip
        op, given = found
        args = Arguments()
        allowed = (*op.reusable, *_BROUGHT)
        for change in changes:
            name = self._changeable(op, change, allowed)
            self.walk.layers.take(args, op, name, change.value, change.span, spot.env)
        applied = [name for name in args.written if name in op.reusable]
        for name, value in given.items():
            args.values.setdefault(name, constant(value))
        args.values["width"] = Sourced(own.inputs[0].shape[0], SizeOf("C", own.inputs[0].number))
        for name in _BROUGHT:
            args.spans.setdefault(name, word.span)
            args.values.setdefault(name, constant("none"))
        bias_of = (lambda out: self.walk.layers.place(
            Bias, Arguments({"each": constant("channel")}), (out,), word.span, label, spot, "own"
        )) if bias else None  # fmt: skip
        before = len(self.walk.drafts)
        out = self.walk.layers.layer(
            op, args, word.span, None, flow, spot, brings_label=label, behind=bias_of, bare=True
        )
        if out.poison:
            return out
        for draft in self.walk.drafts[before:]:
            draft.plain_bias = False
            if draft.role == "own" and type(draft.op) is op:
                if draft.inputs[0].shape[0] != own.shape[0]:
                    raise _unlike(
                        word, draft.inputs[0], f"the weights of `{own.span.text}` give {own.shape[0]} channels, and take "
                        "them the other way",
                    )  # fmt: skip
                draft.twin = draft.reused = own
                draft.applied = ("transpose", *applied)
        return out

    # --- weight ------------------------------------------------------------------------------

    def weight(self, word: s.Word, head: bool, spot: Spot) -> Draft:
        """`weight(label)`: the weight of a layer as a tensor, channels first."""
        from cnnc.compiler.ops.tensor import Weight

        if not head:
            raise in_a_chain(WEIGHT, word.span, "join it, or begin a branch or line with it")
        entry, changes = self._named(word, spot.env)
        if changes:
            raise fail("E301", "`weight` takes a label alone", changes[0].span)
        if entry.tensor.poison:
            return poison(word.span)
        entry, _ = self._first(entry, [], word)
        own = self._own(entry, word)
        assert own.op is not None
        shape = own.op.weight_of(*(x.shape for x in own.inputs))
        if shape is None:
            raise fail("E303", f"`{own.op.kind}` has no one tensor of weights", word.span)
        if len(shape) > 4:
            raise fail(
                "E401", f"the weight of this `{own.op.kind}` is {by_x(shape)}; a map has channels and up to 3 axes",
                word.span,
            )  # fmt: skip
        out = self.walk.layers.place(
            Weight, Arguments({"shape": constant(shape)}), (), word.span, None, spot, "own"
        )
        if not out.poison:
            out.twin = out.reused = own
            out.applied = (WEIGHT,)
        return out


def settle_reuses(drafts: Sequence[Draft]) -> list[Diagnostic]:
    """After default activations are settled: one that its first use left out is a layer of its own where it stays.

    In a bracket or block that is used again it cannot be, for that is one module: E406.
    """
    problems = []
    for draft in drafts:
        old = draft.reused
        if old is None or old.dropped == draft.dropped:
            continue
        scope = draft.scope
        while scope is not None and scope.kind != "again":
            scope = scope.parent
        if scope is None:
            draft.twin = draft.reused = None
            continue
        first, now = ("left out", "kept") if old.dropped else ("kept", "left out")
        problems.append(Diagnostic(
            "E406", f"the default activation of `{old.span.text}` is {first} at its first use and {now} here", scope.span,
            hint="one module has one way: say act=relu or act=none on that layer",
        ))  # fmt: skip
    return problems


def _take_flag(changes: list[s.Argument], key: str, env: Env) -> tuple[bool, list[s.Argument]]:
    """A yes or no among arguments, and the arguments without it."""
    for change in changes:
        if (change.key or "").lower() == key:
            found = "" if isinstance(change.value, s.Bracket) else evaluate(change.value, env).value
            if not isinstance(found, bool) and found not in ("yes", "no"):
                said = change.value.span.text
                raise fail("E303", f"`{key}` is {said}; expected yes or no", change.span)
            return found in (True, "yes"), [one for one in changes if one is not change]
    return False, changes


def _pair(placed: Sequence[Draft], drafts: Sequence[Draft], word: s.Word, flow: Draft) -> None:
    """Let every layer of a further use take the weights of its twin. Raises E406 where they differ."""
    if len(placed) != len(drafts) or any(
        type(new.op) is not type(old.op) for new, old in zip(placed, drafts, strict=False)
    ):
        raise _unlike(word, flow, "on this the choices and repeats in it come out otherwise")
    for new, old in zip(placed, drafts, strict=True):
        pair(new, old)
        if new.role == "merge" or (len(new.inputs) > 1 and not isinstance(new.op, Extern)):
            _check_weights(new, old, word, flow)
            if old.op is not None and old.op.params(*(x.shape for x in old.inputs)):
                raise _unlike(word, flow, f"`{old.op.kind}` takes several inputs")
        else:
            _reuse(new, old, word, flow)


def _with_inputs(core: s.Word | s.Bracket, changes: Sequence[s.Argument]) -> s.Word | s.Bracket:
    """A word with other further inputs, where it is an extern; else as it is."""
    if not changes or not isinstance(core, s.Word):
        return core
    keyed = next((one for one in changes if one.key is not None), None)
    if keyed is not None:
        raise fail(
            "E301", f"`{keyed.key}` cannot differ where an extern is used again", keyed.span,
            hint="its further inputs can: again(LABEL, TENSOR)",
        )  # fmt: skip
    given = list(core.args or ())
    return replace(core, args=(*changes, *given[len(changes) :]))


def _pair_scopes(scope: Scope, first: Scope) -> None:
    for new, old in zip(list(scope.scopes()), list(first.scopes()), strict=False):
        new.again = old


def _reuse(new: Draft, old: Draft, word: s.Word, flow: Draft) -> None:
    _check_weights(new, old, word, flow)
    new.twin = new.reused = old


def _check_weights(new: Draft, old: Draft, word: s.Word, flow: Draft) -> None:
    mine, theirs = _weights(new), _weights(old)
    if mine != theirs:
        key = next(k for k in {**theirs, **mine} if mine.get(k) != theirs.get(k))
        had, has = (by_x(w[key]) if key in w else "none" for w in (theirs, mine))
        raise _unlike(word, flow, f"`{key}` of `{old.span.text}` would be {has}, and is {had}")


def _weights(draft: Draft) -> dict[str, tuple[int, ...]]:
    assert draft.op is not None
    shapes = tuple(x.shape for x in draft.inputs)
    return {**draft.op.params(*shapes), **draft.op.state(*shapes)}


def _unlike(word: s.Word, flow: Draft, why: str) -> CnncError:
    """E406 for what is used again on something that it does not fit."""
    return fail(
        "E406", f"`{word.span.text}` on {by_x(flow.shape)}: the weights do not fit; {why}", word.span,
        hint="what is used again needs equal channels, and equal sizes where it flattens",
    )  # fmt: skip
