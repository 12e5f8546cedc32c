"""Compiled networks on a GPU beside torchvision's, eager and by torch.compile: medians of CUDA events.

The outputs of each way are checked against the plain form in float64; then the ways of one network are timed in
turn, round after round, in bfloat16 with the channels innermost. torch.compile's modes are the best that it has within seconds of building: `default` for batches,
`reduce-overhead` for one image; `--autotune` adds `max-autotune`, which takes minutes, for one network.

    python -m benchmarks gpu                            five networks, batches of 256 and of 1; under 240 s on an H100
    python -m benchmarks gpu resnet50 --autotune        one network with max-autotune
    python -m benchmarks gpu --device cpu --batch 2     the same script without a GPU: checks, no captures
    python -m benchmarks gpu --no-compile --training    without torch.compile; training steps too
"""

from __future__ import annotations

import argparse
import copy
import gc
import json
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

import cnnc
from benchmarks.peers import torchvision_models
from benchmarks.pytorch import NETWORKS

LAST = torch.channels_last
TOLERANCE = {"float32": 2e-3, "bfloat16": 4e-2, "float16": 6e-3}
"""Of the norm of the outputs, for sums of that type over the whole depth (float32 with TF32, as cuDNN has it)."""
GOALS = {"resnet50": 0.48, "vgg16": 0.56, "densenet121": 0.51, "mobilenet_v2": 0.54, "googlenet": 0.60}
"""Time of the inference form over torchvision's eager module, batch 256, bfloat16, H100."""
Run = Callable[[], Any]


