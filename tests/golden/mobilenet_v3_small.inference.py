"""mobilenet_v3_small: 2,536,800 parameters, 56,510,400 multiply-adds for each image.

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


class Cna(nn.Sequential):
    """The block `cna(k, w, s, act)`."""

    def __init__(
        self, in_channels: int, k: int, w: int, s: int = 1, act: str = "hardswish"
    ) -> None:
        if act == "hardswish":
            super().__init__(
                folds(
                    FusedConv2d(
                        in_channels, w, k, stride=s, padding=k // 2, act="hardswish"
                    ),
                    "1",
                    eps=0.001,
                ),
            )
        elif act == "relu":
            super().__init__(
                folds(
                    FusedConv2d(
                        in_channels, w, k, stride=s, padding=k // 2, act="relu"
                    ),
                    "1",
                    eps=0.001,
                ),
            )
        else:
            super().__init__(
                folds(
                    FusedConv2d(in_channels, w, k, stride=s, padding=k // 2),
                    "1",
                    eps=0.001,
                ),
            )


class Dw(nn.Sequential):
    """The block `dw(k, s, act, d)`."""

    def __init__(self, in_channels: int, k: int, s: int, act: str, d: int) -> None:
        if act == "relu":
            super().__init__(
                folds(
                    FusedDepthwiseConv2d(
                        in_channels,
                        in_channels,
                        k,
                        stride=s,
                        padding=k // 2 * d,
                        dilation=d,
                        groups=in_channels,
                        act="relu",
                    ),
                    "1",
                    eps=0.001,
                ),
            )
        else:
            super().__init__(
                folds(
                    FusedDepthwiseConv2d(
                        in_channels,
                        in_channels,
                        k,
                        stride=s,
                        padding=k // 2 * d,
                        dilation=d,
                        groups=in_channels,
                        act="hardswish",
                    ),
                    "1",
                    eps=0.001,
                ),
            )


class Excite(nn.Module):
    """The block `excite(r)`."""

    def __init__(self, in_channels: int, r: int) -> None:
        super().__init__()
        self.gap1 = nn.AdaptiveAvgPool2d(1)
        self.fc1 = FusedConv2d(in_channels, r, 1, act="relu")
        self.fc2 = FusedConv2d(r, in_channels, 1)
        self.fc2_hardsigmoid = nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        y = self.gap1(x)
        y = self.fc1(y)
        return x * self.fc2_hardsigmoid(self.fc2(y))


class Path(nn.Sequential):
    """The block `path(k, e, c, s, gate, act, d)`."""

    def __init__(
        self,
        in_channels: int,
        k: int,
        e: int,
        c: int,
        s: int,
        gate: str,
        act: str,
        d: int,
    ) -> None:
        if e == in_channels:
            super().__init__(
                Dw(in_channels, k, s, act, d),
                Excite(in_channels, divisible(e // 4, 8)),
                Cna(in_channels, 1, c, act="none"),
            )
        elif gate == "se":
            super().__init__(
                Cna(in_channels, 1, e, act=act),
                Dw(e, k, s, act, d),
                Excite(e, divisible(e // 4, 8)),
                Cna(e, 1, c, act="none"),
            )
        else:
            super().__init__(
                Cna(in_channels, 1, e, act=act),
                Dw(e, k, s, act, d),
                Cna(e, 1, c, act="none"),
            )


class Inverted(nn.Module):
    """The block `inverted(k, e, c, s, gate, act, d)`."""

    def __init__(
        self,
        in_channels: int,
        k: int,
        e: int,
        c: int,
        s: int,
        gate: str,
        act: str,
        d: int = 1,
    ) -> None:
        super().__init__()
        self.adds = s == 1 and in_channels == c
        self.block = Path(in_channels, k, e, c, s, gate, act, d)

    def forward(self, x: Tensor) -> Tensor:
        if self.adds:
            return self.block(x) + x
        return self.block(x)


class MobilenetV3Small(nn.Module):
    """`mobilenet_v3_small`: 3x224x224 to 1000."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            Cna(3, 3, 16, 2),
            Inverted(16, 3, 16, 16, 2, "se", "relu"),
            Inverted(16, 3, 72, 24, 2, "none", "relu"),
            Inverted(24, 3, 88, 24, 1, "none", "relu"),
            Inverted(24, 5, 96, 40, 2, "se", "hardswish"),
            Inverted(40, 5, 240, 40, 1, "se", "hardswish"),
            Inverted(40, 5, 240, 40, 1, "se", "hardswish"),
            Inverted(40, 5, 120, 48, 1, "se", "hardswish"),
            Inverted(48, 5, 144, 48, 1, "se", "hardswish"),
            Inverted(48, 5, 288, 96, 2, "se", "hardswish"),
            Inverted(96, 5, 576, 96, 1, "se", "hardswish"),
            Inverted(96, 5, 576, 96, 1, "se", "hardswish"),
            Cna(96, 1, 576),
        )
        self.gap1 = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            OrderedDict(
                [
                    ("0", FusedLinear(576, 1024, act="hardswish")),
                    ("2", nn.Dropout(0.2)),
                    ("3", FusedLinear(1024, 1000)),
                ],
            ),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = torch.flatten(self.gap1(by_slices(self.maps, x, 16)), 1)  # 576
        return self.classifier(x)  # 1000

    def maps(self, x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)  # 3x224x224
        return self.features(x)  # 576x7x7


if __name__ == "__main__":
    model = MobilenetV3Small().eval()
    with torch.no_grad():
        output = model(torch.randn(1, 3, 224, 224))
    print(tuple(output.shape))
