"""Borders: what a convolution's padding repeats, transposed padding by TensorFlow's rule, dilated and wide max-pools."""

from __future__ import annotations

from itertools import product
from math import inf
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402
from graphs import graph_of  # noqa: E402

import cnnc  # noqa: E402
from cnnc.dsl.diagnostics import CnncError  # noqa: E402
from ops.oracle import check  # noqa: E402


def _compare(found: Any, wanted: Any, leaves: list[Any]) -> None:
    torch.testing.assert_close(found, wanted)
    weights = torch.rand_like(found)
    torch.testing.assert_close(
        torch.autograd.grad((found * weights).sum(), leaves),
        torch.autograd.grad((wanted * weights).sum(), leaves),
    )


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
@pytest.mark.parametrize("shape", [(4, 9), (4, 7, 6), (4, 4, 5, 4)])
@pytest.mark.parametrize("word", ["conv3-4(groups=2", "dwconv3/2(dilation=2", "conv5-2(reparam=weight_norm"])
def test_a_convolution_that_repeats_its_map(word: str, shape: tuple[int, ...], mode: str) -> None:
    """The same weights on a map that was padded before."""
    built = check(shape, f"{word}, pad_mode={mode}, act=none)")
    layer: Any = dict(built.module.named_children()).popitem()[1].double()
    x = torch.rand(2, *shape, dtype=torch.float64, requires_grad=True)
    (op,) = (node.op for node in built.graph.layers)
    sides = [n for pair in reversed(op.pad) for n in pair]  # type: ignore[attr-defined]
    padded = F.pad(x, sides, mode=mode)
    run = (F.conv1d, F.conv2d, F.conv3d)[len(shape) - 2]
    wanted = run(padded, layer.weight, layer.bias, layer.stride, 0, layer.dilation, layer.groups)
    _compare(built.module.double()(x), wanted, [x, *built.module.parameters()])


def test_a_repeated_border_of_a_free_size_and_in_inference() -> None:
    net = cnnc.parse("input 2xHxW\ndefault conv(pad_mode=reflect)\nconv5-4(norm=bn) -> conv3-3")
    small = cnnc.parse("input 2x7x9\ndefault conv(pad_mode=reflect)\nconv5-4(norm=bn) -> conv3-3")
    assert next(str(limits) for limits in net.limits).startswith("H >= 3")
    module, other = net.module().eval(), small.module().eval()
    other.load_state_dict(module.state_dict())
    x = torch.rand(2, 2, 7, 9)
    torch.testing.assert_close(module(x), other(x))
    assert small.pytorch(optimize="inference").count('padding_mode="reflect"') == 2


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_transposed_padding_by_tensorflows_rule(rank: int) -> None:
    """s*M positions; the gradient of a convolution padded by that rule, whose total is k - s where it fits."""
    for k, s, d in ((3, 2, 1), (5, 2, 1), (4, 2, 1), (2, 2, 1), (3, 3, 1), (3, 2, 2), (3, 1, 1)):
        n = 4
        built = check((2, *[n] * rank), f"tconv{k}-3/{s}(pad=same_tf, dilation={d}, bias=no)")
        x = torch.rand(2, 2, *[n] * rank, dtype=torch.float64, requires_grad=True)
        found = built.module.double()(x)
        assert tuple(found.shape[2:]) == (s * n,) * rank
        (weight,) = built.module.parameters()
        total = max((n - 1) * s + (k - 1) * d + 1 - s * n, 0)
        y = torch.zeros(2, 3, *[s * n] * rank, dtype=torch.float64, requires_grad=True)
        run = (F.conv1d, F.conv2d, F.conv3d)[rank - 1]
        down = run(F.pad(y, [total // 2, total - total // 2] * rank), weight, None, s, 0, d)
        (wanted,) = torch.autograd.grad((down * x).sum(), y, create_graph=True)
        _compare(found, wanted, [x, weight])


def test_a_short_kernel_leaves_places_that_are_asked_for() -> None:
    assert graph_of("input 2x4\ntconv2-3/3(pad=same_tf, output_pad=1)").layers[-1].out == (3, 12)


@pytest.mark.parametrize(
    ("word", "kernel", "stride", "pads", "dilation"),
    [
        ("maxpool3/1(dilation=2, pad=same)", (3, 3), (1, 1), ((2, 2), (2, 2)), (2, 2)),
        ("maxpool2/1(dilation=3x2, pad=(1, 0))", (2, 2), (1, 1), ((1, 0), (1, 0)), (3, 2)),
        ("maxpool3/2(pad=2)", (3, 3), (2, 2), ((2, 2), (2, 2)), (1, 1)),
        ("maxpool2/1(pad=((0, 1), (1, 1)))", (2, 2), (1, 1), ((0, 1), (1, 1)), (1, 1)),
        ("maxpool3/2(dilation=2, pad=3)", (3, 3), (2, 2), ((3, 3), (3, 3)), (2, 2)),
    ],
)  # fmt: skip
def test_max_pools_window_by_window(
    word: str, kernel: tuple[int, int], stride: tuple[int, int], pads: Any, dilation: tuple[int, int]
) -> None:
    """For known and free sizes; no window is without a value."""
    for sizes in ("6x7", "HxW"):
        module = cnnc.parse(f"input 2x{sizes}\n{word}").module().double()
        x = torch.randn(2, 2, 6, 7, dtype=torch.float64, requires_grad=True)
        padded = F.pad(x, [*pads[1], *pads[0]], value=-inf)
        extent = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
        rows, columns = ((n - e) // s + 1 for n, e, s in zip(padded.shape[2:], extent, stride, strict=True))
        windows = [
            padded[..., i * stride[0] : i * stride[0] + extent[0] : dilation[0],
                   j * stride[1] : j * stride[1] + extent[1] : dilation[1]].amax((2, 3))
            for i, j in product(range(rows), range(columns))
        ]  # fmt: skip
        wanted = torch.stack(windows, 2).unflatten(2, (rows, columns))
        assert bool(torch.isfinite(wanted).all())
        _compare(module(x), wanted, [x])


@pytest.mark.parametrize(
    ("layers", "code"),
    [
        ("conv3-4(pad_mode=zero)", "E303"), ("conv3-4(pad=(0, 1), pad_mode=reflect)", "E307"),
        ("conv3-4(pad_mode=reflect, mask=b)", "E307"), ("conv3-4(pad_mode=circular, standardise=yes)", "E307"),
        ("conv3-4(pad=6, pad_mode=reflect)", "E403"), ("dwconv3(pad=7, pad_mode=circular)", "E403"),
        ("conv4-4(pad=same_tf, pad_mode=replicate)", "E307"), ("tconv2-3/3(pad=same_tf)", "E307"),
        ("tconv3-3/2(pad=same_tf, output_pad=1)", "E307"), ("tconv3-3/2(pad=same)", "E303"),
        ("maxpool3(pad=3)", "E303"), ("maxpool2(dilation=3, pad=4)", "E303"), ("maxpool2/1(dilation=7, pad=3)", "E403"),
        ("avgpool3(pad=2)", "E303"), ("maxpool2(dilation=0)", "E303"), ("p: maxpool2(dilation=2) -> unpool(of=p)", "E307"),
    ],
)  # fmt: skip
def test_what_is_refused(layers: str, code: str) -> None:
    with pytest.raises(CnncError) as caught:
        graph_of(f"input 2x6x6\n{layers}")
    assert {d.code for d in caught.value.diagnostics} == {code}
