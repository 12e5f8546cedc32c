"""What took a trick in the first version is one plain line: values, gradients, multiply-adds and free sizes against torch.

Each line is held against a function of torch with the compiled module's own weights, at a known size, and written
for free ones at two others.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from math import log
from typing import Any

import pytest

import cnnc

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402
from torch.nn.attention import SDPBackend, sdpa_kernel  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

Weights = dict[str, Any]
Wanted = Callable[[Any, Weights], Any]


def _conv(x: Any, w: Weights, name: str, **more: Any) -> Any:
    return F.conv2d(x, w[f"{name}.weight"], w.get(f"{name}.bias"), **more)


def _rows(x: Any, w: Weights, name: str) -> Any:
    """A linear layer along the channels, at every position."""
    return torch.einsum("oc,nc...->no...", w[f"{name}.weight"], x) + w[f"{name}.bias"].view(
        -1, *[1] * (x.dim() - 2)
    )


def _self_attention(x: Any, w: Weights) -> Any:
    q, k, v = (_rows(x, w, name).flatten(2) for name in "qkv")
    scores = torch.softmax(q.transpose(1, 2) @ k / q.shape[1] ** 0.5, 2)
    return x + (v @ scores.transpose(1, 2)).view_as(x)


def _channel_attention(x: Any, w: Weights) -> Any:
    """Channels that attend to channels (Fu et al. 2019, DANet, section 3.3), by products of matrices."""
    rows = x.flatten(2)
    return x + (torch.softmax(rows @ rows.transpose(1, 2), 2) @ rows).view_as(x)


def _gate(x: Any, w: Weights) -> Any:
    squeezed = F.relu(_conv(x.mean((2, 3), keepdim=True), w, "conv1"))
    return x * torch.sigmoid(_conv(squeezed, w, "conv2"))


def _coordinate_attention(x: Any, w: Weights) -> Any:
    rows, columns = x.mean(3, keepdim=True), x.mean(2, keepdim=True)
    return x * torch.sigmoid(_conv(rows, w, "conv1")) * torch.sigmoid(_conv(columns, w, "conv2"))


def _published_coordinates(x: Any, w: Weights) -> Any:
    """Hou et al. 2021, eq. 6 and 7: one layer on the means of both axes, which are then taken apart."""
    rows, columns = x.mean(3, keepdim=True), x.mean(2, keepdim=True).transpose(2, 3)
    both = F.hardswish(_conv(torch.cat([rows, columns], 2), w, "both"))
    rows, columns = both.split([x.shape[2], x.shape[3]], 2)
    gates = torch.sigmoid(_conv(rows, w, "rows")), torch.sigmoid(_conv(columns.transpose(2, 3), w, "columns"))
    return x * gates[0] * gates[1]


def _time_embedding(x: Any, w: Weights) -> Any:
    """Sines and cosines of the position at 4 frequencies (Vaswani et al. 2017, section 3.5)."""
    frequencies = torch.exp(-log(10_000) * torch.arange(4, dtype=x.dtype) / 4).view(1, 4, 1)
    return torch.cat([torch.sin(x * frequencies), torch.cos(x * frequencies)], 1)


def _lstm(x: Any, w: Weights) -> Any:
    """Hochreiter and Schmidhuber's cell with forget gates, as torch orders its rows: input, forget, cell, output."""
    h = c = x.new_zeros(len(x), 4)
    out = []
    for t in range(x.shape[2]):
        gates = F.linear(x[:, :, t], w["lstm1.weight_ih_l0"], w["lstm1.bias_ih_l0"])
        gates = gates + F.linear(h, w["lstm1.weight_hh_l0"], w["lstm1.bias_hh_l0"])
        i, f, g, o = gates.chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        out.append(h)
    return torch.stack(out, 2)


