"""`Net`: one spec, read and understood; what Python programs use."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, cast

import cnnc.claimed  # noqa: F401  (answers `memory(…)`)
from cnnc.compiler.build import build
from cnnc.compiler.cost import Costs, costs
from cnnc.compiler.depth import depth
from cnnc.compiler.expect import Claim, check_claims
from cnnc.compiler.graph import Graph
from cnnc.compiler.limits import Limits
from cnnc.compiler.walk.layers import MAX_LAYERS
from cnnc.dsl import syntax as s
from cnnc.dsl.diagnostics import CnncError, Diagnostic
from cnnc.dsl.parse import parse as parse_source
from cnnc.dsl.read import read_source
from cnnc.dsl.source import Source
from cnnc.given import InputSize, parse_size, parse_value, resolve, stem_of

if TYPE_CHECKING:
    import torch

    from cnnc.backends.diagram.render import Format
    from cnnc.backends.pytorch.fitting import Fitting
    from cnnc.compiler.cards import Card
    from cnnc.compiler.features import Feature
    from cnnc.compiler.split import Split
    from cnnc.planning import Plan

Head = int | Mapping[str, int]
"""A number of classes: of the last weighted layer before the only output, or of layers by label."""
Form = Literal["inference", "checkpoint"] | None
"""A form of the PyTorch module other than the plain one."""


class Net:
    """A network: its graph, its figures, and the ways out of it."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    @property
    def graph(self) -> Graph:
        """Every layer, sized and named, with the scope tree."""
        return self._graph

    @property
    def name(self) -> str:
        return self.graph.name

    @property
    def inputs(self) -> dict[str, tuple[int, ...]]:
        """The shape of each input: channels first, batch left out."""
        return {name: self.graph.nodes[i].out for name, i in self.graph.inputs.items()}

    @property
    def outputs(self) -> dict[str, tuple[int, ...]]:
        """The shape of each output."""
        return {name: self.graph.nodes[i].out for name, i in self.graph.outputs.items()}

    @cached_property
    def costs(self) -> Costs:
        """Parameters, state, MACs, FLOPs and activations of every node, and their total."""
        return costs(self.graph)

    @property
    def params(self) -> int:
        """The number of learnable parameters; a shared module's are counted once."""
        return self.costs.total.params

    @property
    def macs(self) -> int:
        """Multiply-adds for one image: convolution and fully-connected layers only."""
        return self.costs.total.macs

    @property
    def depth(self) -> int:
        """Weighted layers on the longest path, shortcut projections not counted."""
        return depth(self.graph)

    @property
    def limits(self) -> tuple[Limits, ...]:
        """For each free input size, the smallest legal value and the remainders that legal values have."""
        return self.graph.limits

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        """What is legal but likely a mistake, and notes on what was taken for granted."""
        return self.graph.warnings

    @cached_property
    def claims(self) -> tuple[Claim, ...]:
        """Every `expect` line with its verdict. Raises CnncError where one cannot be evaluated."""
        claims, problems = check_claims(self.graph)
        errors = [problem for problem in problems if problem.severity == "error"]
        if errors:
            raise CnncError(errors)
        return tuple(claims)

    def check(self) -> None:
        """Raise CnncError (E601) if a claim does not hold."""
        failures = [claim.failure() for claim in self.claims if not claim.holds]
        if failures:
            raise CnncError(failures)

    def summary(self, **options: Any) -> str:
        """The table of layers; options as of `cnnc.backends.table.render`."""
        from cnnc.backends.table import render
        from cnnc.compiler.summary import summarise

        text: str = render(summarise(self.graph), options.pop("format", "text"), **options)
        return text

    def to_dict(self) -> dict[str, Any]:
        """The contract of `cnnc summary --json`."""
        from cnnc.compiler.summary import summarise, to_json

        return to_json(summarise(self.graph))

    def expand(self) -> str:
        """The flat core: every layer named and explicit, itself a spec with the same meaning."""
        from cnnc.compiler.expand import expand

        return expand(self.graph)

    def fold(self, *, names: Literal["keys", "none"] = "keys") -> str:
        """The spec that a person would have written for the network, of the same graph layer by layer.

        With `names="keys"` its state dict has the same keys; with "none" inputs and outputs alone keep their names.
        """
        from cnnc.importer.structure import shorten

        return shorten(self.graph, names=names)

    def features(self, *labels: str) -> Net:
        """The network whose outputs are the tensors at these labels, as a named tuple; nothing else is computed.

        A label is one of the text, by its path (`layer2`, `layer1.0.downsample`), a layer's name, or an output's.
        Raises CnncError (E203, E302, E304, E801).
        """
        from cnnc.compiler.features import with_features

        return Net(with_features(self.graph, labels))

    @cached_property
    def feature_info(self) -> dict[str, Feature]:
        """Channels, stride, receptive field and alignment of every labelled tensor, the outputs last.

        Of a network made by `features`, of these alone, in their order.
        """
        from cnnc.compiler.features import feature_info

        return feature_info(self.graph)

    def pytorch(
        self, *, optimize: Form = None, features: Sequence[str] | None = None, stages: int | None = None
    ) -> str:
        """The source of a standalone PyTorch module (imports torch only).

        With `features` it returns the tensors at these labels, see there.

        `optimize="inference"` gives the second form, faster and not for training; its function
        `convert` makes its weights from the plain form's. `"checkpoint"` gives the plain form with the
        inner values of its blocks computed again in the backward pass, in place of being kept. `stages` gives
        the plain form cut as `split` says, with the functions `pipeline` and `shard` for several GPUs.
        """
        from cnnc.backends.pytorch import to_pytorch
        from cnnc.backends.pytorch.form import form_of

        return to_pytorch(self._with(features).graph, form_of(optimize, stages))

    def _with(self, features: Sequence[str] | None) -> Net:
        if isinstance(features, str):
            raise TypeError(f"features is a sequence of labels, not a text: ({features!r},)")
        return self if features is None else self.features(*features)

    def module(
        self,
        *,
        optimize: Form = None,
        state: Mapping[str, torch.Tensor] | None = None,
        features: Sequence[str] | None = None,
        stages: int | None = None,
    ) -> torch.nn.Module:
        """The live PyTorch module, made from the same source as `pytorch()`. Needs torch.

        `state` is a state dict of the plain form, which every form loads; a network of `features` takes that of the
        whole network too. For heads and inputs of another width see `fit`.
        """
        from cnnc.backends.pytorch import runtime
        from cnnc.backends.pytorch.form import form_of

        net = self._with(features)
        if state is not None and net.graph.tupled:
            state = net.fit(state).state
        return runtime.module(net.graph, form_of(optimize, stages), state)

    def onnx(self, *, state: Mapping[str, torch.Tensor] | None = None) -> bytes:
        """The network as an ONNX file, in evaluation mode, with the weights of `state` or fresh ones.

        Inputs, outputs, weights and nodes have the spec's names; the batch and free sizes are symbolic. Needs
        torch, onnx and onnxscript (`cnnc[torch,onnx]`). Raises CnncError (E801, E802).
        """
        from cnnc.backends.pytorch.runtime_onnx import to_onnx

        return to_onnx(self.graph, state)

    def fit(self, state: Mapping[str, torch.Tensor]) -> Fitting:
        """What this network takes of the weights of the network as it is written, and what it leaves out.

        It leaves out the tensors that it has no more (of layers that `features` do not need) or in another shape (of
        a `head`, of a first layer with other input channels); a state dict of this very network it takes whole.
        Load it with `model.load_state_dict(fitting.state, strict=False)`. Raises CnncError (E801) where a tensor is
        missing, unknown, or of another shape than the spec has it.
        """
        from cnnc.backends.pytorch.fitting import fitted

        return fitted(self.graph, state)

    def plan(
        self, *, batch: int = 1, train: str | None = None, dtype: str = "float32", amp: bool = False,
        checkpoint: bool = False, fits: int | str | None = None, reserve: float = 0.06, device: str = "cuda",
        card: str | Card | None = None, fused: bool = False, calibrate: Sequence[str] = (),
    ) -> Plan:  # fmt: skip
        """What memory a forward pass takes, or with `train` (sgd, sgd-momentum, adam, adamw) a step of training.

        `amp` is autocast in bfloat16, or in float16 where `dtype` says so; else `dtype` is that of weights and
        images. `fits` is an amount of memory (bytes, or "80GiB") for which the biggest batch is found,
        a share `reserve` of it left for workspace.

        `card` ("h100", "a100", "cpu", a TOML file) adds the floor of each layer's time in inference; with `fused` each
        convolution takes in its norm, activation and sum. `calibrate` are networks that are timed here (this needs torch),
        from which the real time is estimated. Raises CnncError (E407) where a size is free, (E801) where there is
        nothing to checkpoint, (E804) for a card, ValueError for an argument out of range.
        """
        from cnnc.backends.pytorch.memory import Question, memory_plan
        from cnnc.compiler.units import bytes_of
        from cnnc.planning import Plan

        question = Question(
            batch=batch, train=train, dtype=dtype, amp=amp, checkpoint=checkpoint, device=device
        )
        limit = bytes_of(fits) if isinstance(fits, str) else fits
        memory = memory_plan(self.graph, question, limit=limit, reserve=reserve)
        if card is None:
            return Plan(memory)
        from cnnc.compiler.cards import load_card
        from cnnc.compiler.roofline import roofline
        from cnnc.planning import measured_calibration

        half = "bfloat16" if amp and dtype == "float32" else dtype
        given = load_card(card) if isinstance(card, str) else card
        roof = roofline(self.graph, given, batch=batch, dtype=half, fused=fused)
        return Plan(memory, roof, measured_calibration(calibrate, roof, device) if calibrate else None)

    def split(self, stages: int) -> Split:
        """Cuts into stages for a pipeline, balanced by multiply-adds, where few bytes cross.

        Raises CnncError (E303) where there are fewer layers and blocks than stages.
        """
        from cnnc.compiler.split import split

        return split(self.graph, stages)

    def draw(self, format: str = "svg", *, aspect: float | None = None, **options: Any) -> bytes:
        """The diagram as svg, png, pdf, dot or mmd (Mermaid text); options as of `cnnc.backends.diagram.to_dot`.

        With `aspect`, width by height, it is wrapped into as many columns as come nearest (rows, with
        `rankdir="LR"`). Raises ValueError for `dot` and `mmd` with an aspect: these are not laid out.
        """
        from cnnc.backends.diagram import render, to_dot, to_mermaid, wrapped

        if aspect is not None:
            return wrapped(self.graph, format, aspect, **options)
        if format == "mmd":
            return to_mermaid(self.graph, **options).encode()
        return render(to_dot(self.graph, **options), cast("Format", format))

    def volumes(
        self, format: Literal["svg", "tex"] = "svg", *, theme: Literal["light", "dark"] = "light"
    ) -> str:
        """The feature maps as boxes in space, sized by their shapes: SVG, or standalone TikZ."""
        from cnnc.backends import volumes

        return volumes.svg(self.graph, theme) if format == "svg" else volumes.tikz(self.graph, theme)

    def field_picture(self, label: str, position: tuple[int, ...] | None = None) -> str:
        """What one unit sees, drawn over the input as SVG; the middle unit unless `position` says which.

        Raises CnncError for a label or a position that is not there.
        """
        from cnnc.backends import rf_picture

        return rf_picture.svg(self.graph, label, position)

    def report(self) -> str:
        """One HTML page about the network that holds all it needs."""
        from cnnc.backends.report import to_report

        return to_report(self.graph)

    def _repr_svg_(self) -> str | None:
        """The diagram for a notebook; None (then the text is shown) where it cannot be drawn."""
        from cnnc.backends.report.notebook import diagram_svg

        return diagram_svg(self.graph)

    def _repr_html_(self) -> str:
        """The diagram and the table of blocks for a notebook."""
        from cnnc.backends.report.notebook import notebook_html

        return notebook_html(self.graph)

    def __repr__(self) -> str:
        return f"<Net {self.name}: {self.costs.told('params')} parameters, {self.costs.told('macs')} MACs>"


