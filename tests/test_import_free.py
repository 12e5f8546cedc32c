"""`cnnc import --input 3xHxW`: what is open in the module is open in the spec, and the rest is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

import cnnc
from cnnc.cli.commands import cnnc as command
from tests.import_oracle import torch

NETS = """
import torch
from torch import nn
F = nn.functional

class Up(nn.Module):
    '''A level of a U-Net, as large as what it is added to.'''

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, 2, 1)
        self.gate, self.last = nn.Linear(8, 8), nn.Conv2d(8, 8, 1)

    def forward(self, x):
        a = self.a(x)
        b = F.interpolate(self.b(a), size=a.shape[2:], mode="bilinear")
        y = self.last(a + b * torch.sigmoid(self.gate(b.mean((2, 3))))[:, :, None, None])
        return y.flatten(2).transpose(1, 2)

class Fixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.fc = nn.Conv2d(3, 2, 3, 2, 1), nn.Linear(2 * 112 * 128, 4)

    def forward(self, x):
        return self.fc(self.a(x).flatten(1))

class Branch(nn.Module):
    '''Another network from a size on.'''

    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        return self.a(x) if x.shape[2] < 220 else x.relu()

class Patches(nn.Module):
    '''Only multiples of 4, positions of a learnt table.'''

    def __init__(self):
        super().__init__()
        self.a, self.table = nn.Conv2d(3, 8, 4, 4), nn.Parameter(torch.zeros(8, 56, 64))

    def forward(self, x):
        return self.a(x) + self.table
"""


@pytest.fixture
def imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("free_nets.py").write_text(NETS)
    return lambda name: CliRunner().invoke(
        command, ["import", f"free_nets:{name}", "--input", "3xHxW", "-o", "free.cnn"], catch_exceptions=False
    )


def test_free_sizes_are_those_of_the_module(imported: object) -> None:
    done = imported("Up")  # type: ignore[operator]
    assert done.exit_code == 0, done.output
    text = Path("free.cnn").read_text()
    assert "input 3xHxW" in text
    assert "like=" in text
    assert "expect macs" not in text
    from free_nets import Up  # type: ignore[import-not-found]

    module = Up().eval()
    ours = cnnc.load("free.cnn").module(state=module.state_dict()).eval()
    for shape in ((3, 24, 40), (3, 33, 17)):
        image = torch.rand(2, *shape)
        with torch.no_grad():
            assert torch.allclose(ours(image), module(image), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("Fixed", "fails: mat1 and mat2"),
        ("Branch", "below 220 for H the module is another"),
        ("Patches", "fails: The size of tensor a"),
    ],
)
def test_a_size_that_cannot_be_free_is_told(imported: object, name: str, why: str) -> None:
    done = imported(name)  # type: ignore[operator]
    assert done.exit_code == 1
    assert "error E805: the sizes cannot be free" in done.output
    assert why in done.output
    assert not Path("free.cnn").exists()
