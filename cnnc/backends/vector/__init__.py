"""Vector drawings: a scene of plain shapes, and what writes it as SVG or as TikZ."""

from cnnc.backends.vector.scene import Group, Item, Line, Point, Polygon, Scene, Text
from cnnc.backends.vector.svg import to_svg
from cnnc.backends.vector.tikz import escape_latex, to_tikz

__all__ = ["Group", "Item", "Line", "Point", "Polygon", "Scene", "Text", "escape_latex", "to_svg", "to_tikz"]
