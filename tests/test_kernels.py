"""The inference form's kernels for GPUs, run without one: Triton's interpreter computes them on the CPU.

The oracle is PyTorch in float64, over kernels, strides, paddings, dilations, odd sizes, channels that are
no multiple of 8, maps that are a part of wider ones, and batches of one.
"""

from __future__ import annotations

import sys
from typing import Any

import pytest

torch = pytest.importorskip("torch")

HAS_GPU = torch.cuda.is_available()
pytest.importorskip("triton", reason="Triton is not installed: its kernels are not tried")
import torch.nn.functional as F  # noqa: E402

import cnnc  # noqa: E402

DEVICE = "cuda" if HAS_GPU else "cpu"
LAST = torch.channels_last
TILES = [(16, 32, 128, 4, 4), (32, 64, 64, 4, 4), (128, 64, 64, 4, 4), (128, 128, 64, 8, 3)]


@pytest.fixture(scope="module")
def layers() -> Any:
    """The module of a file that has every helper of the inference form."""
    text = "conv3-8(norm=bn) -> dwconv3 -> maxpool3/2 -> [id | conv1-4] -> bn -> relu -> fc-300(act=relu)"
    form = cnnc.parse(text, input="3x17x17").module(optimize="inference")
    return sys.modules[type(form).__module__]


def maps(*shape: int, wide: int = 0, dtype: Any = torch.float32) -> Any:
    """Random maps with their channels innermost; with `wide` a part of maps of so many more channels."""
    n, c, h, w = shape
    x = torch.randn(n, c + wide, h, w, device=DEVICE).to(dtype).contiguous(memory_format=LAST)
    return x[:, :c]


def close(got: Any, wanted: Any, dtype: Any = torch.float32) -> None:
    off = float((got.double() - wanted).norm() / wanted.norm())
    assert got.dtype == dtype
    assert off < {torch.float32: 1e-6, torch.bfloat16: 5e-3, torch.float16: 1e-3}[dtype], off


def conv(layers: Any, kind: str, *args: Any, dtype: Any = torch.float32, **options: Any) -> Any:
    torch.manual_seed(0)
    return getattr(layers, kind)(*args, **options).eval().to(DEVICE, dtype)


def reference(layer: Any, x: Any, other: Any = None) -> Any:
    """The layer in float64, by PyTorch's own operators."""
    bias = None if layer.bias is None else layer.bias.double()
    shape = (layer.stride, layer.padding, layer.dilation, layer.groups)
    y = F.conv2d(x.double(), layer.weight.double(), bias, *shape)
    y = y if other is None else y + other.double()
    return y if layer.act == "none" else getattr(F, layer.act)(y, *layer.slope)


