"""Where a model begins and ends: its inputs, its block if it is one, its outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnc.compiler.ops import Sizes, show
from cnnc.compiler.ops.base import MAX_SIZE
from cnnc.compiler.ops.reshape import Input
from cnnc.compiler.sizes import is_free, symbol
from cnnc.compiler.symbolic import Sym, opaque
from cnnc.compiler.walk.draft import Draft, Spot, poison
from cnnc.compiler.walk.evaluate import evaluate, interpolate
from cnnc.compiler.walk.references import REFERENCE
from cnnc.compiler.walk.values import (
    Env,
    InputShape,
    Labelled,
)
from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import Diagnostic, did_you_mean, fail
from cnnc.dsl.source import Span

if TYPE_CHECKING:
    from cnnc.compiler.walk.elaborate import Walk


_IMAGE_CHANNELS = (1, 3)
_IMAGE_SIDE = 16
"""An image has so many channels, and at least so many rows and columns."""


class Ends:
    """Places the inputs and finds the outputs of a walk."""

    def __init__(self, walk: Walk) -> None:
        self.walk = walk
        self._sources: list[Sym] = []
        """Where the sizes of the inputs come from."""

    def inputs(self, spot: Spot) -> dict[str, Draft]:
        declared = [st for st in self.walk.spec.statements if isinstance(st, s.Input)]
        inputs: dict[str, Draft] = {}
        start = Span(self.walk.spec.source, 0, 0)
        for statement in declared:
            name = statement.name or "input"
            shape: tuple[int, ...] = ()
            with self.walk.recovering(None):
                if name in inputs:
                    hint = "give each input a name of its own: input left: 3x64x64"
                    raise fail("E204", f"there are two inputs called `{name}`", statement.span, hint=hint)
                shape = self._input_shape(statement, spot.env)
                self._note_order(statement, shape)
            inputs[name] = self._input(name, shape, statement.span, spot)
            if statement.name is not None:
                with self.walk.recovering(None):
                    self.walk.labels.take(statement.name, statement.span, spot)
                    label = s.Label((statement.name,), False, statement.span)
                    nothing = s.Pipeline((), (), statement.span)
                    core = s.Bracket(nothing, None, statement.span, statement.span)
                    item = s.Item(label, core, None, statement.span)
                    self.walk.labels.define(name, inputs[name], None, item, spot)
                    spot.env.labels.entries[name].used = True
        if not declared:
            if None not in self.walk.sizes:
                note = "no input is declared; taking 3x224x224"
                self.walk.problems.append(Diagnostic("N101", note, None, hint="declare it: input 3x224x224"))
            inputs["input"] = self._input(
                "input", self._given(self.walk.sizes.get(None) or (3, 224, 224)), start, spot
            )
        if list(inputs) == ["input"]:  # an input without a name can be named all the same
            spot.env.labels.entries.setdefault("input", Labelled(inputs["input"], None, start, used=True))
        for wanted in self.walk.sizes:
            if wanted is not None and wanted not in inputs:
                hint = did_you_mean(wanted, inputs) or f"its inputs: {', '.join(inputs)}"
                raise fail("E203", f"the model has no input `{wanted}`", hint=hint)
        if None in self.walk.sizes and len(inputs) > 1:
            raise fail("E203", "the model has several inputs", hint="name the input: --input NAME=3x224x224")
        return inputs

    def _input_shape(self, statement: s.Input, env: Env) -> tuple[int, ...]:
        given = self.walk.sizes.get(statement.name) or self.walk.sizes.get(None)
        if given is not None:
            return self._given(given)
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
            if len(shape) == 3 and not statement.channels_last and not is_free(shape[2]):
                hint = f"channels come first: input {shape[2]}x{show(Sizes(sizes[:2]))}, or {show(value)} hwc"
            raise fail(
                "E407", f"the channels of `{show(value)}` must be known", statement.dims.span, hint=hint
            )
        return shape

    def _input_size(self, part: int | str | s.Expr, statement: s.Input, env: Env) -> int:
        """One size of an input; a capital letter that stands for nothing else is a free size."""
        if isinstance(part, str) and env.value(part) is None:
            if len(part) != 1 or not part.isupper():
                hint = "a free size is one capital letter: input 3xHxW"
                raise fail("E202", f"`{part}` is not defined here", statement.dims.span, hint=hint)
            return self._free(part)
        found = evaluate(s.Dims((part,), statement.dims.span), env)
        self._sources.append(found.source)
        assert isinstance(found.value, Sizes)
        return int(found.value[0])

    def _free(self, name: str) -> int:
        """A free size, the same for all inputs that name it."""
        reference = self.walk.reference.get(name, REFERENCE)
        return self.walk.free.setdefault(name, symbol(name, reference, self.walk.ledger))

    def _given(self, shape: InputShape) -> tuple[int, ...]:
        """A shape from the command line or Python. Raises E407 where its channels are free."""
        if isinstance(shape[0], str):
            hint, shown = "only the axes of a map can be free: 3xHxW", "x".join(map(str, shape))
            raise fail("E407", f"the channels of `{shown}` must be known", hint=hint)
        return tuple(self._free(n) if isinstance(n, str) else n for n in shape)

    def _note_order(self, statement: s.Input, shape: tuple[int, ...]) -> None:
        """N102 where the sizes read as an image with its channels last, or as a batch of images."""
        hint = None
        if len(shape) == 3 and shape[2] in _IMAGE_CHANNELS and min(map(int, shape[:2])) >= _IMAGE_SIDE:
            if not statement.channels_last:
                hint = f"if it is height x width x channels, say so: input {show(Sizes(shape))} hwc"
                what = f"{int(shape[0])} channels"
        elif len(shape) == 4 and shape[1] in _IMAGE_CHANNELS and min(map(int, shape[2:])) >= _IMAGE_SIDE:
            hint = f"if {int(shape[0])} is a batch, leave it out: input {show(Sizes(shape[1:]))}"
            what = f"a map of three axes, {int(shape[1])} deep"
        if hint is not None:
            note = f"the input {show(Sizes(shape))} is taken as {what}"
            self.walk.problems.append(Diagnostic("N102", note, statement.dims.span, hint=hint))

    def _input(self, name: str, shape: tuple[int, ...], span: Span, spot: Spot) -> Draft:
        if not shape:
            return poison(span)
        op = Input(shape=tuple(map(int, shape)))
        draft = Draft(
            number=len(self.walk.drafts), op=op, inputs=(), shape=shape, span=span, trace=None, role="input",
            label=name, scope=spot.scope, args={"shape": opaque(shape, *self._sources)},
        )  # fmt: skip
        self.walk.drafts.append(draft)
        return draft

    def model_block(self, model: s.Model, flow: Draft | None, spot: Spot) -> Draft | None:
        """`model name = block(…)`: the block's body is the model, no level added."""
        assert model.call is not None
        core = model.call.core
        name = core.literal if isinstance(core, s.Word) else None
        block = self.walk.file.blocks.get(name) if name else None
        with self.walk.recovering(None):
            if block is None or not isinstance(core, s.Word):
                raise fail(
                    "E201", f"`{name or core.span.text}` is no block",
                    core.head_span if isinstance(core, s.Word) else core.span,
                    hint=did_you_mean(name or "", self.walk.file.blocks) or "model NAME = BLOCK(arguments)",
                )  # fmt: skip
            self.walk.file.used.add(name or "")
            return self.walk.calls.block(block, core, None, flow, spot, inline=True)
        return poison(model.span)

    def outputs(self, flow: Draft | None, spot: Spot) -> dict[str, Draft]:
        declared = [st for st in self.walk.spec.statements if isinstance(st, s.Output)]
        if not declared:
            if flow is None:
                where = Span(self.walk.spec.source, 0, len(self.walk.spec.source.text.rstrip()))
                hint = "write a chain of layers, for instance: conv3-64 -> pool -> fc-10"
                self.walk.report(Diagnostic("E107", "there are no layers", where, hint=hint), None)
                return {}
            return {"output": flow}
        outputs: dict[str, Draft] = {}
        for statement in declared:
            for name in statement.names:
                with self.walk.recovering(None):
                    if isinstance(name, s.Interpolated):
                        found = interpolate(name.parts, spot.env)
                        self.walk.decide("name", found, name.span, spot)
                        text = found.value
                    else:
                        text = name.value if isinstance(name, s.String) else name.id
                    if text in outputs:
                        raise fail("E204", f"`{text}` is an output twice", name.span)
                    outputs[text] = self.walk.labels.tensor(text, name.span, spot.env)
        return outputs
