"""A graph from a text: what every test of an analysis begins with."""

from __future__ import annotations

from cnnc.compiler.build import build
from cnnc.compiler.graph import Graph
from cnnc.compiler.ops.base import Shape
from cnnc.dsl.parse import parse
from cnnc.dsl.source import Source


def graph_of(text: str, name: str = "net") -> Graph:
    """The graph of a whole spec. Raises CnncError."""
    return build(parse(Source(f"{name}.cnn", text)), stem=name)


def graph_on(shape: Shape, layers: str) -> Graph:
    """The graph of some layers on an input of this shape. Raises CnncError."""
    return graph_of(f"input {'x'.join(map(str, shape))}\n{layers}\n")
