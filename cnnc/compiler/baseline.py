"""What other people's files depend on in a network: its ends, its counts, and the keys of its weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field

from cnnc.compiler.cost import costs
from cnnc.compiler.graph import Graph, Node
from cnnc.compiler.ops import show
from cnnc.compiler.ops.base import Sizes, by_x
from cnnc.compiler.receptive_field import ReceptiveField, receptive_field
from cnnc.compiler.sizes import is_free
from cnnc.dsl.record import record
from cnnc.dsl.source import Span


@record
class Baseline:
    """A network as a lock records it; two are equal where nothing that is recorded differs.

    `figures` are `params`, `macs`, and for each end `inputs.NAME`, `outputs.NAME`, `rf.NAME`;
    counts are integers, all else (shapes, expressions of free sizes, counts of which a part is unknown) is text.
    `tensors` are the keys of the built module's state_dict with their shapes, sorted with numbers
    as numbers. Those of an extern, which only its own package knows, stand under one key `NAME.*`.
    """

    figures: Mapping[str, int | str]
    tensors: Mapping[str, str]
    places: Mapping[str, tuple[Span, ...]] = field(default_factory=dict, compare=False, repr=False)
    """Where each end, and the layer of each tensor, is in the text, in the order of the network: first the
    layer itself, then the calls and repeats around it, outwards."""


def baseline(graph: Graph) -> Baseline:
    """The baseline of a graph.

    >>> from cnnc.compiler.build import build
    >>> from cnnc.dsl.parse import parse
    >>> from cnnc.dsl.source import Source
    >>> found = baseline(build(parse(Source("net.cnn", "input 3x8x8\\nconv3-4 -> pool"))))
    >>> found.figures["params"], found.figures["outputs.output"], found.figures["rf.output"]
    (112, '4x4x4', '4x4, stride 2x2')
    >>> found.tensors
    {'conv1.bias': '4', 'conv1.weight': '4x3x3x3'}
    """
    counted = costs(graph)
    figures: dict[str, int | str] = {
        what: f"at least {total}" if what in counted.unknown else _count(total)
        for what, total in (("params", counted.total.params), ("macs", counted.total.macs))
    }
    places: dict[str, tuple[Span, ...]] = {}
    for name, index in graph.inputs.items():
        figures[f"inputs.{name}"] = by_x(graph.nodes[index].out)
        places[f"inputs.{name}"] = (graph.nodes[index].span,)
    for name, index in graph.outputs.items():
        figures[f"outputs.{name}"] = by_x(graph.nodes[index].out)
        figures[f"rf.{name}"] = _field(receptive_field(graph, index))
        places[f"outputs.{name}"] = places[f"rf.{name}"] = (graph.nodes[index].span,)
    tensors: dict[str, str] = {}
    for node, key, shape in graph.tensors():
        tensors[key] = by_x(shape) or "scalar"
        places[key] = _ways(node)
    for node in graph.nodes:
        if node.module == node.name and "params" in node.op.unknown:
            tensors[f"{node.name}.*"] = "unknown"
            places[f"{node.name}.*"] = _ways(node)
    return Baseline(dict(sorted(figures.items())), dict(sorted(tensors.items(), key=natural)), places)


def _ways(node: Node) -> tuple[Span, ...]:
    """Where a layer is in the text, and the calls and turns that it is in, outwards."""
    spans, trace = [node.span], node.trace
    while trace is not None:
        spans.append(trace.span)
        trace = trace.parent
    return tuple(spans)


def _count(value: int) -> int | str:
    return repr(value) if is_free(value) else value


def _field(field: ReceptiveField | None) -> str:
    """A receptive field in words, exact: size and stride, by axis of the first input."""
    if field is None:
        return "no input"
    if field.undefined is not None:
        return "undefined"
    if field.whole:
        return "whole input"
    strides = "x".join("unequal" if stride is None else show(stride) for stride in field.stride)
    return f"{show(Sizes(field.size))}, stride {strides}"


def natural(item: tuple[str, object]) -> list[str | int]:
    """A sort key in which `layer10` comes after `layer2`: text and numbers in turn."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"([0-9]+)", item[0]))]
