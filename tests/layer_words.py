"""Layers by their words, placed on a map of a given shape."""

from __future__ import annotations

from graphs import graph_on

from cnnc.compiler.ops.base import Shape
from cnnc.dsl.diagnostics import CnncError


def codes(shape: Shape, word: str) -> set[str]:
    """The codes that some layers are refused with; none where they are taken."""
    try:
        graph_on(shape, word)
    except CnncError as error:
        return {d.code for d in error.diagnostics}
    return set()
