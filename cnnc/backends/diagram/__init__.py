"""Diagrams of a network: Graphviz's DOT and what it renders to, and Mermaid text."""

from cnnc.backends.diagram.dot import to_dot
from cnnc.backends.diagram.mermaid import to_mermaid
from cnnc.backends.diagram.picture import Box, Cluster, Edge, Picture
from cnnc.backends.diagram.plan import open_picture, picture
from cnnc.backends.diagram.render import render
from cnnc.backends.diagram.sheet import wrapped, wrapped_svg

__all__ = [
    "Box",
    "Cluster",
    "Edge",
    "Picture",
    "open_picture",
    "picture",
    "render",
    "to_dot",
    "to_mermaid",
    "wrapped",
    "wrapped_svg",
]
