"""The one walk: names are looked up, blocks opened, repeats unrolled, layers placed and sized.

Each layer is checked when it is placed, at its own position. A mistake is
recorded and its place poisoned, so that one run reports every mistake once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from cnnc.compiler import words
from cnnc.compiler.draft import Draft, Origin, Role, Scope, ScopeKind, poison
from cnnc.compiler.evaluate import FUNCTIONS, Poisoned, evaluate, integer, interpolate, number, truth
from cnnc.compiler.fit import FITTED, Fitter, misplaced, waits_for_siblings
from cnnc.compiler.ops import Op, OpError, Place, Sizes, op_words, show
from cnnc.compiler.ops.merge import Add, Concat, Multiply
from cnnc.compiler.ops.reshape import Flatten, Input
from cnnc.compiler.values import (
    SIZE_NAMES,
    Binding,
    BlockDef,
    CallStep,
    Closure,
    Env,
    FileScope,
    Labelled,
    LabelScope,
    LayerWord,
    Trace,
    Turn,
    Value,
    describe,
    render_trace,
)
from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import CnncError, Diagnostic, did_you_mean, fail
from cnnc.dsl.source import Span

MAX_NODES = 400_000
MAX_TURNS = 1_000_000
MAX_CALLS = 64
MAX_ERRORS = 50

_MERGES: dict[str, type[Op]] = {"|": Concat, "+": Add, "&": Multiply}
KIN_DEFAULTS = {"dwconv": "conv", "sepconv": "conv", "local": "conv"}
"""Layers that take the file's default for another layer where they have none of their own."""


@dataclass(slots=True)
class Walked:
    """What the walk leaves: drafts in topological order, the scope tree, inputs and outputs."""

    drafts: list[Draft]
    root: Scope
    inputs: dict[str, Draft]
    outputs: dict[str, Draft]
    labels: LabelScope
    problems: list[Diagnostic]


@dataclass(frozen=True, slots=True, eq=False)
class Spot:
    """Where things are being placed: the naming scope and the way there."""

    scope: Scope
    trace: Trace | None

    def step(self, trace: Trace) -> Spot:
        return Spot(self.scope, trace)


@dataclass(slots=True)
class Arguments:
    """A layer's arguments as evaluated, with where each was written."""

    values: dict[str, Value] = field(default_factory=dict)
    origins: dict[str, Origin] = field(default_factory=dict)
    spans: dict[str, Span] = field(default_factory=dict)


