"""googlenet: 6,998,552 parameters, 1,582,671,872 multiply-adds for each image.

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


class Inception(nn.Module):
    """The block `inception(n1, r3, n3, r5, n5, p, reduce)`."""

    def __init__(
        self, in_channels: int, n1: int, r3: int, n3: int, r5: int, n5: int, p: int
    ) -> None:
        super().__init__()
        self.conv1x1 = FusedConv2d(in_channels, n1, 1, act="relu")
        self.reduce3x3 = FusedConv2d(in_channels, r3, 1, act="relu")
        self.conv3x3 = FusedConv2d(r3, n3, 3, padding=1, act="relu")
        self.reduce5x5 = FusedConv2d(in_channels, r5, 1, act="relu")
        self.conv5x5 = FusedConv2d(r5, n5, 5, padding=2, act="relu")
        self.maxpool1 = SeparableMaxPool2d(3, stride=1, padding=1)
        self.pool_proj = FusedConv2d(in_channels, p, 1, act="relu")

    def forward(self, x: Tensor) -> Tensor:
        reduce3x3_relu = self.reduce3x3(x)
        reduce5x5_relu = self.reduce5x5(x)
        y = self.maxpool1(x)
        return torch.cat(
            [
                self.conv1x1(x),
                self.conv3x3(reduce3x3_relu),
                self.conv5x5(reduce5x5_relu),
                self.pool_proj(y),
            ],
            1,
        )


class Googlenet(nn.Module):
    """`googlenet`: 3x224x224 to 1000."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = FusedConv2d(3, 64, 7, stride=2, padding=3, act="relu")
        self.pool1 = SeparableMaxPool2d(3, stride=2, ceil_mode=True)
        self.norm1 = nn.LocalResponseNorm(5)
        self.conv2_reduce = FusedConv2d(64, 64, 1, act="relu")
        self.conv2 = FusedConv2d(64, 192, 3, padding=1, act="relu")
        self.norm2 = nn.LocalResponseNorm(5)
        self.pool2 = SeparableMaxPool2d(3, stride=2, ceil_mode=True)
        self.inception_3a = Inception(192, 64, 96, 128, 16, 32, 32)
        self.inception_3b = Inception(256, 128, 128, 192, 32, 96, 64)
        self.pool3 = SeparableMaxPool2d(3, stride=2, ceil_mode=True)
        self.inception_4a = Inception(480, 192, 96, 208, 16, 48, 64)
        self.inception_4b = Inception(512, 160, 112, 224, 24, 64, 64)
        self.inception_4c = Inception(512, 128, 128, 256, 24, 64, 64)
        self.inception_4d = Inception(512, 112, 144, 288, 32, 64, 64)
        self.inception_4e = Inception(528, 256, 160, 320, 32, 128, 128)
        self.pool4 = SeparableMaxPool2d(3, stride=2, ceil_mode=True)
        self.inception_5a = Inception(832, 256, 160, 320, 32, 128, 128)
        self.inception_5b = Inception(832, 384, 192, 384, 48, 128, 128)
        self.gap1 = nn.AdaptiveAvgPool2d(1)
        self.dropout1 = nn.Dropout(0.4)
        self.loss3 = FusedLinear(1024, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = self.dropout1(self.gap1(by_slices(self.maps, x, 4)))  # 1024x1x1
        x = torch.flatten(x, 1)  # 1024
        return self.loss3(x)  # 1000

    def maps(self, x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)  # 3x224x224
        x = self.norm1(self.pool1(self.conv1(x)))  # 64x56x56
        x = self.conv2_reduce(x)
        x = self.pool2(self.norm2(self.conv2(x)))  # 192x28x28
        x = self.inception_3a(x)  # 256x28x28
        x = self.pool3(self.inception_3b(x))  # 480x14x14
        x = self.inception_4a(x)  # 512x14x14
        x = self.inception_4b(x)
        x = self.inception_4c(x)
        x = self.inception_4d(x)  # 528x14x14
        x = self.pool4(self.inception_4e(x))  # 832x7x7
        x = self.inception_5a(x)
        return self.inception_5b(x)  # 1024x7x7


if __name__ == "__main__":
    model = Googlenet().eval()
    with torch.no_grad():
        output = model(torch.randn(1, 3, 224, 224))
    print(tuple(output.shape))
