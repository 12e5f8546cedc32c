"""`cnnc draw`: a spec as a diagram, as boxes in space, as a paper's table, or what one unit sees."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import click
from click.core import ParameterSource

from cnnc.backends.diagram.figures import SHOWN
from cnnc.cli.common import Sizes, Values, complete_spec, file_name, guarded, load, spec_options, tell, write

if TYPE_CHECKING:
    from cnnc.backends.diagram.theme import ThemeName
    from cnnc.net import Net

Kind = Literal["diagram", "volumes", "table", "receptive field"]

ENDINGS: dict[Kind, tuple[str, ...]] = {
    "diagram": ("svg", "png", "pdf", "dot", "mmd"),
    "volumes": ("svg", "png", "pdf", "tex"),
    "table": ("svg", "png", "pdf", "md", "tex"),
    "receptive field": ("svg", "png", "pdf", "tex"),
}
"""What each kind of picture can be written as."""

_DIAGRAM_ONLY = ("level", "block", "show", "direction", "wrap", "aspect")
SLIDE = 16 / 9


def _aspect(_context: click.Context, _option: click.Parameter, value: str | None) -> float | None:
    """Width by height: `16:9`, or one number."""
    if value is None:
        return None
    numbers = re.fullmatch(r"(\d{1,5}(?:\.\d{1,5})?)(?::(\d{1,5}(?:\.\d{1,5})?))?", value)
    if numbers is None or not float(numbers[1]) or not float(numbers[2] or 1):
        raise click.BadParameter(f"{value!r} is not width:height, such as 16:9 or 4:3")
    return float(numbers[1]) / float(numbers[2] or 1)


@click.command()
@spec_options
@click.argument("others", nargs=-1, metavar="[SPEC]...", shell_complete=complete_spec)
@click.option("-o", "--output", metavar="FILE", help="File to write; its extension sets the format.")
@click.option(
    "--style", type=click.Choice(["diagram", "volumes", "table"]), default="diagram", show_default=True,
    help="Boxes and arrows; feature maps in space; stages in rows, a column for each SPEC.",
)  # fmt: skip
@click.option(
    "--rf",
    "unit",
    metavar="LABEL[,Y,X]",
    help="Draw the receptive field of one unit; the middle one unless given.",
)
@click.option("--no-table", is_flag=True, help="With --rf: leave out the table of numbers.")
@click.option("--level", type=click.Choice(["blocks", "layers"]), default="blocks", show_default=True)
@click.option("--block", metavar="NAME", help="Draw the inside of one block.")
@click.option("--show", multiple=True, type=click.Choice(SHOWN), help="Figures on the nodes.")
@click.option("--direction", type=click.Choice(["TB", "LR"]), default="TB", show_default=True)
@click.option("--wrap", is_flag=True, help="Fold a long diagram into columns (LR: rows), to fit a slide.")
@click.option("--aspect", metavar="W:H", callback=_aspect, help="Wrap for another shape than a slide's 16:9.")
@click.option("--theme", type=click.Choice(["light", "dark"]), default="light", show_default=True)
@guarded
def draw(
    spec: str, others: tuple[str, ...], sizes: Sizes, params: Values, output: str | None, style: str,
    unit: str | None, no_table: bool, level: str, block: str | None, show: tuple[str, ...], direction: str,
    wrap: bool, aspect: float | None, theme: str,
) -> None:  # fmt: skip
    """Draw SPEC as NAME.svg, or in the format of the extension of -o.

    A diagram is laid out by Graphviz and is svg, png, pdf, dot or mmd; volumes and --rf
    are svg, png, pdf or tex, tables also md, and need no Graphviz; png and pdf require CairoSVG.

    \b
    cnnc draw zoo:googlenet -o googlenet.pdf
    cnnc draw --wrap zoo:resnet50 -o slide.png
    cnnc draw --style volumes zoo:unet -o unet.tex
    cnnc draw --style table zoo:vgg11 zoo:vgg16 zoo:vgg19 -o vgg.md
    cnnc draw --rf features,3,3 zoo:vgg16
    """
    kind = _kind(style, unit, others)
    ending = _ending(kind, output)
    _refuse_unused(kind, ending)
    nets = [load(one, sizes, params) for one in (spec, *others)]
    for net in nets:
        tell(net.warnings)
    path = output or f"{file_name(nets[0].name)}.svg"
    if kind == "diagram":
        wanted = aspect or (SLIDE if wrap else None)
        options: dict[str, Any] = {
            "level": level, "block": block, "show": show, "rankdir": direction, "theme": theme,
        }  # fmt: skip
        write(path, nets[0].draw(ending, aspect=wanted, **options), kind)
        return
    write(path, _drawn(kind, ending, nets, unit, cast("ThemeName", theme), no_table=no_table), kind)


def _kind(style: str, unit: str | None, others: tuple[str, ...]) -> Kind:
    """What is asked for; refuses what does not go together."""
    if unit is not None and style != "diagram":
        raise click.UsageError(f"--rf is a separate picture and cannot be combined with --style {style}")
    if others and style != "table":
        raise click.UsageError("several specs are drawn together in --style table only")
    return "receptive field" if unit is not None else cast(Kind, style)


def _ending(kind: Kind, output: str | None) -> str:
    """The format that a file's name asks for."""
    ending = "svg" if output in (None, "-") else Path(str(output)).suffix.lstrip(".").lower()
    if ending not in ENDINGS[kind]:
        *most, last = ENDINGS[kind]
        what = "" if kind == "diagram" else f" for a {kind}" if kind != "volumes" else " for volumes"
        raise click.UsageError(f"{output!r}: the extension must be {', '.join(most)} or {last}{what}")
    return ending