class Walk:
    """One elaboration. `run` is called once."""

    def __init__(self, spec: s.Spec, file: FileScope, sizes: Mapping[str | None, tuple[int, ...]]) -> None:
        self.spec = spec
        self.file = file
        self.sizes = sizes
        self.drafts: list[Draft] = []
        self.problems: list[Diagnostic] = []
        self._seen: set[tuple[str, int]] = set()
        self._splits: dict[int, words.LayerCall] = {}
        self._turns = 0
        self._depth = 0

    # --- problems ------------------------------------------------------------------------

    def report(self, diagnostic: Diagnostic, trace: Trace | None) -> None:
        """Record a problem once for each place in the text."""
        start = diagnostic.span.start if diagnostic.span else -1
        if (diagnostic.code, start) in self._seen:
            return
        self._seen.add((diagnostic.code, start))
        steps = diagnostic.trace or render_trace(trace, diagnostic.span)
        self.problems.append(
            Diagnostic(diagnostic.code, diagnostic.message, diagnostic.span, steps, diagnostic.hint)
        )
        if len(self.problems) >= MAX_ERRORS or diagnostic.code == "E901":
            raise CnncError(self.problems)

    @contextmanager
    def recovering(self, trace: Trace | None) -> Iterator[None]:
        """Record what is raised inside; the caller goes on with poison."""
        try:
            yield
        except CnncError as error:
            if error.diagnostics == tuple(self.problems):
                raise  # the run was given up
            for diagnostic in error.diagnostics:
                self.report(diagnostic, trace)
        except Poisoned:
            pass

    # --- the file ------------------------------------------------------------------------

    def run(self) -> Walked:
        root = Scope("model", None, None, Span(self.spec.source, 0, 0), None)
        spot = Spot(root, None)
        env = self.file.env()
        inputs = self._inputs(env, spot)
        flow = next(iter(inputs.values())) if len(inputs) == 1 else None
        env = env.inside(flow)
        root.source = flow
        model = next((st for st in self.spec.statements if isinstance(st, s.Model) and st.call), None)
        flows = [st for st in self.spec.statements if isinstance(st, s.Flow)]
        if model is not None:
            flow = self._model_block(model, flow, env, spot)
        for number_of_line, statement in enumerate(flows):
            flow = self.pipeline(statement.pipeline, flow, env, spot, new_line=number_of_line > 0)
        root.result = flow
        outputs = self._outputs(flow, env)
        return Walked(self.drafts, root, inputs, outputs, env.labels, self.problems)

    def _inputs(self, env: Env, spot: Spot) -> dict[str, Draft]:
        declared = [st for st in self.spec.statements if isinstance(st, s.Input)]
        inputs: dict[str, Draft] = {}
        for statement in declared:
            name = statement.name or "input"
            shape: tuple[int, ...] = ()
            with self.recovering(None):
                if name in inputs:
                    hint = "give each input a name of its own: input left: 3x64x64"
                    raise fail("E204", f"there are two inputs called `{name}`", statement.span, hint=hint)
                shape = self._input_shape(statement, env)
            draft = self._input(name, shape, statement.span, spot)
            inputs[name] = draft
            if statement.name is not None:
                with self.recovering(None):
                    self.declare(statement.name, statement.span, env, spot)
                    env.labels.entries[name] = Labelled(draft, None, statement.span)
        if not declared:
            shape = self.sizes.get(None) or (3, 224, 224)
            if None not in self.sizes:
                span = Span(self.spec.source, 0, 0)
                note = "no input is declared; taking 3x224x224"
                self.problems.append(Diagnostic("N101", note, None, hint="declare it: input 3x224x224"))
            inputs["input"] = self._input("input", shape, Span(self.spec.source, 0, 0), spot)
        for wanted in self.sizes:
            if wanted is not None and wanted not in inputs:
                raise fail("E203", f"the model has no input `{wanted}`", hint=did_you_mean(wanted, inputs))
        if None in self.sizes and len(inputs) > 1:
            raise fail("E203", "the model has several inputs", hint="name the input: --input NAME=3x224x224")
        return inputs

    def _input_shape(self, statement: s.Input, env: Env) -> tuple[int, ...]:
        given = self.sizes.get(statement.name) or self.sizes.get(None)
        if given is not None:
            return given
        value = evaluate(statement.dims, env)
        sizes = tuple(value)
        if any(n < 1 for n in sizes):
            raise fail("E303", f"`{show(value)}` has a size under 1", statement.dims.span)
        if len(sizes) > 4:
            raise fail(
                "E401", f"`{show(value)}` has {len(sizes)} sizes; a map has channels and up to 3 axes",
                statement.dims.span,
            )  # fmt: skip
        return (sizes[-1], *sizes[:-1]) if statement.channels_last else sizes

    def _input(self, name: str, shape: tuple[int, ...], span: Span, spot: Spot) -> Draft:
        if not shape:
            return poison(span)
        op = Input(shape=shape)
        draft = Draft(op, (), shape, span, None, "input", name, spot.scope, {})
        self.drafts.append(draft)
        return draft

    def _model_block(self, model: s.Model, flow: Draft | None, env: Env, spot: Spot) -> Draft | None:
        """`model name = block(…)`: the block's body is the model, no level added."""
        assert model.call is not None
        core = model.call.core
        name = core.literal if isinstance(core, s.Word) else None
        block = self.file.blocks.get(name) if name else None
        with self.recovering(None):
            if block is None or not isinstance(core, s.Word):
                raise fail(
                    "E201", f"`{core.span.text}` is no block", core.span,
                    hint=did_you_mean(name or "", self.file.blocks) or "model NAME = BLOCK(arguments)",
                )  # fmt: skip
            self.file.used.add(block.syntax.name)
            return self._call(block, core, None, flow, env, spot, inline=True)
        return poison(model.span)

    def _outputs(self, flow: Draft | None, env: Env) -> dict[str, Draft]:
        declared = [st for st in self.spec.statements if isinstance(st, s.Output)]
        if not declared:
            if flow is None:
                where = Span(self.spec.source, 0, len(self.spec.source.text.rstrip()))
                hint = "write a chain of layers, for instance: conv3-64 -> pool -> fc-10"
                self.report(Diagnostic("E107", "there are no layers", where, hint=hint), None)
                return {}
            return {"output": flow}
        outputs: dict[str, Draft] = {}
        for statement in declared:
            for name in statement.names:
                with self.recovering(None):
                    text = (
                        interpolate(name.parts, env) if isinstance(name, s.Interpolated)
                        else name.value if isinstance(name, s.String) else name.id
                    )  # fmt: skip
                    if text in outputs:
                        raise fail("E204", f"`{text}` is an output twice", name.span)
                    outputs[text] = self.tensor(text, name.span, env)
        return outputs

    # --- pipelines -----------------------------------------------------------------------

    def pipeline(
        self, pipeline: s.Pipeline, flow: Draft | None, env: Env, spot: Spot, *, new_line: bool = False
    ) -> Draft | None:
        """Place the items one after another on `flow`; what flows out of the last."""
        for i, item in enumerate(pipeline.items):
            self._count_turn(item.span)
            head = i == 0 or pipeline.breaks[i]
            starts = head and self._is_headed(item, env)
            if starts and (pipeline.breaks[i] or new_line):
                flow = None
            flow = self.item(item, flow, env, spot, head=head)
        return flow

    def item(self, item: s.Item, flow: Draft | None, env: Env, spot: Spot, *, head: bool) -> Draft | None:
        """One step of a chain."""
        label = self._label(item, env, spot)
        with self.recovering(spot.trace):
            if isinstance(item.core, s.Word):
                return self._word(item, item.core, label, flow, env, spot, head=head)
            return self._labelled_bracket(item, item.core, label, flow, env, spot)
        if label is not None:
            self._set_label(label, poison(item.span), None, item, env)
        return poison(item.span)

    def _label(self, item: s.Item, env: Env, spot: Spot) -> str | None:
        """The label's text, declared in its scope; None where there is none or it is refused."""
        if item.label is None:
            return None
        with self.recovering(spot.trace):
            text = interpolate(item.label.parts, env)
            core = item.core
            names_tensor_only = isinstance(core, s.Word) and (
                core.literal == "id" or core.literal in env.file.shareds
            )
            self.declare(text, item.label.span, env, spot, module=not names_tensor_only)
            return text
        return None

    def declare(self, text: str, span: Span, env: Env, spot: Spot, *, module: bool = True) -> None:
        """Take a label in its scope. Raises E204 where it is taken already."""
        if not text or text.startswith(".") or text.endswith(".") or ".." in text:
            raise fail("E101", f"`{text}` cannot be a label", span)
        taken = spot.scope.labels.get(text)
        if taken is not None:
            same = taken.start == span.start and taken.source is span.source
            hint = (
                "the label stands in a repeat: number it, for instance "
                f"[{text}{{i}}: … for i in 1..3], or leave it out"
                if same else f"line {taken.line} has it already"
            )  # fmt: skip
            raise fail("E204", f"the label `{text}` is taken", span, hint=hint)
        spot.scope.labels[text] = span

    def _set_label(
        self, text: str, tensor: Draft, inner: LabelScope | None, item: s.Item, env: Env
    ) -> None:
        assert item.label is not None
        env.labels.entries[text] = Labelled(tensor, inner, item.label.span)

    def tensor(self, text: str, span: Span, env: Env) -> Draft:
        """The tensor that a label or path names. Raises E203 where there is none."""
        found = env.labels.find(text)
        if found is None and "." in text:
            steps = text.split(".")
            found = env.labels.find(steps[0])
            for step in steps[1:]:
                inner = found.inner if found else None
                found = inner.entries.get(step) if inner else None
        if found is None:
            hint = did_you_mean(text, env.labels.visible())
            raise fail("E203", f"no label `{text}` is visible here", span, hint=hint)
        found.used = True
        return found.tensor

    def _is_headed(self, item: s.Item, env: Env) -> bool:
        """Whether an item brings its own tensor: a tensor name, or a bracket all of whose branches do."""
        if isinstance(item.core, s.Word):
            return self._tensor_name(item.core, env) is not None
        body = item.core.body
        if isinstance(body, s.Pipeline):
            heads = [body]
        elif isinstance(body, s.Sides):
            heads = list(body.branches)
        elif isinstance(body, s.Choice):
            heads = [*(arm for arm, _ in body.arms), body.otherwise]
        else:
            heads = [body.body]
        # A loop variable may stand in the name: then the first part decides.
        return all(self._is_headed(p.items[0], env) for p in heads)

    def _tensor_name(self, word: s.Word, env: Env) -> str | None:
        if word.args is not None:
            return None
        try:
            text = interpolate(word.parts, env)
        except (CnncError, Poisoned):
            stem = word.parts[0] if isinstance(word.parts[0], str) else ""
            known = env.labels.visible()
            return stem if stem and any(n.startswith(stem) for n in known) and stem not in op_words() else None
        steps = text.split(".")
        found = env.labels.find(text) or env.labels.find(steps[0])
        return text if found is not None else None

    # --- words ---------------------------------------------------------------------------

    def _word(
        self, item: s.Item, word: s.Word, label: str | None, flow: Draft | None, env: Env, spot: Spot, *, head: bool
    ) -> Draft | None:
        text = word.literal if word.literal is not None else None
        if text is None and word.args is None and head:
            text = self._tensor_name(word, env)
        meaning = self._meaning(text, env) if text is not None and not word.quoted else None
        is_layer = meaning is not None or (text is not None and text.lower() in op_words())
        tensor_name = self._tensor_name(word, env)
        if tensor_name is not None and (head or not is_layer):
            return self._head_tensor(item, word, tensor_name, is_layer, head, env)
        if word.quoted:
            raise fail("E203", f"no label `{text}` is visible here", word.span)
        if meaning is not None:
            out = meaning(item, word, label, flow, env, spot)
        elif text == "id" and word.args is None:
            out = flow
        elif text is not None and text.lower() in FITTED and not (text.lower() == "crop" and word.args):
            raise misplaced(text.lower(), word.span)
        else:
            out = self._layer_word(word, label, self._need(flow, word.span), env, spot)
        if label is not None and label not in env.labels.entries and out is not None:
            self._set_label(label, out, None, item, env)
        return out

    def _head_tensor(
        self, item: s.Item, word: s.Word, name: str, is_layer: bool, head: bool, env: Env
    ) -> Draft:
        if is_layer:
            raise fail(
                "E205", f"`{name}` is both a label and a block or layer", word.span, hint="rename the label"
            )
        if not head:
            raise fail(
                "E205", f"the tensor `{name}` can stand at the head of a chain only", word.span,
                hint=f"join it: [id | {name}], or [id + {name}]",
            )  # fmt: skip
        if item.label is not None:
            raise fail(
                "E205", f"`{name}` is a tensor already and takes no label", item.label.span,
                hint=f"tap it: {name} -> {item.label.span.text}: id",
            )  # fmt: skip
        return self.tensor(name, word.span, env)

    def _meaning(self, text: str, env: Env) -> Callable[..., Draft | None] | None:
        """What a whole word stands for, layers aside: a parameter, a block, a shared module."""
        value = env.value(text)
        if value is not None:
            return lambda *place: self._parameter(text, value, *place)
        if text in env.file.blocks:
            env.file.used.add(text)
            return lambda item, word, label, flow, env, spot: self._call(
                env.file.blocks[text], word, label, flow, env, spot, item=item
            )
        return None

    def _parameter(
        self, text: str, value: Value, item: s.Item, word: s.Word, label: str | None,
        flow: Draft | None, env: Env, spot: Spot,
    ) -> Draft | None:  # fmt: skip
        """A parameter in a chain: a pipeline is placed, a word is a layer."""
        if word.args is not None:
            raise fail("E303", f"the parameter `{text}` takes no arguments", word.span)
        if isinstance(value, Closure):
            spot = spot.step(CallStep(text, word.span, spot.trace))
            inner = LabelScope(value.env.labels)
            return self._scoped(item, label, flow, env, spot, inner, lambda inside, x: self.bracket(
                value.bracket, x, Env(value.env.file, value.env.names, value.env.flow, inner, value.env.call),
                inside,
            ))  # fmt: skip
        if isinstance(value, str | LayerWord):
            return self._layer_value(value, word, label, self._need(flow, word.span), env, spot)
        raise fail(
            "E205", f"`{text}` is {describe(value)}, and a layer is wanted", word.span,
            hint=f"did you mean a layer with it, such as conv3-{text}?",
        )  # fmt: skip

    def _need(self, flow: Draft | None, span: Span) -> Draft:
        if flow is None:
            raise fail(
                "E502", "nothing flows in here", span,
                hint="the model has several inputs: begin the line with the name of one",
            )  # fmt: skip
        return flow

    # --- layers --------------------------------------------------------------------------

    def _layer_word(self, word: s.Word, label: str | None, flow: Draft, env: Env, spot: Spot) -> Draft:
        call = self._splits.get(id(word))
        if call is None:
            try:
                call = self._splits[id(word)] = words.split(word)
            except CnncError as error:
                raise self._better_hint(error, word, env) from None
        args = Arguments()
        for name, expr in call.pieces.items():
            self._take(args, call.op, name, expr, expr.span, env)
        self._take_arguments(args, call.op, word.args or (), env)
        return self.layer(call.op, args, word.span, label, flow, env, spot)

    def _better_hint(self, error: CnncError, word: s.Word, env: Env) -> CnncError:
        first = error.diagnostics[0]
        if first.code != "E201":
            return error
        known = [*op_words(), *env.file.blocks, *env.file.shareds, *env.labels.visible(), *env.names]
        text = word.literal or word.head_span.text
        hint = did_you_mean(text, known) or first.hint
        return fail(first.code, first.message, first.span, hint=hint)

    def _layer_value(
        self, value: str | LayerWord, word: s.Word, label: str | None, flow: Draft, env: Env, spot: Spot
    ) -> Draft:
        """A word handed in as a parameter (`norm`, `act`): `none` passes its input on."""
        if value == "none":
            return flow
        op, args = self._op_of_value(value, word.span)
        return self.layer(op, args, word.span, label, flow, env, spot)

    def _op_of_value(self, value: Value, span: Span) -> tuple[type[Op], Arguments]:
        if not isinstance(value, str | LayerWord):
            raise fail("E303", f"{describe(value)} is no layer", span)
        name = value if isinstance(value, str) else value.name
        op = op_words().get(name.lower())
        if op is None:
            raise fail("E201", f"no layer is called `{name}`", span, hint=did_you_mean(name, op_words()))
        args = Arguments()
        if isinstance(value, LayerWord):
            for i, (key, arg) in enumerate(value.args):
                field_name = self._field(op, key, i, span)
                if field_name in args.values:
                    raise fail("E304", f"`{field_name}` is given twice", span)
                args.values[field_name] = arg
        return op, args

    def _take_arguments(self, args: Arguments, op: type[Op], given: Sequence[s.Argument], env: Env) -> None:
        for i, argument in enumerate(given):
            name = self._field(op, argument.key, i, argument.span)
            self._take(args, op, name, argument.value, argument.span, env)

    def _take(
        self, args: Arguments, op: type[Op], name: str, expr: s.Expr | s.Bracket, span: Span, env: Env
    ) -> None:
        if name in args.values:
            raise fail("E304", f"the {name} of `{op.kind}` is given twice", span)
        if isinstance(expr, s.Bracket):
            raise fail("E303", f"`{name}` of `{op.kind}` takes no pipeline", span)
        value = evaluate(expr, env)
        if isinstance(expr, s.Name) and isinstance(value, str) and name in _NUMERIC_PIECES:
            raise fail(
                "E202", f"`{expr.id}` stands for no number here", expr.span,
                hint=did_you_mean(expr.id, env.known()),
            )  # fmt: skip
        args.values[name] = value
        args.spans[name] = span
        args.origins[name] = Origin(expr, env)

    def _field(self, op: type[Op], key: str | None, index: int, span: Span) -> str:
        names = argument_names(op)
        if key is None:
            if index >= len(names):
                raise fail("E301", f"`{op.kind}` takes no {index + 1}th argument", span, hint=_signature_hint(op))
            return names[index]
        if key.lower() not in names:
            hint = did_you_mean(key, names) or _signature_hint(op)
            raise fail("E301", f"`{op.kind}` has no argument `{key}`", span, hint=hint)
        return key.lower()

    def layer(
        self, op_type: type[Op], args: Arguments, span: Span, label: str | None, flow: Draft, env: Env, spot: Spot
    ) -> Draft:
        """A layer with the flattening before it and the norm and activation after it."""
        self._apply_defaults(args, op_type, env)
        norm, act, act_is_default = self._brought(op_type, args)
        if norm is not None and "bias" in op_type.model_fields and "bias" not in args.values:
            args.values["bias"] = False
            plain_bias = False
        else:
            plain_bias = "bias" not in args.values
        if flow.poison:
            return flow
        if op_type.flattens and len(flow.shape) > 1:
            flow = self.place(Flatten, Arguments(), (flow,), span, None, spot, "flatten")
        out = self.place(op_type, args, (flow,), span, label, spot, "own")
        out.plain_bias = plain_bias
        if norm is not None:
            op, norm_args = self._op_of_value(norm, args.spans.get("norm", span))
            if op.family != "normalisation":
                raise fail("E303", f"`{op.kind}` is no normalisation", args.spans.get("norm", span))
            self._apply_defaults(norm_args, op, env)
            out = self.place(op, norm_args, (out,), span, label and f"{label}_{op.kind}", spot, "norm")
        if act is not None:
            op, act_args = self._op_of_value(act, args.spans.get("act", span))
            if op.family != "activation":
                raise fail("E303", f"`{op.kind}` is no activation", args.spans.get("act", span))
            self._apply_defaults(act_args, op, env)
            out = self.place(op, act_args, (out,), span, label and f"{label}_{op.kind}", spot, "act")
            out.tentative = act_is_default
        return out

    def _brought(self, op: type[Op], args: Arguments) -> tuple[Value, Value, bool]:
        """The norm and activation that a layer word brings, taken out of its arguments."""
        if op.brings is None:
            return None, None, False
        norm = args.values.pop("norm", None)
        given = args.values.pop("act", None)
        act_is_default = given is None or "act" not in args.spans
        act = op.brings.act if given is None else given
        return (None if norm == "none" else norm), (None if act == "none" else act), act_is_default

    def _apply_defaults(self, args: Arguments, op: type[Op], env: Env) -> None:
        """What the file says of every layer of this kind, unless it says otherwise."""
        names = argument_names(op)
        for kind in (op.kind, KIN_DEFAULTS.get(op.kind)):
            for name, argument in env.file.defaults.get(kind or "", {}).items():
                if name in names and name not in args.values and not isinstance(argument.value, s.Bracket):
                    args.values[name] = evaluate(argument.value, env.file.env())

    def place(
        self, op_type: type[Op], args: Arguments, ins: tuple[Draft, ...], span: Span, label: str | None,
        spot: Spot, role: Role,
    ) -> Draft:  # fmt: skip
        """Put one layer on its inputs: arguments validated, shape inferred, mistakes positioned."""
        if any(x.poison for x in ins):
            return poison(span)
        shapes = tuple(x.shape for x in ins)
        self._check_rank(op_type, shapes[0], span)
        try:
            op = op_type.model_validate(args.values, context=Place(shapes))
            shape = op.out_shape(*shapes)
        except OpError as error:
            where = args.spans.get(error.arg or "", span)
            raise fail(error.code, f"{error.message}", where, hint=error.hint) from None
        except ValidationError as error:
            raise _argument_error(error, op_type, args, span) from None
        draft = Draft(op, ins, shape, span, spot.trace, role, label, spot.scope, args.origins)
        self.drafts.append(draft)
        if len(self.drafts) > MAX_NODES:
            raise fail("E901", f"the model has more than {MAX_NODES:,} layers", span)
        spot.scope.children.append(draft)
        return draft

    def _check_rank(self, op: type[Op], shape: tuple[int, ...], span: Span) -> None:
        rank = len(shape) - 1
        if rank in op.ranks:
            return
        got = f"{'x'.join(map(str, shape))}, " + ("a vector" if rank == 0 else f"a map of {rank} axes")
        wants = "a map (channels x height x width)" if 0 not in op.ranks else "a vector"
        hint = "layers on maps stand before the flattening" if rank == 0 else "flatten it first"
        raise fail("E401", f"`{op.kind}` wants {wants}, and what flows in is {got}", span, hint=hint)

    # --- blocks --------------------------------------------------------------------------

    def _call(
        self, block: BlockDef, word: s.Word, label: str | None, flow: Draft | None, env: Env, spot: Spot,
        *, item: s.Item | None = None, inline: bool = False,
    ) -> Draft | None:  # fmt: skip
        """Open a block: bind its parameters, and place its body in a scope of its own."""
        syntax = block.syntax
        values, origins = self._bind(block, word, env)
        text = f"{syntax.name}({', '.join(show(v) for v in values.values())})"
        trace = CallStep(text, word.span, spot.trace)
        if self._depth >= MAX_CALLS:
            raise fail(
                "E901", f"blocks call each other deeper than {MAX_CALLS}", word.span,
                hint="a block that calls itself needs a choice that ends it",
            )  # fmt: skip
        if inline:
            scope = spot.scope
        else:
            scope = self._open("block", label, word.span, flow, spot)
        scope.block, scope.args, scope.arg_origins = syntax, values, origins
        labels = env.labels if inline else LabelScope(None)
        names = {name: Binding(value, scope) for name, value in values.items()}
        body_env = Env(block.file, names, flow, labels, scope)
        self._depth += 1
        try:
            out = self.pipeline(syntax.body, flow, body_env, Spot(scope, trace))
        finally:
            self._depth -= 1
        if not inline:
            scope.result = out
        if label is not None and item is not None and out is not None:
            self._set_label(label, out, labels, item, env)
        return out

    def _bind(self, block: BlockDef, word: s.Word, env: Env) -> tuple[dict[str, Value], dict[str, Origin]]:
        """The values of a block's parameters for one call."""
        syntax = block.syntax
        names = [p.name for p in syntax.params]
        given: dict[str, s.Argument] = {}
        for i, argument in enumerate(word.args or ()):
            if argument.key is None and i >= len(names):
                raise fail(
                    "E301", f"`{syntax.name}` takes {len(names)} arguments, not {len(word.args or ())}",
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
        values: dict[str, Value] = {}
        origins: dict[str, Origin] = {}
        for parameter in syntax.params:
            if parameter.name in given:
                expr = given[parameter.name].value
                values[parameter.name] = evaluate(expr, env)
                if not isinstance(expr, s.Bracket):
                    origins[parameter.name] = Origin(expr, env)
            elif parameter.default is not None:
                inner = block.file.env().bind({n: Binding(v, None) for n, v in values.items()})
                values[parameter.name] = evaluate(parameter.default, inner)
            else:
                raise fail(
                    "E302", f"`{syntax.name}` needs its parameter `{parameter.name}`", word.span,
                    hint=_block_signature(syntax),
                )  # fmt: skip
        return values, origins

    def _open(self, kind: ScopeKind, label: str | None, span: Span, flow: Draft | None, spot: Spot) -> Scope:
        scope = Scope(kind, label, spot.scope, span, spot.trace, source=flow)
        spot.scope.children.append(scope)
        return scope

    # --- brackets ------------------------------------------------------------------------

    def _labelled_bracket(
        self, item: s.Item, bracket: s.Bracket, label: str | None, flow: Draft | None, env: Env, spot: Spot
    ) -> Draft | None:
        def body(inside: Spot, x: Draft | None, env: Env = env) -> Draft | None:
            return self._repeated(item, bracket, x, env, inside)

        if label is None:
            return body(spot, flow)
        inner = LabelScope(env.labels)
        inner_env = Env(env.file, env.names, env.flow, inner, env.call)
        return self._scoped(
            item, label, flow, env, spot, inner, lambda inside, x: body(inside, x, inner_env)
        )

    def _scoped(
        self, item: s.Item, label: str | None, flow: Draft | None, env: Env, spot: Spot, inner: LabelScope,
        body: Callable[[Spot, Draft | None], Draft | None],
    ) -> Draft | None:  # fmt: skip
        """Place a body, in a scope of its own where it is labelled."""
        if label is None:
            return body(spot, flow)
        scope = self._open("bracket", label, item.span, flow, spot)
        out = body(Spot(scope, spot.trace), flow)
        scope.result = out
        if out is not None:
            self._set_label(label, out, inner, item, env)
        return out

    def _repeated(
        self, item: s.Item, bracket: s.Bracket, flow: Draft | None, env: Env, spot: Spot
    ) -> Draft | None:
        if item.count is None:
            return self.bracket(bracket, flow, env, spot)
        times = integer(item.count, env)
        if times < 0:
            raise fail("E303", f"`*{times}` repeats a negative number of times", item.count.span)
        for i in range(times):
            self._count_turn(bracket.span)
            turn = Turn(item, i, times, (), bracket.span, spot.trace)
            flow = self.bracket(bracket, flow, env, spot.step(turn))
            if flow is not None and flow.poison:
                break
        return flow

    def bracket(self, bracket: s.Bracket, flow: Draft | None, env: Env, spot: Spot) -> Draft | None:
        """What stands between `[` and `]`, once."""
        env = env.inside(flow)
        body = bracket.body
        if isinstance(body, s.Pipeline):
            return self.pipeline(body, flow, env, spot)
        if isinstance(body, s.Sides):
            turns = [(branch, env, spot) for branch in body.branches]
            return self._sides(body.op, turns, bracket, flow, spot)
        if isinstance(body, s.Choice):
            for arm, condition in body.arms:
                if truth(condition, env):
                    return self.pipeline(arm, flow, env, spot)
            return self.pipeline(body.otherwise, flow, env, spot)
        turns = [(body.body, bound, spot.step(turn)) for bound, turn in self._turns_of(body, bracket, env, spot)]
        if body.op is not None:
            return self._sides(body.op, turns, bracket, flow, spot)
        for pipeline, bound, inside in turns:
            flow = self.pipeline(pipeline, flow, bound.inside(flow), inside)
            if flow is not None and flow.poison:
                break
        return flow

    def _turns_of(
        self, loop: s.Loop, bracket: s.Bracket, env: Env, spot: Spot
    ) -> list[tuple[Env, Turn]]:
        values: list[tuple[Value, Span]] = []
        for expr in loop.values:
            value = evaluate(expr, env)
            if isinstance(value, range):
                if len(value) > MAX_TURNS:
                    raise fail("E901", f"`{expr.span.text}` has more than {MAX_TURNS:,} values", expr.span)
                values += [(v, expr.span) for v in value]
            else:
                values.append((value, expr.span))
        for name in loop.targets:
            if name in SIZE_NAMES or name in FUNCTIONS:
                raise fail("E204", f"`{name}` has a meaning of its own and cannot be a loop variable", loop.span)
        out = []
        for i, (value, span) in enumerate(values):
            parts = value if isinstance(value, tuple) and not isinstance(value, Sizes) else (value,)
            if len(loop.targets) == 1 and len(parts) != 1:
                parts = (value,)
            if len(parts) != len(loop.targets):
                raise fail(
                    "E303", f"{len(loop.targets)} names for {describe(value)}", span,
                    hint=f"each value needs {len(loop.targets)} parts: ({', '.join(loop.targets)})",
                )  # fmt: skip
            bound = tuple(zip(loop.targets, parts, strict=True))
            turn = Turn(bracket, i, len(values), bound, bracket.span, spot.trace)
            out.append((env.bind({n: Binding(v, None) for n, v in bound}), turn))
        return out

    def _sides(
        self, op: str, turns: list[tuple[s.Pipeline, Env, Spot]], bracket: s.Bracket, flow: Draft | None, spot: Spot
    ) -> Draft | None:
        """Branches on the same input, joined. Those that wait for their siblings' size come second."""
        if not turns:
            return flow
        spot.scope.has_sides = True
        fitter = Fitter(self, op, flow)
        results: list[Draft | None] = []
        for pipeline, env, inside in turns:
            if waits_for_siblings(pipeline, op):
                results.append(None)
                fitter.defer(len(results) - 1, pipeline, env, inside)
            else:
                results.append(self.pipeline(pipeline, flow, env, inside))
        fitter.settle(results)
        joined = [self._need(result, bracket.span) for result in results]
        if len(joined) == 1:
            return joined[0]
        if any(x.poison for x in joined):
            return poison(bracket.span)
        merge = self.place(_MERGES[op], Arguments(), tuple(joined), bracket.span, None, spot, "merge")
        fitter.joined(merge)
        return merge

    def _count_turn(self, span: Span) -> None:
        self._turns += 1
        if self._turns > MAX_TURNS:
            raise CnncError([*self.problems, Diagnostic(
                "E901", f"the spec unrolls to more than {MAX_TURNS:,} steps", span,
            )])  # fmt: skip


_NUMERIC_PIECES = frozenset({"kernel", "width", "stride", "size"})


def argument_names(op: type[Op]) -> list[str]:
    """A layer's argument keys in positional order, those for what it brings last."""
    names = list(op.model_fields)
    if op.brings is not None:
        names += ["norm", "act"] if op.brings.norm else ["act"]
    return names


def _signature_hint(op: type[Op]) -> str:
    names = argument_names(op)
    return f"`{op.kind}` takes {', '.join(names)}" if names else f"`{op.kind}` takes no arguments"


def _block_signature(block: s.Block) -> str:
    shown = [p.name if p.default is None else f"{p.name}={p.default.span.text}" for p in block.params]
    return f"it is {block.name}({', '.join(shown)})"


def _argument_error(error: ValidationError, op: type[Op], args: Arguments, span: Span) -> CnncError:
    """A validator's refusal in the user's words."""
    first = error.errors()[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] == "missing":
        hint = f"for instance: {op.example}"
        return fail("E302", f"`{op.kind}` needs its {name}", span, hint=hint)
    value: Any = first["input"]
    return fail("E303", f"`{name}` of `{op.kind}` cannot be {show(value)}", args.spans.get(name, span))


__all__ = ["Arguments", "Spot", "Walk", "Walked", "argument_names", "number"]