def load(
    spec: str | os.PathLike[str],
    *,
    input: InputSize | Mapping[str, InputSize] | None = None,
    head: Head | None = None,
    max_layers: int = MAX_LAYERS,
    allow_outside: bool = False,
    **params: object,
) -> Net:
    """The network in a file, in `-` (standard input), or shipped as `zoo:NAME`.

    `input` replaces the declared input size ("3x299x299" or (3, 299, 299), "3xHxW" with free sizes, or several
    by name); `head=10` replaces the width of the last weighted layer before the only output, `head={"fc": 10}` that of
    any layer; a model of more than `max_layers` layers is refused; with `allow_outside` the spec may `use` files outside its
    folder; further keywords replace the file's params. Raises CnncError with every mistake.
    """
    path = resolve(os.fspath(spec))
    source = read_source(path, allow_outside=allow_outside)
    return from_source(
        source, stem=stem_of(path), input=input, params=params, max_layers=max_layers, head=head
    )


def parse(
    text: str,
    *,
    name: str = "<text>",
    input: InputSize | Mapping[str, InputSize] | None = None,
    head: Head | None = None,
    max_layers: int = MAX_LAYERS,
    allow_outside: bool = False,
    **params: object,
) -> Net:
    """The network in a text. `name` stands for the file in messages; the rest as in `load`."""
    source = Source(name, text.removeprefix("\ufeff"), allow_outside)
    return from_source(source, stem="net", input=input, params=params, max_layers=max_layers, head=head)


