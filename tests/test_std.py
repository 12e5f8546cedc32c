"""The block library: every block is used in a spec of its own, whose claims are arithmetic or published figures."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import cnnc
from cnnc.dsl import syntax as s
from cnnc.dsl.parse import parse
from cnnc.dsl.read import read_source

STD = Path(cnnc.__file__).parent / "specs" / "std"
SPECS = sorted((Path(__file__).parent / "specs_std").glob("*.cnn"), key=lambda path: path.stem)

PARTS = {"inverted_path", "shuffle_path", "c2f_unit", "c2f_path", "sppf_pools"}
"""Blocks that only serve another block of their file."""


@cache
def network(path: Path) -> cnnc.Net:
    return cnnc.load(path)


def blocks(path: Path) -> dict[str, s.Block]:
    return {st.name: st for st in parse(read_source(path)).statements if isinstance(st, s.Block)}


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_claims_hold_without_a_warning(path: Path) -> None:
    net = network(path)
    net.check()
    assert net.claims
    assert [finding for finding in net.warnings if finding.severity == "warning"] == []


def test_every_block_is_used_in_a_spec_that_claims_something() -> None:
    shipped = {name for path in STD.glob("*.cnn") for name in blocks(path)}
    used: set[str] = set()
    for path in SPECS:
        for statement in parse(read_source(path)).statements:
            if isinstance(statement, s.Use):
                used |= {name.name for name in statement.names}
    assert used == shipped - PARTS


@pytest.mark.parametrize("path", sorted(STD.glob("*.cnn")), ids=lambda path: path.stem)
def test_every_file_names_its_papers(path: Path) -> None:
    comments = "\n".join(line for line in path.read_text().splitlines() if line.startswith("#"))
    assert re.search(r"et al\. \d{4}", comments)


@pytest.mark.parametrize("path", sorted(STD.glob("*.cnn")), ids=lambda path: path.stem)
def test_every_block_takes_norm_and_act(path: Path) -> None:
    for name, block in blocks(path).items():
        if name in PARTS:
            continue
        parameters = [parameter.name for parameter in block.params]
        assert {"norm", "act"} <= set(parameters), name


def outputs_of(output: Any) -> tuple[Any, ...]:
    """What a module returns, as a tuple."""
    return output if isinstance(output, tuple) else (output,)


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_figures_equal_the_modules(path: Path) -> None:
    """Parameters, state and MACs of the compiled module, and a gradient for every parameter."""
    torch = pytest.importorskip("torch")
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    net = network(path)
    shapes = net.inputs.values()
    with torch.device("meta"):
        module: Any = net.module().eval()
        module.requires_grad_(False)
        with sdpa_kernel(SDPBackend.MATH), torch.no_grad(), FlopCounterMode(display=False) as counter:
            output = module(*(torch.randn(1, *shape) for shape in shapes))
        trained = module.requires_grad_(True).train()(*(torch.randn(2, *shape) for shape in shapes))
        sum(y.sum() for y in outputs_of(trained)).backward()
    assert sum(p.numel() for p in module.parameters()) == net.params
    assert sum(b.numel() for b in module.buffers()) == net.costs.total.state
    assert counter.get_total_flops() == 2 * net.macs
    assert tuple(tuple(y.shape[1:]) for y in outputs_of(output)) == tuple(net.outputs.values())
    assert all(p.grad is not None for p in module.parameters())


def test_norm_none_and_act_none_pass_through() -> None:
    """A block without norm and activation is linear: convolutions, sums and joins only."""
    text = "input 16x8x8\nuse {} from std\n{}\n"
    for call in ("basic(32, 2, norm=none, act=none)", "preact_basic(16, norm=none, act=none)"):
        net = cnnc.parse(text.format(call.split("(")[0], call))
        assert {node.op.kind for node in net.graph.nodes} == {"input", "conv", "add"}


def test_norm_takes_a_word_with_arguments() -> None:
    net = cnnc.parse("input 32x8x8\nuse basic from std\nbasic(64, 2, norm=gn(16))\n")
    groups = [node.op.groups for node in net.graph.nodes if node.op.kind == "gn"]  # type: ignore[attr-defined]
    assert groups == [16, 16, 16], "the projection's norm is the block's too"
