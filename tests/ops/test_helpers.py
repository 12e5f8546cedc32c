"""The layers that PyTorch lacks agree with slow references, forward and by gradient."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402

from cnnc.backends.pytorch.helpers import affine as affines  # noqa: E402
from cnnc.backends.pytorch.helpers import bias as biases  # noqa: E402
from cnnc.backends.pytorch.helpers import (  # noqa: E402
    capsule,
    convolution,
    helper,
    norms,
    pooling,
    rearrange,
    sampling,
    shortcut,
    small,
    with_needs,
)
from ops import reference as ref  # noqa: E402

SIZES = {1: (7,), 2: (5, 6), 3: (4, 3, 5)}
SIDES = {1: ((1, 2),), 2: ((1, 2), (0, 1)), 3: ((1, 0), (0, 1), (1, 1))}
STRIDE = {1: (2,), 2: (2, 1), 3: (1, 2, 2)}
DILATION = {1: (2,), 2: (1, 2), 3: (1, 1, 2)}
KERNEL = {1: (3,), 2: (3, 2), 3: (2, 2, 3)}
RANKS = pytest.mark.parametrize("rank", [1, 2, 3])


def written(name: str) -> Any:
    """A helper as the files that use it have it: of some, only the text for two axes is in cnnc."""
    scope: dict[str, Any] = {}
    for needed in with_needs([name]):
        exec("\n".join([*sorted(helper(needed).imports), helper(needed).source]), scope)
    return scope[name]


def flat(sides: ref.Sides) -> tuple[int, ...]:
    return tuple(n for pair in reversed(sides) for n in pair)


def random(*sizes: int) -> Tensor:
    return torch.randn(*sizes, dtype=torch.float64, requires_grad=True)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def agrees(module: nn.Module, x: Tensor, reference: Callable[[Tensor], Tensor]) -> None:
    """Forward, gradient by the input and every parameter, and the gradient against differences."""
    module = module.double()
    parameters = list(module.parameters())
    expected, actual = reference(x), module(x)
    torch.testing.assert_close(actual, expected)
    weights = torch.randn_like(actual)
    for a, b in zip(
        torch.autograd.grad((actual * weights).sum(), [x, *parameters]),
        torch.autograd.grad((expected * weights).sum(), [x, *parameters]),
        strict=True,
    ):
        torch.testing.assert_close(a, b)
    assert torch.autograd.gradcheck(lambda y, *_: module(y), (x, *parameters))


# --- convolutions -----------------------------------------------------------------------


@RANKS
def test_uneven_conv(rank: int) -> None:
    cls = written(f"UnevenConv{rank}d")
    m = cls(4, 6, KERNEL[rank], stride=STRIDE[rank], padding=flat(SIDES[rank]), groups=2)
    where = (STRIDE[rank], SIDES[rank], (1,) * rank)
    agrees(m, random(2, 4, *SIZES[rank]), lambda x: ref.conv(x, m.weight, m.bias, *where, groups=2))


@RANKS
def test_uneven_conv_transpose(rank: int) -> None:
    cls = written(f"UnevenConvTranspose{rank}d")
    more = tuple(s - 1 for s in STRIDE[rank])
    m = cls(2, 3, KERNEL[rank], stride=STRIDE[rank], padding=flat(SIDES[rank]), output_padding=more)
    where = (STRIDE[rank], SIDES[rank], (1,) * rank, more)
    agrees(m, random(2, 2, *SIZES[rank]), lambda x: ref.transposed(x, m.weight, m.bias, *where))


@RANKS
def test_standardised_conv(rank: int) -> None:
    cls = written(f"StandardisedConv{rank}d")
    m = cls(2, 3, KERNEL[rank], stride=STRIDE[rank], padding=flat(SIDES[rank]))

    def reference(x: Tensor) -> Tensor:
        filters = []
        for f in m.weight:
            values = f.flatten()
            mean = sum(values) / len(values)
            variance = sum((v - mean) ** 2 for v in values) / len(values)
            filters.append((f - mean) / (variance + 1e-5) ** 0.5)
        return ref.conv(x, torch.stack(filters), m.bias, STRIDE[rank], SIDES[rank], (1,) * rank)

    agrees(m, random(2, 2, *SIZES[rank]), reference)


@RANKS
def test_standardised_conv_with_gain(rank: int) -> None:
    cls = written(f"StandardisedConv{rank}d")
    m = cls(2, 3, KERNEL[rank], stride=STRIDE[rank], padding=flat(SIDES[rank]), eps=1e-3, gain=True)
    torch.nn.init.uniform_(m.gain, 0.5, 2)

    def reference(x: Tensor) -> Tensor:
        filters = []
        for f, gain in zip(m.weight, m.gain.flatten(), strict=True):
            n = f.numel()
            variance = f.pow(2).mean() - f.mean() ** 2
            filters.append(gain * (f - f.mean()) / (n * (variance + 1e-3)) ** 0.5)
        return ref.conv(x, torch.stack(filters), m.bias, STRIDE[rank], SIDES[rank], (1,) * rank)

    agrees(m, random(2, 2, *SIZES[rank]), reference)


@RANKS
@pytest.mark.parametrize("by_side", [False, True])
def test_separable_conv(rank: int, by_side: bool) -> None:
    cls = written(f"SeparableConv{rank}d")
    sides = SIDES[rank] if by_side else ((1, 1),) * rank
    m = cls(2, 3, 3, padding=flat(sides) if by_side else 1, multiplier=2)
    ones = (1,) * rank

    def reference(x: Tensor) -> Tensor:
        y = ref.conv(x, m.depthwise.weight, None, ones, sides, ones, groups=2)
        return ref.conv(y, m.pointwise.weight, m.pointwise.bias, ones, ((0, 0),) * rank, ones)

    agrees(m, random(2, 2, *SIZES[rank]), reference)


@RANKS
def test_table_conv(rank: int) -> None:
    table = ("1011", "0110", "1001")
    m = convolution.TableConv(
        table, KERNEL[rank], stride=STRIDE[rank], dilation=DILATION[rank], padding=flat(SIDES[rank])
    )
    assert list(m.state_dict()) == ["weight", "bias"]

    def reference(x: Tensor) -> Tensor:
        maps, link = [], 0
        for o in range(4):
            seen = [c for c in range(3) if table[c][o] == "1"]
            filters = m.weight[link : link + len(seen)]
            link += len(seen)
            where = (STRIDE[rank], SIDES[rank], DILATION[rank])
            maps.append(ref.conv(x[:, seen], filters.unsqueeze(0), m.bias[o : o + 1], *where))
        return torch.cat(maps, 1)

    agrees(m, random(2, 3, *SIZES[rank]), reference)


@RANKS
@pytest.mark.parametrize("bias", [False, True])
def test_locally_connected(rank: int, bias: bool) -> None:
    where = (STRIDE[rank], SIDES[rank], DILATION[rank])
    x = random(2, 2, *SIZES[rank])
    size = ref.out_sizes(ref.padded(x, SIDES[rank]), KERNEL[rank], STRIDE[rank], DILATION[rank])
    m = convolution.LocallyConnected(
        2, 3, tuple(size), KERNEL[rank], stride=STRIDE[rank], dilation=DILATION[rank],
        padding=flat(SIDES[rank]), bias=bias,
    )  # fmt: skip
    agrees(m, x, lambda x: ref.local(x, m.weight, m.bias, 3, *where))


# --- pools ------------------------------------------------------------------------------


@RANKS
@pytest.mark.parametrize("ceiling", [False, True])
@pytest.mark.parametrize("kind", ["max", "mean", "mean of the map", "sum"])
def test_padded_pools(rank: int, ceiling: bool, kind: str) -> None:
    x = random(2, 2, *SIZES[rank])
    kernel, stride, sides = (3,) * rank, (2,) * rank, ((0, 1),) * rank
    sizes, each = ref.windows(x, kernel, stride, sides, ceiling=ceiling)
    options = {"stride": stride, "padding": flat(sides), "ceil_mode": ceiling}
    if kind == "max":
        module = written(f"UnevenMaxPool{rank}d")(3, **options)
        expected = [torch.stack(v).amax(0) for v, _ in each]
    elif kind == "sum":
        module = pooling.SumPool(kernel, **options)
        expected = [sum(v) for v, _ in each]
    else:
        counted = kind == "mean"
        cls = written(f"UnevenAvgPool{rank}d")
        module = cls(3, **options, count_include_pad=counted)
        expected = [sum(v) / (places if counted else len(v)) for v, places in each]
    agrees(module, x, lambda x: ref.gathered(x, sizes, expected))


@RANKS
def test_sub_sampling(rank: int) -> None:
    """LeNet-5, S2: the four values added, times a coefficient, plus a bias."""
    m = pooling.SubSampling(3, (2,) * rank, (2,) * rank, (0, 0) * rank)
    m.weight.data.normal_()
    m.bias.data.normal_()
    x = random(2, 3, *SIZES[rank])

    def reference(x: Tensor) -> Tensor:
        sizes, each = ref.windows(x, (2,) * rank, (2,) * rank, ((0, 0),) * rank)
        return ref.gathered(x, sizes, [sum(v) * m.weight + m.bias for v, _ in each])

    agrees(m, x, reference)


@RANKS
def test_padded_lp_pool(rank: int) -> None:
    kernel, stride, sides = (2,) * rank, (2,) * rank, ((1, 0),) * rank
    m = pooling.PaddedLPPool(3.0, kernel, stride, flat(sides))

    def reference(x: Tensor) -> Tensor:
        sizes, each = ref.windows(x, kernel, stride, sides)
        return ref.gathered(x, sizes, [sum(a**3 for a in v) ** (1 / 3) for v, _ in each])

    agrees(m, (random(2, 2, *SIZES[rank]).detach().abs() + 0.1).requires_grad_(), reference)


@RANKS
def test_stochastic_pool_in_evaluation(rank: int) -> None:
    kernel, stride, sides = (2,) * rank, (2,) * rank, ((1, 0),) * rank
    m = pooling.StochasticPool(kernel, stride, flat(sides)).eval()

    def reference(x: Tensor) -> Tensor:
        sizes, each = ref.windows(x, kernel, stride, sides)
        means = []
        for values, _ in each:
            positive = [v.clamp(min=0) for v in values]
            total = sum(positive)
            means.append(sum(p * p / total.clamp(min=1e-30) for p in positive))
        return ref.gathered(x, sizes, means)

    agrees(m, random(2, 2, *SIZES[rank]), reference)


def test_stochastic_pool_draws_in_proportion() -> None:
    m = pooling.StochasticPool((2, 2), (2, 2), (0, 0, 0, 0))
    x = torch.tensor([[1.0, 2.0], [-3.0, 5.0]]).expand(4000, 1, 2, 2).clone().requires_grad_()
    y = m(x)
    shares = {value: float((y == value).double().mean()) for value in (1.0, 2.0, 5.0)}
    assert sum(shares.values()) == pytest.approx(1)
    for value, share in shares.items():
        assert share == pytest.approx(value / 8, abs=0.03)
    y.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad.sum((1, 2, 3)), torch.ones(4000))
    assert torch.equal(m(-x.abs()), torch.zeros(4000, 1, 1, 1))


def test_fractional_max_pool_on_one_axis() -> None:
    """Each output is the largest of two neighbours, and the places go forward, by 1 or 2 for 0.5 < ratio < 1."""
    x = torch.randperm(20).double().expand(50, 1, 20).clone()
    y = pooling.FractionalMaxPool1d(2, output_ratio=0.7)(x)
    assert y.shape == (50, 1, 14)
    pairs = torch.maximum(x[..., :-1], x[..., 1:])
    for row, maxima in zip(y[:, 0].tolist(), pairs[:, 0].tolist(), strict=True):
        at = 0
        for value in row:
            at = maxima.index(value, max(at - 1, 0)) + 1
    assert pooling.FractionalMaxPool1d(2, output_size=5)(x).shape == (50, 1, 5)
    assert len({tuple(row) for row in y[:, 0].tolist()}) > 1


# --- positions and channels -------------------------------------------------------------


@RANKS
def test_pixel_shuffle(rank: int) -> None:
    factor = (2, 3, 2)[:rank]
    block = prod(factor)

    def reference(x: Tensor) -> Tensor:
        sizes = [n * r for n, r in zip(x.shape[2:], factor, strict=True)]
        values = []
        for c, *at in ref.positions([x.shape[1] // block, *sizes]):
            sub = 0
            for a, r in zip(at, factor, strict=True):
                sub = sub * r + a % r
            values.append(x[:, c * block + sub, *(a // r for a, r in zip(at, factor, strict=True))])
        return torch.stack(values, 1).reshape(x.shape[0], -1, *sizes)

    x = random(2, 2 * block, *(2,) * rank)
    agrees(rearrange.PixelShuffleNd(factor), x, reference)
    there_and_back = rearrange.SpaceToDepth(factor)(rearrange.PixelShuffleNd(factor)(x))
    torch.testing.assert_close(there_and_back, x)


def test_rearrangements_are_pytorchs_on_two_axes() -> None:
    x = random(2, 8, 4, 6)
    torch.testing.assert_close(rearrange.PixelShuffleNd((2, 2))(x), nn.PixelShuffle(2)(x))
    torch.testing.assert_close(rearrange.SpaceToDepth((2, 2))(x), nn.PixelUnshuffle(2)(x))


@RANKS
def test_pad_shortcut(rank: int) -> None:
    def reference(x: Tensor) -> Tensor:
        sizes = [-(-n // 2) for n in x.shape[2:]]
        zero = torch.zeros_like(x[:, 0, *(0,) * rank])
        values = [x[:, c, *(2 * a for a in at)] if c < 2 else zero for c, *at in ref.positions([5, *sizes])]
        return torch.stack(values, 1).reshape(x.shape[0], 5, *sizes)

    agrees(shortcut.PadShortcut(2, 5, 2), random(2, 2, *SIZES[rank]), reference)


# --- activations, norms, regularisers ---------------------------------------------------


@pytest.mark.parametrize("rank", [0, 1, 2, 3])
def test_maxout(rank: int) -> None:
    def reference(x: Tensor) -> Tensor:
        return torch.stack(
            [torch.maximum(torch.maximum(x[:, i], x[:, i + 1]), x[:, i + 2]) for i in (0, 3)], 1
        )

    agrees(small.Maxout(3), random(2, 6, *SIZES.get(rank, ())), reference)


@RANKS
def test_channel_layer_norm(rank: int) -> None:
    m = small.ChannelLayerNorm(4)
    m.weight.data.normal_()
    m.bias.data.normal_()

    def reference(x: Tensor) -> Tensor:
        y = torch.empty_like(x)
        for at in ref.positions(x.shape[2:]):
            values = x[:, :, *at]
            mean = values.mean(1, keepdim=True)
            var = ((values - mean) ** 2).mean(1, keepdim=True)
            y[:, :, *at] = (values - mean) / (var + m.eps).sqrt() * m.weight + m.bias
        return y

    agrees(m, random(2, 4, *SIZES[rank]), reference)


@RANKS
def test_global_response_norm(rank: int) -> None:
    m = norms.GlobalResponseNorm(3, eps=0.1)
    assert not m.weight.any() and not m.bias.any()
    m.weight.data.normal_()
    m.bias.data.normal_()

    def reference(x: Tensor) -> Tensor:
        images = []
        for image in x:
            lengths = [sum(image[c, *at] ** 2 for at in ref.positions(x.shape[2:])) ** 0.5 for c in range(3)]
            mean = sum(lengths) / 3
            maps = [
                image[c] + m.bias[c] + m.weight[c] * image[c] * lengths[c] / (mean + 0.1) for c in range(3)
            ]
            images.append(torch.stack(maps))
        return torch.stack(images)

    agrees(m, random(2, 3, *SIZES[rank]), reference)


@RANKS
def test_within_map_norm(rank: int) -> None:
    def reference(x: Tensor) -> Tensor:
        sizes, each = ref.windows(x, (3,) * rank, (1,) * rank, ((1, 1),) * rank)
        energy = ref.gathered(x, sizes, [sum(a * a for a in v) / 3**rank for v, _ in each])
        return x / (2.0 + 0.5 * energy) ** 0.75

    agrees(small.WithinMapNorm(3, 0.5, 0.75, 2.0), random(2, 2, *SIZES[rank]), reference)


@pytest.mark.parametrize("rank", [0, 1, 2, 3])
@pytest.mark.parametrize("bias", [False, True])
def test_channel_scale(rank: int, bias: bool) -> None:
    m = small.ChannelScale(3, start=0.5, bias=bias)
    assert torch.equal(m.weight.detach(), torch.full((3,), 0.5))

    def reference(x: Tensor) -> Tensor:
        maps = [x[:, c] * m.weight[c] + (m.bias[c] if m.bias is not None else 0) for c in range(3)]
        return torch.stack(maps, 1)

    agrees(m, random(2, 3, *SIZES.get(rank, ())), reference)


@pytest.mark.parametrize("rank", [0, 1, 2, 3])
def test_position_bias(rank: int) -> None:
    m = biases.PositionBias(3, *SIZES.get(rank, ()))
    assert not m.bias.any()
    torch.nn.init.normal_(m.bias)
    agrees(m, random(2, 3, *SIZES.get(rank, ())), lambda x: torch.stack([image + m.bias for image in x]))


@pytest.mark.parametrize("rank", [0, 1, 2, 3])
def test_fixed_numbers_by_channel(rank: int) -> None:
    factors, offsets = (0.5, -2.0, 3.0), (1.0, 0.25, -4.0)
    x = random(2, 3, *SIZES.get(rank, ()))

    def affine(x: Tensor) -> Tensor:
        return torch.stack([x[:, c] * factors[c] + offsets[c] for c in range(3)], 1)

    def normalized(x: Tensor) -> Tensor:
        return torch.stack([(x[:, c] - offsets[c]) / factors[c] for c in range(3)], 1)

    agrees(affines.Affine(factors, offsets), x, affine)
    agrees(affines.Normalize(offsets, factors), x, normalized)
    assert not affines.Affine(2.0).state_dict()


@pytest.mark.parametrize("rank", [0, 1, 2, 3])
def test_scale_and_bias_for_each(rank: int) -> None:
    x = random(2, 3, *SIZES.get(rank, ()))
    one = affines.PositionScale(1, start=0.0)
    assert one.weight.tolist() == [0.0]
    one.weight.data.fill_(1.5)
    agrees(one, x, lambda x: x * one.weight[0])
    each = affines.PositionScale(3, *SIZES.get(rank, ()), start=0.5, bias=True)
    torch.nn.init.normal_(each.weight)
    torch.nn.init.normal_(each.bias)
    agrees(each, x, lambda x: torch.stack([image * each.weight + each.bias for image in x]))
    channel = biases.ChannelBias(3)
    torch.nn.init.normal_(channel.bias)
    agrees(channel, x, lambda x: torch.stack([x[:, c] + channel.bias[c] for c in range(3)], 1))


@RANKS
def test_channel_rms_norm(rank: int) -> None:
    m = norms.ChannelRMSNorm(3, eps=0.1)
    m.weight.data.normal_()

    def reference(x: Tensor) -> Tensor:
        y = torch.empty_like(x)
        for at in ref.positions(x.shape[2:]):
            values = x[:, :, *at]
            square = (values[:, 0] ** 2 + values[:, 1] ** 2 + values[:, 2] ** 2) / 3
            y[:, :, *at] = values / (square + 0.1).sqrt().unsqueeze(1) * m.weight
        return y

    agrees(m, random(2, 3, *SIZES[rank]), reference)


@RANKS
def test_evonorm_s0(rank: int) -> None:
    """Liu et al. 2020, Table 1, image by image and group by group."""
    m = norms.EvoNormS0(4, groups=2)
    for parameter in m.parameters():
        parameter.data.normal_()

    def reference(x: Tensor) -> Tensor:
        images = []
        for image in x:
            maps = []
            for c in range(4):
                group = image[c // 2 * 2 : c // 2 * 2 + 2].flatten()
                mean = sum(group) / len(group)
                std = (sum((v - mean) ** 2 for v in group) / len(group) + 1e-5) ** 0.5
                gate = 1 / (1 + torch.exp(-m.v[c] * image[c]))
                maps.append(image[c] * gate / std * m.weight[c] + m.bias[c])
            images.append(torch.stack(maps))
        return torch.stack(images)

    agrees(m, random(2, 4, *SIZES[rank]), reference)


@RANKS
@pytest.mark.parametrize("training", [True, False])
def test_evonorm_b0(rank: int, training: bool) -> None:
    m = norms.EvoNormB0(2).train(training)
    for parameter in m.parameters():
        parameter.data.normal_()
    running = m.running_var.clone().double()

    def reference(x: Tensor) -> Tensor:
        maps = []
        for c in range(2):
            batch = x[:, c].flatten()
            mean = sum(batch) / len(batch)
            var = sum((v - mean) ** 2 for v in batch) / len(batch) if training else running[c]
            row = []
            for image in x[:, c]:
                own = image - sum(image.flatten()) / image.numel()
                own_std = (sum(own.flatten() ** 2) / own.numel() + 1e-5) ** 0.5
                below = torch.maximum((var + 1e-5) ** 0.5, m.v[c] * image + own_std)
                row.append(image / below * m.weight[c] + m.bias[c])
            maps.append(torch.stack(row))
        return torch.stack(maps, 1)

    x = random(2, 2, *SIZES[rank])
    agrees(m, x, reference)
    if training:
        m.running_var.fill_(1.0)
        m(x)
        expected = 0.9 + 0.1 * torch.stack([x[:, c].flatten().var() for c in range(2)])
        torch.testing.assert_close(m.running_var, expected)


@RANKS
def test_blur_pool(rank: int) -> None:
    """Zhang 2019: the row of Pascal's triangle on each axis, borders reflected."""
    kernel, stride = (3, 4, 2)[:rank], (2, 1, 2)[:rank]
    m = pooling.BlurPool(kernel, stride)
    rows = {2: [1, 1], 3: [1, 2, 1], 4: [1, 3, 3, 1]}
    x = random(2, 2, *SIZES[rank])

    def reflected(i: int, n: int) -> int:
        return -i if i < 0 else 2 * (n - 1) - i if i >= n else i

    sizes = [
        (n + k // 2 + (k - 1) // 2 - k) // s + 1 for n, k, s in zip(x.shape[2:], kernel, stride, strict=True)
    ]

    def reference(x: Tensor) -> Tensor:
        out = []
        for at in ref.positions(sizes):
            total = 0
            for j in ref.positions(kernel):
                parts = list(zip(at, j, kernel, stride, x.shape[2:], strict=True))
                source = [reflected(a * s + i - (k - 1) // 2, n) for a, i, k, s, n in parts]
                weight = prod(rows[k][i] / 2 ** (k - 1) for _, i, k, _, _ in parts)
                total = total + weight * x[:, :, *source]
            out.append(total)
        return ref.gathered(x, sizes, out)

    agrees(m, x, reference)
    assert not m.state_dict()


def test_stochastic_depth() -> None:
    m = small.StochasticDepth(0.25)
    x = torch.ones(4000, 2, 3)
    y = m(x)
    kept = y[:, 0, 0] > 0
    torch.testing.assert_close(y[kept], torch.full_like(y[kept], 1 / 0.75))
    assert torch.equal(y[~kept], torch.zeros_like(y[~kept]))
    assert float(kept.double().mean()) == pytest.approx(0.75, abs=0.03)
    assert torch.equal(m.eval()(x), x)


def test_drop_connect() -> None:
    m = small.DropConnectLinear(40, 50, p=0.25)
    m.weight.data.fill_(1.0)
    m.bias.data.fill_(1.0)
    y = m(torch.eye(40))
    assert y.unique().tolist() == pytest.approx([0, 1 / 0.75, 2 / 0.75])
    assert float((y > 0).double().mean()) == pytest.approx(1 - 0.25**2, abs=0.03)
    m.eval()
    torch.testing.assert_close(m(torch.eye(40)), torch.full((40, 50), 2.0))
    assert small.DropConnectLinear(4, 5, p=0.5, bias=False)(torch.ones(2, 4)).shape == (2, 5)


def test_rbf() -> None:
    m = small.RBF(4, 3, trainable=True)
    assert set(m.weight.detach().unique().tolist()) <= {-1.0, 1.0}

    def reference(x: Tensor) -> Tensor:
        return torch.stack([sum((x[:, j] - m.weight[i, j]) ** 2 for j in range(4)) for i in range(3)], 1)

    agrees(m, random(2, 4), reference)
    assert not list(small.RBF(4, 3).parameters())


def test_initialised() -> None:
    conv = small.initialised(nn.Conv2d(2, 3, 3), weight=("normal_", 5.0, 0.0), bias=("constant_", 1.0))
    assert torch.equal(conv.weight, torch.full((3, 2, 3, 3), 5.0))
    assert torch.equal(conv.bias, torch.ones(3))


# --- capsules ---------------------------------------------------------------------------


def _squash(s: Tensor) -> Tensor:
    """Sabour et al. 2017, eq. 1, for a batch of vectors."""
    length = sum(s[:, i] ** 2 for i in range(s.shape[1])) ** 0.5
    return s * (length**2 / (1 + length**2) / length).unsqueeze(1)


@pytest.mark.parametrize("rank", [0, 2])
def test_capsule_vectors(rank: int) -> None:
    sizes = SIZES.get(rank, ())

    def squashed(x: Tensor) -> Tensor:
        y = torch.empty_like(x)
        for c in (0, 3):
            for at in ref.positions(sizes):
                y[:, c : c + 3, *at] = _squash(x[:, c : c + 3, *at])
        return y

    def lengths(x: Tensor) -> Tensor:
        return torch.stack([(x[:, c : c + 3] ** 2).sum(1) ** 0.5 for c in (0, 3)], 1)

    def masked(x: Tensor) -> Tensor:
        first = (lengths(x)[:, 0] >= lengths(x)[:, 1]).unsqueeze(1)
        return torch.cat([x[:, :3] * first, x[:, 3:] * ~first], 1)

    agrees(capsule.Squash(3), random(2, 6, *sizes), squashed)
    agrees(capsule.CapsuleLength(3), random(2, 6, *sizes), lengths)
    agrees(capsule.CapsuleMask(3), random(2, 6, *sizes), masked)
    assert torch.equal(capsule.Squash(3)(torch.zeros(1, 6)), torch.zeros(1, 6))


@pytest.mark.parametrize(("rank", "routing"), [(0, 1), (1, 2), (2, 3)])
def test_routing_by_agreement(rank: int, routing: int) -> None:
    """Sabour et al. 2017, Procedure 1, capsule by capsule."""
    sizes = {0: (), 1: (3,), 2: (2, 2)}[rank]
    below, count, dim, of = 2 * prod(sizes), 3, 4, 2
    m = capsule.Capsules(below, of, count, dim, routing=routing)
    m.weight.data.mul_(10)

    def reference(x: Tensor) -> Tensor:
        capsules = [x[:, c : c + of, *at] for c in (0, of) for at in ref.positions(sizes)]
        votes = {
            (i, j): torch.stack([(m.weight[i, j, d] * u).sum(1) for d in range(dim)], 1)
            for i, u in enumerate(capsules) for j in range(count)
        }  # fmt: skip
        b = {key: torch.zeros(x.shape[0], dtype=x.dtype) for key in votes}
        v: dict[int, Tensor] = {}
        for _ in range(routing):
            c = {
                (i, j): b[i, j].exp() / sum(b[i, k].exp() for k in range(count))
                for i in range(below) for j in range(count)
            }  # fmt: skip
            for j in range(count):
                v[j] = _squash(sum(c[i, j].unsqueeze(1) * votes[i, j] for i in range(below)))
            b = {(i, j): b[i, j] + (votes[i, j] * v[j]).sum(1) for i, j in b}
        return torch.cat([v[j] for j in range(count)], 1)

    agrees(m, random(2, 2 * of, *sizes), reference)


# --- places that depend on the data -----------------------------------------------------


@RANKS
@pytest.mark.parametrize("ceiling", [False, True])
def test_unpool(rank: int, ceiling: bool) -> None:
    """Overlapping windows: each value goes to the place of the largest of its window, sums where two meet."""
    kernel, stride, padding = (3,) * rank, (2,) * rank, (1,) * rank
    below = random(2, 2, *SIZES[rank])
    sizes, each = ref.windows(below, kernel, stride, ((1, 1),) * rank, ceiling=ceiling)
    largest = ref.gathered(below, sizes, [torch.stack(v).amax(0) for v, _ in each])
    m = sampling.Unpool(kernel, stride, padding, ceil_mode=ceiling)

    def reference(x: Tensor) -> Tensor:
        y = torch.zeros_like(below)
        for b, c, *at in ref.positions(x.shape):
            for place in ref.positions(below.shape[2:]):
                if below[b, c, *place] == largest[b, c, *at]:
                    one = torch.zeros_like(y)
                    one[b, c, *place] = 1
                    y = y + one * x[b, c, *at]
        return y

    x = random(*largest.shape)
    torch.testing.assert_close(m(x, below), reference(x))
    assert torch.autograd.gradcheck(lambda y: m(y, below), (x,))


def _sampled(image: Tensor, at: tuple[float, ...]) -> Tensor:
    """Linear interpolation in a map (axes only) at a place in pixels, zeros beyond it."""
    total = torch.zeros((), dtype=image.dtype)
    for place in ref.positions(image.shape):
        weight = 1.0
        for p, a in zip(place, at, strict=True):
            weight *= max(0.0, 1 - abs(p - a))
        total = total + weight * image[place]
    return total


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("aligned", [False, True])
def test_spatial_transformer(rank: int, aligned: bool) -> None:
    """Jaderberg et al. 2015, eq. 1 and 5, place by place; at first it is the identity."""
    m = sampling.SpatialTransformer(3, axes=rank, align_corners=aligned).double()
    x, features = random(2, 1, *((3, 4) if rank == 2 else (2, 3, 2))), random(2, 3)
    torch.testing.assert_close(m(x, features), x)
    m.theta.weight.data.normal_(std=0.2)
    theta = m.theta(features).detach()
    expected = torch.zeros_like(x)
    for b, c, *at in ref.positions(x.shape):
        # The last axis is x, the first of a transform's coordinates; all lie in -1 to 1.
        target = [_unit(i, n, aligned) for i, n in zip(at, x.shape[2:], strict=True)][::-1]
        rows = theta[b].reshape(rank, rank + 1).tolist()
        source = [sum(r * t for r, t in zip(row, [*target, 1.0], strict=True)) for row in rows][::-1]
        place = tuple(_pixel(u, n, aligned) for u, n in zip(source, x.shape[2:], strict=True))
        expected[b, c, *at] = _sampled(x[b, c], place)
    torch.testing.assert_close(m(x, features), expected)
    assert torch.autograd.gradcheck(lambda y: m(y, features), (x,))


def _unit(i: int, n: int, aligned: bool) -> float:
    return -1 + 2 * i / (n - 1) if aligned else (2 * i + 1) / n - 1


def _pixel(u: float, n: int, aligned: bool) -> float:
    return (u + 1) / 2 * (n - 1) if aligned else ((u + 1) * n - 1) / 2
