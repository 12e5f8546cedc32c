"""Ratios in one run: start-up against Python's own and torch's, and growth with the number of layers.

Figures are CPU seconds of whole processes, measured in turn; absolute times vary
from machine to machine, ratios less so.
"""

from __future__ import annotations

import importlib.util
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

SPEC = Path(__file__).parent.parent / "cnnc" / "specs" / "vgg16.cnn"
ROUNDS = 5
SIZES = (1_000, 4_000, 12_000)


def cpu_seconds(*arguments: str) -> float:
    """User and system time of one process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def start_up() -> None:
    commands = {
        "python -c pass": ("-c", "pass"),
        "cnnc check vgg16.cnn": ("-m", "cnnc", "check", str(SPEC)),
        "cnnc summary vgg16.cnn": ("-m", "cnnc", "summary", str(SPEC)),
    }
    if importlib.util.find_spec("torch"):
        commands["import torch"] = ("-c", "import torch")
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, arguments in commands.items():
            times[name].append(cpu_seconds(*arguments))
    base = statistics.median(times["python -c pass"])
    print(f"{'start-up, CPU seconds':<28}{'median':>9}{'min':>9}{'max':>9}{'ratio':>9}")
    for name, values in times.items():
        middle = statistics.median(values)
        print(f"{name:<28}{middle:>9.3f}{min(values):>9.3f}{max(values):>9.3f}{middle / base:>8.1f}x")


def growth() -> None:
    """Parse, elaborate and analyse a chain and a dense block of many layers."""
    import cnnc

    print(f"\n{'growth, microseconds a layer':<28}" + "".join(f"{n:>12,}" for n in SIZES))
    for name, text in (("chain", "[conv3-8 -> bn]*{half}"), ("dense block", "[[id | conv1-1]]*{half}")):
        row = []
        for n in SIZES:
            spec = "input 8x16x16\n" + text.format(half=n // 2)
            begin = time.process_time()
            net = cnnc.parse(spec)
            assert net.params > 0
            assert net.depth == n // 2
            row.append((time.process_time() - begin) / n * 1e6)
        print(f"{name:<28}" + "".join(f"{value:>12.1f}" for value in row) + f"{row[-1] / row[0]:>8.2f}x")


if __name__ == "__main__":
    if sys.argv[1:2] == ["pytorch"]:
        from benchmarks.pytorch import main

        sys.exit(main(sys.argv[2:]))
    from benchmarks import torchinfo

    start_up()
    growth()
    torchinfo.compare()
