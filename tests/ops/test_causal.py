"""pad=causal: no position sees a later one, and nothing is shorter for it."""

from __future__ import annotations

import pytest
from graphs import graph_of, graph_on

torch = pytest.importorskip("torch")

from cnnc.compiler.expand import expand  # noqa: E402
from cnnc.compiler.receptive_field import misalignments, receptive_field, receptive_fields  # noqa: E402
from cnnc.dsl.diagnostics import CnncError  # noqa: E402
from ops.oracle import check, compiled  # noqa: E402

WAVENET = "[[conv2-4(pad=causal, dilation=2**i, act=tanh) + id] for i in 0..3]"
WORDS = [
    "conv3-4(pad=causal, act=none)", "conv2-4(pad=causal, dilation=4, act=none)", "dwconv3(pad=causal, act=none)",
    "sepconv3-4(pad=causal, act=none)", "conv3-4/2(pad=causal, act=none)", "local3-4(pad=causal, act=none)",
    WAVENET,
]  # fmt: skip


@pytest.mark.parametrize("word", WORDS)
def test_no_position_sees_a_later_one(word: str) -> None:
    graph = check((4, 32), word).graph
    module = compiled(graph).module.double()
    x = torch.randn(1, 4, 32, dtype=torch.float64, requires_grad=True)
    y = module(x).abs().sum((0, 1))
    stride = 32 // len(y)
    field = receptive_field(graph, graph.outputs["output"])
    assert field is not None
    for i in (0, 5, len(y) - 1):
        (gradient,) = torch.autograd.grad(y[i], x, retain_graph=True)
        seen = gradient[0].abs().sum(0).nonzero().flatten().tolist()
        assert max(seen) == i * stride
        span = field.axes[0].at(i)
        assert span is not None
        assert span[1] == i * stride
        assert min(seen) >= span[0]


@pytest.mark.parametrize("word", WORDS)
def test_it_comes_out_of_the_core(word: str) -> None:
    graph = graph_on((4, 32), word)
    again = graph_of(expand(graph))
    assert [node.op for node in again.layers] == [node.op for node in graph.layers]
    assert [node.op.one_sided for node in again.layers] == [node.op.one_sided for node in graph.layers]


def test_it_draws_no_warning_and_other_padding_does() -> None:
    def codes(pad: str) -> list[str]:
        graph = graph_on((4, 32), f"[conv3-4(pad={pad}, act=none) + id] -> relu")
        return [w.code for w in misalignments(graph, receptive_fields(graph))]

    assert codes("causal") == []
    assert codes("(2, 0)") == ["W203"]


def test_it_is_for_one_axis() -> None:
    with pytest.raises(CnncError, match="is for a map of one axis, and this has 2") as caught:
        graph_on((4, 8, 8), "conv3-4(pad=causal)")
    assert caught.value.diagnostics[0].code == "E401"
    with pytest.raises(CnncError, match="expected valid, same_tf, a number"):
        graph_on((4, 8), "tconv3-4(pad=causal)")


def test_it_fits_free_sizes() -> None:
    graph = graph_of(f"input 4xW\n{WAVENET}\n")
    assert str(graph.nodes[-1].out[1]) == "W"
    assert tuple(compiled(graph).module(torch.rand(2, 4, 19)).shape) == (2, 4, 19)
