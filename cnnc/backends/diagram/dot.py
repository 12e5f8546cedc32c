"""A picture as Graphviz's DOT, written by the `graphviz` package."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Literal

from cnnc.backends.diagram.fork import Fork, Ways, ways_of
from cnnc.backends.diagram.heading import FRAME_MARGIN, Pad, heading, pads_of
from cnnc.backends.diagram.picture import FAMILY_NAMES, Box, Cluster, Edge, Kind, Picture
from cnnc.backends.diagram.plan import Level, picture
from cnnc.backends.diagram.theme import LOOKS, THEMES, Theme, ThemeName, fill
from cnnc.backends.diagram.words import MAX_CALL, MAX_TEXT, cut
from cnnc.compiler.graph import Graph

if TYPE_CHECKING:
    import graphviz

Direction = Literal["TB", "LR"]

FONT = "Helvetica,Arial,sans-serif"
_NODE_GAP = 29
"""The room between two nodes, in points: Graphviz's `nodesep` in inches, times 72."""


def to_dot(
    graph: Graph,
    *,
    level: Level = "blocks",
    block: str | None = None,
    show: Sequence[str] = (),
    rankdir: Direction = "TB",
    theme: ThemeName = "light",
) -> graphviz.Digraph:
    """The diagram of a graph as DOT; `.source` is the text, `render` makes a file of it.

    What is drawn is said at `picture`. Arrows carry channels x height x width.
    Raises CnncError E201 for an unknown block, E901 where the picture is too large.
    """
    return write_dot(picture(graph, level=level, block=block, show=show), rankdir=rankdir, theme=theme)


def write_dot(
    drawn: Picture, *, rankdir: Direction = "TB", theme: ThemeName = "light", legend: bool = True
) -> graphviz.Digraph:
    """A picture as DOT. Boxes and frames are called by their ids: no text of the spec names anything."""
    import graphviz

    dot = graphviz.Digraph(graphviz.escape(drawn.name))
    style = _Style(THEMES[theme], theme, rankdir, legend)
    dot.attr("graph", **style.graph(drawn))
    dot.attr("node", **style.nodes())
    dot.attr("edge", **style.edges())
    ways = ways_of(drawn)
    _write_inside(dot, drawn, ways, pads_of(drawn, ways), None, style)
    into = {fork.id for fork in ways.forks}
    ways_in = Counter(edge.target for edge in ways.edges if not edge.skip)
    bends = {box.id for box in drawn.nodes if box.kind == "bend"}
    for edge in ways.edges:
        headed = edge.target not in into and edge.target not in bends
        attributes = style.edge(edge, alone=ways_in[edge.target] == 1, headed=headed)
        for end, clip in ((edge.source, "tailclip"), (edge.target, "headclip")):
            if end in bends:
                attributes[clip] = "false"
        dot.edge(edge.source, edge.target, **attributes)
    return dot


def legend_dot(drawn: Picture, *, theme: ThemeName = "light", letters: bool = False) -> graphviz.Digraph:
    """The legend of a picture alone, in one row, above a point that is not seen; `letters` are explained if asked."""
    import graphviz

    dot = graphviz.Digraph(graphviz.escape(drawn.name))
    style = _Style(THEMES[theme], theme, "TB")
    dot.attr("graph", bgcolor="transparent", fontname=FONT, fontcolor=style.colours.ink)
    dot.attr("graph", label=style.legend(drawn, columns=len(FAMILY_NAMES) + 2, letters=letters), labelloc="b")
    dot.node("nothing", label="", style="invis", shape="point", width="0.01")
    return dot


def _write_inside(
    dot: graphviz.Digraph,
    drawn: Picture,
    ways: Ways,
    pads: Mapping[str, Pad],
    parent: str | None,
    style: _Style,
) -> None:
    """The boxes of one frame, then the frames in it."""
    for fork in ways.forks:
        if fork.cluster == parent:
            dot.node(fork.id, **style.fork(fork))
    for box in drawn.nodes:
        if box.cluster == parent:
            dot.node(box.id, **(style.end(box) if box.kind in ("bend", "link") else style.box(box)))
    for cluster in drawn.clusters:
        if cluster.parent == parent:
            with dot.subgraph(name=f"cluster_{cluster.id}") as inner:
                inner.attr("graph", **style.frame(cluster))
                if style.rankdir == "TB" and cluster.id in pads:
                    _write_pad(inner, cluster, pads[cluster.id])
                _write_inside(inner, drawn, ways, pads, cluster.id, style)


def _write_pad(dot: graphviz.Digraph, cluster: Cluster, pad: Pad) -> None:
    """An unseen node that pushes the arrow into a frame out of the way of the headings.

    Graphviz 2.43, which Debian has, forgets the order of an edge of weight 0.
    """
    name = f"pad_{cluster.id}"
    width = f"{max(1.0, pad.width - _NODE_GAP) / 72:.2f}"
    dot.node(name, label="", style="invis", shape="box", width=width, height="0", margin="0")
    with dot.subgraph() as same:
        same.attr(rank="same")
        same.edge(name, pad.beside, style="invis", weight="1")


