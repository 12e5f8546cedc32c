"""Separable convolutions."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn


class SeparableConv1d(nn.Module):
    """A depthwise convolution, then 1x1 over the channels (Chollet 2017, Xception).

    `padding` is by axis, or with 2 numbers by side in the order of `F.pad`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        *,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        multiplier: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        by_side = isinstance(padding, tuple) and len(padding) == 2
        self.sides = padding if by_side else None
        self.depthwise = nn.Conv1d(
            in_channels,
            in_channels * multiplier,
            kernel_size,
            stride=stride,
            padding=0 if by_side else padding,
            dilation=dilation,
            groups=in_channels,
            bias=False,
        )
        self.pointwise = nn.Conv1d(in_channels * multiplier, out_channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        padded = x if self.sides is None else F.pad(x, self.sides)
        y: Tensor = self.pointwise(self.depthwise(padded))
        return y


class SeparableConv2d(nn.Module):
    """A depthwise convolution, then 1x1 over the channels (Chollet 2017, Xception).

    `padding` is by axis, or with 4 numbers by side in the order of `F.pad`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        *,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        multiplier: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        by_side = isinstance(padding, tuple) and len(padding) == 4
        self.sides = padding if by_side else None
        self.depthwise = nn.Conv2d(
            in_channels,
            in_channels * multiplier,
            kernel_size,
            stride=stride,
            padding=0 if by_side else padding,
            dilation=dilation,
            groups=in_channels,
            bias=False,
        )
        self.pointwise = nn.Conv2d(in_channels * multiplier, out_channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        padded = x if self.sides is None else F.pad(x, self.sides)
        y: Tensor = self.pointwise(self.depthwise(padded))
        return y


class SeparableConv3d(nn.Module):
    """A depthwise convolution, then 1x1 over the channels (Chollet 2017, Xception).

    `padding` is by axis, or with 6 numbers by side in the order of `F.pad`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        *,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        multiplier: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        by_side = isinstance(padding, tuple) and len(padding) == 6
        self.sides = padding if by_side else None
        self.depthwise = nn.Conv3d(
            in_channels,
            in_channels * multiplier,
            kernel_size,
            stride=stride,
            padding=0 if by_side else padding,
            dilation=dilation,
            groups=in_channels,
            bias=False,
        )
        self.pointwise = nn.Conv3d(in_channels * multiplier, out_channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        padded = x if self.sides is None else F.pad(x, self.sides)
        y: Tensor = self.pointwise(self.depthwise(padded))
        return y
