"""Odd but legal specs: every way out of them must agree, and with what PyTorch makes of them.

Each file in tests/cases/weird is a spec at the edge of the language: names that are
also Python's or a layer's, empty repeats, skips out of loops, shortcuts in shortcuts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

import cnnc
from cnnc.dsl.format import format_source
from cnnc.dsl.source import Source

FOLDER = Path(__file__).parent / "cases" / "weird"
SPECS = sorted(FOLDER.glob("*.cnn"))


def net_of(text: str) -> cnnc.Net:
    return cnnc.parse(text, name=str(FOLDER / "spec.cnn"))


def run(model: torch.nn.Module, inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    with torch.no_grad():
        out = model(*inputs)
    if isinstance(out, torch.Tensor):
        return [out]
    return list(out.values() if isinstance(out, dict) else out)


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_all_ways_out_agree(path: Path) -> None:
    text = path.read_text(encoding="utf8")
    net = net_of(text)
    core = net_of(net.expand())
    assert core.expand() == net.expand()
    assert (core.params, core.macs) == (net.params, net.macs)
    formatted = net_of(format_source(Source("spec.cnn", text)))
    assert formatted.expand() == net.expand()
    assert net.summary()
    assert net.draw("dot")
    assert net.draw("dot", level="layers")

    model = net.module().eval()
    inputs = [torch.randn(2, *shape) for shape in net.inputs.values()]
    outputs = run(model, inputs)
    assert [tuple(x.shape[1:]) for x in outputs] == list(net.outputs.values())
    assert sum(p.numel() for p in model.parameters()) == net.params

    twin = core.module().eval()
    shapes = {key: value.shape for key, value in model.state_dict().items()}
    assert {key: value.shape for key, value in twin.state_dict().items()} == shapes
    twin.load_state_dict(model.state_dict())
    for ours, theirs in zip(outputs, run(twin, inputs), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("end", ["\r\n", "\n\n", "  \n", "\t\n", " # note\n"])
def test_line_ends_change_nothing(end: str) -> None:
    lines = ["input 3x8x8", "[", "conv3-8", "[id | conv1-8] -> conv1-4", "pool", "]*2", "fc-4"]
    assert net_of(end.join([*lines, ""])).expand() == net_of("\n".join(lines)).expand()


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "spec.cnn"
    path.write_bytes(b"\xef\xbb\xbfinput 3x8x8\nconv3-8\n")
    assert cnnc.load(path).outputs == {"output": (8, 8, 8)}


def test_deep_nesting_needs_no_larger_stack() -> None:
    """From Python, whose stack is limited to 1,000 frames, as from the command line."""
    blocks = "".join(f"block b{i}(x) = [[b{i + 1}([x])]*1]*1\n" for i in range(60))
    net = net_of(f"input 3x8x8\n{blocks}block b60(x) = x\nb0([conv3-8])\n")
    assert net.outputs == {"output": (8, 8, 8)}


def test_identity_shortcuts_take_no_name_of_another() -> None:
    """An identity before a projection in one scope: two attributes, not one for both."""
    net = net_of("input 8x9x9\n[conv3-8 + shortcut] -> relu -> [conv3-16/2 + shortcut]\n")
    projections = [name for name, _ in net.module().named_parameters() if name.startswith("shortcut")]
    assert projections == ["shortcut1.0.weight", "shortcut1.0.bias"]
