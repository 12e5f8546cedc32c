"""Recurrent layers: values and gradients from the papers' equations, keys, figures, fields."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from graphs import graph_of, graph_on  # noqa: E402
from torch import Tensor  # noqa: E402

from cnnc.compiler.cost import costs  # noqa: E402
from cnnc.compiler.expand import expand  # noqa: E402
from cnnc.compiler.receptive_field import receptive_field  # noqa: E402
from ops.oracle import check  # noqa: E402


def lstm(x: Tensor, w: dict[str, Tensor], ending: str) -> Tensor:
    """Hochreiter and Schmidhuber 1997 with forget gates (Gers et al. 2000), position by position; rows i, f, g, o."""
    h = c = x.new_zeros(len(x), w[f"weight_hh{ending}"].shape[1])
    out = []
    for t in range(x.shape[2]):
        gates = x[:, :, t] @ w[f"weight_ih{ending}"].T + h @ w[f"weight_hh{ending}"].T
        gates = gates + w.get(f"bias_ih{ending}", 0) + w.get(f"bias_hh{ending}", 0)
        i, f, g, o = gates.chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        out.append(h)
    return torch.stack(out, 2)


def gru(x: Tensor, w: dict[str, Tensor], ending: str) -> Tensor:
    """Cho et al. 2014, eq. 5 to 8, position by position; rows r, z, n."""
    h = x.new_zeros(len(x), w[f"weight_hh{ending}"].shape[1])
    out = []
    for t in range(x.shape[2]):
        came = x[:, :, t] @ w[f"weight_ih{ending}"].T + w.get(f"bias_ih{ending}", 0)
        goes = h @ w[f"weight_hh{ending}"].T + w.get(f"bias_hh{ending}", 0)
        (r, z, n), (hr, hz, hn) = came.chunk(3, 1), goes.chunk(3, 1)
        z = (z + hz).sigmoid()
        h = z * h + (1 - z) * (n + (r + hr).sigmoid() * hn).tanh()
        out.append(h)
    return torch.stack(out, 2)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
@pytest.mark.parametrize(
    "args", ["", "bidirectional=yes", "layers=2, bidirectional=yes", "bias=no, layers=3"]
)
def test_values_and_gradients(kind: str, args: str) -> None:
    built = check((3, 5), f"{kind}-4({args})")
    module = built.module.double()
    weights = {name.partition(".")[2]: p for name, p in module.named_parameters()}
    x = torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True)
    step: Any = {"lstm": lstm, "gru": gru}[kind]
    wanted = x
    for layer in range(3 if "layers=3" in args else 2 if "layers=2" in args else 1):
        ways = [step(wanted, weights, f"_l{layer}")]
        if "bidirectional" in args:
            ways.append(step(wanted.flip(2), weights, f"_l{layer}_reverse").flip(2))
        wanted = torch.cat(ways, 1)
    y = module(x)
    torch.testing.assert_close(y, wanted)
    inputs = [x, *module.parameters()]
    found = torch.autograd.grad(y.square().sum(), inputs)
    torch.testing.assert_close(found, torch.autograd.grad(wanted.square().sum(), inputs))


def test_figures_of_crnn() -> None:
    """Shi et al. 2015: two bidirectional LSTMs of 256, each with an embedding, on 26 frames of 512."""
    text = "[lstm-256(bidirectional=yes) -> linear-256] -> lstm-256(bidirectional=yes) -> linear-37"
    total = costs(graph_on((512, 26), text)).total
    first, second = 2 * 4 * 256 * (512 + 256), 2 * 4 * 256 * (256 + 256)
    assert total.macs == 26 * (first + 512 * 256 + second + 512 * 37)
    assert total.params == first + second + 4 * 8 * 256 + 512 * 256 + 256 + 512 * 37 + 37


def test_it_sees_the_whole_map() -> None:
    graph = graph_on((2, 16), "conv3-4 -> lstm-4")
    field = receptive_field(graph, graph.outputs["output"])
    assert field is not None
    assert (field.whole, field.size) == (True, (16,))


def test_free_sizes() -> None:
    graph = graph_of("input 3xW\ngru-4(bidirectional=yes)")
    assert [str(n) for n in graph.nodes[graph.outputs["output"]].out] == ["8", "W"]
    assert str(costs(graph).total.macs) == f"({2 * 12 * 7}*W)"


def test_blocks_are_one_class_whatever_their_width() -> None:
    text = "block bi(w, o) = [rnn: lstm-w(bidirectional=yes) -> out: linear-o]\nbi(4, 5) -> bi(6, 7)"
    source = check((3, 5), text).source
    assert source.count("class Bi(") == 1
    assert "ChannelLinear(2 * w, o)" in source


@pytest.mark.parametrize("layer", ["lstm-4", "gru-4(bidirectional=yes, layers=2, dropout=0.5, bias=no)"])
def test_it_expands_to_itself(layer: str) -> None:
    graph = graph_on((3, 5), layer)
    assert [n.op for n in graph_of(expand(graph)).layers] == [n.op for n in graph.layers]
