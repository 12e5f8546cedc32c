"""A picture as Mermaid text, for Markdown pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from cnnc.backends.diagram.picture import Box, Kind, Picture
from cnnc.backends.diagram.plan import Level, picture
from cnnc.backends.diagram.theme import LOOKS, THEMES, ThemeName, fill
from cnnc.backends.diagram.words import cut
from cnnc.compiler.graph import Graph

_SHAPES: dict[Kind, tuple[str, str]] = {
    "input": ("([", "])"),
    "output": ("([", "])"),
    "block": ("[[", "]]"),
    "pooling": ("{{", "}}"),
    "merge": ("((", "))"),
    "attention": ("{{", "}}"),
    "normalisation": ("(", ")"),
    "arithmetic": ("(", ")"),
    "activation": ("(", ")"),
    "reshape": ("[/", "/]"),
}
"""Brackets by kind; the others are plain boxes."""


def to_mermaid(
    graph: Graph,
    *,
    level: Level = "blocks",
    block: str | None = None,
    show: Sequence[str] = (),
    rankdir: Literal["TB", "LR"] = "TB",
    theme: ThemeName = "light",
) -> str:
    """The diagram of a graph as a Mermaid flowchart; the arguments are `to_dot`'s."""
    drawn = picture(graph, level=level, block=block, show=show)
    lines = [f"flowchart {rankdir}", *_inside(drawn, None, "  ")]
    for edge in drawn.edges:
        arrow = "-.->" if edge.skip else "-->"
        label = f'|"{_text(edge.text)}"|' if edge.text else ""
        lines.append(f"  {edge.source} {arrow}{label} {edge.target}")
    lines += _classes(drawn, theme)
    return "\n".join(lines) + "\n"


def _inside(drawn: Picture, parent: str | None, indent: str) -> list[str]:
    """The boxes of one frame, then the frames in it."""
    lines = [indent + _box(box) for box in drawn.nodes if box.cluster == parent]
    for cluster in drawn.clusters:
        if cluster.parent == parent:
            lines.append(f'{indent}subgraph {cluster.id}["{_text(cluster.title)}"]')
            lines += _inside(drawn, cluster.id, indent + "  ")
            lines.append(f"{indent}end")
    return lines


def _box(box: Box) -> str:
    left, right = _SHAPES.get(box.kind, ("[", "]"))
    lines = [_text(text) for text in (box.title, *box.lines) if text is not None]
    if box.count is not None:
        lines[1 if box.title is not None and box.lines else 0] += f" {box.count}"
    lines += [_text(note) for note in box.notes]
    return f'{box.id}{left}"{"<br/>".join(lines)}"{right}:::{box.kind}'


def _classes(drawn: Picture, theme: ThemeName) -> list[str]:
    colours = THEMES[theme]
    lines = []
    for kind in drawn.kinds():
        style = f"fill:{fill(kind, theme)},stroke:{colours.faint},color:{colours.ink}"
        if "dashed" in LOOKS[kind].border:
            style += ",stroke-dasharray:5 3"
        elif "dotted" in LOOKS[kind].border:
            style += ",stroke-dasharray:2 2"
        elif "bold" in LOOKS[kind].border:
            style += ",stroke-width:2px"
        lines.append(f"  classDef {kind} {style}")
    return lines


def _text(text: str) -> str:
    """Text of the spec, with every character that Mermaid or HTML could read as markup as its number."""
    return "".join(ch if ch.isalnum() or ch in _PLAIN else f"#{ord(ch)};" for ch in cut(text))


_PLAIN = frozenset(" .,:-_/()+=…\N{MULTIPLICATION SIGN}")