ACTS = ["none", "relu", "relu6", "leaky_relu", "silu", "hardswish", "sigmoid", "tanh"]


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("adds", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_finish(layers: Any, act: str, adds: bool, bias: bool) -> None:
    torch.manual_seed(0)
    x, other = 4 * maps(3, 13, 5, 7), maps(3, 13, 5, 7) if adds else None
    b = torch.randn(13, device=DEVICE) if bias else None
    wanted = x.double() + (0 if b is None else b.double().view(-1, 1, 1))
    wanted = wanted + (0 if other is None else other.double())
    slope = [0.3] if act == "leaky_relu" else []
    wanted = wanted if act == "none" else getattr(F, act)(wanted, *slope)
    mine = x.contiguous(memory_format=LAST)
    got = layers.finish(mine, b, other, act, slope)
    assert got.data_ptr() == mine.data_ptr()
    close(got, wanted)


def test_what_is_not_a_number_stays_so(layers: Any) -> None:
    x = torch.full((1, 8, 2, 2), torch.nan, device=DEVICE).contiguous(memory_format=LAST)
    for act in ACTS:
        slope = [0.3] if act == "leaky_relu" else []
        assert layers.finish(x.clone(memory_format=LAST), None, None, act, slope).isnan().all(), act
    pool = layers.SeparableMaxPool2d(3, stride=2)
    y = maps(1, 4, 7, 7).contiguous(memory_format=LAST)
    y[0, 1, 2, 2] = torch.nan
    got = pool.in_one(y, [(3, 2, 0, 3), (3, 2, 0, 3)])
    torch.testing.assert_close(got, F.max_pool2d(y, 3, 2), equal_nan=True)


@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize(
    ("n", "ins", "outs", "h", "w", "stride", "wide"),
    [(1, 16, 24, 7, 7, 1, 0), (2, 13, 5, 9, 11, 2, 0), (3, 40, 70, 6, 5, (2, 1), 8), (1, 200, 130, 1, 1, 1, 0)],
)  # fmt: skip
def test_product(layers: Any, tile: Any, n: int, ins: int, outs: int, h: int, w: int, stride: Any, wide: int) -> None:  # fmt: skip
    for act, adds in (("relu6", False), ("relu", True), ("none", False)):
        dtype = torch.bfloat16 if HAS_GPU else torch.float32
        layer = conv(layers, "FusedConv2d", ins, outs, 1, stride=stride, act=act, dtype=dtype)
        x = maps(n, ins, h, w, wide=wide, dtype=dtype)
        wanted = reference(layer, x)
        other = maps(*wanted.shape, dtype=dtype) if adds else None
        got = layer.product(tile, x, other, layer.weight)
        assert got.is_contiguous(memory_format=LAST)
        close(got, reference(layer, x, other), dtype)


@pytest.mark.parametrize("size", [1024, 4096])
@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 3, "padding": 1}, {"kernel_size": 3, "stride": 2, "padding": 1},
        {"kernel_size": (5, 3), "stride": (1, 2), "padding": (2, 0), "dilation": (1, 2)},
        {"kernel_size": 7, "padding": 3, "bias": False},
    ],
)  # fmt: skip
def test_depthwise(layers: Any, size: int, options: dict[str, Any]) -> None:
    for channels, act, adds in ((8, "relu6", False), (13, "silu", True), (200, "none", False)):
        layer = conv(layers, "FusedDepthwiseConv2d", channels, channels, groups=channels, act=act, **options)
        x = maps(2, channels, 11, 9, wide=8 if channels == 8 else 0)
        other = maps(*reference(layer, x).shape) if adds else None
        close(layer.by_channel(size, x, other, layer.weight), reference(layer, x, other))


@pytest.mark.parametrize("pool", [(3, 2, 0, False), (3, 2, 1, True), (2, 2, 0, True), (3, 1, 1, False), (5, 3, 2, False)])  # fmt: skip
@pytest.mark.parametrize("size", [(1, 3, 7, 7), (2, 70, 12, 9), (1, 130, 6, 14)])
def test_pool(layers: Any, pool: tuple[int, int, int, bool], size: tuple[int, ...]) -> None:
    k, s, p, ceil = pool
    x = maps(*size, wide=8)
    wanted = F.max_pool2d(x, k, s, p, ceil_mode=ceil)
    axes = [(k, s, p, n) for n in wanted.shape[2:]]
    got = layers.SeparableMaxPool2d(k, stride=s, padding=p, ceil_mode=ceil).in_one(x, axes)
    assert torch.equal(got, wanted)


@pytest.mark.parametrize("size", [(1, 3, 1, 1), (2, 70, 5, 3), (3, 130, 4, 4)])
@pytest.mark.parametrize("relu", [False, True])
def test_scale(layers: Any, size: tuple[int, ...], relu: bool) -> None:
    layer = layers.ScaleShift(size[1], relu=relu).to(DEVICE)
    layer.weight.copy_(torch.randn_like(layer.weight))
    layer.bias.copy_(torch.randn_like(layer.bias))
    x = maps(*size, wide=6)
    wanted = x.double() * layer.weight.double() + layer.bias.double()
    got = layers.scale_maps(x, layer.weight, layer.bias, "relu" if relu else "none")
    close(got, wanted.relu() if relu else wanted)


@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("act", ["relu", "none"])
def test_a_product_of_maps_that_it_scales(layers: Any, tile: Any, act: str) -> None:
    """A norm that leaves its work to the convolution after it, in kernels and in the other ways."""
    dtype = torch.bfloat16 if HAS_GPU else torch.float32
    for ins, outs in ((40, 24), (200, 13)):
        layer = conv(layers, "FusedConv2d", ins, outs, 1, act="relu", dtype=dtype)
        x = maps(2, ins, 5, 3, wide=8, dtype=dtype)
        factor, offset = torch.randn(2, ins, 1, 1, device=DEVICE).to(dtype)
        y = x.double() * factor.double() + offset.double()
        wanted = reference(layer, y.relu() if act == "relu" else y)
        x.before = (factor, offset, act)
        close(layer.product(tile, x, None, layer.weight), wanted, dtype)
        for way in layer.ways(x, None):
            close(way(x, None, layer.weight), wanted, dtype)


