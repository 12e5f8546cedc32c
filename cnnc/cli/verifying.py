"""`cnnc verify`: the analysis held against the built PyTorch module."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from cnnc.cli.common import Sizes, Values, guarded, load, spec_options, tell


@click.command()
@spec_options
@click.option("--device", default="cpu", show_default=True, help="Where the forward and backward run.")
@click.option("--batch", default=2, show_default=True, type=click.IntRange(min=1), help="Images in them.")
@guarded
def verify(spec: str, sizes: Sizes, params: Values, device: str, batch: int) -> None:
    """Build SPEC in PyTorch and hold names, shapes, parameters, state and MACs to the analysis, exactly.

    Needs torch. Exit code 1 where anything differs. Example: cnnc verify zoo:resnet50
    """
    from cnnc.backends.pytorch.verify import STEPS
    from cnnc.backends.pytorch.verify import verify as compare

    net = load(spec, sizes, params)
    tell(net.warnings)
    failed = False
    verdicts = compare(net.graph, device=device, batch=batch)
    for step in STEPS:
        with _under_way(step):
            verdict = next(verdicts, None)
        if verdict is None:  # what comes after a failed forward
            break
        failed = failed or not verdict.holds
        click.echo(f"{'ok' if verdict.holds else 'FAILED':<8}{verdict.what:<9}{verdict.detail}")
    sys.exit(failed)


@contextmanager
def _under_way(step: str) -> Iterator[None]:
    """Say what is being compared, on a terminal, until it is: the larger networks take a while."""
    if not sys.stderr.isatty():
        yield
        return
    click.echo(f"…       {step}", nl=False, err=True)
    try:
        yield
    finally:
        click.echo("\r\x1b[K", nl=False, err=True)