@dataclass(frozen=True, slots=True)
class _Style:
    """The attributes of everything in a diagram."""

    colours: Theme
    theme: ThemeName
    rankdir: Direction
    with_legend: bool = True

    def graph(self, drawn: Picture) -> dict[str, str]:
        return {
            "rankdir": self.rankdir,
            "bgcolor": self.colours.paper,
            "fontname": FONT,
            "fontsize": "11",
            "fontcolor": self.colours.ink,
            "nodesep": "0.4",
            "ranksep": "0.2",
            "newrank": "true",
            "label": self.legend(drawn, columns=3 if self.rankdir == "TB" else 6) if self.with_legend else "",
            "labelloc": "b",
        }

    def nodes(self) -> dict[str, str]:
        return {
            "fontname": FONT,
            "fontsize": "11",
            "fontcolor": self.colours.ink,
            "color": self.colours.faint,
            "margin": "0.12,0.05",
            "height": "0.3",
            "width": "0.3",
        }

    def edges(self) -> dict[str, str]:
        return {
            "fontname": FONT,
            "fontsize": "9",
            "fontcolor": self.colours.faint,
            "color": self.colours.faint,
            "arrowsize": "0.6",
        }

    def frame(self, cluster: Cluster) -> dict[str, str]:
        return {
            "id": cluster.id,
            "label": _html("".join(f'{line}<br align="left"/>' for line in self._heading(cluster))),
            "labeljust": "l",
            "labelloc": "t",
            "style": "rounded,filled",
            "fillcolor": self.colours.frame,
            "color": self.colours.faint,
            "margin": str(FRAME_MARGIN),
        }

    def _heading(self, cluster: Cluster) -> list[str]:
        """The lines over a frame as markup, the label in bold, and the count."""
        lines = [escape(line) for line in heading(cluster)]
        return [f"<b>{lines[0]}</b>", *lines[1:]]

    def fork(self, fork: Fork) -> dict[str, str]:
        return {
            "id": fork.id,
            "label": "",
            "shape": "point",
            "width": "0.04",
            "color": self.colours.faint,
        }

    def end(self, box: Box) -> dict[str, str]:
        """Where an arrow goes on in another piece of the picture: at a letter, or at a bend of the arrow."""
        if box.kind == "bend":
            return {"id": box.id, "label": "", "shape": "point", "width": "0.01", "color": self.colours.faint}
        return {
            "id": box.id, "label": _html(f"<b>{_text(box.lines[0])}</b>"), "shape": "circle",
            "style": "filled", "fillcolor": self.colours.paper, "color": self.colours.skip,
            "margin": "0.01", "width": "0.2", "fontsize": "9",
        }  # fmt: skip

    def box(self, box: Box) -> dict[str, str]:
        look = LOOKS[box.kind]
        attributes = {
            "id": box.id,
            "label": self._box_label(box),
            "shape": look.shape,
            "style": f"filled,{look.border}",
            "fillcolor": fill(box.kind, self.theme),
        }
        if look.rims > 1:
            attributes["peripheries"] = str(look.rims)
        if box.kind == "merge":
            attributes["margin"] = "0.03,0.01"
        return attributes

    def _box_label(self, box: Box) -> str:
        """The label in bold, the lines under it, the figures small; `x 6` stands behind the first line."""
        told = box.kind == "block" and len(box.lines) > 1
        lines = [
            _text(line, MAX_TEXT if place or not told else MAX_CALL) for place, line in enumerate(box.lines)
        ]
        if lines and box.kind == "block" and box.title is None:
            lines[0] = f"<b>{lines[0]}</b>"
        if box.title is not None:
            lines.insert(0, f"<b>{_text(box.title)}</b>")
        if box.count is not None:
            lines[1 if box.title is not None and box.lines else 0] += f"  <b>{box.count}</b>"
        small = f'<font point-size="9" color="{self.colours.faint}">'
        lines += [f"{small}{_text(note)}</font>" for note in box.notes]
        return _html("<br/>".join(lines))

    def edge(self, edge: Edge, *, alone: bool, headed: bool) -> dict[str, str]:
        """A chain is to be straight; branches that meet (not `alone`) may come from the sides."""
        label = {"label": _html(f"&#160;{_text(edge.text)}&#160;")} if edge.text else {}
        if not headed:
            label["arrowhead"] = "none"
        if edge.skip:
            return {**label, "color": self.colours.skip, "style": "dashed", "weight": "1"}
        return {**label, "weight": "500" if alone else "10"}

    def legend(self, drawn: Picture, columns: int, *, letters: bool = False) -> str:
        """A table with a sample of each kind that appears."""
        cells = [self._sample(kind) for kind in drawn.kinds() if kind not in ("input", "output")]
        if any(edge.skip for edge in drawn.edges):
            cells.append(f'<td><font color="{self.colours.skip}">- - -</font></td><td align="left">skip</td>')
        if letters:
            cells.append(
                f'<td><font color="{self.colours.skip}"><b>A</b></font></td><td align="left">goes on at the same letter</td>'
            )
        if not cells:
            return ""
        rows = (cells[i : i + columns] for i in range(0, len(cells), columns))
        body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
        table = f'<table border="0" cellborder="0" cellspacing="4">{body}</table>'
        return _html(f'<font point-size="9">{table}</font>')

    def _sample(self, kind: Kind) -> str:
        look = LOOKS[kind]
        words = [word for word in look.border.split(",") if word in ("rounded", "dashed", "dotted")]
        style = f' style="{",".join(words)}"' if words else ""
        return (
            f'<td border="{look.weight}" width="18" color="{self.colours.faint}" '
            f'bgcolor="{fill(kind, self.theme)}"{style}> </td>'
            f'<td align="left">{FAMILY_NAMES[kind]}</td>'
        )


def _text(text: str, most: int = MAX_TEXT) -> str:
    """Text of the spec, cut to a line, with nothing left that a label would read as markup."""
    return escape(cut(text, most))


def _html(markup: str) -> str:
    """The package takes what stands in angle brackets for a label with markup."""
    return f"<{markup}>"