@pytest.mark.parametrize("tile", [(32, 4), (128, 8)])
@pytest.mark.parametrize(
    ("ins", "outs", "options"),
    [
        (3, 64, {"kernel_size": 7, "stride": 2, "padding": 3}), (1, 6, {"kernel_size": 5}),
        (4, 100, {"kernel_size": (3, 5), "stride": (1, 3), "padding": (0, 2), "bias": False}),
        (3, 32, {"kernel_size": 11, "stride": 4, "padding": 2}),
    ],
)  # fmt: skip
def test_few_channels(
    layers: Any, tile: tuple[int, int], ins: int, outs: int, options: dict[str, Any]
) -> None:
    dtype = torch.bfloat16 if HAS_GPU else torch.float32
    layer = conv(layers, "FusedConv2d", ins, outs, act="relu6", dtype=dtype, **options)
    x = maps(2, ins, 21, 17, dtype=dtype)
    close(layer.by_rows(tile, x, None, layer.weight), reference(layer, x), dtype)


@pytest.mark.parametrize("options", [{"act": "relu"}, {"act": "none"}, {"act": "relu6"}, {"bias": False}])
@pytest.mark.parametrize("adds", [False, True])
def test_other_ways(layers: Any, options: dict[str, Any], adds: bool) -> None:
    """As cuBLAS's product, and the convolution alone: each is the layer."""
    for kernel, ins in ((3, 3), (1, 12)):
        layer = conv(layers, "FusedConv2d", ins, 10, kernel, padding=kernel // 2, **options)
        x = maps(2, ins, 5, 6, wide=4)
        other = maps(2, 10, 5, 6) if adds else None
        wanted = reference(layer, x, other)
        for way in [layer.plain, layer.finished, *([layer.multiplied] if kernel == 1 else [])]:
            close(way(x, other, layer.weight), wanted)


def test_weights_in_another_layout_follow_the_weights(layers: Any) -> None:
    layer = conv(layers, "FusedDepthwiseConv2d", 4, 4, 3, groups=4, act="relu")
    x = maps(1, 4, 5, 5)
    layer.by_channel(1024, x, None, layer.weight)
    layer.weight.mul_(2)
    close(layer.by_channel(1024, x, None, layer.weight), reference(layer, x))


def test_where_pixels_lie(layers: Any) -> None:
    x = torch.randn(2, 8, 3, 5)
    last = x.contiguous(memory_format=LAST)
    assert layers.pixel_step(x) == 0
    assert layers.pixel_step(last) == 8
    assert layers.pixel_step(last[:, 2:5]) == 8
    assert layers.pixel_step(last[:, :, 1:]) == 0  # rows of an image are left out
    assert layers.pixel_step(torch.randn(1, 8, 1, 1)) == 8
    assert layers.pixel_step(last[1:, :, :1, :]) == 8
    assert layers.pixel_step(torch.randn(2, 1, 3, 5)) == 1
    assert layers.pixel_step(torch.randn(2, 8, 3, 5).expand(2, 8, 3, 5)[:, :, :, :1].expand(2, 8, 3, 5)) == 0


def test_ways_of_a_layer(layers: Any) -> None:
    """Every way that a GPU chooses of computes the layer; cuDNN's own are tried on a GPU."""
    x = maps(2, 12, 6, 6)
    for kind, args, options in (
        ("FusedConv2d", (12, 20, 1), {"act": "relu6"}),
        ("FusedConv2d", (12, 20, 1), {"stride": 2}),
        ("FusedDepthwiseConv2d", (12, 12, 3), {"groups": 12, "act": "silu"}),
        ("FusedConv2d", (12, 20, 3), {"groups": 2, "bias": False}),
    ):
        layer = conv(layers, kind, *args, **options)
        ways = layer.ways(x, None)
        assert len(ways) >= 2
        for way in ways:
            close(way(x, None, layer.weight), reference(layer, x))


def test_the_fastest_way_where_no_times_can_be_taken(layers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    assert layers.fastest([lambda: torch.zeros(1), lambda: torch.ones(1)]) == 0


def test_the_fastest_way_by_time(layers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    times = iter([3.0, float("inf"), 2.0])
    searches = []

    def taken(way: Any, *args: Any) -> float:
        searches.append(torch.backends.cudnn.benchmark)
        return next(times)

    monkeypatch.setattr(layers, "milliseconds", taken)
    assert layers.fastest([len, len, len]) == 2
    assert searches == [True] * 3 and not torch.backends.cudnn.benchmark
