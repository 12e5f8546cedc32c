"""Branches that take their size from their siblings: `shortcut` in `+`, `crop` or `stretch` at a branch's end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cnnc.compiler.ops import by_x
from cnnc.compiler.ops.base import Axis, Local, Sizes, show
from cnnc.compiler.ops.convolution import Conv
from cnnc.compiler.ops.reshape import Crop, PadShortcut, Stretch
from cnnc.compiler.ops.resize import Pad, Resize
from cnnc.compiler.ops.sized import Fitting
from cnnc.compiler.sizes import is_free, poly_of, same
from cnnc.compiler.symbolic import Compare, Const, Logic, SizeOf, Sourced, Sym, binary, constant, opaque
from cnnc.compiler.walk.draft import NO_BRANCH, Decision, Draft, Fit, Fitted, Scope, Spot, poison
from cnnc.compiler.walk.evaluate import evaluate
from cnnc.compiler.walk.values import Env, Labelled, Value
from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import CnncError, fail
from cnnc.dsl.record import record
from cnnc.dsl.source import Span

if TYPE_CHECKING:
    from cnnc.compiler.walk.elaborate import Walk


@record
class _SizedWord:
    """A layer that, without a size, takes its branch's siblings' at the branch's end."""

    op: type[Fitting]
    fits: Callable[[int, int], bool]
    """Whether it makes an axis of one size one of another."""
    only: str
    hint: str
    sized: str
    """The word with a size."""


_SIZED = {
    "crop": _SizedWord(
        Crop, lambda n, m: n >= m, "it only cuts away",
        "end the larger branch in `crop`, and pad or stride the axes alike",
        "crop(56)",
    ),
    "stretch": _SizedWord(
        Stretch, lambda n, m: int(n) == int(m) or (int(n) == 1 and not is_free(n)),
        "it only repeats axes of size 1", "upsample(2) repeats each position; pad or stride the other axes alike",
        "stretch(56)",
    ),
    "pad": _SizedWord(
        Pad, lambda n, m: n <= m, "it only adds to a map", "end the smaller branch in `pad`, or the larger in `crop`",
        "pad(1)",
    ),
    "resize": _SizedWord(
        Resize, lambda n, m: True, "they have other axes", "reshape one of them", "resize(size=56)"
    ),
}  # fmt: skip
FITTED = ("shortcut", *_SIZED)
"""The words that look at their siblings, all but `shortcut` where their arguments say no size."""
_SIZES = ("size", "sides", "factor", "to")
"""The arguments by which they have one."""


def is_fitted(word: s.Word) -> bool:
    """Whether a word asks for its siblings' size."""
    name = word.keyword
    if name not in _SIZED:
        return name == "shortcut"
    return not any(argument.key is None or argument.key in _SIZES for argument in word.args or ())


def _fitted_word(item: s.Item) -> str | None:
    return item.core.keyword if isinstance(item.core, s.Word) and is_fitted(item.core) else None


def waits_for_siblings(branch: s.Pipeline, op: str, env: Env) -> bool:
    """Whether a branch can be placed only once its siblings' sizes are known."""
    word = _fitted_word(branch.items[-1])
    if word is None or env.value(word) is not None:  # a parameter may be called `pad`
        return False
    return word in _SIZED or (word == "shortcut" and op == "+" and len(branch.items) == 1)


def misplaced(word: str, span: Span) -> CnncError:
    """The error for a fitted word that stands where nothing can fit it."""
    if word == "shortcut":
        hint = "make it a whole branch of a sum: [conv3-64 -> conv3-64 + shortcut]"
        return fail("E503", "`shortcut` must be alone in a branch of `+`", span, hint=hint)
    hint = f"end a branch in it, [{word} | …], or give the size: {_SIZED[word].sized}"
    return fail("E503", f"`{word}` without a size must end a branch that has siblings", span, hint=hint)


@record(frozen=False, eq=False)
class _Deferred:
    index: int
    item: s.Item
    flow: Draft | None
    label: str | None
    scope: Scope | None
    spot: Spot


