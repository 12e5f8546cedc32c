"""`examples/train.py`: alone, resumed, and by several processes of which one is killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("sklearn")

EXAMPLE = Path(__file__).parent.parent / "examples" / "train.py"
SPEC = "input 1x16x16\ndefault conv(norm=bn)\n[conv3-8 -> pool]*2 -> conv3-16 -> gap -> fc-10\n"


def command(folder: Path, *options: str, processes: int = 1) -> list[str]:
    (folder / "net.cnn").write_text(SPEC)
    start = [sys.executable]
    if processes > 1:
        start += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return [
        *start,
        str(EXAMPLE),
        "--spec",
        str(folder / "net.cnn"),
        "--batch",
        "64",
        "--log-every",
        "1",
        *options,
    ]


def run(folder: Path, *options: str, processes: int = 1) -> str:
    done = subprocess.run(
        command(folder, *options, processes=processes), capture_output=True, text=True, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def losses(text: str) -> dict[int, str]:
    return {int(step): loss for step, loss in re.findall(r"step +(\d+) of .*loss ([\d.]+)", text)}


def accuracy(text: str) -> float:
    return float(re.findall(r"accuracy on held-out images: ([\d.]+)", text)[0])


@pytest.mark.slow
def test_what_is_resumed_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    """18 steps an epoch: a checkpoint in the middle of the second, then the rest again."""
    kept = ["--epochs", "2", "--checkpoints", str(tmp_path / "kept"), "--every", "25"]
    whole = losses(run(tmp_path, *kept))
    assert sorted(whole) == list(range(1, 37))
    (tmp_path / "kept" / "step-36" / ".metadata").unlink()  # as if it had been killed while it wrote
    again = run(tmp_path, *kept)
    assert "goes on after step 25" in again
    assert losses(again) == {step: loss for step, loss in whole.items() if step > 25}


@pytest.mark.slow
def test_a_checkpoint_goes_on_in_every_way(tmp_path: Path) -> None:
    """The names in it are those of the plain form: how the processes share the work can change in between."""
    folder = tmp_path / "kept"
    firsts: list[float] = []
    for epochs, way in enumerate(["pipeline", "ddp", "shard", "pipeline"], 1):
        options = ["--epochs", str(epochs), "--parallel", way, "--checkpoints", str(folder)]
        text = run(tmp_path, *options, "--amp", "--channels-last", processes=2)
        assert epochs == 1 or f"goes on after step {18 * (epochs - 1)}," in text
        found = losses(text)
        assert list(found) == list(range(18 * (epochs - 1) + 1, 18 * epochs + 1))
        firsts.append(float(next(iter(found.values()))))
    assert firsts == sorted(firsts, reverse=True) and firsts[-1] < firsts[0] - 0.3


@pytest.mark.slow
def test_unequal_shares_are_tested_in_step(tmp_path: Path) -> None:
    """Of 599 images one process has 300, which are two batches of 299, and the other one; each image counts once."""
    options = ["--epochs", "1", "--batch", "598", "--checkpoints", str(tmp_path / "kept")]
    two = accuracy(run(tmp_path, *options, processes=2))
    assert accuracy(run(tmp_path, *options)) == two > 0


@pytest.mark.slow
@pytest.mark.parametrize("way", ["ddp", "shard", "pipeline"])
def test_two_processes_learn_the_digits(tmp_path: Path, way: str) -> None:
    text = run(tmp_path, "--epochs", "6", "--parallel", way, processes=2)
    assert accuracy(text) > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("way", ["ddp", "shard", "pipeline"])
def test_a_killed_process_costs_one_interval_at_most(tmp_path: Path, way: str) -> None:
    folder = tmp_path / "kept"
    options = ["--epochs", "8", "--parallel", way, "--checkpoints", str(folder), "--every", "10"]
    started = subprocess.Popen(
        command(tmp_path, *options, processes=2), stdout=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert started.stdout is not None
    last = 0
    for line in started.stdout:
        last = max([last, *losses(line)])
        if last >= 35:
            break
    children = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(started.pid)], capture_output=True, text=True, check=True
    ).stdout.split()
    os.kill(int(children[-1]), signal.SIGKILL)
    rest = started.communicate()[0]
    assert started.returncode
    last = max([last, *losses(rest)])
    time.sleep(0.1)
    text = run(tmp_path, *options, processes=2)
    (step,) = map(int, re.findall(r"goes on after step (\d+)", text))
    assert last - 10 <= step <= last
    assert accuracy(text) > 0.9
