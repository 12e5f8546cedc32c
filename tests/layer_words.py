"""Layers by their words, placed on a map of a given shape."""

from __future__ import annotations

from cnnc.compiler.build import build
from cnnc.compiler.graph import Graph
from cnnc.compiler.ops.base import Shape
from cnnc.dsl.diagnostics import CnncError
from cnnc.dsl.parse import parse
from cnnc.dsl.source import Source


def graph_of(shape: Shape, word: str) -> Graph:
    return build(parse(Source("net.cnn", f"input {'x'.join(map(str, shape))}\n{word}\n")))


def codes(shape: Shape, word: str) -> set[str]:
    """The codes that some layers are refused with; none where they are taken."""
    try:
        graph_of(shape, word)
    except CnncError as error:
        return {d.code for d in error.diagnostics}
    return set()
