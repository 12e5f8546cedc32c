"""Pools that PyTorch lacks: `padding` is in the order of `F.pad`, last axis first."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SumPool(nn.Module):
    """The sum of each window; with `ceil_mode` the last may overhang."""

    def __init__(
        self,
        kernel_size: tuple[int, ...],
        stride: tuple[int, ...],
        padding: tuple[int, ...],
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.sides = kernel_size, stride, padding
        self.ceil_mode = ceil_mode
        self.area = torch.Size(kernel_size).numel()

    def forward(self, x: Tensor) -> Tensor:
        sides = list(self.sides)
        for i, (k, s) in enumerate(zip(self.kernel_size, self.stride, strict=True)):
            if self.ceil_mode:
                # Zeros up to the end of the last window that starts early enough.
                at = len(sides) - 2 - 2 * i
                reach = x.shape[2 + i] + sides[at]
                windows = min(-(-(reach + sides[at + 1] - k) // s) + 1, -(-reach // s))
                sides[at + 1] = (windows - 1) * s + k - reach
        rank = len(self.kernel_size)
        pool = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[rank - 1]
        return pool(F.pad(x, sides), self.kernel_size, self.stride) * self.area


class StochasticPool(nn.Module):
    """A value of each window drawn in proportion to it (Zeiler and Fergus 2013).

    In evaluation the mean weighted by these probabilities. Values under 0 count as
    0; a window without a positive value gives 0.
    """

    def __init__(
        self,
        kernel_size: tuple[int, ...],
        stride: tuple[int, ...],
        padding: tuple[int, ...],
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.sides = kernel_size, stride, padding

    def forward(self, x: Tensor) -> Tensor:
        rank = len(self.kernel_size)
        windows = F.pad(x, self.sides)
        for axis, (k, s) in enumerate(zip(self.kernel_size, self.stride, strict=True)):
            windows = windows.unfold(2 + axis, k, s)
        windows = windows.flatten(-rank).relu()
        if not self.training:
            total = windows.sum(-1)
            mean = windows.square().sum(-1) / total.where(total > 0, 1.0)
            return mean
        # The largest of p / e, e exponential, is a draw with probabilities p.
        noise = torch.empty_like(windows).exponential_()
        chosen = (windows.detach() / noise).argmax(-1, keepdim=True)
        return windows.gather(-1, chosen).squeeze(-1)


class SubSampling(nn.Module):
    """weight * (sum of the window) + bias for each map (LeCun et al. 1998, II.B)."""

    def __init__(
        self,
        channels: int,
        kernel_size: tuple[int, ...],
        stride: tuple[int, ...],
        padding: tuple[int, ...],
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.sides = kernel_size, stride, padding
        self.area = torch.Size(kernel_size).numel()
        self.weight = nn.Parameter(torch.full((channels,), 1 / self.area))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        rank = len(self.kernel_size)
        pool = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[rank - 1]
        sums = pool(F.pad(x, self.sides), self.kernel_size, self.stride) * self.area
        shape = (-1,) + (1,) * rank
        return sums * self.weight.view(shape) + self.bias.view(shape)


class FractionalMaxPool1d(nn.Module):
    """Max-pool with windows at random distances on one axis (Graham 2014)."""

    def __init__(
        self,
        kernel_size: int,
        output_size: int | None = None,
        output_ratio: float | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.output_size, self.output_ratio = output_size, output_ratio

    def forward(self, x: Tensor) -> Tensor:
        size = self.output_size
        if size is None:
            assert self.output_ratio is not None
            size = int(x.shape[2] * self.output_ratio)
        # A second axis of one window of one position leaves the first as it is.
        y = F.fractional_max_pool2d(x.unsqueeze(3), (self.kernel_size, 1), (size, 1))
        return y.squeeze(3)


class PaddedLPPool(nn.Module):
    """(Sum of x^p over each window)^(1/p), as torch.nn's, with padding."""

    def __init__(
        self,
        p: float,
        kernel_size: tuple[int, ...],
        stride: tuple[int, ...],
        padding: tuple[int, ...],
    ) -> None:
        super().__init__()
        pool = (nn.LPPool1d, nn.LPPool2d, nn.LPPool3d)[len(kernel_size) - 1]
        one = len(kernel_size) == 1  # LPPool1d takes no tuples
        size, step = (kernel_size[0], stride[0]) if one else (kernel_size, stride)
        self.pool = pool(p, size, step)
        self.sides = padding

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(F.pad(x, self.sides))


class BlurPool(nn.Module):
    """A binomial low-pass filter, then every `stride`-th position (Zhang 2019)."""

    weight: Tensor

    def __init__(self, kernel: tuple[int, ...], stride: tuple[int, ...]) -> None:
        super().__init__()
        self.stride = stride
        self.sides = [n for k in reversed(kernel) for n in ((k - 1) // 2, k // 2)]
        weight = torch.ones((1,) * (2 + len(kernel)))
        for axis, k in enumerate(kernel):
            row = torch.tensor([float(math.comb(k - 1, i)) for i in range(k)])
            weight = weight * (row / row.sum()).view(
                [-1] + [1] * (len(kernel) - 1 - axis)
            )
        self.register_buffer("weight", weight, False)

    def forward(self, x: Tensor) -> Tensor:
        conv = (F.conv1d, F.conv2d, F.conv3d)[len(self.stride) - 1]
        channels = x.shape[1]
        weight = self.weight.expand(channels, *self.weight.shape[1:])
        padded = F.pad(x, self.sides, mode="reflect")
        return conv(padded, weight, stride=self.stride, groups=channels)
