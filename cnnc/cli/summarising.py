"""`cnnc summary`: the table of layers."""

from __future__ import annotations

import json
import shutil

import click

from cnnc.cli.common import Sizes, Values, guarded, load, spec_options, tell
from cnnc.compiler.graph import Graph
from cnnc.dsl.diagnostics import did_you_mean


@click.command()
@spec_options
@click.option("--json", "format", flag_value="json", help="The stable JSON record.")
@click.option("--csv", "format", flag_value="csv", help="Comma-separated values.")
@click.option("--md", "format", flag_value="md", help="A Markdown table.")
@click.option("--latex", "format", flag_value="latex", help="A LaTeX table.")
@click.option("--depth", type=click.IntRange(min=1), help="Show this many levels of blocks only.")
@click.option("--columns", metavar="A,B,…", help="Which columns to show.")
@click.option("--all", "unfolded", is_flag=True, help="Show every repetition.")
@click.option(
    "--count", "tool", metavar="TOOL",
    help="The totals as another tool prints them: fvcore, ptflops, ptflops-pytorch, thop, torchinfo or keras.",
)  # fmt: skip
@guarded
def summary(
    spec: str, sizes: Sizes, params: Values, format: str | None,
    depth: int | None, columns: str | None, unfolded: bool, tool: str | None,
) -> None:  # fmt: skip
    """Print the layers of SPEC: sizes, parameters, MACs, receptive fields.

    Example: cnnc summary zoo:resnet50 --depth 1
    """
    net = load(spec, sizes, params)
    if tool is not None:
        click.echo(_counted(net.graph, tool, as_json=format == "json"))
        return
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


def _counted(graph: Graph, name: str, *, as_json: bool) -> str:
    """What another tool would print, and what its count has beside the MACs."""
    from dataclasses import asdict

    from cnnc.compiler.counting import TOOLS, count_as

    if name not in TOOLS:
        hint = did_you_mean(name, TOOLS) or f"{', '.join(TOOLS)} are known"
        raise click.UsageError(f"no tool `{name}`: {hint}")
    found, tool = count_as(graph, name), TOOLS[name]
    if as_json:
        return json.dumps(asdict(found), indent=1)
    lines = [f"as {name} {tool.version} counts: {found.params:,} parameters"]
    if found.operations is not None:
        lines[0] += f", {found.operations:,} {tool.calls_it}"
        lines.append(f"MACs by cnnc: {found.macs:,}" + ("" if found.beside else ", the same"))
        lines += [
            f"  {kind}: {more:+,}"
            for kind, more in sorted(found.beside.items(), key=lambda row: -abs(row[1]))
        ]
    if found.unknown:
        lines.append(f"left out, since it is not known how {name} counts it: {', '.join(found.unknown)}")
    return "\n".join(lines)


def _columns(text: str) -> list[str]:
    """The columns asked for, looked up before anything is computed."""
    from cnnc.backends.table.cells import columns_named

    try:
        return list(columns_named(text.split(",")))
    except ValueError as error:
        raise click.UsageError(str(error)) from None
