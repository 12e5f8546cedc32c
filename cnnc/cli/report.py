"""`cnnc report`: one page about a spec."""

from __future__ import annotations

import click

from cnnc.cli.common import Sizes, Values, file_name, guarded, load, spec_options, tell, write


@click.command()
@spec_options
@click.option("-o", "--output", metavar="FILE", help="Where to write; - for standard output.")
@guarded
def report(spec: str, sizes: Sizes, params: Values, output: str | None) -> None:
    """Write a page about SPEC as NAME.html: diagram, layers, receptive fields, charts, code.

    The page holds all it needs, so it can be mailed and opened anywhere. It needs no Graphviz.
    Example: cnnc report zoo:resnet50 -o resnet50.html
    """
    net = load(spec, sizes, params)
    tell(net.warnings)
    write(output or f"{file_name(net.name)}.html", net.report(), "report")
