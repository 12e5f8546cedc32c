"""`cnnc summary` of VGG-16 against torchinfo's, each as a whole process, in turn.

torchinfo has to import torch and torchvision and to build the module, on the meta device, where neither
weights nor values are made; `cnnc` reads the text. With torchinfo in another environment, name its
Python: `PEERS=/path/to/python python -m benchmarks.torchinfo`.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

SPEC = Path(__file__).parent.parent / "cnnc" / "specs" / "vgg16.cnn"
ROUNDS = 7
GOAL = 20

TORCHINFO = """
import torch, torchinfo
try:
    import torchvision
except RuntimeError:  # its compiled operators do not fit the torch that is installed; no network needs them
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision
with torch.device("meta"):
    torchinfo.summary(torchvision.models.vgg16(), input_data=torch.empty(1, 3, 224, 224))
"""


def seconds(command: list[str]) -> tuple[float, float]:
    """Wall time and CPU time of one process."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def compare() -> None:
    """Print both and their ratio; or that torchinfo is not there."""
    peers = os.environ.get("PEERS", sys.executable)
    commands = {
        "cnnc summary vgg16.cnn": [sys.executable, "-m", "cnnc", "summary", str(SPEC)],
        "torchinfo, meta device": [peers, "-c", TORCHINFO],
    }
    probe = subprocess.run([peers, "-c", "import torchinfo"], capture_output=True, check=False)
    print(f"\n{'summary of VGG-16, seconds':<28}{'wall':>9}{'CPU':>9}{'min wall':>10}")
    if probe.returncode:
        print("left out: torchinfo is not installed (PEERS names the Python of another environment)")
        return
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            times[name].append(seconds(command))
    middle = {
        name: [statistics.median(column) for column in zip(*rows, strict=True)]
        for name, rows in times.items()
    }
    for name, (wall, cpu) in middle.items():
        print(f"{name:<28}{wall:>9.3f}{cpu:>9.3f}{min(row[0] for row in times[name]):>10.3f}")
    ours, theirs = middle.values()
    wall, cpu = theirs[0] / ours[0], theirs[1] / ours[1]
    print(f"{'ratio':<28}{wall:>8.1f}x{cpu:>8.1f}x     (the goal is {GOAL}x)")


if __name__ == "__main__":
    compare()