def _refuse_unused(kind: Kind, ending: str) -> None:
    """Options that would change nothing are refused, not ignored."""
    context = click.get_current_context()

    def is_given(name: str) -> bool:
        return context.get_parameter_source(name) is not ParameterSource.DEFAULT

    for name in _DIAGRAM_ONLY:
        if kind != "diagram" and is_given(name):
            asked = "--rf" if kind == "receptive field" else f"--style {kind}"
            raise click.UsageError(f"--{name} is for diagrams, not for {asked}")
    if ending in ("dot", "mmd") and (is_given("wrap") or is_given("aspect")):
        raise click.UsageError(f"--wrap is for svg, png and pdf: a .{ending} file is laid out by its reader")
    if kind != "receptive field" and is_given("no_table"):
        raise click.UsageError("--no-table is for --rf")
    if kind == "table" and ending in ("md", "tex") and is_given("theme"):
        raise click.UsageError(f"--theme is for pictures, and a table as {ending} has no colours")


def _drawn(
    kind: Kind, ending: str, nets: list[Net], unit: str | None, theme: ThemeName, *, no_table: bool
) -> str | bytes:
    """A picture that needs no Graphviz; PNG and PDF are made of its SVG."""
    if ending in ("png", "pdf"):
        from cnnc.backends.vector.raster import rendered

        return rendered(str(_drawn(kind, "svg", nets, unit, theme, no_table=no_table)), ending)
    graph = nets[0].graph
    if kind == "volumes":
        from cnnc.backends import volumes

        return volumes.svg(graph, theme) if ending == "svg" else volumes.tikz(graph, theme)
    if kind == "table":
        from cnnc.backends import configuration

        graphs = [net.graph for net in nets]
        alone = configuration.gaps(graphs)
        if alone:
            click.echo(f"note: {alone}", err=True)
        if ending == "svg":
            return configuration.svg(graphs, theme)
        return configuration.markdown(graphs) if ending == "md" else configuration.latex(graphs)
    from cnnc.backends import rf_picture

    label, position = _unit(unit or "")
    make = rf_picture.svg if ending == "svg" else rf_picture.tikz
    return make(graph, label, position, theme, numbers=not no_table)


def _unit(text: str) -> tuple[str, tuple[int, ...] | None]:
    """A label, and the position behind it if there is one.

    >>> _unit("features,3,3"), _unit("features")
    (('features', (3, 3)), ('features', None))
    """
    match = re.fullmatch(r"(.*?)((?:,[0-9]{1,9})*)", text, re.DOTALL)
    assert match is not None
    numbers = tuple(int(number) for number in match[2].split(",")[1:])
    return match[1], numbers or None
