"""The one walk: names are looked up, blocks opened, repeats unrolled, layers placed and sized.

Each layer is checked when it is placed, at its own position. A mistake is
recorded and its place poisoned, so that one run reports every mistake once.
Layers are placed by `layers`, calls opened by `calls`, brackets by `brackets`, labels kept by `labels`,
inputs and outputs found by `ends`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from cnnc.compiler.ops import op_words
from cnnc.compiler.sizes import Ledger
from cnnc.compiler.symbolic import Const, Sourced
from cnnc.compiler.walk.again import AGAIN, Again, reusing
from cnnc.compiler.walk.brackets import Brackets
from cnnc.compiler.walk.branches import misplaced_none
from cnnc.compiler.walk.calls import Calls
from cnnc.compiler.walk.draft import Decision, DecisionKind, Draft, Scope, ScopeKind, Spot, poison
from cnnc.compiler.walk.ends import Ends
from cnnc.compiler.walk.evaluate import Poisoned, interpolate, named_value
from cnnc.compiler.walk.fit import is_fitted, misplaced
from cnnc.compiler.walk.labels import Labels, is_anonymous
from cnnc.compiler.walk.layers import Layers
from cnnc.compiler.walk.library import Library
from cnnc.compiler.walk.references import Reference
from cnnc.compiler.walk.values import (
    CallStep,
    Closure,
    Env,
    FileScope,
    Handed,
    InputSizes,
    Labelled,
    LabelScope,
    LayerWord,
    Trace,
    Value,
    describe,
    in_trace,
    render_trace,
)
from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import MAX_ERRORS, CnncError, Diagnostic, at_most, fail
from cnnc.dsl.record import record
from cnnc.dsl.source import Span

_Meaning = Callable[[], Draft | None]


class _GivenUp(CnncError):
    """Too many mistakes, or one after which going on is of no use: it leaves the walk at once."""


@record(frozen=False, kw_only=True)
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
    taps: list[tuple[str, Labelled, Trace | None]]


class Walk:
    """One elaboration. `run` is called once."""

    def __init__(
        self,
        spec: s.Spec,
        file: FileScope,
        library: Library,
        sizes: InputSizes,
        reference: Reference,
        max_layers: int,
        widths: Mapping[int, int],
    ) -> None:
        """`reference` has the numbers of free input sizes while the walk goes on, those that are not the usual one.
        `widths` replace those of layers, by the number of the draft.
        """
        self.spec = spec
        self.file = file
        self.library = library
        self.sizes = sizes
        self.reference = reference
        self.max_layers = max_layers
        self.widths = widths
        self.ledger = Ledger()
        self.free: dict[str, int] = {}
        """The free sizes of the inputs by name."""
        self.drafts: list[Draft] = []
        self.problems: list[Diagnostic] = []
        self.is_wrong = False
        """Whether a mistake was found."""
        self.scopes = 0
        """How many scopes there are."""
        self.root = self.scope("model", None, None, Span(spec.source, 0, 0), None, None)
        self.label_scopes: dict[int, LabelScope] = {}
        """The labels of each naming scope, by the scope's identity."""
        self.layers = Layers(self)
        self.calls = Calls(self)
        self.labels = Labels(self)
        self.brackets = Brackets(self)
        self.ends = Ends(self)
        self.again = Again(self)
        self.began: list[int] = [0]
        """How many drafts there were where each of the items began that are being placed."""
        self.open_labels: list[str] = []
        """The labels of these."""
        self._seen: set[tuple[str, int, str]] = set()

    def input_shapes(self) -> dict[str | None, tuple[int, ...]]:
        """The shapes of the inputs met so far, by their names in the text (None: without a name)."""
        names = [st.name for st in self.spec.statements if isinstance(st, s.Input)] or [None]
        drafts = [draft for draft in self.drafts if draft.role == "input"]
        return {name: draft.shape for name, draft in zip(names, drafts, strict=False)}

    # --- problems ------------------------------------------------------------------------

    def report(self, diagnostic: Diagnostic, trace: Trace | None) -> None:
        """Record a problem once for each place in the text."""
        span = diagnostic.span
        key = (diagnostic.code, span.start if span else -1, span.source.name if span else "")
        if key in self._seen:
            return
        self._seen.add(key)
        self.ledger.refused.add(self.ledger.place)
        self.problems.append(replace(diagnostic, trace=(*diagnostic.trace, *render_trace(trace, span))))
        errors = [p for p in self.problems if p.severity == "error"]
        if len(errors) > MAX_ERRORS or diagnostic.code == "E901":
            raise _GivenUp(at_most(errors))

    @contextmanager
    def recovering(self, trace: Trace | None) -> Iterator[None]:
        """Record what is raised inside; the caller goes on with poison."""
        try:
            yield
        except (CnncError, Poisoned) as error:
            self.recover(error, trace)

    def recover(self, error: CnncError | Poisoned, trace: Trace | None) -> None:
        """Record what was raised; the caller goes on with poison."""
        if isinstance(error, _GivenUp):
            raise error
        self.is_wrong = True
        for diagnostic in error.diagnostics if isinstance(error, CnncError) else ():
            self.report(diagnostic, trace)

    def take_apart(self) -> None:
        """Cut what leads back to where it came from, so that all goes at once and nobody needs to search for it.

        Nothing can be asked of the walk after that, nor of the scopes and drafts that it made.
        """
        self.labels.forget()
        for scope in self.root.scopes():
            scope.parent, scope.args, scope.again = None, {}, None
        # While the list still holds them all: else freeing the last would free the one before it, and so on, nested
        # as deep as the network is long, which Pyodide's small stack does not bear.
        for draft in self.drafts:
            draft.scope, draft.inputs, draft.named = None, (), {}
        self.library.forget(self.file)
        for part in (self.brackets, self):
            vars(part).clear()

    # --- the file ------------------------------------------------------------------------

    def run(self) -> Walked:
        """Walk the whole file."""
        spot = Spot(self.file.env(), self.root, None)
        labels = self.label_scopes[id(self.root)] = spot.env.labels
        inputs = self.ends.inputs(spot)
        flow = next(iter(inputs.values())) if len(inputs) == 1 else None
        spot = spot.inside(flow)
        self.root.source = flow
        model = next((st for st in self.spec.statements if isinstance(st, s.Model) and st.call), None)
        if model is not None:
            flow = self.ends.model_block(model, flow, spot)
        first = model is None
        begun = not first
        for statement in self.spec.statements:
            if isinstance(statement, s.Flow):
                flow = self.pipeline(statement.pipeline, flow, spot, new_line=begun)
                begun = True
        self.root.result = flow
        outputs = self.ends.outputs(flow if begun else None, spot)
        return Walked(
            spec=self.spec, drafts=self.drafts, root=self.root, inputs=inputs, outputs=outputs, labels=labels,
            problems=self.problems, free=self.free, ledger=self.ledger, taps=self.labels.taps,
        )  # fmt: skip

    # --- pipelines -----------------------------------------------------------------------

    def pipeline(
        self, pipeline: s.Pipeline, flow: Draft | None, spot: Spot, *, new_line: bool = False
    ) -> Draft | None:
        """Place the items one after another on `flow`; what flows out of the last."""
        for i, item in enumerate(pipeline.items):
            self.brackets.count_turn(item.span)
            starts_line = new_line if i == 0 else pipeline.breaks[i]
            head = i == 0 or starts_line
            if starts_line and self.labels.is_headed(item, spot.env):
                flow = None
            flow = self.item(item, flow, spot, head=head)
        return flow

    def item(self, item: s.Item, flow: Draft | None, spot: Spot, *, head: bool) -> Draft | None:
        """One step of a chain."""
        if is_anonymous(item.label):
            return self._level(replace(item, label=None), flow, spot, head=head)
        label = None if item.label is None else self.labels.read(item, spot)
        self.began.append(len(self.drafts))
        if label is not None:
            self.open_labels.append(label)
        try:
            if isinstance(item.core, s.Word):
                return self._word(item, item.core, label, flow, spot, head=head)
            return self.brackets.item(item, item.core, label, flow, spot)
        except (CnncError, Poisoned) as error:
            self.recover(error, spot.trace)
            if label is not None:
                self.labels.define(label, poison(item.span), None, item, spot)
            return poison(item.span)
        finally:
            self.began.pop()
            if label is not None:
                self.open_labels.pop()

    def _level(self, item: s.Item, flow: Draft | None, spot: Spot, *, head: bool) -> Draft | None:
        """`_: item`: one child under the name that a counter gives it, and a level of names within.

        What opens a level of its own, a call of a block or a shared module, needs no second one.
        """
        core, env = item.core, spot.env
        name = core.literal if isinstance(core, s.Word) and not core.quoted else None
        value = None if name is None else env.value(name)
        if isinstance(core, s.Word) and reusing(core) is not None:
            raise fail(
                "E205", f"`{core.span.text}` uses a module again, and is no child to be named", item.span,
                hint="leave the label out",
            )  # fmt: skip
        handed = value.value if value is not None and isinstance(value.value, Handed) else None
        named, file = (
            (name if value is None else None, env.file) if handed is None else (handed, handed.env.file)
        )
        if named is not None and (named in file.blocks or named in file.shareds or named == "id"):
            return self.item(item, flow, spot, head=head)
        if isinstance(core, s.Word) and self.labels.is_headed(item, env):
            hint = "leave the label out"
            raise fail(
                "E205", f"`{core.span.text}` is a tensor already and takes no label", core.span, hint=hint
            )
        scope = self.open("bracket", None, item.span, flow, spot)
        inner = LabelScope(env.labels)
        self.label_scopes[id(scope)] = inner
        scope.result = self.item(item, flow, Spot(env.within(inner), scope, spot.trace), head=head)
        return scope.result

    def need(self, flow: Draft | None, span: Span) -> Draft:
        """What flows in. Raises E502 where nothing does."""
        if flow is None:
            raise fail(
                "E502", "there is no input here", span,
                hint="the model has several inputs: begin the line with the name of one",
            )  # fmt: skip
        return flow

    def _word(
        self,
        item: s.Item,
        word: s.Word,
        label: str | None,
        flow: Draft | None,
        spot: Spot,
        *,
        head: bool,
    ) -> Draft | None:
        text = word.literal
        meaning = self._meaning(item, word, label, flow, spot, head=head)
        is_layer = meaning is not None or word.keyword in op_words()
        tensor_name = self.labels.tensor_name(word, spot.env)
        if tensor_name is not None and (head or not is_layer):
            return self._head_tensor(item, word, tensor_name, is_layer, head, spot)
        if word.quoted:
            raise self.labels.unknown(text or "", word.span, spot.env)
        out: Draft | None
        if meaning is not None:
            out = meaning()
        elif word.keyword == "id" and word.args is None:
            out = flow
        elif word.keyword is not None and is_fitted(word):
            raise misplaced(word.keyword, word.span)
        elif reusing(word) == AGAIN:
            out = self.again.place(item, word, label, self.need(flow, word.span), spot)
        elif reusing(word) is not None:
            out = self.again.weight(word, head, spot)
        elif text == "none" and word.args is None:
            raise misplaced_none(word.span)
        elif self.labels.is_source(word, spot.env):
            out = self.layers.source(word, label, spot, head=head)
        else:
            out = self.layers.word(word, label, self.need(flow, word.span), spot)
        if label is not None and label not in spot.env.labels.entries and out is not None:
            self.labels.define(label, out, None, item, spot)
        return out

    def _head_tensor(
        self, item: s.Item, word: s.Word, name: str, is_layer: bool, head: bool, spot: Spot
    ) -> Draft:
        """The tensor that the word of a chain names."""
        self._check_head(item, word, name, is_layer, head)
        text = interpolate(word.parts, spot.env)
        self.decide("name", text, word.span, spot)
        return self.labels.tensor(text.value, word.span, spot.env)

    def _tensor_at_head(
        self, item: s.Item, word: s.Word, name: str, is_layer: bool, head: bool, home: Env
    ) -> Draft:
        """The tensor that a name means where it was handed in."""
        self._check_head(item, word, name, is_layer, head)
        if word.args is not None:
            raise fail("E303", f"the tensor `{name}` takes no arguments", word.span)
        return self.labels.tensor(name, word.span, home)

    @staticmethod
    def _check_head(item: s.Item, word: s.Word, name: str, is_layer: bool, head: bool) -> None:
        """Whether a tensor can stand here. Raises E205."""
        if is_layer:
            raise fail(
                "E205",
                f"`{name}` is both a label and a block or layer",
                word.span,
                hint=f'rename the label, or quote it where it is used: "{name}"',
            )
        if not head:
            raise fail(
                "E205", f"the tensor `{name}` may only begin a chain", word.span,
                hint=f"join it: [id | {name}], or [id + {name}]",
            )  # fmt: skip
        if item.label is not None:
            raise fail(
                "E205", f"`{name}` is a tensor already and takes no label", item.label.span,
                hint=f"tap it: {name} -> {item.label.span.text}: id",
            )  # fmt: skip

    def _meaning(
        self, item: s.Item, word: s.Word, label: str | None, flow: Draft | None, spot: Spot, *,
        head: bool,
    ) -> _Meaning | None:  # fmt: skip
        """What a whole word stands for, layers aside: a value, a block, a shared module, an extern."""
        found = named_value(word, spot.env)
        if found is not None:
            text = word.span.text if word.literal is None else word.literal
            return lambda: self._parameter(text, found, item, word, label, flow, spot, head=head)
        if word.literal is None or word.quoted:
            return None
        return self._declared(spot.env.file, word.literal, item, word, label, flow, spot)

    def _declared(
        self, file: FileScope, text: str, item: s.Item, word: s.Word, label: str | None, flow: Draft | None,
        spot: Spot,
    ) -> _Meaning | None:  # fmt: skip
        """What a file declares under a name, used with arguments that are worked out here."""
        if not file.declares(text):
            return None
        file.used.add(text)
        if text in file.blocks:
            return lambda: self.calls.block(file.blocks[text], word, label, flow, spot, item=item)
        if text in file.shareds:
            return lambda: self.calls.shared(file.shareds[text], word, self.need(flow, word.span), spot)
        return lambda: self.calls.extern(file.externs[text], word, label, self.need(flow, word.span), spot)

    def _parameter(
        self, text: str, found: Sourced[Value], item: s.Item, word: s.Word, label: str | None,
        flow: Draft | None, spot: Spot, *, head: bool,
    ) -> Draft | None:  # fmt: skip
        """A parameter in a chain: a pipeline is placed, a word is a layer, a name is what its caller means."""
        if isinstance(found.value, Handed):
            meaning = self._handed(found.value, item, word, label, flow, spot, head=head)
            if meaning is not None:
                found.value.in_chain = True
                return meaning()
        if word.args is not None:
            raise fail("E303", f"the parameter `{text}` takes no arguments", word.span)
        value = found.value
        if isinstance(value, Closure):
            closure = value
            spot = spot.step(CallStep(text, None, word.span, spot.trace))
            return self.brackets.scoped(
                item, label, flow, spot, _within(closure),
                lambda inside, x: self.brackets.once(closure.bracket, x, inside),
            )  # fmt: skip
        if isinstance(value, str | LayerWord):
            return self.layers.value(found, word, label, self.need(flow, word.span), spot)
        raise fail(
            "E205", f"`{text}` is {describe(value)}; expected a layer", word.span,
            hint=f"did you mean a layer with it, such as conv3-{text if text.isidentifier() else f'{{{text}}}'}?",
        )  # fmt: skip

    def _handed(
        self, name: Handed, item: s.Item, word: s.Word, label: str | None, flow: Draft | None, spot: Spot, *, head: bool,
    ) -> _Meaning | None:  # fmt: skip
        """What a name that was handed in means in a chain: what it would mean in its caller's; None for a layer."""
        home = name.env
        declared = self._declared(home.file, name, item, word, label, flow, spot)
        is_layer = declared is not None or name.lower() in op_words()
        if not home.labels.sees(name) or (is_layer and not head):
            return declared
        return lambda: self._tensor_at_head(item, word, name, is_layer, head, home)

    def closure(self, closure: Closure, flow: Draft | None, spot: Spot) -> Draft | None:
        """Place a pipeline that was handed in: names as where it was written, modules as where it is placed."""
        return self.brackets.once(closure.bracket, flow, spot.seeing(_within(closure)))

    def open(self, kind: ScopeKind, label: str | None, span: Span, flow: Draft | None, spot: Spot) -> Scope:
        """A new scope in the scope of `spot`."""
        home, local = spot.scope, label
        if label is not None:
            home, local = self.labels.home(spot, label, span)
        scope = self.scope(kind, local, home, span, spot.trace, flow)
        home.children.append(scope)
        return scope

    def scope(
        self, kind: ScopeKind, label: str | None, parent: Scope | None, span: Span, trace: Trace | None,
        source: Draft | None,
    ) -> Scope:  # fmt: skip
        self.scopes += 1
        return Scope(
            number=self.scopes - 1,
            kind=kind,
            label=label,
            parent=parent,
            span=span,
            trace=trace,
            source=source,
        )

    def decide(self, kind: DecisionKind, found: Sourced[Value], place: Span, spot: Spot) -> None:
        """Record that a value decided something of the structure, unless it depends on nothing."""
        if not isinstance(found.source, Const):
            spot.scope.decisions.append(
                Decision(kind, place, (found.source,), in_trace(found.value), spot.trace)
            )


def _within(closure: Closure) -> Env:
    """The names in a pipeline that was handed in: those of where it was written, and a level for its labels."""
    return closure.env.within(LabelScope(closure.env.labels))
