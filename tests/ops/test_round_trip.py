"""What `expand` writes of a layer is read as the same layer, whatever its arguments."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cnnc
from cnnc.compiler.diff import diff
from cnnc.compiler.ops import op_words
from cnnc.dsl.diagnostics import CnncError
from ops.strategies import WORDS, shape_of

drawn = settings(
    max_examples=40, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)  # fmt: skip


@pytest.mark.parametrize("kind", sorted(WORDS))
@drawn
@given(data=st.data())
def test_what_goes_out_comes_back(kind: str, data: Any) -> None:
    rank = data.draw(st.sampled_from(op_words()[kind].ranks))
    shape = shape_of(data.draw, kind, rank)
    text = f"input {'x'.join(map(str, shape))}\n{WORDS[kind](data.draw, shape)}\n"
    try:
        net = cnnc.parse(text)
    except CnncError:
        return
    core = net.expand()
    again = cnnc.parse(core)
    assert diff(net.graph, again.graph).equal, core
    assert [node.op for node in again.graph.nodes] == [node.op for node in net.graph.nodes], core
    assert again.to_dict()["totals"] == net.to_dict()["totals"]
    assert again.expand() == core


@pytest.mark.parametrize(
    ("size", "layers"),
    [
        ("8x8x8", "reshape(8x64) -> reshape(8x8x8) -> conv3-8"),
        ("3x8x8", "gap -> conv1-1 -> reshape(1x1) -> bn"),
        ("16", "reshape(2x2x2x2) -> conv3-2"),
        ("3x8x8", "p: pad((0, 1)) -> conv3-4 -> reshape(to=p)"),
    ],
)
def test_shapes(size: str, layers: str) -> None:
    net = cnnc.parse(f"input {size}\n{layers}\n")
    assert diff(net.graph, cnnc.parse(net.expand()).graph).equal