class Place:
    """Where it runs, and its clock."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.is_cuda = device.startswith("cuda")

    def wait(self) -> None:
        if self.is_cuda:
            torch.cuda.synchronize()

    def milliseconds(self, run: Run) -> float:
        if not self.is_cuda:
            start = time.perf_counter()
            run()
            return 1e3 * (time.perf_counter() - start)
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        run()
        end.record()
        end.synchronize()
        return float(begin.elapsed_time(end))

    def best(self, run: Run, times: int = 10) -> float:
        run()
        return min(self.milliseconds(run) for _ in range(times))


def main(arguments: Sequence[str]) -> None:
    options = _options(arguments)
    warnings.filterwarnings("ignore")  # torch.compile's advice on how to compile
    torch.backends.cudnn.benchmark = True
    place = Place(options.device)
    began = time.perf_counter()
    if options.warm:
        for name in options.networks:
            with torch.no_grad():
                for _ in _timed(name, options, place, rounds=0):
                    pass
        return
    name = torch.cuda.get_device_name() if place.is_cuda else "CPU"
    rates = _rates(place)
    print(f"{name}, torch {torch.__version__}, {options.dtype}, channels last; "
          f"matrix {rates[0] / 1e12:.0f} TFLOP/s, copy {rates[1] / 1e12:.2f} TB/s")  # fmt: skip
    networks = options.networks or list(NETWORKS)
    _build_beforehand(networks, options)
    rows: list[dict[str, Any]] = []
    for network in networks:
        with torch.no_grad():
            rows += _timed(network, options, place, options.rounds, rates)
        if options.training:
            rows += _training(network, options, place)
        if options.json:  # after each network, so that a run that is cut off leaves what it has
            with open(options.json, "w", encoding="utf8") as file:
                json.dump({"device": name, "torch": torch.__version__, "rows": rows}, file, indent=1)
    print(f"{time.perf_counter() - began:.0f} s")
    if any(not row.get("right", True) for row in rows):
        sys.exit("some outputs are not right")


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("benchmarks gpu", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=f"of {', '.join(NETWORKS)}")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtype", default="bfloat16", choices=list(TOLERANCE))
    parser.add_argument("--batch", type=int, action="append", help="256 and 1 where none is given")
    parser.add_argument(
        "--size", help="of the images, such as 3x64x64; the network's own where none is given"
    )
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--no-compile", action="store_true", help="without torch.compile")
    parser.add_argument("--autotune", action="store_true", help="torch.compile's max-autotune, too")
    parser.add_argument("--training", action="store_true", help="training steps, plain and checkpointed, too")
    parser.add_argument("--json", metavar="FILE", help="write all figures there")
    parser.add_argument("--warm", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    for name in options.networks:
        if name not in NETWORKS:
            parser.error(f"no network `{name}`; there are {', '.join(NETWORKS)}")
    options.batch = options.batch or [256, 1]
    options.rounds = max(options.rounds, 2)
    return options


def _build_beforehand(networks: Sequence[str], options: argparse.Namespace) -> None:
    """What torch.compile and Triton build, in a process for each network at once; both keep it on disk."""
    if options.no_compile or options.device == "cpu":
        return
    began = time.perf_counter()
    command = [sys.executable, "-m", "benchmarks", "gpu", "--warm", "--dtype", options.dtype]
    command += [word for batch in options.batch for word in ("--batch", str(batch))]
    command += ["--size", options.size] if options.size else []
    running = [
        subprocess.Popen([*command, name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for name in networks
    ]
    for process in running:
        process.wait()
    print(f"built beforehand in {time.perf_counter() - began:.0f} s", flush=True)


def _rates(place: Place) -> tuple[float, float]:
    """FLOP/s of a matrix product in bfloat16, and bytes/s read and written by a copy."""
    n, size = (8192, 2**30) if place.is_cuda else (512, 2**24)
    a = torch.randn(n, n, device=place.device, dtype=torch.bfloat16)
    flops = 2e3 * n**3 / place.best(lambda: a @ a)
    b = torch.empty(size, dtype=torch.uint8, device=place.device)
    c = torch.empty_like(b)
    return flops, 2e3 * size / place.best(lambda: c.copy_(b))


# --- right ------------------------------------------------------------------------------


def _off(runs: Mapping[str, Run], plain: Any, x: torch.Tensor) -> dict[str, float]:
    """How far each way's outputs are from the plain form's in float64, over the norm of these."""
    exact = copy.deepcopy(plain).double()
    wanted = torch.cat([exact(part.double()) for part in x.split(64)])
    return {way: float((run().double() - wanted).norm() / wanted.norm()) for way, run in runs.items()}


def _net(name: str, options: argparse.Namespace) -> cnnc.Net:
    return cnnc.load(f"zoo:{NETWORKS[name][0]}", input=options.size)


def _shaken(model: Any) -> Any:
    """Weights under which signals keep their size, norms whose statistics are not 0 and 1; evaluation mode."""
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.8, 1.2)
            torch.nn.init.uniform_(module.weight, 0.8, 1.2)
            torch.nn.init.normal_(module.bias, std=0.1)
        elif isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            torch.nn.init.kaiming_normal_(module.weight)
    return model.eval()


# --- fast -------------------------------------------------------------------------------


def _timed(
    name: str, options: argparse.Namespace, place: Place, rounds: int,
    rates: tuple[float, float] = (1.0, 1.0),
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """A row for each batch and way: milliseconds, and their ratio to torchvision's eager module."""
    net = _net(name, options)
    (shape,) = net.inputs.values()
    dtype = getattr(torch, options.dtype)
    for batch in options.batch:
        x = torch.randn(batch, *shape, device=place.device, dtype=dtype).contiguous(memory_format=LAST)
        torch.manual_seed(0)
        plain = _shaken(net.module()).to(place.device)
        runs = _runs(name, net, plain.state_dict(), x, options, place)
        off = _off(runs, plain, x) if rounds else {}
        times: dict[str, list[float]] = {way: [] for way in runs}
        for round_ in range(rounds + 3 if rounds else 1):
            for way, run in runs.items():
                place.wait()
                spent = place.milliseconds(run)
                if round_ >= 3:
                    times[way].append(spent)
        place.wait()
        if rounds:
            yield from _rows(name, batch, net, times, rates, off, TOLERANCE[options.dtype])
        del runs, x, plain
        _free(place)


