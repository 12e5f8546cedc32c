"""Calls: blocks opened with their arguments, shared modules used again, externs placed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from cnnc.compiler.ops import by_x, show
from cnnc.compiler.ops.extern import Extern
from cnnc.compiler.ops.merge import Multiply
from cnnc.compiler.symbolic import Param, Sourced, constant, kind_of, opaque
from cnnc.compiler.walk.copies import Copies
from cnnc.compiler.walk.draft import Draft, Scope, Spot, poison
from cnnc.compiler.walk.evaluate import evaluate, integer
from cnnc.compiler.walk.fit import pair
from cnnc.compiler.walk.lists import together
from cnnc.compiler.walk.values import (
    BlockDef,
    CallStep,
    Closure,
    Env,
    ExternDef,
    Handed,
    LabelScope,
    LayerWord,
    SharedDef,
    Value,
    describe,
    in_trace,
)
from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import did_you_mean, fail
from cnnc.dsl.source import Span

if TYPE_CHECKING:
    from cnnc.compiler.walk.arguments import Arguments
    from cnnc.compiler.walk.elaborate import Walk

MAX_CALLS = 64
MAX_INS = 64
"""Inputs of one extern."""


class Calls:
    """Opens blocks, shared modules and externs for a walk."""

    def __init__(self, walk: Walk) -> None:
        self.walk = walk
        self.copies = Copies(walk)
        self.depth = 0
        """How many calls are open."""

    def block(
        self, block: BlockDef, word: s.Word, label: str | None, flow: Draft | None, spot: Spot,
        *, item: s.Item | None = None, inline: bool = False,
    ) -> Draft | None:  # fmt: skip
        """Open a block: bind its parameters, and place its body in a scope of its own."""
        syntax = block.syntax
        values, given = self._bound(block, word, flow, spot.env)
        trace = CallStep(syntax.name, _shown(values), word.span, spot.trace)
        self.check_depth(word.span)
        if inline:
            scope = spot.scope
        else:
            scope = self.walk.open("block", label, word.span, flow, spot)
            scope.is_spare = block.is_model
        scope.block, scope.args, scope.given = syntax, values, given
        labels = spot.env.labels if inline else LabelScope(None)
        self.walk.label_scopes[id(scope)] = labels
        out: Draft | None
        if inline:
            out = self._body(block, values, flow, labels, scope, trace)
        else:
            out = scope.result = self.copies.placed(
                block, values, flow, labels, scope, trace,
                lambda: self._body(block, values, flow, labels, scope, trace),
            )  # fmt: skip
        if label is not None and item is not None and out is not None:
            self.walk.labels.define(label, out, labels, item, spot, None if inline else scope)
        return out

    def _body(
        self, block: BlockDef, values: Mapping[str, Sourced[Value]], flow: Draft | None, labels: LabelScope,
        scope: Scope, trace: CallStep,
    ) -> Draft | None:  # fmt: skip
        """Walk the body of a block."""
        names = {name: _parameter(name, value, scope) for name, value in values.items()}
        self.depth += 1
        try:
            spot = Spot(Env(block.file, names, flow, labels), scope, trace)
            return self.walk.pipeline(block.syntax.body, flow, spot)
        finally:
            self.depth -= 1

    def check_depth(self, span: Span) -> None:
        """Raises E901 where calls are open in calls without end."""
        if self.depth >= MAX_CALLS:
            hint = "a block that calls itself needs a choice that ends it"
            raise fail("E901", f"blocks call each other deeper than {MAX_CALLS}", span, hint=hint)

    def _bound(
        self, block: BlockDef, word: s.Word, flow: Draft | None, env: Env
    ) -> tuple[dict[str, Sourced[Value]], tuple[str, ...]]:
        """What `_bind` binds; for a used network that is itself a call of a block, the arguments of that call."""
        if block.call is None or block.home is None:
            return self._bind(block, word, env)
        if word.args:
            raise fail(
                "E301", f"the network `{word.span.text.partition('(')[0]}` takes no arguments", word.span
            )
        return self._bind(block, block.call, block.home.env().inside(flow))

    def _bind(
        self, block: BlockDef, word: s.Word, env: Env
    ) -> tuple[dict[str, Sourced[Value]], tuple[str, ...]]:
        """The values of a block's parameters for one call, and the names of those that it gives."""
        syntax = block.syntax
        names = [p.name for p in syntax.params if not p.rest]
        rest = next((p.name for p in syntax.params if p.rest), None)
        given: dict[str, s.Argument] = {}
        left: list[s.Argument] = []
        for i, argument in enumerate(word.args or ()):
            if argument.key is None and i >= len(names) and rest is not None:
                left.append(argument)
                continue
            if argument.key is None and i >= len(names):
                takes = f"{len(names)} {'argument' if len(names) == 1 else 'arguments'}"
                raise fail(
                    "E301", f"`{syntax.name}` takes {takes}, not {len(word.args or ())}",
                    argument.span, hint=_block_signature(syntax),
                )  # fmt: skip
            name = argument.key or names[i]
            if name not in names:
                raise fail(
                    "E301", f"`{syntax.name}` has no parameter `{name}`", argument.span,
                    hint=did_you_mean(name, names) or _block_signature(syntax),
                )  # fmt: skip
            if name in given:
                raise fail("E304", f"`{name}` is given twice", argument.span)
            given[name] = argument
        values: dict[str, Sourced[Value]] = {}
        for parameter in syntax.params:
            if parameter.rest:
                values[parameter.name] = together([evaluate(argument.value, env) for argument in left])
            elif parameter.name in given:
                values[parameter.name] = evaluate(given[parameter.name].value, env)
            elif isinstance(parameter.default, s.Number):
                values[parameter.name] = constant(parameter.default.value)
            elif parameter.default is not None:
                inner = block.file.env().bind(values)
                values[parameter.name] = evaluate(parameter.default, inner)
            else:
                raise fail(
                    "E302", f"`{syntax.name}` needs its parameter `{parameter.name}`", word.span,
                    hint=_block_signature(syntax),
                )  # fmt: skip
        return values, tuple(name for name in values if name in given or (name == rest and left))

    # --- shared modules --------------------------------------------------------------------

    def shared(self, shared: SharedDef, word: s.Word, flow: Draft, spot: Spot) -> Draft | None:
        """Use a shared module: placed at its first use as a child of the model, the same weights ever after."""
        name = shared.syntax.name
        if word.args is not None:
            raise fail("E301", f"the shared module `{name}` takes no arguments", word.span)
        if flow.poison:
            return flow
        self.check_depth(word.span)
        shared.uses += 1
        label = name if shared.scope is None else f"{name}@{shared.uses}"
        scope = self.walk.open("shared", label, word.span, flow, spot)
        scope.again = shared.scope
        shared.scope = shared.scope or scope
        labels = LabelScope(None)
        self.walk.label_scopes[id(scope)] = labels
        env = Env(shared.file, {}, flow, labels)
        before = len(self.walk.drafts)
        step = CallStep(name, None, word.span, spot.trace)
        self.depth += 1
        self.copies.paused += 1
        try:
            out = self.walk.pipeline(shared.syntax.body, flow, Spot(env, scope, step))
        finally:
            self.depth -= 1
            self.copies.paused -= 1
        placed = tuple(self.walk.drafts[before:])
        if out is not None:
            _keep_ends(out, placed)
        scope.result = out
        if scope.again is None:
            shared.drafts = placed
        elif out is not None and not out.poison:
            self._pair(shared, placed, word.span)
        return out

    def _pair(self, shared: SharedDef, placed: tuple[Draft, ...], span: Span) -> None:
        """Let every layer of a further use take the weights of its twin. Raises E406 where they differ."""
        name = shared.syntax.name
        twins = shared.drafts
        alike = len(placed) == len(twins) and all(
            new.op is not None and old.op is not None
            and type(new.op) is type(old.op)
            and _weights(new) == _weights(old)
            for new, old in zip(placed, twins, strict=True)
        )  # fmt: skip
        if not alike:
            assert shared.scope is not None
            flows = [by_x(x.source.shape) for x in (shared.scope,) if x.source is not None]
            got = placed[0].inputs[0].shape if placed and placed[0].inputs else ()
            raise fail(
                "E406", f"`{name}` was first used on {flows[0]}, and its weights do not fit {by_x(got)}", span,
                hint="all uses of a shared module need equal channels, and equal sizes where it flattens",
            )  # fmt: skip
        for new, old in zip(placed, twins, strict=True):
            new.twin = old
            pair(new, old)

    # --- externs ---------------------------------------------------------------------------

    def extern(self, extern: ExternDef, word: s.Word, label: str | None, flow: Draft, spot: Spot) -> Draft:
        """Place somebody's own module by what its declaration says."""
        if flow.poison:
            return flow
        syntax = extern.syntax
        further, word = self._further_inputs(extern, word, flow, spot)
        if any(x.poison for x in further):
            return poison(word.span)
        values, _ = self._bind(BlockDef(s.Block(
            syntax.name, syntax.params, s.Pipeline((), (), syntax.span), syntax.span, syntax.name_span,
        ), extern.file), word, spot.env)  # fmt: skip
        inner = extern.file.env().bind(values).inside(flow)
        args = None
        with self.walk.recovering(CallStep(syntax.name, _shown(values), word.span, spot.trace)):
            args = self._facts(syntax, values, flow, inner)
        if args is None:
            return poison(word.span)
        return self.walk.layers.place(Extern, args, (flow, *further), word.span, label, spot, "own")

    def _further_inputs(
        self, extern: ExternDef, word: s.Word, flow: Draft, spot: Spot
    ) -> tuple[list[Draft], s.Word]:
        """The inputs besides what flows in, by position, and the word with the arguments that are left.

        Each is a tensor's name or a pipeline on what flows in. Raises E504 where one is missing.
        """
        count = _ins(extern) - 1
        given = word.args or ()
        if sum(argument.key is None for argument in given[:count]) < count:
            raise fail(
                "E504", f"`{extern.syntax.name}` has {count + 1} inputs: what flows in, and {count} more as arguments",
                word.span, hint=f"{extern.syntax.name}({', '.join(['LABEL'] * count)})",
            )  # fmt: skip
        drafts = []
        for argument in given[:count]:
            value = evaluate(argument.value, spot.env).value
            if isinstance(value, Closure):
                placed = self.walk.closure(value, flow, spot)
                drafts.append(flow if placed is None else placed)
                continue
            if not isinstance(value, str):
                message = (
                    f"an input of `{extern.syntax.name}` is {describe(value)}; expected a label or a pipeline"
                )
                raise fail("E303", message, argument.span)
            home = spot.env
            if isinstance(value, Handed):
                home, value.in_chain = value.env, True
            drafts.append(self.walk.labels.tensor(value, argument.span, home))
        return drafts, replace(word, args=given[count:] or None)

    def _facts(
        self, syntax: s.Extern, values: dict[str, Sourced[Value]], flow: Draft, inner: Env
    ) -> Arguments:
        """What an extern's declaration says of one use. Raises E303 for a shape that is none."""
        from cnnc.compiler.walk.arguments import Arguments

        facts = {fact.key: fact for fact in syntax.facts}
        shape_fact = facts["shape"].value
        assert not isinstance(shape_fact, s.Bracket)
        found = evaluate(shape_fact, inner)
        shape = flow.shape if found.value == "same" else found.value
        sizes = shape if isinstance(shape, tuple) else (shape,)
        if not all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in sizes):
            raise fail(
                "E303",
                f"`{show(shape)}` is no shape",
                facts["shape"].span,
                hint="shape=same, or integers: shape=(64, H//2, W//2)",
            )
        counts: dict[str, Sourced[int | None]] = {}
        for key in ("params", "macs"):
            fact = facts.get(key)
            counts[key] = constant(None)
            if fact is not None and not isinstance(fact.value, s.Bracket):
                number = integer(fact.value, inner)
                counts[key] = Sourced(number.value, number.source)
        arguments = tuple((name, in_trace(given.value)) for name, given in values.items())
        return Arguments({
            "name": constant(syntax.name), "target": constant(syntax.target),
            "arguments": opaque(arguments, *(given.source for given in values.values())),
            "shape": opaque(tuple(sizes), found.source),
            "params_declared": counts["params"], "macs_declared": counts["macs"],
        })  # fmt: skip


