"""Every shipped spec: its claims, its style, and the PyTorch module that it compiles to.

The figures' independent oracles are `numel` of the built module and FlopCounterMode;
both work on the meta device, where shapes are computed and no numbers.
"""

from __future__ import annotations

import contextlib
import io
import runpy
import subprocess
import sys
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import pytest

import cnnc

SPECS = Path(cnnc.__file__).parent / "specs"
ZOO = sorted(path.stem for path in SPECS.glob("*.cnn"))

FORTY_LINES = ("lenet5", "alexnet", "vgg16", "resnet50", "googlenet", "densenet121")
REAL_MACS = 700_000_000
"""Networks of up to this many MACs train a step on the CPU; larger ones do so on the meta device."""
BATCH = 2
"""A batch norm in training needs more than one value for each channel, also on a map of 1x1."""


@cache
def network(name: str) -> cnnc.Net:
    return cnnc.load(SPECS / f"{name}.cnn")


def random_inputs(net: cnnc.Net, batch: int, device: str) -> list[Any]:
    import torch

    return [torch.randn(batch, *shape, device=device) for shape in net.inputs.values()]


def flat_outputs(output: Any) -> list[Any]:
    return list(output) if isinstance(output, tuple) else [output]


# --- without torch -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ZOO)
def test_claims_hold_without_a_warning(name: str) -> None:
    net = network(name)
    net.check()
    assert net.claims, "a shipped spec claims something"
    assert net.warnings == ()


@pytest.mark.parametrize("name", ZOO)
def test_head_names_paper_year_and_idea(name: str) -> None:
    """Two comment lines, with the year; then the model, called as its file."""
    lines = (SPECS / f"{name}.cnn").read_text().splitlines()
    assert lines[0].startswith("# ")
    assert lines[1].startswith("# ")
    assert any(str(year) in lines[0] + lines[1] for year in range(1989, 2024))
    assert lines[2].split()[:2] == ["model", name]


@pytest.mark.parametrize("name", FORTY_LINES)
def test_the_best_known_fit_in_forty_lines(name: str) -> None:
    assert len((SPECS / f"{name}.cnn").read_text().splitlines()) <= 40


def test_no_line_of_layers_is_written_twice() -> None:
    """Families share blocks, and differ by their arguments."""
    homes: dict[str, list[str]] = {}
    for path in sorted(SPECS.rglob("*.cnn")):
        for line in path.read_text().splitlines():
            code = line.split("#")[0].strip()
            if "->" in code and len(code) > 60:
                homes.setdefault(code, []).append(path.name)
    assert {code: files for code, files in homes.items() if len(files) > 1} == {}


# --- with torch --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ZOO)
def test_figures_equal_the_modules(name: str) -> None:
    """Parameters, state and MACs of the compiled module are the ones that the analysis tells."""
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    net = network(name)
    with torch.device("meta"):
        module = net.module().eval()
        inputs = random_inputs(net, 1, "meta")
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            output = module(*inputs)
    assert sum(p.numel() for p in module.parameters()) == net.params
    assert sum(b.numel() for b in module.buffers()) == net.costs.total.state
    assert counter.get_total_flops() == 2 * net.macs
    assert [tuple(x.shape[1:]) for x in flat_outputs(output)] == list(net.outputs.values())


@pytest.mark.parametrize("name", ZOO)
def test_one_step_of_training(name: str) -> None:
    """Forward and backward in training: every parameter gets a gradient of its own shape."""
    torch = pytest.importorskip("torch")
    net = network(name)
    device = "cpu" if net.macs <= REAL_MACS and net.params < 30_000_000 else "meta"
    torch.manual_seed(0)
    with torch.device(device):
        module = net.module().train()
        outputs = flat_outputs(module(*random_inputs(net, BATCH, device)))
        loss = sum(x.float().square().mean() for x in outputs)
        loss.backward()
    without = [key for key, p in module.named_parameters() if p.grad is None]
    assert without == []
    if device == "cpu":
        assert all(bool(x.isfinite().all()) for x in outputs)
        assert all(bool(p.grad.isfinite().all()) for p in module.parameters())


@pytest.mark.parametrize("name", ZOO)
def test_the_written_file_runs_as_a_script(name: str, tmp_path: Path) -> None:
    """It prints the shape of its outputs on random input; here on the meta device."""
    torch = pytest.importorskip("torch")
    net = network(name)
    file = tmp_path / f"{name}.py"
    file.write_text(net.pytorch())
    printed = io.StringIO()
    with torch.device("meta"), contextlib.redirect_stdout(printed):
        runpy.run_path(str(file), run_name="__main__")
    shapes = [(1, *shape) for shape in net.outputs.values()]
    assert printed.getvalue() == f"{shapes[0] if len(shapes) == 1 else shapes}\n"


def test_a_written_file_needs_nothing_of_cnnc(tmp_path: Path) -> None:
    """LeNet-5's, in a process that has no way to the package."""
    pytest.importorskip("torch")
    file = tmp_path / "lenet5.py"
    file.write_text(network("lenet5").pytorch())
    command = [sys.executable, "-P", str(file)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "(1, 10)\n"), done.stderr
    assert "cnnc" not in file.read_text().replace("Written by cnnc", "")


def test_smaller_inputs_train_the_large_ones() -> None:
    """Fully convolutional bodies take any size that fits: VGG-16's features at 32, in numbers."""
    torch = pytest.importorskip("torch")
    net = cnnc.load(SPECS / "vgg16.cnn", input="3x32x32")
    torch.manual_seed(0)
    features = net.module().features.train()
    out = features(torch.randn(BATCH, 3, 32, 32))
    out.sum().backward()
    assert tuple(out.shape) == (BATCH, 512, 1, 1)
    assert all(p.grad is not None for p in features.parameters())
    assert prod(out.shape[1:]) * 4096 + 4096 == sum(
        p.numel() for key, p in net.module().named_parameters() if key.startswith("classifier.0.")
    )
