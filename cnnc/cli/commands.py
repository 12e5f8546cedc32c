"""The commands. Each imports what it needs when it runs."""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path

import click

from cnnc.cli.common import Sizes, Values, guarded, load, spec_options, tell, write

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(context_settings=_CONTEXT)
@click.version_option(version("cnnc"), "-V", "--version", message="cnnc %(version)s")
def cnnc() -> None:
    """Networks as text: check, measure, draw and compile .cnn specs.

    SPEC is a file, - for standard input, or zoo:NAME for a network that ships with cnnc.

    \b
    cnnc compile vgg16.cnn          write vgg16.py, a PyTorch module
    cnnc check specs/*.cnn          hold the specs to what they claim
    cnnc summary zoo:resnet50       sizes, parameters, MACs, receptive fields
    """


@cnnc.command()
@spec_options
@click.option("-o", "--output", metavar="FILE", help="Where to write; - for standard output.")
@click.option(
    "--to", "target", default="pytorch", show_default=True,
    type=click.Choice(["pytorch", "dot", "svg", "png", "pdf", "json", "core"]), help="What to write.",
)  # fmt: skip
@guarded
def compile(spec: str, sizes: Sizes, params: Values, output: str | None, target: str) -> None:
    """Write the PyTorch module of SPEC as NAME.py beside you.

    The file is standalone: it imports torch only. Example: cnnc compile vgg16.cnn -o models/vgg16.py
    """
    net = load(spec, sizes, params)
    tell(net.warnings)
    endings = {"pytorch": "py", "core": "core.cnn"}
    path = output or f"{_file_name(net.name)}.{endings.get(target, target)}"
    if target == "pytorch":
        source = net.pytorch()
        write(path, source, f"{net.params:,} parameters, {net.macs:,} MACs, {source.count(chr(10))} lines")
    elif target == "json":
        write(path, json.dumps(net.to_dict(), indent=1) + "\n", "summary")
    elif target == "core":
        write(path, net.expand(), "flat core")
    else:
        write(path, net.draw(target), "diagram")


def _file_name(model: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in model)


@cnnc.command()
@click.argument("specs", nargs=-1, required=True, metavar="SPEC...")
@click.option("--strict", is_flag=True, help="Count warnings as errors.")
@click.option("-v", "--verbose", is_flag=True, help="Print the claims that hold, too.")
@guarded
def check(specs: tuple[str, ...], strict: bool, verbose: bool) -> None:
    """Hold SPECs to what they claim: every error, warning and failed expectation.

    A folder stands for all .cnn files in it. Example: cnnc check specs/
    """
    from cnnc.cli.checking import check_all

    sys.exit(check_all(specs, strict=strict, verbose=verbose))


@cnnc.command()
@spec_options
@click.option("--json", "format", flag_value="json", help="The stable JSON record.")
@click.option("--csv", "format", flag_value="csv", help="Comma-separated values.")
@click.option("--md", "format", flag_value="md", help="A Markdown table.")
@click.option("--latex", "format", flag_value="latex", help="A LaTeX table.")
@click.option("--depth", type=click.IntRange(min=1), help="Show this many levels of blocks only.")
@click.option("--columns", metavar="A,B,…", help="Which columns to show.")
@click.option("--all", "unfolded", is_flag=True, help="Show every repetition.")
@guarded
def summary(
    spec: str, sizes: Sizes, params: Values, format: str | None,
    depth: int | None, columns: str | None, unfolded: bool,
) -> None:  # fmt: skip
    """Print the layers of SPEC: sizes, parameters, MACs, receptive fields.

    Example: cnnc summary zoo:resnet50 --depth 1
    """
    import shutil

    net = load(spec, sizes, params)
    tell(net.warnings)
    if format == "json":
        click.echo(json.dumps(net.to_dict(), indent=1))
        return
    width = min(100, shutil.get_terminal_size((100, 24)).columns)
    chosen = _columns(columns) if columns else None
    click.echo(
        net.summary(
            format=format or "text", depth=depth, columns=chosen, width=width, fold=not unfolded
        ).rstrip("\n")
    )


def _columns(text: str) -> list[str]:
    """The columns asked for, looked up before anything is computed."""
    from cnnc.backends.table.cells import columns_named

    try:
        return list(columns_named(text.split(",")))
    except ValueError as error:
        raise click.UsageError(str(error)) from None


@cnnc.command()
@spec_options
@click.option("-o", "--output", metavar="FILE", help="Where to write; the ending says the format.")
@click.option("--level", type=click.Choice(["blocks", "layers"]), default="blocks", show_default=True)
@click.option("--block", metavar="NAME", help="Draw the inside of one block.")
@click.option(
    "--show", multiple=True, type=click.Choice(["params", "macs", "rf"]), help="Figures on the nodes."
)
@click.option("--direction", type=click.Choice(["TB", "LR"]), default="TB", show_default=True)
@click.option("--theme", type=click.Choice(["light", "dark"]), default="light", show_default=True)
@guarded
def draw(
    spec: str, sizes: Sizes, params: Values, output: str | None, level: str,
    block: str | None, show: tuple[str, ...], direction: str, theme: str,
) -> None:  # fmt: skip
    """Draw SPEC as NAME.svg, or as svg, png, pdf, dot or mmd by the ending of -o.

    Example: cnnc draw zoo:googlenet -o googlenet.pdf
    """
    net = load(spec, sizes, params)
    tell(net.warnings)
    path = output or f"{_file_name(net.name)}.svg"
    ending = Path(path).suffix.lstrip(".").lower() if path != "-" else "svg"
    if ending not in ("svg", "png", "pdf", "dot", "mmd"):
        raise click.UsageError(f"{path!r}: the ending must be svg, png, pdf, dot or mmd")
    options = {"level": level, "block": block, "show": show, "rankdir": direction, "theme": theme}
    write(path, net.draw(ending, **options), "diagram")


@cnnc.command()
@spec_options
@click.option(
    "-o", "--output", default="-", metavar="FILE", help="Where to write; standard output if not given."
)
@guarded
def expand(spec: str, sizes: Sizes, params: Values, output: str) -> None:
    """Print SPEC as its flat core: every layer named and explicit.

    The output is itself a spec with the same meaning. Example: cnnc expand zoo:resnet50
    """
    net = load(spec, sizes, params)
    tell(net.warnings)
    write(output, net.expand(), "flat core")


@cnnc.command()
@click.argument("specs", nargs=-1, required=True, metavar="SPEC...")
@click.option("--check", "only_check", is_flag=True, help="Change nothing; exit 1 if a file would change.")
@click.option("--diff", "show_diff", is_flag=True, help="Change nothing; print what would change.")
@guarded
def fmt(specs: tuple[str, ...], only_check: bool, show_diff: bool) -> None:
    """Put SPECs into the canonical layout, in place; - goes from standard input to standard output.

    The meaning never changes and comments are kept. Example: cnnc fmt --check specs/
    """
    from cnnc.cli.formatting import format_all

    sys.exit(format_all(specs, only_check=only_check, show_diff=show_diff))


from cnnc.cli.comparing import diff  # noqa: E402  (the group must be there first)
from cnnc.cli.reference import ops  # noqa: E402
from cnnc.cli.verifying import verify  # noqa: E402

cnnc.add_command(diff)
cnnc.add_command(ops)
cnnc.add_command(verify)
