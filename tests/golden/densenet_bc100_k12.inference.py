"""densenet_bc100_k12: 766,858 parameters, 287,929,692 multiply-adds for each image.

in   input: 3x32x32
out  output: 10

Written by cnnc 0.1.0, inference form.
"""

import copy
import ctypes
import math
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


# helper PooledConv2d


# helper scale_and_shift


# helper takes_triton


# helper ScaleShift


# helper append


# helper by_slices


# helper CudaGraphs


# helper is_close


# helper named


# helper use_huge_pages


# helper OneDnnGraphs


# helper capture


# helper fold_norm


# helper convert


# helper folds


class DenseLayer(nn.Module):
    """The block `dense_layer(k, b, norm, act)`."""

    def __init__(self, in_channels: int, k: int, b: int = 4) -> None:
        super().__init__()
        self.bn1 = ScaleShift(in_channels, relu=True, defers=True)
        self.conv1 = folds(FusedConv2d(in_channels, b * k, 1, act="relu"), "bn2")
        self.conv2 = FusedConv2d(b * k, k, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn1(x)
        y = self.conv1(y)
        return append(x, self.conv2(y))


class Transition(nn.Sequential):
    """The block `transition(theta, norm, act)`."""

    def __init__(self, in_channels: int, theta: float = 0.5) -> None:
        super().__init__()
        self.add_module("0", ScaleShift(in_channels, relu=True, defers=True))
        self.add_module(
            "2",
            PooledConv2d(
                in_channels, math.floor(theta * in_channels), 1, bias=False, pool=2
            ),
        )


class DenseBlock(nn.Sequential):
    """The block `dense_block(n, k, b, norm, act)`."""

    def __init__(self, in_channels: int, n: int, k: int, b: int = 4) -> None:
        super().__init__(*[DenseLayer(in_channels + i * k, k, b) for i in range(n)])


class DensenetBc100K12(nn.Module):
    """`densenet_bc100_k12`: 3x32x32 to 10."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = FusedConv2d(3, 24, 3, padding=1, bias=False)
        self.block1 = DenseBlock(24, 16, 12)
        self.transition1 = Transition(216)
        self.block2 = DenseBlock(108, 16, 12)
        self.transition2 = Transition(300)
        self.block3 = DenseBlock(150, 16, 12)
        self.bn1 = ScaleShift(342, relu=True)
        self.gap1 = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(342, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.flatten(self.gap1(by_slices(self.maps, x, 16)), 1)  # 342
        return self.fc(x)  # 10

    def maps(self, x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)  # 3x32x32
        x = self.conv1(x)  # 24x32x32
        x = self.block1(x)  # 216x32x32
        x = self.transition1(x)  # 108x16x16
        x = self.block2(x)  # 300x16x16
        x = self.transition2(x)  # 150x8x8
        return self.bn1(self.block3(x))  # 342x8x8


if __name__ == "__main__":
    model = DensenetBc100K12().eval()
    with torch.no_grad():
        output = model(torch.randn(1, 3, 32, 32))
    print(tuple(output.shape))
