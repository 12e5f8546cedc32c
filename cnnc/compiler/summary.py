"""The summary of a network: every analysis in one record, and the JSON that stands for it.

The JSON is a stable contract (`cnnc schema summary`). Keys beyond it are there only where they
say something: in `rf`, `phases` (the sizes by phase on each axis, where they differ),
`without_gate` (size and start of the field without the branches that see the whole
input) and `reason` (why there is no figure); at the top, `unknown` (the layers whose
params or macs nobody declared, which count as 0), and on free sizes `limits` (the smallest
legal size, the layer that imposes it, the remainders), `conditions` (what binds several free sizes to one another) and `residues` (`starts` and `aligned`
of an output's field by the size's remainder, where they go by it).
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from cnnc.compiler.cost import Cost, Memory, costs, peak_memory
from cnnc.compiler.depth import depth
from cnnc.compiler.graph import Graph
from cnnc.compiler.limits import Limits
from cnnc.compiler.ops import Op, Shape, show
from cnnc.compiler.ops.base import SameTF
from cnnc.compiler.receptive_field import AxisField, ReceptiveField, receptive_fields
from cnnc.compiler.residues import Residues, residues
from cnnc.compiler.sizes import is_free
from cnnc.dsl.record import record

FORMAT = 1

CONVENTIONS = (
    "MACs: one per multiply-add of convolutions, transposed convolutions, fully-connected and recurrent "
    "layers and matrix products (attention's too), nothing else; FLOPs: 2 x MACs + bias adds. Parameters: each "
    "weight once, shared ones at their first use; state (running statistics) is apart. Traffic: the bytes "
    "that each layer by itself reads and writes in inference, inputs, output and weights once each, float32. RF: the "
    "hull over all paths, not clipped at the border; statistics of normalisation ignored. All per image."
)


@record(eq=False)
class Layer:
    """One layer. `args` are the op's arguments as JSON values; `brought` is a norm or activation
    that another layer's word brought."""

    name: str
    op: Op
    args: Mapping[str, Any]
    inputs: tuple[str, ...]
    out: Shape
    cost: Cost
    rf: ReceptiveField | None
    brought: bool


@record(eq=False, kw_only=True)
class Summary:
    """All there is to tell about a network. `layers` are in topological order, the inputs left out."""

    model: str
    inputs: Mapping[str, Shape]
    outputs: Mapping[str, Shape]
    depth: int
    layers: tuple[Layer, ...]
    graph: Graph
    totals: Cost
    unknown: Mapping[str, tuple[str, ...]]
    """The layers whose `params` or `macs` nobody knows; with them the totals are at least what they say."""
    memory: Memory
    limits: tuple[Limits, ...]
    """What the free sizes of the inputs must be."""
    conditions: tuple[str, ...]
    """What binds several of them to one another."""
    residues: tuple[Residues, ...]
    """Where fields go by the remainder of a free size."""


def summarise(graph: Graph) -> Summary:
    """Every analysis of a graph; fields are on the first input that a layer depends on.

    >>> from cnnc.compiler.build import build
    >>> from cnnc.dsl.parse import parse
    >>> from cnnc.dsl.source import Source
    >>> summary = summarise(build(parse(Source("net.cnn", "input 3x8x8\\nconv3-4 -> fc-10"))))
    >>> summary.depth, summary.totals.params, summary.outputs
    (2, 2682, {'output': (10,)})
    """
    per_node = costs(graph)
    fields = receptive_fields(graph)
    layers: dict[int, Layer] = {}
    for node in graph.nodes:
        if node.role != "input":
            layers[node.index] = Layer(
                node.name, node.op, arguments(node.op), tuple(graph.nodes[i].name for i in node.inputs),
                node.out, per_node.nodes[node.index], fields[node.index], node.role in ("norm", "act"),
            )  # fmt: skip
    return Summary(
        model=graph.name,
        inputs={name: graph.nodes[i].out for name, i in graph.inputs.items()},
        outputs={name: graph.nodes[i].out for name, i in graph.outputs.items()},
        depth=depth(graph),
        layers=tuple(layers.values()),
        graph=graph,
        totals=per_node.total,
        unknown=per_node.unknown,
        memory=peak_memory(graph),
        limits=graph.limits,
        conditions=graph.conditions,
        residues=residues(graph),
    )


