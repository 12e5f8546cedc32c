"""shufflenet_g3: 1,853,488 parameters, 137,460,672 multiply-adds for each image.

in   input: 3x224x224
out  output: 1000

Written by cnnc 0.1.0, inference form.
"""

import copy
import ctypes
import pathlib
import threading
import time
import warnings
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


# helper pool_kernel


# helper takes_triton


# helper SeparableMaxPool2d


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


# helper folds


class ShufflePath(nn.Sequential):
    """The block `shuffle_path(w, s, g, g1, out, norm, act)`."""

    def __init__(
        self, in_channels: int, w: int, s: int, g: int, g1: int, out: int
    ) -> None:
        super().__init__()
        self.add_module(
            "0", folds(FusedConv2d(in_channels, w // 4, 1, groups=g1, act="relu"), "1")
        )
        self.add_module("3", nn.ChannelShuffle(g))
        self.add_module(
            "4",
            folds(
                FusedDepthwiseConv2d(
                    w // 4, w // 4, 3, stride=s, padding=1, groups=w // 4
                ),
                "5",
            ),
        )
        self.add_module("6", folds(FusedConv2d(w // 4, out, 1, groups=g), "7"))


class ShuffleUnit(nn.Module):
    """The block `shuffle_unit(w, s, g, g1, norm, act)`."""

    def __init__(
        self, in_channels: int, w: int, g1: int, s: int = 1, g: int = 3
    ) -> None:
        super().__init__()
        self.adds = s == 1
        if self.adds:
            self.shuffle_path1 = ShufflePath(in_channels, w, s, g, g1, w)
        else:
            self.avgpool1 = nn.AvgPool2d(3, stride=s, padding=1)
            self.shuffle_path1 = ShufflePath(in_channels, w, s, g, g1, w - in_channels)
        self.relu1 = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        if self.adds:
            return self.relu1(x + self.shuffle_path1(x))
        x = torch.cat([self.avgpool1(x), self.shuffle_path1(x)], 1)
        return self.relu1(x)


class Stage(nn.Sequential):
    """The block `stage(n, w, g, g1)`."""

    def __init__(self, in_channels: int, n: int, w: int, g: int, g1: int) -> None:
        super().__init__(
            ShuffleUnit(in_channels, w, g1, 2, g),
            *[ShuffleUnit(w, w, g, g=g) for _ in range(n)],
        )


class ShufflenetG3(nn.Module):
    """`shufflenet_g3`: 3x224x224 to 1000."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = folds(
            FusedConv2d(3, 24, 3, stride=2, padding=1, act="relu"), "conv1_bn"
        )
        self.maxpool1 = SeparableMaxPool2d(3, stride=2, padding=1)
        self.stage2 = Stage(24, 3, 240, 3, 1)
        self.stage3 = Stage(240, 7, 480, 3, 3)
        self.stage4 = Stage(480, 3, 960, 3, 3)
        self.gap1 = nn.AdaptiveAvgPool2d(1)
        self.fc = FusedLinear(960, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.flatten(self.gap1(by_slices(self.maps, x, 8)), 1)  # 960
        return self.fc(x)  # 1000

    def maps(self, x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)  # 3x224x224
        x = self.maxpool1(self.conv1(x))  # 24x56x56
        x = self.stage2(x)  # 240x28x28
        x = self.stage3(x)  # 480x14x14
        return self.stage4(x)  # 960x7x7


if __name__ == "__main__":
    model = ShufflenetG3().eval()
    with torch.no_grad():
        output = model(torch.randn(1, 3, 224, 224))
    print(tuple(output.shape))