CASES: dict[str, tuple[str, tuple[int | str, ...], Wanted, Callable[[int, int], int]]] = {
    "self-attention": (
        "[id + attend(q=[q: linear-C], k=[k: linear-C], v=[v: linear-C])]", (6, "H", "W"), _self_attention,
        lambda h, w: 3 * 36 * h * w + 2 * 6 * (h * w) ** 2,
    ),
    "channel attention": (
        "x: id -> [id + [r: reshape(C, _) @ r -> permute(W, C)] -> softmax(axis=W) -> s: id -> [s @ r] -> reshape(to=x)]",
        (6, "H", "W"), _channel_attention, lambda h, w: 2 * 36 * h * w,
    ),
    "a gate for each channel": (
        "[id & gap -> conv1-2 -> conv1-C(act=sigmoid)]", (6, "H", "W"), _gate, lambda h, w: 24,
    ),
    "coordinate attention": (
        "[id & mean(axis=W) -> conv1-C(act=sigmoid) & mean(axis=H) -> conv1-C(act=sigmoid)]", (6, "H", "W"),
        _coordinate_attention, lambda h, w: 36 * (h + w),
    ),
    "coordinate attention as published": (
        "[id & [h: mean(axis=W) | mean(axis=H) -> w: permute(C, W, H)](axis=H) -> both: conv1-4(act=hardswish) "
        "-> slice(to=h, axis=H) -> rows: conv1-{6}(act=sigmoid) & both -> slice(to=w, axis=H, last=yes) "
        "-> permute(C, W, H) -> columns: conv1-{6}(act=sigmoid)]", (6, "H", "W"), _published_coordinates,
        lambda h, w: 2 * 24 * (h + w),
    ),
    "layer scale": (
        "[id + [conv3-C & s: tensor(C, 1, 1, init=0.1)]]", (3, "H", "W"),
        lambda x, w: x + _conv(x, w, "conv1", padding=1) * w["s"], lambda h, w: 81 * h * w,
    ),
    "residual scaling": (
        "[id + conv3-C -> times(0.2)]", (3, "H", "W"),
        lambda x, w: x + 0.2 * _conv(x, w, "conv1", padding=1), lambda h, w: 81 * h * w,
    ),
    "time embedding": (
        "[f: tensor(4, 1, learn=no, value=(1, 0.1, 0.01, 0.001)) & id] -> [sin | cos]", (1, "W"), _time_embedding,
        lambda h, w: 0,
    ),
    "class token": (
        "[t: tensor(4, 1, init=normal(1)) | id](axis=W)", (4, "W"),
        lambda x, w: torch.cat([w["t"].expand(len(x), 4, 1), x], 2), lambda h, w: 0,
    ),
    "unequal split": (
        "[slice(0..1) | slice(2..) -> conv3-4]", (5, "H", "W"),
        lambda x, w: torch.cat([x[:, :2], _conv(x[:, 2:], w, "conv1", padding=1)], 1),
        lambda h, w: 9 * 3 * 4 * h * w,
    ),
    "arithmetic": (
        "[exp + abs -> times((1, 2, 3)) + [pow(2) & id -> plus(3) -> pow(-1)] + clamp(-1, 0.5)]", (3, "H", "W"),
        lambda x, w: x.exp() + x.abs() * x.new_tensor([1, 2, 3]).view(3, 1, 1) + x**2 / (x + 3) + x.clamp(-1, 0.5),
        lambda h, w: 0,
    ),
    "LSTM": ("lstm-4", (3, "W"), _lstm, lambda h, w: w * 4 * (3 * 4 + 4 * 4)),
}  # fmt: skip
KNOWN = {"H": 6, "W": 4}
FREE = ((6, 4), (3, 7))


def _text(name: str, free: bool) -> str:
    line, shape, _, _ = CASES[name]
    sizes = [str(n) if isinstance(n, int) or free else str(KNOWN[n]) for n in shape]
    return f"input {'x'.join(sizes)}\n{line}"


def _agree(module: Any, wanted: Wanted, x: Any) -> None:
    weights = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    got, want = module(x), wanted(x, weights)
    torch.testing.assert_close(got, want)
    scale = torch.randn_like(got)
    leaves = [x, *module.parameters()]
    torch.testing.assert_close(
        torch.autograd.grad((got * scale).sum(), leaves), torch.autograd.grad((want * scale).sum(), leaves)
    )


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients(name: str) -> None:
    """At a known size, and by the module for free sizes at two."""
    _, shape, wanted, _ = CASES[name]
    for free in (False, True):
        torch.manual_seed(0)
        module = cnnc.parse(_text(name, free)).module().double()
        for h, w in FREE if free else FREE[:1]:
            size = [{"H": h, "W": w}.get(str(n), n) for n in shape]
            _agree(module, wanted, torch.randn(2, *map(int, size), dtype=torch.float64, requires_grad=True))


@pytest.mark.parametrize("name", CASES)
def test_multiply_adds(name: str) -> None:
    """By the formula, for free sizes too, and as torch counts them product by product."""
    _, shape, _, macs = CASES[name]
    net, free = cnnc.parse(_text(name, free=False)), cnnc.parse(_text(name, free=True))
    h, w = FREE[0]
    assert net.macs == macs(h, w)
    for h, w in FREE:
        sizes = {str(n): {"H": h, "W": w}[str(n)] for n in shape if not isinstance(n, int)}
        text = "x".join(str(sizes.get(str(n), n)) for n in shape)
        assert cnnc.parse(_text(name, free=True), input=text).macs == macs(h, w)
    assert free.graph.free
    module = net.module().requires_grad_(False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        counter = FlopCounterMode(display=False)
        with (
            torch.backends.mkldnn.flags(enabled=False),
            sdpa_kernel(SDPBackend.MATH),
            counter,
            torch.no_grad(),
        ):
            module(torch.randn(2, *next(iter(net.inputs.values()))))
    assert counter.get_total_flops() == 2 * 2 * net.macs


def test_each_is_one_line_without_an_extern() -> None:
    for name in CASES:
        assert _text(name, free=False).count("\n") == 1, name
        assert "extern" not in CASES[name][0]