# --- as JSON --------------------------------------------------------------------------


def to_json(summary: Summary) -> dict[str, Any]:
    """The summary as the JSON object that `cnnc summary --json` prints; the module says what it holds."""
    data = {
        "format": FORMAT,
        "model": summary.model,
        "inputs": {name: list(shape) for name, shape in summary.inputs.items()},
        "outputs": {name: list(shape) for name, shape in summary.outputs.items()},
        "depth": summary.depth,
        "layers": [_layer_json(layer) for layer in summary.layers],
        "totals": dict(summary.totals.items()),
        "conventions": CONVENTIONS,
    }
    if summary.unknown:
        data["unknown"] = {what: list(names) for what, names in summary.unknown.items()}
    if summary.limits:
        data["limits"] = [_limits_json(one) for one in summary.limits]
    if summary.conditions:
        data["conditions"] = list(summary.conditions)
    if summary.residues:
        data["residues"] = [_residues_json(one) for one in summary.residues]
    plain: dict[str, Any] = _expressions(data)
    return plain


def _expressions(value: Any) -> Any:
    """Free sizes as their expressions: JSON has no number for them."""
    if isinstance(value, dict):
        return {key: _expressions(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_expressions(item) for item in value]
    return repr(value) if is_free(value) else value


def _limits_json(one: Limits) -> dict[str, Any]:
    return {
        "size": one.symbol,
        "smallest": one.smallest,
        "largest": one.largest,
        "gaps": list(one.gaps),
        "imposed_by": one.imposed_by,
        "modulus": one.modulus,
        "remainders": list(one.remainders),
    }


def _residues_json(one: Residues) -> dict[str, Any]:
    return {
        "output": one.output,
        "size": one.symbol,
        "modulus": one.modulus,
        "starts": [list(start) for start in one.starts],
        "aligned": list(one.aligned),
    }


def _layer_json(layer: Layer) -> dict[str, Any]:
    return {
        "name": layer.name,
        "op": layer.op.kind,
        "args": dict(layer.args),
        "inputs": list(layer.inputs),
        "out": list(layer.out),
        **dict(layer.cost.items()),
        "rf": None if layer.rf is None else field_json(layer.rf),
    }


def field_json(field: ReceptiveField) -> dict[str, Any]:
    """A receptive field as JSON. A number is null where there is none: see `AxisField`."""
    if field.undefined is not None:
        return {
            "size": None, "stride": None, "start": None, "aligned": False, "whole_input": False,
            "reason": field.undefined,
        }  # fmt: skip
    out: dict[str, Any] = {
        "size": list(field.size),
        "stride": [_number(stride) for stride in field.stride],
        "start": list(field.start),
        "aligned": field.aligned,
        "whole_input": field.whole,
    }
    shown = field.axes if field.ungated is None else field.ungated
    if any(len(set(axis.sizes)) > 1 for axis in shown):
        out["phases"] = [list(axis.sizes) for axis in shown]
    if field.ungated is not None:
        out["without_gate"] = {"size": _sizes(field.ungated), "start": [axis.start for axis in field.ungated]}
    return out


def _sizes(axes: tuple[AxisField, ...]) -> list[int]:
    return [axis.size for axis in axes]


def _number(value: Fraction | None) -> int | float | None:
    """A rational as a JSON number: an integer where it is whole."""
    if value is None:
        return None
    return value.numerator if value.denominator == 1 else float(value)


def arguments(op: Op) -> dict[str, Any]:
    """The arguments of an op as JSON values, in positional order."""
    return {name: _json_value(getattr(op, name)) for name in type(op).model_fields}


def _json_value(value: Any) -> Any:
    """Numbers, words and lists as they are; a word with arguments (`normal(0.01)`) as it is written."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, tuple) and not isinstance(value, SameTF):
        return [_json_value(v) for v in value]
    return _number(value) if isinstance(value, Fraction) else show(value)
