"""The volumes of a graph as a file."""

from __future__ import annotations

from cnnc.backends.diagram.theme import ThemeName
from cnnc.backends.vector import to_svg, to_tikz
from cnnc.backends.volumes.drawing import scene
from cnnc.compiler.graph import Graph


def svg(graph: Graph, theme: ThemeName = "light") -> str:
    """The feature maps of a graph as boxes, as a standalone SVG file.

    Raises CnncError E901 where the picture would be too large to read.
    """
    return to_svg(scene(graph, theme))


def tikz(graph: Graph, theme: ThemeName = "light") -> str:
    """The same drawing as a standalone TikZ document."""
    return to_tikz(scene(graph, theme))
