"""A scene as a standalone TikZ document, for LaTeX."""

from __future__ import annotations

from collections.abc import Mapping

from cnnc.backends.vector.scene import Group, Item, Line, Point, Polygon, Scene, Text, every, number
from cnnc.backends.vector.svg import head

_SPECIAL: Mapping[str, str] = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "_": r"\_", "&": r"\&", "%": r"\%", "#": r"\#",
    "$": r"\$", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}", "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}", "-": "{-}", "\N{MULTIPLICATION SIGN}": r"\texttimes{}",
    "…": r"\ldots{}", "·": r"\textperiodcentered{}", "–": r"\textendash{}", "—": r"\textemdash{}",
    "→": r"$\rightarrow$", "\N{NO-BREAK SPACE}": "~", "≥": r"$\geq$", "≤": r"$\leq$",
}  # fmt: skip

_ANCHORS = {"start": "base west", "middle": "base", "end": "base east"}


def escape_latex(text: str) -> str:
    r"""A text of which nothing is a command, in the T1 encoding with textcomp.

    Letters that pdfTeX's fonts lack are written as their code point, which every
    engine prints, in place of an error.

    >>> escape_latex("50% of a_b -> \\input{x} ж")
    '50\\% of a\\_b {-}\\textgreater{} \\textbackslash{}input\\{x\\} [U+0436]'
    """
    return "".join(map(_escaped, text))


def _escaped(ch: str) -> str:
    if ch in _SPECIAL:
        return _SPECIAL[ch]
    if ch.isascii() and ch.isprintable():
        return ch
    if ch.isalpha() and 0xC0 <= ord(ch) < 0x180:
        return ch
    return f"[U+{ord(ch):04X}]" if ch.isprintable() else r"\textperiodcentered{}"


def to_tikz(scene: Scene) -> str:
    """The drawing as a LaTeX file that makes a page of its size; pdflatex, lualatex and xelatex read it."""
    colours = _colours(scene)
    lines = [
        f"% {_comment(scene.title)}",
        r"\documentclass[tikz,border=0pt]{standalone}",
        r"\usepackage[T1]{fontenc}",
        r"\usepackage{textcomp}",
        r"\usepackage[scaled]{helvet}",
        *(rf"\definecolor{{{name}}}{{HTML}}{{{colour[1:].upper()}}}" for colour, name in colours.items()),
        r"\begin{document}",
        r"\begin{tikzpicture}[x=1bp, y=-1bp, line join=round, font=\sffamily]",
        rf"\fill[{colours[scene.paper]}] (0,0) rectangle ({number(scene.width)},{number(scene.height)});",
    ]
    for item in scene.items:
        _write(lines, item, colours)
    lines += [r"\end{tikzpicture}", r"\end{document}"]
    return "\n".join(lines) + "\n"


def _colours(scene: Scene) -> dict[str, str]:
    """A name for every colour, in the order of their first use."""
    used = [scene.paper]
    for item in every(scene.items):
        match item:
            case Polygon(fill=fill, stroke=stroke):
                used += [colour for colour in (fill, stroke) if colour is not None]
            case Line(stroke=stroke):
                used.append(stroke)
            case Text(colour=colour):
                used.append(colour)
    return {colour: f"c{i}" for i, colour in enumerate(dict.fromkeys(used))}


def _write(lines: list[str], item: Item, colours: Mapping[str, str]) -> None:
    match item:
        case Group():
            lines.append(f"% {_comment(item.role)}" + (f": {_comment(item.title)}" if item.title else ""))
            for inner in item.items:
                _write(lines, inner, colours)
        case Polygon():
            lines.append(_polygon(item, colours))
        case Text():
            lines.append(_text(item, colours))
        case Line():
            lines.append(_line(item, colours))
            if item.arrow:
                path = " -- ".join(map(_pair, head(item)))
                lines.append(rf"\fill[{colours[item.stroke]}] {path} -- cycle;")


def _polygon(item: Polygon, colours: Mapping[str, str]) -> str:
    options = []
    if item.fill is not None:
        options.append(f"fill={colours[item.fill]}")
        if item.opacity < 1:
            options.append(f"fill opacity={number(item.opacity)}")
    if item.stroke is not None:
        options += [f"draw={colours[item.stroke]}", *_pen(item.width, item.dash)]
    return rf"\path[{', '.join(options)}] {' -- '.join(map(_pair, item.points))} -- cycle;"


def _line(item: Line, colours: Mapping[str, str]) -> str:
    options = [f"draw={colours[item.stroke]}", *_pen(item.width, item.dash)]
    points = [_pair(point) for point in item.points]
    if item.curved:
        path = f"{points[0]} .. controls {points[1]} and {points[2]} .. {points[3]}"
    else:
        path = " -- ".join(points)
    return rf"\path[{', '.join(options)}] {path};"


def _pen(width: float, dash: tuple[float, ...]) -> list[str]:
    options = [f"line width={number(width)}bp"]
    if dash:
        on = "".join(
            f"{'off' if i % 2 else 'on'} {number(length)}bp "
            for i, length in enumerate(dash * (1 + len(dash) % 2))
        )
        options.append(f"dash pattern={on.strip()}")
    return options


def _text(item: Text, colours: Mapping[str, str]) -> str:
    font = rf"\fontsize{{{number(item.size)}bp}}{{{number(item.size * 1.2)}bp}}\selectfont"
    if item.bold:
        font += r"\bfseries"
    options = (
        f"anchor={_ANCHORS[item.anchor]}, inner sep=0pt, outer sep=0pt, "
        f"text={colours[item.colour]}, font={font}"
    )
    # The class's `font` is overridden by that of the node: the family is said again.
    options = options.replace(r"\selectfont", r"\selectfont\sffamily")
    return rf"\node[{options}] at {_pair(item.at)} {{{escape_latex(item.text)}}};"


def _pair(point: Point) -> str:
    return f"({number(point[0])},{number(point[1])})"


def _comment(text: str) -> str:
    """Text for a comment: nothing that ends the line, and nothing that is not ASCII."""
    return "".join(ch if ch.isascii() and ch.isprintable() else "." for ch in text)
