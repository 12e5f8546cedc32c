"""One layer word: its arguments read, the layer placed with what it brings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from cnnc.compiler.ops import Op, Sizes, op_words
from cnnc.compiler.ops.reshape import Flatten
from cnnc.compiler.symbolic import Sourced, constant
from cnnc.compiler.walk import words
from cnnc.compiler.walk.arguments import (
    Arguments,
    argument_names,
    brought_layer,
    field_of,
    is_plain,
    op_of_value,
    worded,
)
from cnnc.compiler.walk.draft import Draft, Role, Spot, poison
from cnnc.compiler.walk.evaluate import argument, number
from cnnc.compiler.walk.lists import parts_of, together
from cnnc.compiler.walk.made import Wanted, made
from cnnc.compiler.walk.values import Closure, Env, FileScope, Handed, Value, describe
from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import CnncError, did_you_mean, fail
from cnnc.dsl.source import Span

if TYPE_CHECKING:
    from cnnc.compiler.walk.elaborate import Walk

MAX_LAYERS = 20_000


class Layers:
    """Places layers for a walk."""

    def __init__(self, walk: Walk) -> None:
        self.walk = walk
        self._splits: dict[int, tuple[s.Word, words.LayerCall]] = {}
        self._plain: dict[int, tuple[s.Word, Arguments]] = {}
        """The arguments of words that have nothing but numbers in them, which are the same everywhere."""
        self._defaults: dict[tuple[int, int, type[Op]], Sourced[Value]] = {}
        """The values of a file's defaults for a layer, by the file's and the argument's identity."""

    def word(self, word: s.Word, label: str | None, flow: Draft, spot: Spot) -> Draft:
        args = self.arguments(word, spot.env)
        try:
            return self.layer(self._split(word, spot.env).op, args, word.span, label, flow, spot)
        except CnncError as error:
            raise self._by_habit(error, word) from None

    def arguments(self, word: s.Word, env: Env) -> Arguments:
        """What a layer word says, without the file's defaults."""
        known = self._plain.get(id(word))
        if known is not None:
            return known[1].copy()
        call = self._split(word, env)
        args = Arguments()
        for name, expr in call.pieces.items():
            self.take(args, call.op, name, expr, expr.span, env)
        try:
            self._take_arguments(args, call.op, word.args or (), env)
        except CnncError as error:
            raise self._by_habit(error, word) from None
        if all(map(is_plain, (*call.pieces.values(), *(one.value for one in word.args or ())))):
            self._plain[id(word)] = word, args.copy()
        return args

    def source(self, word: s.Word, label: str | None, spot: Spot, *, head: bool) -> Draft:
        """A layer into which nothing flows. Raises E504 where it is not at a chain's head, or has no label."""
        first = self.walk.again.source(word.span)
        if first is not None:
            return first
        op = self._split(word, spot.env).op
        if not head:
            raise in_a_chain(op.kind, word.span, "join it: [id + NAME: …], or begin a branch or line with it")
        if label is None:
            raise fail(
                "E504", f"`{op.kind}` needs a label, which is its key in the state dict", word.span,
                hint=f"for instance: {op.example}",
            )  # fmt: skip
        args = Arguments()
        self.complete(args, op, word, spot.env)
        return self.place(op, args, (), word.span, label, spot, "own")

    def complete(self, args: Arguments, op: type[Op], word: s.Word, env: Env) -> None:
        """What a word and the file's defaults give besides the arguments that are there."""
        self._take_arguments(args, op, word.args or (), env)
        self._apply_defaults(args, op, env)

    def _split(self, word: s.Word, env: Env) -> words.LayerCall:
        known = self._splits.get(id(word))
        if known is None:
            try:
                known = self._splits[id(word)] = word, words.split(word)
            except CnncError as error:
                raise self._better_hint(error, word, env) from None
        return known[1]

    def _by_habit(self, error: CnncError, word: s.Word) -> CnncError:
        """The mistake in arguments; where the whole word is another library's (`Linear(3072, 10)`), its form here."""
        from cnnc.compiler.walk import hints

        first = error.diagnostics[0]
        hint = hints.of_another_library(word) if first.code.startswith("E3") else None
        if hint is None and first.code == "E302":
            hint = hints.spelled(word)
        return error if hint is None else CnncError([replace(first, hint=hint)])

    def _better_hint(self, error: CnncError, word: s.Word, env: Env) -> CnncError:
        from cnnc.compiler.walk import hints

        first = error.diagnostics[0]
        hint = hints.for_layer(word, env.known())
        if first.code == "E201" and hint is None:
            known = [*op_words(), *env.file.blocks, *env.file.shareds, *env.labels.visible(), *env.names]
            text = word.literal or word.head_span.text
            hint = self.walk.labels.elsewhere(text) or did_you_mean(text, known)
        hint = hint or first.hint
        return CnncError([replace(first, hint=hint)])

    def value(self, value: Sourced[Value], word: s.Word, label: str | None, flow: Draft, spot: Spot) -> Draft:
        """A word handed in as a parameter (`norm`, `act`): `none` passes its input on."""
        self.walk.decide("word", value, word.span, spot)
        if value.value == "none":
            return flow
        op, args = op_of_value(value, word.span)
        return self.layer(op, args, word.span, label, flow, spot)

    def _take_arguments(self, args: Arguments, op: type[Op], given: Sequence[s.Argument], env: Env) -> None:
        bare = [a.value.value for a in given if a.key is None and isinstance(a.value, s.Number)]
        if op.rest is not None:
            given = self._take_rest(args, op, op.rest, given, env)
        for i, one in enumerate(given):
            name = worded(op, one) or field_of(op, one.key, i, one.span, bare)
            self.take(args, op, name, one.value, one.span, env)

    def _take_rest(
        self, args: Arguments, op: type[Op], name: str, given: Sequence[s.Argument], env: Env
    ) -> Sequence[s.Argument]:
        """The arguments without a key as one tuple, each with its source; those with a key are left."""
        loose = [one for one in given if one.key is None]
        values: list[Sourced[Value]] = []
        for one in loose:
            found = argument(op, name, one.value, env)
            values += parts_of(found) if isinstance(found.value, Sizes) else (found,)
        if loose:
            args.values[name] = together(values)
            args.spans[name] = loose[0].span
        return [one for one in given if one.key is not None]

    def take(
        self, args: Arguments, op: type[Op], name: str, expr: s.Expr | s.Bracket, span: Span, env: Env
    ) -> None:
        """Evaluate one argument. Raises E304 where it is there already."""
        if name in args.spans:
            raise fail("E304", f"the {name} of `{op.kind}` is given twice", span)
        found = argument(op, name, expr, env)
        value = found.value
        is_operand = name in op.operands
        if name in op.tensors or (is_operand and not isinstance(value, Closure)):
            self._take_tensor(args, op, name, value, span, env)
            return
        if isinstance(value, Handed):
            value = str(value)
            found = Sourced(value, found.source)
        if isinstance(value, Closure) != (name in op.pipelines) and not is_operand:
            wanted = "a pipeline in [ ]" if name in op.pipelines else "no pipeline"
            raise fail("E303", f"`{name}` of `{op.kind}` takes {wanted}", span)
        if isinstance(value, Closure):
            args.pipelines[name] = value
            args.spans[name] = span
            return
        if isinstance(value, str) and name in _NUMERIC_PIECES and not isinstance(expr, s.Bracket):
            found = number(expr, env)
        args.values[name] = found
        args.spans[name] = span
        args.written.append(name)

    def _take_tensor(
        self, args: Arguments, op: type[Op], name: str, value: Value, span: Span, env: Env
    ) -> None:
        """A tensor as an argument: by its label here, or where the name was handed in."""
        if not isinstance(value, str):
            wanted = "a pipeline in [ ] or a label" if name in op.operands else "a label"
            raise fail("E303", f"`{name}` of `{op.kind}` is {describe(value)}; expected {wanted}", span)
        home = env
        if isinstance(value, Handed):
            home, value.in_chain = value.env, True
        args.tensors[name] = self.walk.labels.tensor(value, span, home)
        args.spans[name] = span

    def layer(
        self,
        op_type: type[Op],
        args: Arguments,
        span: Span,
        label: str | None,
        flow: Draft,
        spot: Spot,
        *,
        brings_label: str | None = None,
        behind: Callable[[Draft], Draft] | None = None,
        bare: bool = False,
    ) -> Draft:
        """A layer with the flattening before it and the norm and activation after it.

        `brings_label` names these where the layer has no label, `behind` places something before them, and a `bare`
        layer has nothing of the file's defaults.
        """
        if not bare:
            self._apply_defaults(args, op_type, spot.env)
        norm, act, act_is_default = self._brought(op_type, args, span, spot)
        if norm is not None and "bias" in op_type.model_fields and "bias" not in args.values:
            args.values["bias"] = constant(False)
            plain_bias = False
        else:
            plain_bias = "bias" not in args.values
        if flow.poison:
            return flow
        ins = self._inputs(op_type, args, flow, spot)
        if any(x.poison for x in ins):
            return poison(span)
        if op_type.flattens and len(flow.shape) > 1:
            ins[0] = self.place(Flatten, Arguments(), (flow,), span, None, spot, "flatten")
        out = self.place(op_type, args, tuple(ins), span, label, spot, "own")
        out.plain_bias = plain_bias
        label = label or brings_label
        if behind is not None:
            out = behind(out)
        if norm is not None:
            op, norm_args = brought_layer("norm", "normalisation", norm, args, span)
            self._apply_defaults(norm_args, op, spot.env)
            out = self.place(op, norm_args, (out,), span, label and f"{label}_{op.kind}", spot, "norm")
        if act is not None:
            op, act_args = brought_layer("act", "activation", act, args, span)
            self._apply_defaults(act_args, op, spot.env)
            out = self.place(op, act_args, (out,), span, label and f"{label}_{op.kind}", spot, "act")
            out.tentative = act_is_default
        return out

    def _inputs(self, op: type[Op], args: Arguments, flow: Draft, spot: Spot) -> list[Draft]:
        """The operands, or what flows in; then pipelines on the same input, then tensors by label."""
        if not (op.operands or op.pipelines or op.tensors):
            return [flow]

        def placed(name: str) -> Draft:
            out = self.walk.closure(args.pipelines[name], flow, spot)
            return flow if out is None else out

        further = [
            placed(name) if name in args.pipelines else args.tensors.get(name, flow) for name in op.operands
        ] or [flow]
        further += [placed(name) for name in op.pipelines if name in args.pipelines]
        for name, side in op.tensors.items():
            if name in args.tensors:
                tensor = args.tensors[name]
                further.append(tensor.inputs[0] if side == "input" and tensor.inputs else tensor)
        return further

    def _brought(
        self, op: type[Op], args: Arguments, span: Span, spot: Spot
    ) -> tuple[Sourced[Value] | None, Sourced[Value] | None, bool]:
        """The norm and activation that a layer word brings, taken out of its arguments."""
        if op.brings is None:
            return None, None, False
        norm = args.values.pop("norm", None)
        act = args.values.pop("act", None)
        act_is_default = act is None or "act" not in args.spans
        if act is None and op.brings.act is not None:
            act = constant(op.brings.act)
        for name, given in (("norm", norm), ("act", act)):
            if given is not None:
                self.walk.decide("word", given, args.spans.get(name, span), spot)
        norm = None if norm is None or norm.value in ("none", None) else norm
        return norm, (None if act is None or act.value in ("none", None) else act), act_is_default

    def _apply_defaults(self, args: Arguments, op: type[Op], env: Env) -> None:
        """What the file says of every layer of this kind, unless it says otherwise."""
        names = argument_names(op)
        for kind in (op.kind, op.kin):
            for name, given in env.file.defaults.get(kind or "", {}).items():
                if name in names and name not in args.values and not isinstance(given.value, s.Bracket):
                    args.values[name] = self._default(op, name, given, env.file)
                    args.defaults[name] = given

    def _default(self, op: type[Op], name: str, given: s.Argument, file: FileScope) -> Sourced[Value]:
        key = (id(file), id(given), op)
        found = self._defaults.get(key)
        if found is None:
            found = argument(op, name, given.value, file.env())
            if not isinstance(found.value, Handed):  # whose use settles what it is
                self._defaults[key] = found
        return found

    def place(
        self, op_type: type[Op], args: Arguments, ins: tuple[Draft, ...], span: Span, label: str | None,
        spot: Spot, role: Role,
    ) -> Draft:  # fmt: skip
        """Put one layer on its inputs: arguments validated, shape inferred, mistakes positioned."""
        for x in ins:
            if x.poison:
                return poison(span)
        shapes = tuple([x.shape for x in ins])
        width = self.walk.widths.get(len(self.walk.drafts))
        if width is not None:
            args.values["width"] = constant(width)
        given: tuple[str, ...] = ()
        if args.pipelines or args.tensors:
            tensors = [
                name for name, x in args.tensors.items() if name in op_type.tensors and x.op is not None
            ]
            given = (*[name for name in op_type.pipelines if name in args.pipelines], *tensors)
        wanted = Wanted(op_type, args, shapes, given, span)
        op, shape = made(wanted, self.walk.ledger, has_free=bool(self.walk.free))
        home, local = spot.scope, label
        if label is not None:
            home, local = self.walk.labels.home(spot, label, span)
        draft = Draft(
            number=len(self.walk.drafts), op=op, inputs=ins, shape=shape, span=span, trace=spot.trace, role=role,
            label=local, scope=home, args=args.values, written=tuple(args.written), given=given, named=args.tensors,
        )  # fmt: skip
        self.walk.drafts.append(draft)
        if len(self.walk.drafts) > self.walk.max_layers:
            raise self.too_many(span)
        home.children.append(draft)
        return draft

    def too_many(self, span: Span) -> CnncError:
        """E901 for a model of more layers than are allowed."""
        most = self.walk.max_layers
        hint = f"raise the limit: --max-layers {10 * most}"
        return fail("E901", f"the model has more than {most:,} layers", span, hint=hint)


_NUMERIC_PIECES = frozenset({"kernel", "width", "stride", "size"})


def in_a_chain(kind: str, span: Span, hint: str) -> CnncError:
    """E504 for a tensor of the network's own that something flows into."""
    return fail("E504", f"nothing flows into `{kind}`: it may only begin a chain", span, hint=hint)
