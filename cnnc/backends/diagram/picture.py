"""The picture: boxes, arrows and frames, before anybody chose a file format.

The DOT and the Mermaid writer read the same picture; none of them folds anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cnnc.compiler.ops.base import Family

Kind = Family | Literal["block", "output", "bend", "link"]
"""What a box looks like: the family of its main layer, a closed block or bracket, or an end of the net.

In a picture that is wrapped, arrows go on in another column at a `bend` or, by a letter, at a `link`.
"""

FAMILY_NAMES: dict[Kind, str] = {
    "input": "input",
    "output": "output",
    "block": "block",
    "convolution": "convolution",
    "linear": "fully connected",
    "recurrent": "recurrent",
    "attention": "attention",
    "pooling": "pooling",
    "normalisation": "normalisation",
    "activation": "activation",
    "regularisation": "regularisation",
    "arithmetic": "arithmetic",
    "merge": "merge",
    "reshape": "reshape",
    "head": "head",
}
"""Every kind of a layer with the name that the legend gives it, in the legend's order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """One box. `title` is a label, `lines` are layer words or a block call, `notes` figures asked for.

    `nodes` are the graph's nodes that the box stands for, those of folded turns included.
    """

    id: str
    kind: Kind
    title: str | None = None
    lines: tuple[str, ...] = ()
    times: int = 1
    """How often the box stands here, one after another (or side by side): shown as `x 6`."""
    parallel: bool = False
    notes: tuple[str, ...] = ()
    nodes: tuple[int, ...] = ()
    cluster: str | None = None

    @property
    def count(self) -> str | None:
        """`x 6`, which stands behind the first line; None where the box stands once."""
        if self.times == 1:
            return None
        return f"x {self.times}" + (" in parallel" if self.parallel else "")


@dataclass(frozen=True, slots=True)
class Edge:
    """An arrow between two boxes. A skip is one that another way through the picture goes around.

    A `quiet` one is drawn without its shape, which stands on an arrow beside it. `role` is what its target calls
    it: the query of an attention, the left factor of a product. `turns` is its shape in all turns of a fold, from
    the first to the last, where they differ.
    """

    source: str
    target: str
    shape: str
    skip: bool = False
    quiet: bool = False
    role: str = ""
    turns: str = ""

    @property
    def text(self) -> str:
        """What is written beside it: `64x56x56`, `q: 64x196`; only the role where it is quiet."""
        return self.role if self.quiet else ": ".join(filter(None, (self.role, self.shape)))


@dataclass(frozen=True, slots=True)
class Cluster:
    """A frame around boxes; `parent` is the frame that it stands in.

    `lines` are a label and a block call, as far as there are any; `count` is `x 6` on a fold.
    """

    id: str
    lines: tuple[str, ...]
    count: str | None
    parent: str | None

    @property
    def title(self) -> str:
        """The heading on one line: `dense1: layer(32) x 6`."""
        return " ".join(text for text in (": ".join(self.lines), self.count) if text)


@dataclass(frozen=True, slots=True)
class Picture:
    """A whole picture. Frames stand before the frames within them; boxes in the order of the flow."""

    name: str
    nodes: tuple[Box, ...]
    edges: tuple[Edge, ...]
    clusters: tuple[Cluster, ...]

    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of box that appear, in the legend's order."""
        seen = {box.kind for box in self.nodes}
        return tuple(kind for kind in FAMILY_NAMES if kind in seen)
