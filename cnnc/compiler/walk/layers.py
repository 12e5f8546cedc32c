"""One layer word: its arguments read and validated, the layer placed with what it brings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from fractions import Fraction
from functools import cache
from types import NoneType
from typing import TYPE_CHECKING, Any

from pydantic_core import ValidationError

from cnnc.compiler.ops import Op, OpError, Place, Shape, Sizes, op_words, show
from cnnc.compiler.ops.base import MAX_SIZE
from cnnc.compiler.ops.reshape import Flatten
from cnnc.compiler.sizes import is_free
from cnnc.compiler.symbolic import Items, Sourced, constant, opaque
from cnnc.compiler.walk import words
from cnnc.compiler.walk.draft import Draft, Role, Spot, poison
from cnnc.compiler.walk.evaluate import argument, number
from cnnc.compiler.walk.lists import parts_of, together
from cnnc.compiler.walk.values import Closure, Env, FileScope, Handed, LayerWord, Value, describe, ordinal
from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import CnncError, did_you_mean, fail
from cnnc.dsl.record import record
from cnnc.dsl.source import Span

if TYPE_CHECKING:
    from cnnc.compiler.walk.elaborate import Walk

MAX_LAYERS = 20_000


@record(frozen=False)
class Arguments:
    """A layer's arguments as evaluated, with where each was written."""

    values: dict[str, Sourced[Value]] = field(default_factory=dict)
    written: list[str] = field(default_factory=list)
    """Those that the text at the layer gives."""
    tensors: dict[str, Draft] = field(default_factory=dict)
    pipelines: dict[str, Closure] = field(default_factory=dict)
    spans: dict[str, Span] = field(default_factory=dict)
    """Where the text at the layer's own place gives them."""
    defaults: dict[str, s.Argument] = field(default_factory=dict)
    """The `default` statements' arguments behind those that the layer does not give itself."""

    def copy(self) -> Arguments:
        """The same, to be completed apart from this one; of what no tensor or pipeline is among."""
        return Arguments(dict(self.values), [*self.written], spans=dict(self.spans))

    def forget(self, name: str) -> None:
        """Remove an argument, so that it can be given again."""
        for known in (self.values, self.tensors, self.pipelines, self.spans, self.defaults):
            known.pop(name, None)
        if name in self.written:
            self.written.remove(name)


