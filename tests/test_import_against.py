"""`cnnc verify SPEC --against MODULE`: mistakes planted in a module are found, and named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import cnnc
from cnnc.cli.commands import cnnc as command
from cnnc.importer.against import difference
from tests.import_oracle import torch

nn = torch.nn

PLANTED = {
    "": None,
    "stride": "stride is (2, 2), and (1, 1) in the module",
    "eps": "eps is 1e-05, and 0.001 in the module",
    "padding": "pad is ((3, 3), (3, 3)), and ((2, 2), (2, 2)) in the module",
    "activation": "is relu, and silu in the module",
    "count": "in the module",
    "branches": "in the module",
}


def resnet(mistake: str) -> Any:
    """torchvision's ResNet-18 on meta, with a mistake."""
    from tests.torchvision_oracle import torchvision_models

    models = torchvision_models()
    with torch.device("meta"):
        net = models.resnet.ResNet(models.resnet.BasicBlock, [2, 3 if mistake == "count" else 2, 2, 2])
    if mistake == "stride":
        net.layer3[0].conv1.stride, net.layer3[0].conv2.stride = (1, 1), (2, 2)
    elif mistake == "eps":
        net.layer2[1].bn2.eps = 1e-3
    elif mistake == "padding":
        net.conv1.padding = (2, 2)
    elif mistake == "activation":
        net.layer4[1].relu = nn.SiLU()
    elif mistake == "branches":
        block = net.layer3[0]
        block.downsample[1], block.bn2 = nn.Identity(), nn.Sequential(block.bn2, block.downsample[1])
    return net


@pytest.mark.slow
@pytest.mark.parametrize("mistake", PLANTED)
def test_a_mistake_in_torchvisions_resnet_is_found(mistake: str) -> None:
    found = difference(
        cnnc.load("zoo:resnet18").graph, cnnc.from_module(resnet(mistake), torch.rand(1, 3, 224, 224)).graph
    )
    wanted = PLANTED[mistake]
    assert found is None if wanted is None else found is not None and wanted in found


NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, stride=2, act=nn.ReLU, swap=False):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride, 1)
        self.act, self.swap = act(), swap
        self.a, self.b = nn.Conv2d(8, 4, 1), nn.Conv2d(8, 4, 3, padding=1)

    def forward(self, x):
        x = self.act(self.stem(x))
        return torch.cat([self.b(x), self.a(x)] if self.swap else [self.a(x), self.b(x)], 1) + x

def wrong(): return Net(stride=1)
def other(): return Net(act=nn.SiLU)
def swapped(): return Net(swap=True)
"""
SPEC = """
input 3x16x16
default conv(act=none)
stem: conv3-8/2 -> relu
[id + [conv1-4 | conv3-4]]
"""


@pytest.mark.parametrize(
    ("pool", "found"), [("2", False), ("3/1(pad=1)", True), ("2/2(ceil=yes)", True), ("2/1", False)]
)
def test_whether_a_border_counts_matters_where_there_is_one(pool: str, found: bool) -> None:
    word, _, args = pool.rstrip(")").partition("(")
    one, two = (
        cnnc.parse(f"input 3x7x7\navgpool{word}({args}{', ' if args else ''}count_pad={said})").graph
        for said in ("yes", "no")
    )
    told = difference(one, two)
    assert (told is not None and "count_pad" in told) == found


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("against_net.py").write_text(NET)
    Path("net.cnn").write_text(SPEC)

    def verify(factory: str) -> tuple[int, str]:
        done = CliRunner().invoke(command, ["verify", "net.cnn", "--against", f"against_net:{factory}"])
        return done.exit_code, done.output.strip().splitlines()[-1]

    assert verify("Net") == (0, "ok: against_net:Net computes what the spec says: 6 layers, 552 parameters")
    assert verify("wrong") == (1, "FAILED  stem: stride is (2, 2), and (1, 1) in the module")
    assert verify("other") == (1, "FAILED  relu1: is relu, and silu in the module")
    code, told = verify("swapped")
    assert code == 1
    assert "kernel is" in told


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        ("[a + b + id]", "[id + [a + b]]", None),
        ("[a + [b + [id + a]]]", "[[b + a] + [a + id]]", None),
        ("[a + b + id + id]", "[[a + b] + id + a]", "is wired otherwise in the module"),
        ("[a + b + id]", "[a + [b + a + id]]", "the number of inputs is 3, and 4 in the module"),
        ("[a + b + id] -> c: id\n[c + [c & a]]", "[a + b + id + [a & b]]", "in the module"),
    ],
)
def test_how_a_sum_is_nested_does_not_matter(one: str, other: str, found: str | None) -> None:
    head = "input 4x8x8\na: conv3-4(act=none)\nb: conv1-4(act=none) -> conv5-4(act=none)\n"
    told = difference(cnnc.parse(head + one).graph, cnnc.parse(head + other).graph)
    assert told is None if found is None else told is not None and found in told
