"""`cnnc verify`: the analysis held against the built PyTorch module."""

from __future__ import annotations

import sys

import click

from cnnc.cli.common import Sizes, Values, guarded, load, spec_options


@click.command()
@spec_options
@click.option("--device", default="cpu", show_default=True, help="Where the forward and backward run.")
@click.option("--batch", default=2, show_default=True, type=click.IntRange(min=1), help="Images in them.")
@guarded
def verify(spec: str, sizes: Sizes, params: Values, device: str, batch: int) -> None:
    """Build SPEC in PyTorch and hold names, shapes, parameters, state and MACs to the analysis, exactly.

    Needs torch. Exit code 1 where anything differs. Example: cnnc verify zoo:resnet50
    """
    from cnnc.backends.pytorch.verify import verify as compare

    net = load(spec, sizes, params)
    failed = False
    for verdict in compare(net.graph, device=device, batch=batch):
        failed = failed or not verdict.holds
        click.echo(f"{'ok    ' if verdict.holds else 'DIFFERS'} {verdict.what:<9} {verdict.detail}")
    sys.exit(failed)