class Layers:
    """Places layers for a walk."""

    def __init__(self, walk: Walk) -> None:
        self.walk = walk
        self._splits: dict[int, tuple[s.Word, words.LayerCall]] = {}
        self._plain: dict[int, tuple[s.Word, Arguments]] = {}
        """The arguments of words that have nothing but numbers in them, which are the same everywhere."""
        self._defaults: dict[tuple[int, int, type[Op]], Sourced[Value]] = {}
        """The values of a file's defaults for a layer, by the file's and the argument's identity."""

    def word(self, word: s.Word, label: str | None, flow: Draft, env: Env, spot: Spot) -> Draft:
        args = self.arguments(word, env)
        try:
            return self.layer(self._split(word, env).op, args, word.span, label, flow, env, spot)
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
        if all(map(_is_plain, (*call.pieces.values(), *(one.value for one in word.args or ())))):
            self._plain[id(word)] = word, args.copy()
        return args

    def source(self, word: s.Word, label: str | None, env: Env, spot: Spot, *, head: bool) -> Draft:
        """A layer into which nothing flows. Raises E504 where it is not at a chain's head, or has no label."""
        first = self.walk.again.source(word.span)
        if first is not None:
            return first
        op = self._split(word, env).op
        if not head:
            raise in_a_chain(op.kind, word.span, "join it: [id + NAME: …], or begin a branch or line with it")
        if label is None:
            raise fail(
                "E504", f"`{op.kind}` needs a label, which is its key in the state dict", word.span,
                hint=f"for instance: {op.example}",
            )  # fmt: skip
        args = Arguments()
        self.complete(args, op, word, env)
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

    def value(
        self, value: Sourced[Value], word: s.Word, label: str | None, flow: Draft, env: Env, spot: Spot
    ) -> Draft:
        """A word handed in as a parameter (`norm`, `act`): `none` passes its input on."""
        self.walk.decide("word", value, word.span, spot)
        if value.value == "none":
            return flow
        op, args = self.op_of_value(value, word.span)
        return self.layer(op, args, word.span, label, flow, env, spot)

    def op_of_value(self, found: Sourced[Value], span: Span) -> tuple[type[Op], Arguments]:
        value = found.value
        if not isinstance(value, str | LayerWord):
            raise fail("E303", f"{describe(value)} is no layer", span)
        name = value if isinstance(value, str) else value.name
        op = op_words().get(name.lower())
        if op is None:
            from cnnc.dsl import foreign

            hint = foreign.value(name) or foreign.layer_hint(name) or did_you_mean(name, op_words())
            raise fail("E201", f"no layer is called `{name}`", span, hint=hint)
        args = Arguments()
        if isinstance(value, LayerWord):
            sources = found.source.items if isinstance(found.source, Items) else ()
            for i, (key, arg) in enumerate(value.args):
                field_name = self._field(op, key, i, span, [x for k, x in value.args if k is None])
                if field_name in args.values:
                    raise fail("E304", f"`{field_name}` is given twice", span)
                source = sources[i] if i < len(sources) else opaque(arg, found.source).source
                args.values[field_name] = Sourced(arg, source)
                args.spans[field_name] = span
        return op, args

    def _take_arguments(self, args: Arguments, op: type[Op], given: Sequence[s.Argument], env: Env) -> None:
        bare = [a.value.value for a in given if a.key is None and isinstance(a.value, s.Number)]
        if op.rest is not None:
            given = self._take_rest(args, op, op.rest, given, env)
        for i, one in enumerate(given):
            name = worded(op, one) or self._field(op, one.key, i, one.span, bare)
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

    def _field(self, op: type[Op], key: str | None, index: int, span: Span, bare: Sequence[Value]) -> str:
        """The argument that a key or a position means; `bare` are the values without keys, for a hint."""
        names = argument_names(op)
        if key is None:
            if op.positional is not None and op.positional <= index < len(names):
                raise fail("E301", _by_key_only(op, index), span, hint=words.without_positions(op, bare))
            if index >= len(names):
                message = f"`{op.kind}` takes no arguments"
                if names:
                    takes = f"{len(names)} {'argument' if len(names) == 1 else 'arguments'}"
                    message = f"`{op.kind}` takes {takes}, and this is the {ordinal(index + 1)}"
                raise fail("E301", message, span, hint=_signature_hint(op))
            return names[index]
        if key.lower() == "to" and "to" not in names and op.tensors:
            return next(iter(op.tensors))
        name = op.former.get(key.lower(), key.lower())
        if name not in names:
            raise fail("E301", f"`{op.kind}` has no argument `{key}`", span, hint=_key_hint(op, key, span))
        return name

    def layer(
        self,
        op_type: type[Op],
        args: Arguments,
        span: Span,
        label: str | None,
        flow: Draft,
        env: Env,
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
            self._apply_defaults(args, op_type, env)
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
            op, norm_args = self._brought_layer("norm", "normalisation", norm, args, span)
            self._apply_defaults(norm_args, op, env)
            out = self.place(op, norm_args, (out,), span, label and f"{label}_{op.kind}", spot, "norm")
        if act is not None:
            op, act_args = self._brought_layer("act", "activation", act, args, span)
            self._apply_defaults(act_args, op, env)
            out = self.place(op, act_args, (out,), span, label and f"{label}_{op.kind}", spot, "act")
            out.tentative = act_is_default
        return out

    def _inputs(self, op: type[Op], args: Arguments, flow: Draft, spot: Spot) -> list[Draft]:
        """The operands, or what flows in; then pipelines on the same input, then tensors by label."""

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

    def _brought_layer(
        self, name: str, family: str, value: Sourced[Value], args: Arguments, span: Span
    ) -> tuple[type[Op], Arguments]:
        """The layer that `norm=` or `act=` names, or the file's default for it."""
        where = args.spans.get(name, span)
        try:
            op, brought = self.op_of_value(value, where)
            if op.family != family:
                raise fail("E303", f"`{op.kind}` is no {family}", where)
        except CnncError as error:
            first = error.diagnostics[0]
            raise CnncError([replace(first, span=where, trace=_by_default(args, name))]) from None
        if name in args.defaults:
            brought.defaults = dict.fromkeys(brought.values, args.defaults[name])
        return op, brought

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
        if any(x.poison for x in ins):
            return poison(span)
        shapes = tuple([x.shape for x in ins])
        width = self.walk.widths.get(len(self.walk.drafts))
        if width is not None:
            args.values["width"] = constant(width)
        tensors = [name for name, x in args.tensors.items() if name in op_type.tensors and x.op is not None]
        given = (*(n for n in op_type.pipelines if n in args.pipelines), *tensors)
        op, shape = self._made(op_type, args, shapes, given, span)
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

    def _made(
        self,
        op_type: type[Op],
        args: Arguments,
        shapes: tuple[Shape, ...],
        given: tuple[str, ...],
        span: Span,
    ) -> tuple[Op, Shape]:
        """The layer with its arguments on inputs of these shapes, and what flows out; one that was made is taken again."""
        key = None
        if not (args.tensors or self.walk.free):
            form = form_of(args.values)
            key = None if form is None else (op_type, given, shapes, form)
            found = None if key is None else _MADE.get(key)
            if found is not None:
                return found
        op, shape = self._validated(op_type, args, shapes, given, span)
        if key is not None:
            if len(_MADE) >= _KEPT:
                _MADE.clear()
            _MADE[key] = op, shape
        return op, shape

    def _validated(
        self,
        op_type: type[Op],
        args: Arguments,
        shapes: tuple[Shape, ...],
        given: tuple[str, ...],
        span: Span,
    ) -> tuple[Op, Shape]:
        """A layer and its output's shape. Raises CnncError where its arguments or inputs do not fit."""
        if shapes and not op_type.operands:  # which tell of each
            self._check_rank(op_type, shapes[0], span)
        _check_given(op_type, args, span)
        try:
            makers = {name: x.op for name, x in args.tensors.items() if x.op is not None}
            op = op_type.model_validate(
                {name: given.value for name, given in args.values.items()},
                context=Place(shapes, given, makers),
            )
            self.walk.ledger.place = f"`{span.text}` of line {span.line}"
            shape = op.out_shape(*shapes)
            _refuse_free_weights(op, shapes)
        except OpError as error:
            from cnnc.compiler.walk.hints import of_what_flows

            where = args.spans.get(error.arg or "", span)
            trace = _by_default(args, error.arg or "")
            raise fail(
                error.code, error.message, where, of_what_flows(where, shapes) or error.hint, trace
            ) from None
        except ValidationError as error:
            raise _argument_error(error, op_type, args, span) from None
        if max(int(n) for n in shape) > MAX_SIZE:
            raise fail(
                "E901", f"`{op.kind}` gives {show(Sizes(shape))}, a size of more than {MAX_SIZE:,}", span
            )
        return op, shape

    def too_many(self, span: Span) -> CnncError:
        """E901 for a model of more layers than are allowed."""
        most = self.walk.max_layers
        hint = f"raise the limit: --max-layers {10 * most}"
        return fail("E901", f"the model has more than {most:,} layers", span, hint=hint)

    def _check_rank(self, op: type[Op], shape: tuple[int, ...], span: Span) -> None:
        rank = len(shape) - 1
        if rank in op.ranks:
            return
        got = f"{'x'.join(map(str, shape))}, " + ("a vector" if rank == 0 else f"a map of {rank} axes")
        wants = "a map (channels x height x width)" if 0 not in op.ranks else "a vector"
        hint = (
            f"put layers on maps before the flattening, or make a map of it: reshape({shape[0]}x1x1)"
            if rank == 0
            else "flatten it first"
        )
        if op.ranks == (1,):
            wants = "a map of one axis (channels x positions)"
            hint = "`squeeze` takes axes of size 1 out, `reshape` makes positions of an axis"
        raise fail("E401", f"`{op.kind}` expects {wants}, and its input is {got}", span, hint=hint)


_KEPT = 4_096
_MADE: dict[object, tuple[Op, Shape]] = {}
"""Layers that were made on inputs of known sizes, of all walks: their class, arguments and inputs say all of them."""


def form_of(values: Mapping[str, Sourced[Value]]) -> tuple[object, ...] | None:
    """What tells a layer's arguments from any others: 1 from yes, `3x3` from (3, 3); None where nothing does."""
    form = []
    for name, given in values.items():
        value = given.value
        kind: object = type(value)
        if kind not in _SCALARS:
            kind = _form(value)
            if kind is None:
                return None
        form.append((name, kind, value))
    return tuple(form)


_SCALARS = frozenset({int, str, bool, Fraction, float, NoneType})


def _form(value: Value) -> object:
    """The types in a value, as deep as it goes; None where equal values of these types may differ."""
    kind = type(value)
    if kind in _SCALARS:
        return kind
    if kind is LayerWord:
        value = value.args
    elif kind is not tuple and kind is not Sizes:
        return None
    inner = tuple(map(_form, value))
    return None if None in inner else (kind, *inner)


def _is_plain(expr: s.Expr | s.Bracket) -> bool:
    """Whether an argument is a number or numbers joined by x, whatever is known where it stands."""
    if isinstance(expr, s.Dims):
        return all(isinstance(part, int) for part in expr.parts)
    return isinstance(expr, s.Number)


_NUMERIC_PIECES = frozenset({"kernel", "width", "stride", "size"})


def _refuse_free_weights(op: Op, shapes: tuple[tuple[int, ...], ...]) -> None:
    """Weights need numbers: a free size cannot be a number of features."""
    free = [n for tensor in op.params(*shapes).values() for n in tensor if is_free(n)]
    if free:
        raise OpError(
            "E407", f"`{op.kind}` has weights for {free[0]} inputs, and that size is free",
            hint="average the map first, by `gap` or `adaptiveavgpool7`, or give the size with --input",
        )  # fmt: skip


def in_a_chain(kind: str, span: Span, hint: str) -> CnncError:
    """E504 for a tensor of the network's own that something flows into."""
    return fail("E504", f"nothing flows into `{kind}`: it may only begin a chain", span, hint=hint)


def worded(op: type[Op], given: s.Argument) -> str | None:
    """The argument that a word with arguments is without a key: `standardise(eps=1e-6)`."""
    if given.key is not None or not isinstance(given.value, s.Call):
        return None
    name = given.value.name.lower()
    return name if name in op.worded else None


@cache
def argument_names(op: type[Op]) -> tuple[str, ...]:
    """A layer's argument keys in positional order, those for what it brings last."""
    brought = () if op.brings is None else ("norm", "act") if op.brings.norm else ("act",)
    return (*op.operands, *op.pipelines, *op.model_fields, *op.tensors, *brought)


def _key_hint(op: type[Op], key: str, span: Span) -> str | None:
    """The argument that was meant by a key of another library, or a misspelt one."""
    from cnnc.dsl import foreign

    value = span.text.partition("=")[2]
    return foreign.argument(key, value) or did_you_mean(key, argument_names(op)) or _signature_hint(op)


def _by_key_only(op: type[Op], index: int) -> str:
    if not op.positional:
        return f"`{op.kind}` takes its arguments by key"
    return f"`{op.kind}` takes its {ordinal(index + 1)} argument by key"


def _signature_hint(op: type[Op]) -> str | None:
    names = argument_names(op)
    return f"`{op.kind}` takes {', '.join(names)}" if names else None


def _by_default(args: Arguments, name: str) -> tuple[str, ...]:
    """The step of a trace that leads to the `default` which gave an argument."""
    default = args.defaults.get(name)
    return () if default is None else (f"the default {default.span.text}, line {default.span.line}",)


def _check_given(op: type[Op], args: Arguments, span: Span) -> None:
    """Raises E302 for an argument that is missing, before validators look at one another's."""
    for name in op.required:
        if name not in args.values:
            hint = f"for instance: {op.example}"
            raise fail("E302", f"`{op.kind}` needs its {name}", span, hint=hint)


def _argument_error(error: ValidationError, op: type[Op], args: Arguments, span: Span) -> CnncError:
    """A validator's refusal in the user's words."""
    first = error.errors()[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    value: Any = first["input"]
    return fail("E303", f"`{name}` of `{op.kind}` cannot be {show(value)}", args.spans.get(name, span))
