"""`cnnc split`: where a network is cut into stages."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from cnnc.cli.common import Sizes, Values, guarded, load, spec_options, tell
from cnnc.compiler.split import Split
from cnnc.compiler.units import shown_bytes


@click.command()
@spec_options
@click.option("--stages", required=True, type=click.IntRange(min=1), help="How many stages.")
@click.option(
    "--batch",
    default=1,
    show_default=True,
    type=click.IntRange(min=1),
    help="Images per batch that crosses between stages.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the record as JSON.")
@guarded
def split(spec: str, sizes: Sizes, params: Values, stages: int, batch: int, as_json: bool) -> None:
    """Cut SPEC into stages for a pipeline: balanced by multiply-adds, where few bytes cross.

    Example: cnnc split zoo:resnet152 --stages 4 --batch 32
    """
    net = load(spec, sizes, params)
    tell(net.warnings)
    found = net.split(stages)
    click.echo(json.dumps({"format": 1, **asdict(found)}, indent=1) if as_json else _text(found, batch))


def _text(found: Split, batch: int) -> str:
    lines = [
        f"{found.model} in {len(found.stages)} stages; the slowest has {found.balance:.3f} of the mean's multiply-adds",
        "",
    ]
    for i, stage in enumerate(found.stages, 1):
        span = stage.parts[0] if len(stage.parts) == 1 else f"{stage.parts[0]} to {stage.parts[-1]}"
        lines.append(f"stage {i}: {span}, {stage.macs:,} MACs, {stage.params:,} parameters")
        lines += [f"  hands on {c.layer}, {shown_bytes(c.bytes * batch)}" for c in stage.crossing]
    lines += [
        "",
        f"Crossing in all: {shown_bytes(found.crossing_bytes * batch)} in float32 for a batch of {batch}.",
    ]
    return "\n".join(lines)
