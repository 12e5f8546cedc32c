"""Compiled networks beside torchvision's own: time over torchvision's eager module, on the same weights and images.

All variants of a network live in one process and run in turn, round after round, so that whatever
else the machine does meets them alike. Each network has a process of its own: memory that another has
given back would spare it page faults, which are up to half of the time. A ratio is taken within each round;
the table shows its median and quartiles, and the ratio of the shortest times, which a busy machine disturbs least.

    python -m benchmarks pytorch                    five networks, batch 8
    python -m benchmarks pytorch resnet50 --compile torch.compile too, which takes minutes to build
    python -m benchmarks pytorch --device cuda --dtype bfloat16
"""

from __future__ import annotations

import argparse
import copy
import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch.fx.experimental.optimization import fuse

import cnnc
from benchmarks.peers import torchvision_models

NETWORKS: dict[str, tuple[str, dict[str, Any], float]] = {
    "resnet50": ("resnet50", {}, 0.80),
    "googlenet": ("googlenet_torchvision", {"aux_logits": False, "init_weights": False}, 0.42),
    "densenet121": ("densenet121", {}, 0.62),
    "vgg16": ("vgg16", {}, 0.74),
    "mobilenet_v2": ("mobilenet_v2", {}, 0.40),
}
"""torchvision's name: the spec, the builder's arguments, and the goal for the inference form on two CPU threads."""

PLAIN_GOAL = 1.03


@dataclass(frozen=True, slots=True)
class Row:
    """One variant: seconds, and their ratio to torchvision's eager module."""

    network: str
    variant: str
    seconds: float
    ratio: float
    low: float
    high: float
    of_shortest: float


def main(arguments: Sequence[str]) -> None:
    options = _options(arguments)
    where = options.device if options.device != "cpu" else f"{options.threads} CPU threads"
    told = (
        f"batch {options.batch}, {options.dtype}, {where}, torch {torch.__version__}, {options.rounds} rounds"
    )
    if not options.json:
        print(f"{told}\n{'':<34}{'ms':>9}{'ratio':>8}{'quartiles':>16}{'of shortest':>13}")
    rows = []
    for name in options.networks or NETWORKS:
        for row in _apart(measure, name, options):
            rows.append(row)
            if not options.json:
                spread = f"{row.low:.3f} to {row.high:.3f}"
                print(
                    f"{row.network:<14}{row.variant:<20}{1e3 * row.seconds:>9.1f}{row.ratio:>8.3f}{spread:>16}"
                    f"{row.of_shortest:>13.3f}{_goal(row, options)}",
                    flush=True,
                )
    if options.json:
        print(json.dumps({"setting": told, "rows": [asdict(row) for row in rows]}, indent=1))


def _apart(run: Callable[..., list[Row]], *arguments: object) -> list[Row]:
    """What a function returns in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(run, arguments)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "benchmarks pytorch", description=__doc__.partition("\n")[0] if __doc__ else ""
    )
    parser.add_argument(
        "networks", nargs="*", metavar="NETWORK", help=f"of {', '.join(NETWORKS)}; all if none is named"
    )
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--compile", action="store_true", help="torch.compile of both, too")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    for name in options.networks:
        if name not in NETWORKS:
            parser.error(f"no network `{name}`; there are {', '.join(NETWORKS)}")
    return options


def _goal(row: Row, options: argparse.Namespace) -> str:
    """The goals hold for two CPU threads, batch 8, float32."""
    goals = {"inference": NETWORKS[row.network][2], "plain": PLAIN_GOAL}
    usual = (options.device, options.batch, options.dtype, options.threads) == ("cpu", 8, "float32", 2)
    return f"   goal {goals[row.variant]:.2f}" if usual and row.variant in goals else ""


def measure(name: str, options: argparse.Namespace) -> list[Row]:
    """The rows of one network, torchvision's eager module first."""
    torch.set_num_threads(options.threads)
    variants = _variants(name, options)
    times: dict[str, list[float]] = {variant: [] for variant in variants}
    for run in variants.values():
        _seconds(run, options.device)
    for round_ in range(options.rounds):
        for variant, run in variants.items():
            times[variant].append(_seconds(run, options.device))
        if sys.stderr.isatty():
            print(f"\r\033[K{name}: round {round_ + 1} of {options.rounds}", end="\r", file=sys.stderr)
    base = times["torchvision"]
    rows = []
    for variant, values in times.items():
        ratios = [mine / theirs for mine, theirs in zip(values, base, strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
        rows.append(Row(name, variant, statistics.median(values), middle, low, high, min(values) / min(base)))
    return rows


def _variants(name: str, options: argparse.Namespace) -> dict[str, Callable[[], object]]:
    """What is run in a round, by name; their outputs have been held against each other."""
    spec, arguments, _ = NETWORKS[name]
    net = cnnc.load(f"zoo:{spec}")
    (shape,) = net.inputs.values()
    dtype, last = getattr(torch, options.dtype), torch.channels_last
    torch.manual_seed(0)
    theirs: Any = getattr(torchvision_models(), name)(weights=None, **arguments).eval()
    state = theirs.state_dict()

    def placed(model: Any) -> Any:
        return model.eval().to(options.device, dtype)

    models: dict[str, Any] = {
        "torchvision": placed(theirs),
        "torchvision, last": placed(copy.deepcopy(theirs)).to(memory_format=last),
        "folded by hand, last": placed(fuse(copy.deepcopy(theirs))).to(memory_format=last),
        "plain": placed(net.module(state=state)),
        "plain, last": placed(net.module(state=state)).to(memory_format=last),
        "inference": placed(net.module(optimize="inference", state=state)),
    }
    if options.compile:
        models["torchvision, compiled"] = torch.compile(placed(copy.deepcopy(theirs)))
        models["plain, compiled"] = torch.compile(placed(net.module(state=state)))
        models["inference, compiled"] = torch.compile(placed(net.module(optimize="inference", state=state)))
    x = torch.randn(options.batch, *shape).to(options.device, dtype)
    images = {variant: x.contiguous(memory_format=last) if "last" in variant else x for variant in models}
    runs = {variant: _run(model, images[variant]) for variant, model in models.items()}
    wanted = runs["torchvision"]().float()
    tolerance = 1e-4 if options.dtype == "float32" else 0.1
    for variant, run in runs.items():
        off = float((run().float() - wanted).abs().max() / wanted.abs().max())
        assert off < tolerance, f"{name}: {variant} is off by {off:.1e}"
    return runs


def _run(model: Any, x: Any) -> Callable[[], Any]:
    def run() -> Any:
        with torch.inference_mode():
            return model(x)

    return run


def _seconds(run: Callable[[], object], device: str) -> float:
    if device != "cpu":
        torch.cuda.synchronize(device)
    begin = time.perf_counter()
    run()
    if device != "cpu":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begin


if __name__ == "__main__":
    main(sys.argv[1:])
