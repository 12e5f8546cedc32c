"""mobilenet_v2: 3,504,872 parameters, 300,774,272 multiply-adds for each image.

in   input: 3x224x224
out  output: 1000

Written by cnnc 0.1.0.
"""

import math
from collections import OrderedDict
from fractions import Fraction

import torch
from torch import Tensor, nn


def divisible(size: float, by: int) -> int:
    """The multiple of `by` nearest to `size`.

    At least `by`, and not under 90 % of `size`.
    """
    nearest = max(by, math.floor((2 * size + by) // (2 * by)) * by)
    return nearest + by if 10 * nearest < 9 * size else nearest


class Wide(nn.Sequential):
    """The block `wide(k, w, s)`."""

    def __init__(self, in_channels: int, k: int, w: int, s: int = 1) -> None:
        super().__init__(
            nn.Conv2d(in_channels, w, k, stride=s, padding=k // 2, bias=False),
            nn.BatchNorm2d(w),
            nn.ReLU6(inplace=True),
        )


class Depthwise(nn.Sequential):
    """The block `depthwise(k, s)`."""

    def __init__(self, in_channels: int, k: int, s: int) -> None:
        super().__init__(
            nn.Conv2d(
                in_channels,
                in_channels,
                k,
                stride=s,
                padding=k // 2,
                groups=in_channels,
                bias=False,
            ),
            nn.BatchNorm2d(in_channels),
            nn.ReLU6(inplace=True),
        )


class Bottleneck(nn.Sequential):
    """The block `bottleneck(t, c, s)`."""

    def __init__(self, in_channels: int, t: int, c: int, s: int) -> None:
        if t > 1:
            super().__init__(
                Wide(in_channels, 1, t * in_channels),
                Depthwise(t * in_channels, 3, s),
                nn.Conv2d(t * in_channels, c, 1, bias=False),
                nn.BatchNorm2d(c),
            )
        else:
            super().__init__(
                Depthwise(in_channels, 3, s),
                nn.Conv2d(in_channels, c, 1, bias=False),
                nn.BatchNorm2d(c),
            )


class Inverted(nn.Module):
    """The block `inverted(t, c, s)`."""

    def __init__(self, in_channels: int, t: int, c: int, s: int) -> None:
        super().__init__()
        self.adds = s == 1 and in_channels == c
        self.conv = Bottleneck(in_channels, t, c, s)

    def forward(self, x: Tensor) -> Tensor:
        if self.adds:
            return self.conv(x) + x
        return self.conv(x)


class MobilenetV2(nn.Module):
    """`mobilenet_v2`: 3x224x224 to 1000."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        width = Fraction(str(width))
        self.features = nn.Sequential(
            Wide(3, 3, divisible(32 * width, 8), 2),
            Inverted(divisible(32 * width, 8), 1, divisible(16 * width, 8), 1),
            Inverted(divisible(16 * width, 8), 6, divisible(24 * width, 8), 2),
            Inverted(divisible(24 * width, 8), 6, divisible(24 * width, 8), 1),
            Inverted(divisible(24 * width, 8), 6, divisible(32 * width, 8), 2),
            Inverted(divisible(32 * width, 8), 6, divisible(32 * width, 8), 1),
            Inverted(divisible(32 * width, 8), 6, divisible(32 * width, 8), 1),
            Inverted(divisible(32 * width, 8), 6, divisible(64 * width, 8), 2),
            *[
                Inverted(divisible(64 * width, 8), 6, divisible(64 * width, 8), 1)
                for _ in range(3)
            ],
            Inverted(divisible(64 * width, 8), 6, divisible(96 * width, 8), 1),
            Inverted(divisible(96 * width, 8), 6, divisible(96 * width, 8), 1),
            Inverted(divisible(96 * width, 8), 6, divisible(96 * width, 8), 1),
            Inverted(divisible(96 * width, 8), 6, divisible(160 * width, 8), 2),
            Inverted(divisible(160 * width, 8), 6, divisible(160 * width, 8), 1),
            Inverted(divisible(160 * width, 8), 6, divisible(160 * width, 8), 1),
            Inverted(divisible(160 * width, 8), 6, divisible(320 * width, 8), 1),
            Wide(divisible(320 * width, 8), 1, divisible(1280 * max(width, 1), 8)),
        )
        self.gap1 = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            OrderedDict(
                [
                    ("0", nn.Dropout(0.2)),
                    ("flatten", nn.Flatten()),
                    ("1", nn.Linear(divisible(1280 * max(width, 1), 8), 1000)),
                ],
            ),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.gap1(self.features(x))
        return self.classifier(x)


if __name__ == "__main__":
    model = MobilenetV2().eval()
    with torch.no_grad():
        output = model(torch.randn(1, 3, 224, 224))
    print(tuple(output.shape))
