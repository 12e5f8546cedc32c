"""`cnnc bench`: how fast a network runs here."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import cast

import click

from cnnc.backends.pytorch.runtime_bench import Bench, DTypeName, Setting
from cnnc.backends.pytorch.runtime_bench import bench as measure
from cnnc.cli.common import Real, Sizes, Values, guarded, load, spec_options
from cnnc.cli.out import progress


@click.command()
@spec_options
@click.option("--device", default="cpu", show_default=True, help="Device to run on, such as cuda or cuda:1.")
@click.option("--batch", default=8, show_default=True, type=click.IntRange(min=1), help="Images in a run.")
@click.option(
    "--dtype", default="float32", show_default=True, type=click.Choice(["float32", "bfloat16", "float16"]),
    help="Of weights and images.",
)  # fmt: skip
@click.option("--compile", "compiled", is_flag=True, help="Run it through torch.compile.")
@click.option("--channels-last", is_flag=True, help="Use the channels-last memory format.")
@click.option(
    "--for", "purpose", type=click.Choice(["training", "inference"]), default="training", show_default=True,
    help="inference: the second form, forward only.",
)  # fmt: skip
@click.option(
    "--graph",
    is_flag=True,
    help="With --for inference: the forward as a graph, by the file's `capture`.",
)
@click.option(
    "--versus", type=click.Choice(["torchvision", "compile", "onnxruntime", "openvino"]),
    help="Time the forward beside another's, in turn, on the same weights and images.",
)  # fmt: skip
@click.option(
    "--seconds", default=3.0, show_default=True, type=Real(min=0),
    help="Seconds to repeat each measurement; at least 5 times.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@guarded
def bench(
    spec: str, sizes: Sizes, params: Values, device: str, batch: int, dtype: str, compiled: bool,
    channels_last: bool, purpose: str, graph: bool, versus: str | None, seconds: float, as_json: bool,
) -> None:  # fmt: skip
    """Time SPEC in PyTorch: forward, and forward and backward, with fresh weights. Needs torch.

    Shows medians and extremes of runs after a warm-up, images a second, and the share of the device's
    matrix peak that the multiply-adds reach. Example: cnnc bench zoo:resnet50 --device cuda --dtype bfloat16
    """
    if graph and (purpose != "inference" or compiled):
        raise click.UsageError("--graph requires --for inference, without --compile")
    net = load(spec, sizes, params)
    setting = Setting(
        device=device, batch=batch, dtype=cast(DTypeName, dtype), compile=compiled,
        channels_last=channels_last, inference=purpose == "inference", seconds=seconds, graph=graph,
        versus=versus,
    )  # fmt: skip
    result = measure(net.graph, setting, progress)
    progress("")
    if as_json:
        click.echo(
            json.dumps({"format": 1, "model": net.name, **asdict(setting), **asdict(result)}, indent=1)
        )
    else:
        click.echo(_told(net.name, setting, result))


def _told(name: str, setting: Setting, result: Bench) -> str:
    where = result.device_name + (f", {result.threads} threads" if result.threads else "")
    ways = [
        setting.dtype,
        *(["channels-last"] if setting.channels_last else []),
        *(["torch.compile"] if setting.compile else []),
        *(["inference form"] if setting.inference else []),
        *(["captured"] if setting.graph else []),
    ]
    lines = [
        f"{name}, batch {setting.batch}, {', '.join(ways)} on {where}",
        f"{'':<18}{'median':>10}{'min':>10}{'max':>10}{'runs':>6}{'images/s':>11}{'of peak':>9}{'of floor':>10}{'memory':>10}",
    ]
    for t in result.timings:
        times = "".join(f"{1e3 * value:>7.1f} ms" for value in (t.median, t.low, t.high))
        memory = "" if t.memory is None else f"{t.memory / 2**20:,.0f} MiB"
        lines.append(
            f"{t.what:<18}{times}{t.repeats:>6}{t.images_per_second:>11,.1f}{t.peak_share:>9.1%}"
            f"{'' if t.roofline_share is None else format(t.roofline_share, '.1%'):>10}{memory:>10}"
        )
        if t.ratio is not None:
            ratio, low, high = t.ratio
            lines.append(f"{'':<18}{ratio:.3f} of {setting.versus} ({low:.3f} to {high:.3f})")
    kind = "most allocated" if setting.device.startswith("cuda") else "most the process held"
    lines.append(f"Peak: {result.peak / 1e9:,.0f} GFLOP/s, measured on a matrix product. Memory: {kind}.")
    lines.append(
        f"Floor: each layer at that peak, or at the {result.bandwidth / 1e9:,.0f} GB/s of a copy, the slower."
    )
    return "\n".join(lines)
