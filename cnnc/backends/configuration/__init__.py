"""A paper's configuration table: stages in rows, networks in columns, as Markdown, LaTeX and SVG."""

from __future__ import annotations

from collections.abc import Sequence

from cnnc.backends.configuration.latex import latex_of
from cnnc.backends.configuration.markdown import markdown_of
from cnnc.backends.configuration.picture import svg_of
from cnnc.backends.configuration.stages import Entry, Stage, stages_of
from cnnc.backends.configuration.table import Row, Table, gaps, table_of
from cnnc.backends.diagram.theme import ThemeName
from cnnc.compiler.graph import Graph

__all__ = ["Entry", "Row", "Stage", "Table", "gaps", "latex", "markdown", "stages_of", "svg", "table_of"]


def markdown(graphs: Sequence[Graph]) -> str:
    """The table of these networks as Markdown."""
    return markdown_of(table_of(graphs))


def latex(graphs: Sequence[Graph]) -> str:
    """The table of these networks as a LaTeX tabular, to be taken in by a paper; it needs no package."""
    return latex_of(table_of(graphs))


def svg(graphs: Sequence[Graph], theme: ThemeName = "light") -> str:
    """The table of these networks as a standalone SVG file."""
    return svg_of(table_of(graphs), theme)
