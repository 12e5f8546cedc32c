"""Layers padded by TensorFlow's rule as they run, for inputs of free size."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

AXES = (1, 2, 3)
"""What is written here for maps of two axes is read for one and three axes too."""


class SameTF(nn.Module):
    """Pads by TensorFlow's rule before the layer it is mixed into.

    ceil(n/s) windows on each axis, the smaller half of the padding before.
    """

    fill = 0.0

    def pad(self, x: Tensor) -> Tensor:
        sides: list[int] = []
        options: Any = (self.kernel_size, self.stride, getattr(self, "dilation", 1))
        for i, n in enumerate(x.shape[2:]):
            k, s, d = (v[i] if isinstance(v, tuple) else v for v in options)
            last = n - (n - 1) // s * s  # what the last window must cover
            total = max((k - 1) * d + 1 - last, 0)
            sides = [total // 2, total - total // 2, *sides]
        return F.pad(x, sides, value=self.fill)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = super().forward(self.pad(x))
        return y


class SameTFConv2d(SameTF, nn.Conv2d):
    """Convolution padded by TensorFlow's rule."""


class SameTFMaxPool2d(SameTF, nn.MaxPool2d):
    """Max-pool padded by TensorFlow's rule; padding never wins."""

    fill = float("-inf")


class SameTFAvgPool2d(SameTF, nn.AvgPool2d):
    """Average-pool padded by TensorFlow's rule."""

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        if self.count_include_pad:
            return y
        inside: Tensor = super().forward(torch.ones_like(x[:1, :1]))
        return y / inside


class SameTFSeparableConv2d(nn.Module):
    """A depthwise convolution padded by TensorFlow's rule, then 1x1 over the channels.

    Chollet 2017, Xception.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        *,
        multiplier: int = 1,
        bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        middle = in_channels * multiplier
        self.depthwise = SameTFConv2d(
            in_channels, middle, kernel_size, groups=in_channels, bias=False, **kwargs
        )
        self.pointwise = nn.Conv2d(middle, out_channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.pointwise(self.depthwise(x))
        return y
