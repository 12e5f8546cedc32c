"""The tensors at labels: a network that gives these and computes no more, and what each of them is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction

from cnnc.compiler.graph import Graph, Node
from cnnc.compiler.ops import Shape
from cnnc.compiler.prune import pruned
from cnnc.compiler.receptive_field import ReceptiveField, receptive_fields
from cnnc.dsl.diagnostics import did_you_mean, fail
from cnnc.dsl.record import record


@record
class Feature:
    """One tensor: its shape, and how its positions lie on the first input that it depends on, axis by axis.

    `stride` is None on an axis where branches of unequal stride meet. Position 0 sees `field` coordinates from `start`
    on, around `centre`; `aligned` says whether the branches on the way are centred on each other. A tensor
    that sees its whole input has the input's sizes as `field` and stride 0; one that depends on no input, or whose
    field is undefined, has no axes.
    """

    label: str
    shape: Shape
    stride: tuple[Fraction | None, ...]
    field: tuple[int, ...]
    start: tuple[int | None, ...]
    centre: tuple[Fraction | None, ...]
    aligned: bool
    whole: bool

    @property
    def channels(self) -> int:
        return self.shape[0]

    @property
    def reduction(self) -> int | None:
        """The stride where it is one whole number for all axes, as of an encoder's stages."""
        found = set(self.stride)
        only = found.pop() if len(found) == 1 else None
        return int(only) if only and only.denominator == 1 else None


def with_features(graph: Graph, labels: Sequence[str]) -> Graph:
    """The network whose outputs are the tensors at these labels, told by name, without what they do not need.

    A label is one of the text, by its path, the name of a layer, or an output's. Raises CnncError: E203 for
    one that is not there, E302 where none is given, E304 for one given twice, E801 within a shared module.
    """
    if not labels:
        raise fail("E302", "no feature is asked for", hint="name labels of the spec, such as layer2, layer4")
    twice = next((label for i, label in enumerate(labels) if label in labels[:i]), None)
    if twice is not None:
        raise fail("E304", f"the feature `{twice}` is asked for twice")
    outputs = {label: _feature(graph, label) for label in labels}
    return replace(pruned(graph, outputs), tupled=True, claims=())


def node_named(graph: Graph, label: str) -> Node:
    """The node of a label, a path or a layer's name. Raises CnncError (E203) where there is none."""
    if label not in graph.labels:
        brought = {node.name for node in graph.nodes if node.role in ("norm", "act", "flatten")}
        # A numbered name within a labelled bracket is as near as the bracket's, and rarely meant.
        said = {name for name in graph.labels if not name.rpartition(".")[2].isdecimal()} - brought
        hint = did_you_mean(label, said) or "a label, or a name that `cnnc summary` shows"
        raise fail("E203", f"the model has no label or layer `{label}`", hint=hint)
    return graph.nodes[graph.labels[label]]


def _feature(graph: Graph, label: str) -> int:
    if label in graph.outputs and label not in graph.labels:
        return graph.outputs[label]
    index = node_named(graph, label).index
    for use in graph.shared_uses():
        if index != use.result and index in use.nodes():
            raise fail(
                "E801", f"`{label}` is inside the shared module `{use.module}`",
                hint="put a label after a use of it to name its output",
            )  # fmt: skip
    return index


def feature_info(graph: Graph) -> dict[str, Feature]:
    """What each labelled tensor is, by its path, in the order of the network; the outputs last.

    Of a network of features, the features alone, in the order in which they were asked for.
    """
    fields = receptive_fields(graph)
    if graph.tupled:
        return {name: _info(graph, name, i, fields[i]) for name, i in graph.outputs.items()}
    labels = sorted(_written(graph), key=lambda label: graph.labels[label])
    found = {name: _info(graph, name, i, fields[i]) for name in labels for i in [graph.labels[name]]}
    return found | {name: _info(graph, name, i, fields[i]) for name, i in graph.outputs.items()}


def _written(graph: Graph) -> Iterable[str]:
    """The paths that end with a label of the text."""
    said = {node.name for node in graph.layers if node.label is not None and node.role in ("own", "merge")}
    said |= {scope.name for scope in graph.scopes() if scope.label is not None and scope.kind != "path"}
    names = {node.name for node in graph.nodes} | {scope.name for scope in graph.scopes()}
    return [label for label in graph.labels if label in said or label not in names]


def _info(graph: Graph, label: str, index: int, field: ReceptiveField | None) -> Feature:
    shape = graph.nodes[index].out
    if field is None or field.undefined is not None:
        return Feature(label, shape, (), (), (), (), True, False)
    return Feature(
        label=label,
        shape=shape,
        stride=field.stride,
        field=field.size,
        start=field.start,
        centre=field.centre,
        aligned=field.aligned,
        whole=field.whole,
    )
