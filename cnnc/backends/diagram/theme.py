"""Colours, borders and shapes. A kind of box differs from the others in grey too: by border or shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from cnnc.backends.diagram.picture import Kind

ThemeName = Literal["light", "dark"]


@dataclass(frozen=True, slots=True)
class Look:
    """How a kind of box is drawn; `border` is a DOT style, `rims` the number of border lines."""

    light: str
    dark: str
    shape: str = "box"
    border: str = "solid"
    rims: int = 1

    @property
    def weight(self) -> int:
        """The width of the border in the legend."""
        return 2 if self.rims > 1 or "bold" in self.border else 1


LOOKS: Mapping[Kind, Look] = {
    "input": Look("#ffffff", "#1f2429", shape="oval"),
    "output": Look("#ffffff", "#1f2429", shape="oval"),
    "block": Look("#c6dbef", "#1f4e79", rims=2),
    "convolution": Look("#deebf7", "#2b4a66"),
    "linear": Look("#fdd0a2", "#7f4a1d", border="bold"),
    "recurrent": Look("#fbe3b6", "#6b5320", border="bold,dashed"),
    "attention": Look("#cfe8ef", "#24505c", shape="octagon"),
    "pooling": Look("#f7c6c7", "#6e2f35", border="dashed"),
    "normalisation": Look("#e5f5e0", "#2f4f3a", border="rounded,dotted"),
    "activation": Look("#fff3bf", "#5c5222", border="rounded"),
    "regularisation": Look("#eeeeee", "#3c4147", border="dotted"),
    "arithmetic": Look("#d9f0f0", "#274f52", border="rounded,bold"),
    "merge": Look("#ffffff", "#30363d", shape="ellipse", border="bold"),
    "reshape": Look("#e6defa", "#453a66", border="rounded,dashed"),
    "head": Look("#f6d5e8", "#66305a", shape="box", border="rounded,bold"),
}


@dataclass(frozen=True, slots=True)
class Theme:
    """The colours that are not a box's."""

    paper: str
    ink: str
    faint: str
    frame: str
    skip: str


THEMES: Mapping[ThemeName, Theme] = {
    "light": Theme(paper="#ffffff", ink="#1f2328", faint="#57606a", frame="#f6f8fa", skip="#a0410d"),
    "dark": Theme(paper="#0d1117", ink="#e6edf3", faint="#9ea7b3", frame="#161b22", skip="#f0883e"),
}


def fill(kind: Kind, theme: ThemeName) -> str:
    """A kind's colour in a theme."""
    look = LOOKS[kind]
    return look.light if theme == "light" else look.dark