class Fitter:
    """The waiting branches of one bracket."""

    def __init__(self, walk: Walk, op: str, flow: Draft | None) -> None:
        self.walk = walk
        self.op = op
        self.flow = flow
        self.waiting: list[_Deferred] = []

    def defer(self, index: int, branch: s.Pipeline, spot: Spot) -> None:
        """Place a branch up to its fitted word, and keep that word's place among the names."""
        *before, last = branch.items
        flow = self.flow
        if before:
            head = s.Pipeline(tuple(before), branch.breaks[:-1], branch.span)
            flow = self.walk.pipeline(head, flow, spot)
        label = self.walk.labels.read(last, spot)
        scope = None
        if _fitted_word(last) == "shortcut":
            scope = self.walk.open("shortcut", label, last.span, flow, spot)
        self.waiting.append(_Deferred(index, last, flow, label, scope, spot))

    def settle(self, results: list[Draft | None]) -> None:
        """Fit every waiting branch to the first sibling that has a size."""
        if not self.waiting:
            return
        model = next((r for r in results if r is not None and r is not NO_BRANCH), None)
        for wait in self.waiting:
            with self.walk.recovering(wait.spot.trace):
                results[wait.index] = self._fit(wait, model)
            if results[wait.index] is None:
                results[wait.index] = poison(wait.item.span)
            result = results[wait.index]
            if wait.label is not None and result is not None and result is not NO_BRANCH:
                span = wait.item.label.span if wait.item.label else wait.item.span
                wait.spot.env.labels.entries[wait.label] = Labelled(result, None, span)

    def joined(self, merge: Draft, left: Sequence[int]) -> None:
        """Tell the shortcuts which sum they went into, and as which of its operands; `left` are the branches in it."""
        for wait in self.waiting:
            if wait.scope is not None and wait.scope.fitted is not None and wait.index in left:
                wait.scope.fitted.merge = merge
                wait.scope.fitted.branch = left.index(wait.index)

    def _fit(self, wait: _Deferred, model: Draft | None) -> Draft:
        span = wait.item.span
        if wait.flow is None:
            raise fail("E502", "there is no input here", span)
        if model is None:
            raise fail(
                "E503", "no sibling has a size to fit", span, hint="write `id` for one of the branches"
            )
        if wait.flow.poison or model.poison:
            return poison(span)
        word = _fitted_word(wait.item)
        if wait.scope is None:
            assert word is not None
            return self._to_size(wait, word, wait.flow, model)
        return self._shortcut(wait, wait.scope, wait.flow, model)

    def _to_size(self, wait: _Deferred, word: str, flow: Draft, model: Draft) -> Draft:
        from cnnc.compiler.walk.arguments import Arguments

        size, span, sized = model.shape[1:], wait.item.span, _SIZED[word]
        assert isinstance(wait.item.core, s.Word)
        args = Arguments(tensors={"to": model})
        self.walk.layers.complete(args, sized.op, wait.item.core, wait.spot.env)
        is_fitting = [*map(poly_of, flow.shape[1:])] == [
            *map(poly_of, size)
        ]  # for every size, where they are free
        if is_fitting and not size:
            return flow
        fits = len(size) == len(flow.shape) - 1
        if not fits or not all(map(sized.fits, flow.shape[1:], size)):
            cannot = f"`{word}` cannot make {by_x(flow.shape)} fit {by_x(model.shape)}: {sized.only}"
            raise fail("E503", cannot, span, hint=sized.hint)
        out = self.walk.layers.place(sized.op, args, (flow, model), span, wait.label, wait.spot, "own")
        out.fit = Fit(changes=not is_fitting)
        return out

    def _shortcut(self, wait: _Deferred, scope: Scope, flow: Draft, model: Draft) -> Draft:
        from cnnc.compiler.walk.arguments import Arguments

        kind, norm = self._arguments(wait)
        span = wait.item.span
        path = _path(model, flow)
        scope.fitted = Fitted(model, _stride_source(path or ()), wait.index)
        scope.result = flow
        stride = None if path is None else _stride_along(path, len(flow.shape) - 1)
        # A map of size 1 keeps its size under any stride; the projection does not hang on that.
        strided = stride is not None and any(n != 1 for n in stride)
        is_same = not strided and same(flow.shape, model.shape)
        if kind == "same":  # which has no module in any case, and so no level
            self._decide_same(wait, scope.fitted.stride, flow, model, is_same=is_same)
            scope.fitted = None
            assert scope.parent is not None
            scope.parent.children.remove(scope)
            return flow if is_same else NO_BRANCH
        if is_same:
            return flow
        impossible = f"`shortcut` cannot make {by_x(flow.shape)} fit {by_x(model.shape)}"
        if stride is None or len(flow.shape) != len(model.shape) or len(flow.shape) == 1:
            raise fail("E503", impossible, span, hint="write the projection out as a branch of layers")
        inside = Spot(wait.spot.env, scope, wait.spot.trace)
        sizes: dict[str, Sourced[Value]] = {
            "width": Sourced(model.shape[0], SizeOf("C", model.number)),
            "stride": Sourced(stride, scope.fitted.stride),
        }
        if kind == "pad":
            args = Arguments(sizes)
            out = self.walk.layers.place(PadShortcut, args, (flow,), span, None, inside, "own")
        else:
            fixed: dict[str, Value] = {"kernel": 1, "act": "none", "pad": 0, "groups": 1, "dilation": 1}
            args = Arguments({**sizes, **{key: constant(n) for key, n in fixed.items()}, "norm": norm})
            out = self.walk.layers.layer(Conv, args, span, None, flow, inside)
        scope.result = out
        if not same(out.shape, model.shape):
            raise fail(
                "E503", f"{impossible}: with stride {show(Sizes(stride))} it gives {by_x(out.shape)}", span,
                hint="pad the siblings so that they keep the size up to their strides",
            )  # fmt: skip
        return out

    @staticmethod
    def _decide_same(wait: _Deferred, stride: Sym, flow: Draft, model: Draft, *, is_same: bool) -> None:
        """Record that shapes decided whether there is a branch: equal channels, and no stride between."""
        tests: list[Sym] = [Compare("==", SizeOf("C", flow.number), SizeOf("C", model.number))]
        if not isinstance(stride, Const):
            tests.append(Compare("==", stride, Const(1)))
        source = tests[0] if len(tests) == 1 else Logic("and", tuple(tests))
        decision = Decision("choice", wait.item.span, (source,), int(not is_same), wait.spot.trace)
        wait.spot.scope.decisions.append(decision)

    def _arguments(self, wait: _Deferred) -> tuple[str, Sourced[Value]]:
        """The kind of a shortcut, and the norm after its projection: the file's unless written."""
        assert isinstance(wait.item.core, s.Word)
        given: dict[str, Sourced[Value]] = {}
        for argument in wait.item.core.args or ():
            key, found = argument.key or "kind", evaluate(argument.value, wait.spot.env)
            value = found.value
            if key not in ("kind", "norm"):
                raise fail("E301", f"`shortcut` has no argument `{key}`", argument.span, hint="kind=pad")
            if key in given:
                raise fail("E304", f"`{key}` is given twice", argument.span)
            if key == "kind" and value not in ("projection", "pad", "same"):
                raise fail(
                    "E303", f"`kind` is {show(value)}; expected projection, pad or same", argument.span
                )
            given[key] = found
        default = wait.spot.env.file.defaults.get("conv", {}).get("norm")
        norm = evaluate(default.value, wait.spot.env.file.env()) if default else constant("none")
        kind = given.get("kind", constant("projection"))
        self.walk.decide("word", kind, wait.item.span, wait.spot)
        return str(kind.value), given.get("norm", norm)


