"""Ratios in one run: start-up against Python's own and torch's, and growth with the number of layers.

Figures are CPU seconds of whole processes, measured in turn; absolute times vary
from machine to machine, ratios less so.
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SPECS = Path(__file__).parent.parent / "cnnc" / "specs"
SPEC = SPECS / "vgg16.cnn"
ROUNDS = 5

# The least that a program with a command line and one validated class can take.
HELLO = """
import click
from pydantic import BaseModel
class Hello(BaseModel):
    n: int
Hello(n=1)
"""


@dataclass(frozen=True)
class Taken:
    """What one process took: user and system time in seconds, and peak memory in MiB."""

    cpu: float
    memory: float


def take(*arguments: str) -> Taken:
    # Compiled modules are kept, as they are wherever cnnc is installed.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, *arguments]
    with open(os.devnull, "w") as nowhere:
        process = subprocess.Popen(command, env=environment, stdout=nowhere, stderr=nowhere)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments)} ended with {process.returncode}")
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return Taken(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / unit)


def start_up() -> None:
    commands = {
        "python -c pass": ("-c", "pass"),
        "click and one pydantic class": ("-c", HELLO),
        "cnnc check vgg16.cnn": ("-m", "cnnc", "check", str(SPEC)),
        "cnnc summary vgg16.cnn": ("-m", "cnnc", "summary", str(SPEC)),
    }
    if importlib.util.find_spec("torch"):
        commands["import torch"] = ("-c", "import torch")
    taken = in_turn(commands)
    base = middle(taken["python -c pass"])
    torch = middle(taken["import torch"]) if "import torch" in taken else None
    print(f"{'start-up, CPU seconds':<30}{'median':>9}{'min':>9}{'MiB':>7}{'/ pass':>9}{'/ torch':>9}")
    for name, runs in taken.items():
        row = f"{name:<30}{middle(runs):>9.3f}{min(r.cpu for r in runs):>9.3f}{max(r.memory for r in runs):>7.0f}"
        row += f"{middle(runs) / base:>8.1f}x"
        print(row + (f"{middle(runs) / torch:>8.2f}x" if torch else ""))


def in_turn(commands: Mapping[str, Sequence[str]], rounds: int = ROUNDS) -> dict[str, list[Taken]]:
    """Every command in each round, so that whatever else the machine does falls on all of them."""
    for arguments in commands.values():
        take(*arguments)  # compiles what is not compiled yet
    taken: dict[str, list[Taken]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, arguments in commands.items():
            taken[name].append(take(*arguments))
    return taken


def middle(runs: Sequence[Taken]) -> float:
    return statistics.median(run.cpu for run in runs)


def all_specs() -> None:
    """The CPU time of a spec when all that ship are checked in one run, against that of a run for one."""
    count = sum(1 for _ in SPECS.rglob("*.cnn"))
    commands = {"one": ("-m", "cnnc", "check", str(SPEC)), "all": ("-m", "cnnc", "check", str(SPECS))}
    taken = in_turn(commands, rounds=3)
    one, each = middle(taken["one"]), middle(taken["all"]) / count
    print(f"\n{count} specs in one run: {each:.3f} s a spec, {each / one:.2f} of a run for one (vgg16)")


if __name__ == "__main__":
    if sys.argv[1:2] == ["gpu"]:
        from benchmarks.gpu import main as gpu

        sys.exit(gpu(sys.argv[2:]))
    if sys.argv[1:2] == ["pytorch"]:
        from benchmarks.pytorch import main

        sys.exit(main(sys.argv[2:]))
    from benchmarks import growth, torchinfo

    start_up()
    all_specs()
    growth.main()
    torchinfo.compare()