def _rows(
    name: str, batch: int, net: cnnc.Net, times: dict[str, list[float]], rates: tuple[float, float],
    off: Mapping[str, float], tolerance: float,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    base = statistics.median(times["torchvision"])
    peers = [statistics.median(t) for way, t in times.items() if "compiled" in way]
    work = 2e3 * net.macs * batch / rates[0]
    for way, spent in times.items():
        ms = statistics.median(spent)
        low, _, high = statistics.quantiles(spent, n=4)
        ours = way.startswith("inference")
        row = {"network": name, "batch": batch, "way": way, "ms": ms, "low": low, "high": high,
               "ratio": ms / base, "of_compiled": ms / min(peers) if ours and peers else None,
               "of_matrix_rate": work / ms, "off": off[way], "right": off[way] <= tolerance}  # fmt: skip
        goal = f"   goal {GOALS[name]:.2f}" if ours and batch == 256 and way == "inference" else ""
        beside = f"{row['of_compiled']:>8.3f}" if row["of_compiled"] else f"{'':>8}"
        print(f"{name:<13}{batch:>4}  {way:<30}{ms:>9.3f} ms ({low:.3f} to {high:.3f}){row['ratio']:>8.3f}"
              f"{beside}{work / ms:>7.1%}  off {off[way]:.0e}{goal}{'' if row['right'] else '  NOT RIGHT'}", flush=True)  # fmt: skip
        yield row


def _runs(
    name: str, net: cnnc.Net, state: Mapping[str, torch.Tensor], x: torch.Tensor,
    options: argparse.Namespace, place: Place,
) -> dict[str, Run]:  # fmt: skip
    arguments = NETWORKS[name][1]
    theirs: Any = getattr(torchvision_models(), name)(weights=None, **arguments)
    theirs.load_state_dict(state)

    def placed(model: Any) -> Any:
        return model.eval().to(place.device, x.dtype)

    theirs = placed(theirs).to(memory_format=LAST)
    fast = placed(net.module(optimize="inference", state=state))
    models: dict[str, Any] = {
        "torchvision": theirs,
        "plain": placed(net.module(state=state)).to(memory_format=LAST),
        "inference": fast,
    }
    if place.is_cuda:
        models["inference, captured"] = sys.modules[type(fast).__module__].capture(fast, x)
    if not options.no_compile and place.is_cuda:
        modes = ["reduce-overhead" if len(x) == 1 else "default"]
        for mode in [*modes, *(["max-autotune"] if options.autotune else [])]:
            torch._dynamo.reset()
            chosen = None if mode == "default" else mode
            compiled = torch.compile(copy.deepcopy(theirs), mode=chosen, dynamic=False)
            for _ in range(3):
                compiled(x)
            models[f"torchvision, compiled {mode}"] = compiled
    return {way: _call(model, x) for way, model in models.items()}


def _call(model: Any, x: torch.Tensor) -> Run:
    def run() -> Any:
        return model(x)

    return run


def _training(name: str, options: argparse.Namespace, place: Place) -> Iterator[dict[str, Any]]:
    """Steps of 128 images under autocast: torchvision's, the plain form's, and checkpointed."""
    net = _net(name, options)
    (shape,) = net.inputs.values()
    batch = min(128, max(options.batch))
    x = torch.randn(batch, *shape, device=place.device).contiguous(memory_format=LAST)
    y = torch.randint(0, 1000, (batch,), device=place.device)
    theirs = getattr(torchvision_models(), name)(weights=None, **NETWORKS[name][1])
    models = {"torchvision": theirs, "plain": net.module()}
    if name in ("resnet50", "densenet121"):
        models["checkpointed"] = net.module(optimize="checkpoint")
    steps = {way: _step(model, x, y, place) for way, model in models.items()}
    times: dict[str, list[float]] = {way: [] for way in steps}
    for round_ in range(9):
        for way, step in steps.items():
            spent = place.milliseconds(step)
            if round_ >= 3:
                times[way].append(spent)
    for way, step in steps.items():
        work = _device_time(step) if place.is_cuda else None
        row = {"network": name, "batch": batch, "way": f"training, {way}", "ms": statistics.median(times[way]),
               "gpu_ms": work}  # fmt: skip
        busy = f", {work:.1f} ms of them on the GPU" if work else ""
        print(f"{name:<13}{batch:>4}  {row['way']:<30}{row['ms']:>9.1f} ms{busy}", flush=True)
        yield row
    del models, theirs, steps
    _free(place)


def _step(model: Any, x: torch.Tensor, y: torch.Tensor, place: Place) -> Run:
    """A forward and a backward pass under autocast."""
    model = model.to(place.device).train().to(memory_format=LAST)

    def step() -> None:
        model.zero_grad(set_to_none=True)
        with torch.autocast(place.device, torch.bfloat16):
            loss = torch.nn.functional.cross_entropy(model(x), y)
        loss.backward()

    return step


def _device_time(run: Run) -> float:
    """Milliseconds that kernels take, however long the launches do."""
    activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        run()
        torch.cuda.synchronize()
    return sum(event.self_device_time_total for event in profile.key_averages()) / 1e3


def _free(place: Place) -> None:
    gc.collect()
    if place.is_cuda:
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main(sys.argv[1:])
