"""mobilenet_v2: 3,487,816 parameters, 300,774,272 multiply-adds for each image.

in   input: 3x224x224
out  output: 1000

Written by cnnc 0.1.0, inference form.
"""

import copy
import ctypes
import math
import pathlib
import threading
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import lru_cache, partial
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

try:
    import triton
    import triton.language as tl
except ImportError:
    triton = None


# helper takes_kernels


# helper Fused


# helper Tiles


# helper cudnn_has_sums


# helper empty_rows


# helper milliseconds


# helper fastest


# helper activate


# helper finish_kernel


# helper finish


# helper InGraph


# helper in_graph


# helper pixel_step


# helper in_rows


# helper seconds


# helper least_seconds


# helper power_of_2


# helper product_kernel


# helper row_kernel


# helper blocks


# helper scale_kernel


# helper scale_maps


# helper scaled


# helper sides


# helper tile_transforms


# helper tiles_of


# helper narrowed


# helper winograd


# helper FusedConv2d


# helper depthwise_kernel


# helper taps_first


# helper FusedDepthwiseConv2d


# helper FusedLinear


# helper by_slices


# helper CudaGraphs


# helper is_close


# helper named


# helper use_huge_pages


# helper OneDnnGraphs


# helper capture


# helper scale_and_shift


# helper fold_norm


# helper convert


# helper divisible


# helper folds


class Wide(nn.Sequential):
    """The block `wide(k, w, s)`."""

    def __init__(self, in_channels: int, k: int, w: int, s: int = 1) -> None:
        super().__init__(
            folds(
                FusedConv2d(in_channels, w, k, stride=s, padding=k // 2, act="relu6"),
                "1",
            ),
        )


class Depthwise(nn.Sequential):
    """The block `depthwise(k, s)`."""

    def __init__(self, in_channels: int, k: int, s: int) -> None:
        super().__init__(
            folds(
                FusedDepthwiseConv2d(
                    in_channels,
                    in_channels,
                    k,
                    stride=s,
                    padding=k // 2,
                    groups=in_channels,
                    act="relu6",
                ),
                "1",
            ),
        )


class Bottleneck(nn.Sequential):
    """The block `bottleneck(t, c, s)`."""

    def __init__(self, in_channels: int, t: int, c: int, s: int) -> None:
        if t > 1:
            super().__init__(
                Wide(in_channels, 1, t * in_channels),
                Depthwise(t * in_channels, 3, s),
                folds(FusedConv2d(t * in_channels, c, 1), "3"),
            )
        else:
            super().__init__(
                Depthwise(in_channels, 3, s),
                folds(FusedConv2d(in_channels, c, 1), "2"),
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
                    ("1", FusedLinear(divisible(1280 * max(width, 1), 8), 1000)),
                ],
            ),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.gap1(by_slices(self.maps, x, 4))
        return self.classifier(x)

    def maps(self, x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        return self.features(x)


if __name__ == "__main__":
    model = MobilenetV2().eval()
    with torch.no_grad():
        output = model(torch.randn(1, 3, 224, 224))
    print(tuple(output.shape))