def _keep_ends(out: Draft, placed: Sequence[Draft]) -> None:
    """Keep the default activations at the end of a shared body, for what follows differs from use to use.

    They are looked for where a consumer is: through layers that pass values on, and through gates.
    """
    inside = {id(draft) for draft in placed}
    todo, seen = [out], {id(out)}
    while todo:
        draft = todo.pop()
        draft.tentative = False
        if draft.op is not None and (draft.op.transparent or isinstance(draft.op, Multiply)):
            inner = [x for x in draft.inputs if id(x) in inside and id(x) not in seen]
            seen.update(map(id, inner))
            todo += inner


def _parameter(name: str, given: Sourced[Value], scope: Scope) -> Sourced[Value]:
    """A parameter as its block knows it."""
    value = given.value
    if type(value) is int:
        return Sourced(value, Param(name, scope.number, "int"))
    if _holds_names(value):
        return given
    kind = "str" if isinstance(value, LayerWord) else kind_of(value)
    return Sourced(value, Param(name, scope.number, kind))


def _holds_names(value: Value) -> bool:
    """Whether a value is a pipeline or a name that its use settles, or a list with one in it."""
    if isinstance(value, tuple):
        return any(map(_holds_names, value))
    return isinstance(value, Closure | Handed)


def _shown(values: Mapping[str, Sourced[Value]]) -> tuple[Value, ...]:
    return tuple([in_trace(given.value) for given in values.values()])


def _ins(extern: ExternDef) -> int:
    """The number of an extern's inputs. Raises E303 for one that is none."""
    fact = next((fact for fact in extern.syntax.facts if fact.key == "ins"), None)
    if fact is None:
        return 1
    assert not isinstance(fact.value, s.Bracket)
    count = integer(fact.value, extern.file.env()).value
    if not 1 <= count <= MAX_INS:
        raise fail("E303", f"`ins` is {count}; expected a number from 1 to {MAX_INS}", fact.span)
    return count


def _weights(draft: Draft) -> dict[str, tuple[int, ...]]:
    assert draft.op is not None
    return dict(draft.op.params(*(x.shape for x in draft.inputs)))


def _block_signature(block: s.Block) -> str:
    shown = [
        "*" * p.rest + p.name if p.default is None else f"{p.name}={p.default.span.text}"
        for p in block.params
    ]
    return f"it is {block.name}({', '.join(shown)})"