def pair(new: Draft, old: Draft) -> None:
    """Let a layer that takes its siblings' size stay in all uses of a module where it changes the map in one."""
    if new.fit is not None and old.fit is not None:
        old.fit.changes = old.fit.changes or new.fit.changes
        new.fit = old.fit


def settle_fits(drafts: Sequence[Draft]) -> None:
    """Drop the layers that take their siblings' size and never change it."""
    for draft in drafts:
        draft.dropped = draft.fit is not None and not draft.fit.changes


def _path(end: Draft, start: Draft) -> tuple[Draft, ...] | None:
    """The layers from `start` (left out) to `end` along first inputs; None where there is no such way."""
    leads: dict[int, bool] = {id(start): True}
    todo = [end]
    while todo:
        draft = todo[-1]
        if id(draft) in leads:
            todo.pop()
            continue
        unknown = [x for x in draft.inputs if id(x) not in leads]
        todo += unknown
        if not unknown:
            leads[id(draft)] = any(leads[id(x)] for x in draft.inputs)
    if not leads[id(end)]:
        return None
    path = []
    draft = end
    while draft is not start:
        path.append(draft)
        draft = next(x for x in draft.inputs if leads[id(x)])
    return tuple(reversed(path))


def _stride_source(path: tuple[Draft, ...]) -> Sym:
    """Where the product of the strides on a path comes from, on maps that are strided alike on each axis."""
    total: Sym = Const(1)
    for draft in path:
        stride = getattr(draft.op, "stride", None)
        if stride is not None:
            given = draft.args.get("stride") or constant(stride[0])
            scalar = isinstance(given.value, int)
            total = binary("*", total, given.source if scalar else opaque(stride[0], given.source).source)
    return total


def stride_between(start: Draft, end: Draft) -> tuple[int, ...] | None:
    """The product of the strides along first inputs; None where there is no way, or it grows the map."""
    path = _path(end, start)
    return None if path is None else _stride_along(path, len(start.shape) - 1)


def _stride_along(path: tuple[Draft, ...], rank: int) -> tuple[int, ...] | None:
    """The product of the strides on a path; None where something on it grows the map, or strides along other axes."""
    strides = (1,) * rank
    for draft in path:
        assert draft.op is not None
        window = draft.op.window(*(x.shape for x in draft.inputs))
        if isinstance(window, Local):
            along = [axis.stride for axis in window.axes if isinstance(axis, Axis)]
            if len(along) < len(window.axes) or (len(along) != rank and set(along) != {1}):
                return None
            if len(along) == rank:
                strides = tuple(a * stride for a, stride in zip(strides, along, strict=True))
    return strides
