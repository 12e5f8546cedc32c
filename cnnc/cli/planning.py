"""`cnnc plan`: what memory a network takes, and what bounds its time."""

from __future__ import annotations

import json
import shutil
from typing import Any

import click

from cnnc.backends.pytorch.memory import OPTIMISERS, RESERVE
from cnnc.cli.common import Real, Sizes, Values, guarded, load, spec_options, tell, write
from cnnc.compiler.units import bytes_of


class Amount(click.ParamType[int]):
    """`80GiB`."""

    name = "amount"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        try:
            return value if isinstance(value, int) else bytes_of(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command()
@spec_options
@click.option("--batch", default=1, show_default=True, type=click.IntRange(min=1), help="Images in a batch.")
@click.option(
    "--train", type=click.Choice(OPTIMISERS), help="A step of training with this optimiser; else inference."
)
@click.option(
    "--dtype", default="float32", show_default=True, type=click.Choice(["float32", "bfloat16", "float16"]),
    help="Of weights and images; with --amp, that of autocast.",
)  # fmt: skip
@click.option(
    "--amp", is_flag=True, help="Autocast, in bfloat16 unless --dtype says float16; weights in float32."
)
@click.option(
    "--checkpoint", type=click.Choice(["blocks"]), help="As `compile --checkpoint blocks` writes it."
)
@click.option(
    "--fits", type=Amount(), metavar="80GiB", help="Find the largest batch that fits in this much memory."
)
@click.option(
    "--reserve", default=RESERVE, show_default=True, type=Real(0, 1, max_open=True),
    help="The share of --fits kept free for workspace.",
)  # fmt: skip
@click.option(
    "--device",
    type=click.Choice(["cuda", "cpu"]),
    default="cuda",
    show_default=True,
    help="Whose rules hold.",
)
@click.option(
    "--card",
    metavar="NAME|FILE.toml",
    help="Show what limits each layer on h100, a100, cpu, or a card of your own.",
)
@click.option(
    "--fused", is_flag=True, help="With --card: each convolution takes in its norm, activation and sum."
)
@click.option(
    "--all",
    "unfolded",
    is_flag=True,
    help="With --card: every layer, in order, not the 20 with the highest floors.",
)
@click.option(
    "--calibrate", metavar="SPEC,SPEC,…",
    help="With --card: time these networks here (needs torch), and estimate the time of SPEC from them.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the record as JSON.")
@click.option("-o", "--output", metavar="FILE.svg", help="Write memory over time as a picture.")
@guarded
def plan(
    spec: str, sizes: Sizes, params: Values, batch: int, train: str | None, dtype: str, amp: bool,
    checkpoint: str | None, fits: int | None, reserve: float, device: str, as_json: bool, output: str | None,
    card: str | None, fused: bool, unfolded: bool, calibrate: str | None,
) -> None:  # fmt: skip
    """Report how much memory SPEC takes, where its peak is, and which batch fits. Needs no torch.

    The module that is compiled is run on tensors without values.
    Example: cnnc plan zoo:resnet50 --batch 128 --train adamw --amp --fits 24GiB
    """
    if checkpoint and train is None:
        raise click.UsageError("--checkpoint is for training: add --train sgd, for instance")
    if output is not None and not output.endswith(".svg"):
        raise click.UsageError(
            f"the picture of memory over time is an SVG, and {output} does not end in .svg"
        )
    if card is None and (fused or unfolded or calibrate):
        raise click.UsageError(
            "--fused, --all and --calibrate are for the roofline: add --card h100, for instance"
        )
    net = load(spec, sizes, params)
    tell(net.warnings)
    found = net.plan(
        batch=batch, train=train, dtype=dtype, amp=amp, checkpoint=checkpoint is not None, fits=fits,
        reserve=reserve, device=device, card=card, fused=fused,
        calibrate=tuple(calibrate.split(",")) if calibrate else (),
    )  # fmt: skip
    if output is not None:
        from cnnc.backends.planning.curve import svg_curve

        write(output, svg_curve(found.memory), "memory over time")
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=1))
    else:
        width = min(100, shutil.get_terminal_size((80, 24)).columns) - 14
        click.echo(found.text(width=max(20, width), rows=None if unfolded else 20))
