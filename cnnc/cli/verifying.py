"""`cnnc verify`: the analysis held against the built PyTorch module."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from cnnc.cli.common import Params, Sizes, Values, guarded, load, spec_options, tell
from cnnc.cli.out import progress, say

if TYPE_CHECKING:
    from cnnc.net import Net


@click.command()
@spec_options
@click.option("--device", default="cpu", show_default=True, help="Device for the forward and backward pass.")
@click.option("--batch", default=2, show_default=True, type=click.IntRange(min=1), help="Images in them.")
@click.option(
    "--against", metavar="PACKAGE.MODULE:FACTORY",
    help="Compare with this module in place of our own; its code is imported and run.",
)  # fmt: skip
@click.option(
    "--arg", "arguments", multiple=True, type=Params(), metavar="NAME=VALUE",
    help="An argument of that factory: a number, True, None, a text, a list.",
)  # fmt: skip
@guarded
def verify(
    spec: str, sizes: Sizes, params: Values, device: str, batch: int,
    against: str | None, arguments: Values,
) -> None:  # fmt: skip
    """Build SPEC in PyTorch and compare names, shapes, parameters, state and MACs with the analysis, exactly.

    With --against, say whether somebody's own module computes what SPEC says, layer by layer, and else the first
    difference by name. Needs torch. Exit code 1 where anything differs. Example: cnnc verify zoo:resnet50
    """
    if against is not None:
        sys.exit(int(_against(load(spec, sizes, params), against, arguments)))
    if arguments:
        raise click.UsageError("--arg requires --against")
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
        say(f"{'ok' if verdict.holds else 'FAILED':<8}{verdict.what:<9}{verdict.detail}")
    sys.exit(failed)


def _against(net: Net, target: str, arguments: Values) -> bool:
    """Tell whether a module computes what a spec says; True where it does not."""
    from cnnc.cli.importing import their_errors, told_import, traced_target
    from cnnc.importer.against import difference

    tell(net.warnings)
    sizes = tuple((None, "x".join(map(str, shape))) for shape in net.inputs.values())
    with their_errors():
        traced = traced_target(target, sizes, arguments, outputs=len(net.outputs))
    found = difference(net.graph, told_import(traced).graph)
    layers = f"{len(net.graph.layers)} layers, {net.costs.told('params')} parameters"
    say(f"ok: {target} computes what the spec says: {layers}" if found is None else f"FAILED  {found}")
    return found is not None


@contextmanager
def _under_way(step: str) -> Iterator[None]:
    """Say what is being compared, on a terminal, until it is: the larger networks take a while."""
    progress(f"…       {step}")
    try:
        yield
    finally:
        progress("")
