"""The one walk: names are looked up, blocks opened, repeats unrolled, layers placed and sized.

Each layer is checked when it is placed, at its own position. A mistake is
recorded and its place poisoned, so that one run reports every mistake once.
Layers are placed by `layers`, calls opened by `calls`, labels kept by `labels`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

from cnnc.compiler.calls import Calls
from cnnc.compiler.draft import Draft, Scope, ScopeKind, Spot, poison
from cnnc.compiler.evaluate import FUNCTIONS, Poisoned, evaluate, integer, interpolate, truth
from cnnc.compiler.fit import FITTED, Fitter, misplaced, waits_for_siblings
from cnnc.compiler.labels import Labels
from cnnc.compiler.layers import MAX_SIZE, Arguments, Layers
from cnnc.compiler.misfit import at_its_branch
from cnnc.compiler.ops import Op, Sizes, op_words, show
from cnnc.compiler.ops.merge import Add, Concat, Multiply
from cnnc.compiler.ops.reshape import Input
from cnnc.compiler.sizes import Ledger, is_free, symbol
from cnnc.compiler.values import (
    SIZE_NAMES,
    Binding,
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

MAX_TURNS = 100_000
MAX_DEPTH = 500
"""Of brackets, those in the calls and pipelines they open included; Python's stack holds them all."""
MAX_ERRORS = 50

_MERGES: dict[str, type[Op]] = {"|": Concat, "+": Add, "&": Multiply}
_Meaning = Callable[[], Draft | None]


class _GivenUp(CnncError):
    """Too many mistakes, or one after which going on is of no use: it leaves the walk at once."""


@dataclass(slots=True)
class Walked:
    """What the walk leaves: drafts in topological order, the scope tree, inputs and outputs."""

    spec: s.Spec
    drafts: list[Draft]
    root: Scope
    inputs: dict[str, Draft]
    outputs: dict[str, Draft]
    labels: LabelScope
    problems: list[Diagnostic]
    free: dict[str, int]
    ledger: Ledger
    taps: list[tuple[str, Labelled]]