def from_source(
    source: Source,
    *,
    stem: str,
    input: InputSize | Mapping[str, InputSize] | None,
    params: Mapping[str, object],
    max_layers: int = MAX_LAYERS,
    head: Head | None = None,
) -> Net:
    """The network in a source; the common part of `load` and `parse`."""
    sizes: dict[str | None, InputSize] = {}
    if isinstance(input, Mapping):
        sizes = dict(input.items())
    elif input is not None:
        sizes[None] = input
    try:
        return from_syntax(
            parse_source(source), stem=stem, sizes=sizes, params=params, max_layers=max_layers, head=head
        )
    except CnncError as error:
        raise error.with_traceback(None) from None  # the mistake is in the spec, not on the way here


def from_syntax(
    spec: s.Spec,
    *,
    stem: str,
    sizes: Mapping[str | None, InputSize],
    params: Mapping[str, object],
    max_layers: int = MAX_LAYERS,
    head: Head | Mapping[str | None, int] | None = None,
) -> Net:
    """The network of a spec that was read, with input sizes (None: of the only input) and params as they are written."""
    shapes = {name: parse_size(text) for name, text in sizes.items()}
    values = {name: parse_value(name, value) for name, value in params.items()}
    heads: dict[str | None, int] = {}
    if isinstance(head, Mapping):
        heads = dict(head.items())
    elif head is not None:
        heads[None] = head
    return Net(build(spec, stem=stem, sizes=shapes, params=values, max_layers=max_layers, heads=heads))
