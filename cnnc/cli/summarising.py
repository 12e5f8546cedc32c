"""`cnnc summary`: the table of layers."""

from __future__ import annotations

import json
import shutil

import click

from cnnc.cli.common import Sizes, Values, guarded, load, spec_options, tell


@click.command()
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