class Walk:
    """One elaboration. `run` is called once."""

    def __init__(
        self, spec: s.Spec, file: FileScope, sizes: Mapping[str | None, tuple[int, ...]], reference: int
    ) -> None:
        """`reference` is the number that free input sizes have while the walk goes on."""
        self.spec = spec
        self.file = file
        self.sizes = sizes
        self.reference = reference
        self.ledger = Ledger()
        self.free: dict[str, int] = {}
        """The free sizes of the inputs by name."""
        self.drafts: list[Draft] = []
        self.problems: list[Diagnostic] = []
        self.root = Scope("model", None, None, Span(spec.source, 0, 0), None)
        self.label_scopes: dict[int, LabelScope] = {}
        """The labels of each naming scope, by the scope's identity."""
        self.layers = Layers(self)
        self.calls = Calls(self)
        self.labels = Labels(self)
        self._seen: set[tuple[str, int, str]] = set()
        self._turns = 0
        self._depth = 0

    # --- problems ------------------------------------------------------------------------

    def report(self, diagnostic: Diagnostic, trace: Trace | None) -> None:
        """Record a problem once for each place in the text."""
        span = diagnostic.span
        key = (diagnostic.code, span.start if span else -1, span.source.name if span else "")
        if key in self._seen:
            return
        self._seen.add(key)
        self.problems.append(replace_trace(diagnostic, (*diagnostic.trace, *render_trace(trace, span))))
        if len(self.problems) >= MAX_ERRORS or diagnostic.code == "E901":
            raise _GivenUp(p for p in self.problems if p.severity == "error")

    @contextmanager
    def recovering(self, trace: Trace | None) -> Iterator[None]:
        """Record what is raised inside; the caller goes on with poison."""
        try:
            yield
        except _GivenUp:
            raise
        except CnncError as error:
            for diagnostic in error.diagnostics:
                self.report(diagnostic, trace)
        except Poisoned:
            pass

    # --- the file ------------------------------------------------------------------------

    def run(self) -> Walked:
        """Walk the whole file."""
        spot = Spot(self.root, None)
        env = self.file.env()
        self.label_scopes[id(self.root)] = env.labels
        inputs = self._inputs(env, spot)
        flow = next(iter(inputs.values())) if len(inputs) == 1 else None
        env = env.inside(flow)
        self.root.source = flow
        model = next((st for st in self.spec.statements if isinstance(st, s.Model) and st.call), None)
        if model is not None:
            flow = self._model_block(model, flow, env, spot)
        first = model is None
        begun = not first
        for statement in self.spec.statements:
            if isinstance(statement, s.Flow):
                flow = self.pipeline(statement.pipeline, flow, env, spot, new_line=begun)
                begun = True
        self.root.result = flow
        outputs = self._outputs(flow if begun else None, env)
        return Walked(
            self.spec,
            self.drafts,
            self.root,
            inputs,
            outputs,
            env.labels,
            self.problems,
            self.free,
            self.ledger,
            self.labels.taps,
        )

    def _inputs(self, env: Env, spot: Spot) -> dict[str, Draft]:
        declared = [st for st in self.spec.statements if isinstance(st, s.Input)]
        inputs: dict[str, Draft] = {}
        start = Span(self.spec.source, 0, 0)
        for statement in declared:
            name = statement.name or "input"
            shape: tuple[int, ...] = ()
            with self.recovering(None):
                if name in inputs:
                    hint = "give each input a name of its own: input left: 3x64x64"
                    raise fail("E204", f"there are two inputs called `{name}`", statement.span, hint=hint)
                shape = self._input_shape(statement, env)
            inputs[name] = self._input(name, shape, statement.span, spot)
            if statement.name is not None:
                with self.recovering(None):
                    self.labels.take(statement.name, statement.span, spot)
                    label = s.Label((statement.name,), False, statement.span)
                    item = s.Item(
                        label,
                        s.Bracket(s.Pipeline((), (), statement.span), statement.span),
                        None,
                        statement.span,
                    )
                    self.labels.define(name, inputs[name], None, item, env, spot.scope)
                    env.labels.entries[name].used = True
        if not declared:
            if None not in self.sizes:
                note = "no input is declared; taking 3x224x224"
                self.problems.append(Diagnostic("N101", note, None, hint="declare it: input 3x224x224"))
            inputs["input"] = self._input("input", self.sizes.get(None) or (3, 224, 224), start, spot)
        for wanted in self.sizes:
            if wanted is not None and wanted not in inputs:
                hint = did_you_mean(wanted, inputs) or f"its inputs: {', '.join(inputs)}"
                raise fail("E203", f"the model has no input `{wanted}`", hint=hint)
        if None in self.sizes and len(inputs) > 1:
            raise fail("E203", "the model has several inputs", hint="name the input: --input NAME=3x224x224")
        return inputs

    def _input_shape(self, statement: s.Input, env: Env) -> tuple[int, ...]:
        given = self.sizes.get(statement.name) or self.sizes.get(None)
        if given is not None:
            return given
        sizes = tuple(self._input_size(part, statement, env) for part in statement.dims.parts)
        value = Sizes(sizes)
        if any(n < 1 for n in sizes):
            raise fail("E303", f"`{show(value)}` has a size under 1", statement.dims.span)
        if any(int(n) > MAX_SIZE for n in sizes):
            raise fail("E901", f"`{show(value)}` has a size of more than {MAX_SIZE:,}", statement.dims.span)
        if len(sizes) > 4:
            raise fail(
                "E401", f"`{show(value)}` has {len(sizes)} sizes; a map has channels and up to 3 axes",
                statement.dims.span,
            )  # fmt: skip
        shape = (sizes[-1], *sizes[:-1]) if statement.channels_last else sizes
        if is_free(shape[0]):
            hint = "only the axes of a map can be free: input 3xHxW"
            raise fail(
                "E407", f"the channels of `{show(value)}` must be known", statement.dims.span, hint=hint
            )
        return shape

    def _input_size(self, part: int | str | s.Expr, statement: s.Input, env: Env) -> int:
        """One size of an input; a capital letter that stands for nothing else is a free size."""
        if isinstance(part, str) and env.value(part) is None:
            if len(part) != 1 or not part.isupper():
                hint = "a free size is one capital letter: input 3xHxW"
                raise fail("E202", f"`{part}` stands for no number here", statement.dims.span, hint=hint)
            self.free.setdefault(part, symbol(part, self.reference, self.ledger))
            return self.free[part]
        (size,) = evaluate(s.Dims((part,), statement.dims.span), env)
        return int(size)

    def _input(self, name: str, shape: tuple[int, ...], span: Span, spot: Spot) -> Draft:
        if not shape:
            return poison(span)
        op = Input(shape=tuple(map(int, shape)))
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
                    "E201", f"`{name or core.span.text}` is no block",
                    core.head_span if isinstance(core, s.Word) else core.span,
                    hint=did_you_mean(name or "", self.file.blocks) or "model NAME = BLOCK(arguments)",
                )  # fmt: skip
            self.file.used.add(name or "")
            return self.calls.block(block, core, None, flow, env, spot, inline=True)
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
                    if isinstance(name, s.Interpolated):
                        text = interpolate(name.parts, env)
                    else:
                        text = name.value if isinstance(name, s.String) else name.id
                    if text in outputs:
                        raise fail("E204", f"`{text}` is an output twice", name.span)
                    outputs[text] = self.labels.tensor(text, name.span, env)
        return outputs

    # --- pipelines -----------------------------------------------------------------------

    def pipeline(
        self, pipeline: s.Pipeline, flow: Draft | None, env: Env, spot: Spot, *, new_line: bool = False
    ) -> Draft | None:
        """Place the items one after another on `flow`; what flows out of the last."""
        for i, item in enumerate(pipeline.items):
            self._count_turn(item.span)
            starts_line = new_line if i == 0 else pipeline.breaks[i]
            head = i == 0 or starts_line
            if starts_line and self.labels.is_headed(item, env):
                flow = None
            flow = self.item(item, flow, env, spot, head=head)
        return flow

    def item(self, item: s.Item, flow: Draft | None, env: Env, spot: Spot, *, head: bool) -> Draft | None:
        """One step of a chain."""
        label = self.labels.read(item, env, spot)
        with self.recovering(spot.trace):
            if isinstance(item.core, s.Word):
                return self._word(item, item.core, label, flow, env, spot, head=head)
            return self._bracket_item(item, item.core, label, flow, env, spot)
        if label is not None:
            self.labels.define(label, poison(item.span), None, item, env, spot.scope)
        return poison(item.span)

    def need(self, flow: Draft | None, span: Span) -> Draft:
        """What flows in. Raises E502 where nothing does."""
        if flow is None:
            raise fail(
                "E502", "nothing flows in here", span,
                hint="the model has several inputs: begin the line with the name of one",
            )  # fmt: skip
        return flow

    def _word(
        self,
        item: s.Item,
        word: s.Word,
        label: str | None,
        flow: Draft | None,
        env: Env,
        spot: Spot,
        *,
        head: bool,
    ) -> Draft | None:
        text = word.literal
        meaning = None
        if text is not None and not word.quoted:
            meaning = self._meaning(text, item, word, label, flow, env, spot)
        is_layer = meaning is not None or (
            text is not None and text.lower() in op_words() and not word.quoted
        )
        tensor_name = self.labels.tensor_name(word, env)
        if tensor_name is not None and (head or not is_layer):
            return self._head_tensor(item, word, tensor_name, is_layer, head, env)
        if word.quoted:
            raise self.labels.unknown(text or "", word.span, env)
        out: Draft | None
        if meaning is not None:
            out = meaning()
        elif text is not None and text.lower() == "id" and word.args is None:
            out = flow
        elif text is not None and text.lower() in FITTED and not (text.lower() == "crop" and word.args):
            raise misplaced(text.lower(), word.span)
        else:
            out = self.layers.word(word, label, self.need(flow, word.span), env, spot)
        if label is not None and label not in env.labels.entries and out is not None:
            self.labels.define(label, out, None, item, env, spot.scope)
        return out

    def _head_tensor(
        self, item: s.Item, word: s.Word, name: str, is_layer: bool, head: bool, env: Env
    ) -> Draft:
        if is_layer:
            raise fail(
                "E205",
                f"`{name}` is both a label and a block or layer",
                word.span,
                hint=f'rename the label, or quote it where it is used: "{name}"',
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
        return self.labels.tensor(interpolate(word.parts, env), word.span, env)

    def _meaning(
        self,
        text: str,
        item: s.Item,
        word: s.Word,
        label: str | None,
        flow: Draft | None,
        env: Env,
        spot: Spot,
    ) -> _Meaning | None:
        """What a whole word stands for, layers aside: a parameter, a block, a shared module, an extern."""
        value = env.value(text)
        file = env.file
        if value is not None:
            return lambda: self._parameter(text, value, item, word, label, flow, env, spot)
        if text in file.blocks or text in file.shareds or text in file.externs:
            file.used.add(text)
        if text in file.blocks:
            return lambda: self.calls.block(file.blocks[text], word, label, flow, env, spot, item=item)
        if text in file.shareds:
            return lambda: self.calls.shared(file.shareds[text], word, self.need(flow, word.span), spot)
        if text in file.externs:
            return lambda: self.calls.extern(
                file.externs[text], word, label, self.need(flow, word.span), env, spot
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
            return self._scoped(
                item, label, flow, env, spot, inner,
                lambda inside, x: self.closure(value, x, inside, inner),
            )  # fmt: skip
        if isinstance(value, str | LayerWord):
            return self.layers.value(value, word, label, self.need(flow, word.span), env, spot)
        raise fail(
            "E205", f"`{text}` is {describe(value)}, and a layer is wanted", word.span,
            hint=f"did you mean a layer with it, such as conv3-{text}?",
        )  # fmt: skip

    def closure(
        self, closure: Closure, flow: Draft | None, spot: Spot, labels: LabelScope | None = None
    ) -> Draft | None:
        """Place a pipeline that was handed in: names as where it was written, modules as where it is placed."""
        home = closure.env
        inside = replace(home, labels=labels or LabelScope(home.labels))
        return self.bracket(closure.bracket, flow, inside, spot)

    # --- brackets ------------------------------------------------------------------------

    def open(self, kind: ScopeKind, label: str | None, span: Span, flow: Draft | None, spot: Spot) -> Scope:
        """A new scope in the scope of `spot`."""
        home, local = spot.scope, label
        if label is not None:
            home, local = self.labels.home(spot, label, span)
        scope = Scope(kind, local, home, span, spot.trace, source=flow)
        home.children.append(scope)
        return scope

    def _bracket_item(
        self, item: s.Item, bracket: s.Bracket, label: str | None, flow: Draft | None, env: Env, spot: Spot
    ) -> Draft | None:
        if label is None:
            return self._repeated(item, bracket, flow, env, spot)
        if item.count is None and self.labels.joins_only(bracket, env):
            assert isinstance(bracket.body, s.Sides)
            turns = [(branch, env, spot) for branch in bracket.body.branches]
            out = self._sides(bracket.body.op, turns, bracket, flow, spot, label)
            if out is not None:
                self.labels.define(label, out, None, item, env, spot.scope)
            return out
        inner = LabelScope(env.labels)
        inner_env = replace(env, labels=inner)
        return self._scoped(
            item, label, flow, env, spot, inner,
            lambda inside, x: self._repeated(item, bracket, x, inner_env, inside),
        )  # fmt: skip

    def _scoped(
        self, item: s.Item, label: str | None, flow: Draft | None, env: Env, spot: Spot, inner: LabelScope,
        body: Callable[[Spot, Draft | None], Draft | None],
    ) -> Draft | None:  # fmt: skip
        """Place a body, in a scope of its own where it is labelled."""
        if label is None:
            return body(spot, flow)
        scope = self.open("bracket", label, item.span, flow, spot)
        self.label_scopes[id(scope)] = inner
        out = body(Spot(scope, spot.trace), flow)
        scope.result = out
        if out is not None:
            self.labels.define(label, out, inner, item, env, spot.scope)
        return out

    def _repeated(
        self, item: s.Item, bracket: s.Bracket, flow: Draft | None, env: Env, spot: Spot
    ) -> Draft | None:
        if item.count is None:
            return self.bracket(bracket, flow, env, spot)
        times = integer(item.count, env)
        if times < 0:
            raise fail(
                "E303", f"`*{times}` repeats a negative number of times", item.count.span,
                hint="`*0` is the least: *{max(0, …)}",
            )  # fmt: skip
        for i in range(times):
            before = self._turns
            self._count_turn(bracket.span)
            turn = Turn(item, i, times, (), bracket.span, spot.trace)
            flow = self.bracket(bracket, flow, env, spot.step(turn))
            if flow is not None and flow.poison:
                break
            if i == 1:
                self._foresee(times - 2, before, bracket.span)
        return flow

    def bracket(self, bracket: s.Bracket, flow: Draft | None, env: Env, spot: Spot) -> Draft | None:
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
            return self.pipeline(body, flow, env, spot)
        if isinstance(body, s.Sides):
            return self._sides(
                body.op, [(branch, env, spot) for branch in body.branches], bracket, flow, spot
            )
        if isinstance(body, s.Choice):
            for arm, condition in body.arms:
                if truth(condition, env):
                    return self.pipeline(arm, flow, env, spot)
            return self.pipeline(body.otherwise, flow, env, spot)
        turns = [
            (body.body, bound, spot.step(turn)) for bound, turn in self._turns_of(body, bracket, env, spot)
        ]
        if body.op is not None:
            return self._sides(body.op, turns, bracket, flow, spot)
        for i, (pipeline, bound, inside) in enumerate(turns):
            before = self._turns
            self._count_turn(bracket.span)
            flow = self.pipeline(pipeline, flow, bound.inside(flow), inside, new_line=i > 0)
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
                if len(value) > MAX_TURNS:
                    raise fail("E901", f"`{expr.span.text}` has more than {MAX_TURNS:,} values", expr.span)
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
            turn = Turn(bracket, i, len(values), bound, bracket.span, spot.trace)
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
        fitter = Fitter(self, op, flow)
        results: list[Draft | None] = []
        before = 0
        for i, (pipeline, env, inside) in enumerate(turns):
            if i == 2:
                self._foresee(len(turns) - 2, before, bracket.span)
            before = self._turns
            self._count_turn(pipeline.span)
            if waits_for_siblings(pipeline, op):
                results.append(None)
                fitter.defer(len(results) - 1, pipeline, env, inside)
            else:
                results.append(self.pipeline(pipeline, flow, env, inside))
        fitter.settle(results)
        joined = [self.need(result, bracket.span) for result in results]
        if len(joined) == 1:
            return joined[0]
        if any(x.poison for x in joined):
            return poison(bracket.span)
        try:
            merge = self.layers.place(
                _MERGES[op], Arguments(), tuple(joined), bracket.span, label, spot, "merge"
            )
        except CnncError as error:
            if error.diagnostics[0].code != "E405":
                raise
            raise at_its_branch(error, _MERGES[op], [branch for branch, _, _ in turns], joined) from None
        fitter.joined(merge)
        return merge

    def _count_turn(self, span: Span) -> None:
        self._turns += 1
        if self._turns > MAX_TURNS:
            self._refuse_length(span)

    def _foresee(self, turns_left: int, before: int, span: Span) -> None:
        """Refuse a runaway repeat early: its second turn, begun at count `before`, stands for those left.

        The first turn is no measure: it often differs (`if i == 1`).
        """
        if self._turns + turns_left * (self._turns - before) > MAX_TURNS:
            self._refuse_length(span)

    def _refuse_length(self, span: Span) -> None:
        hint = "repeat less: no network has so many layers"
        message = f"the spec unrolls to more than {MAX_TURNS:,} steps"
        self.report(Diagnostic("E901", message, span, hint=hint), None)


def replace_trace(diagnostic: Diagnostic, trace: tuple[str, ...]) -> Diagnostic:
    """The same finding with the way to it."""
    return Diagnostic(diagnostic.code, diagnostic.message, diagnostic.span, trace, diagnostic.hint)
