"""resnet50: 25,530,472 parameters, 4,089,184,256 multiply-adds for each image.

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


# helper folds


class Bottleneck(nn.Module):
    """The block `bottleneck(w, s)`."""

    def __init__(self, in_channels: int, w: int, s: int = 1) -> None:
        super().__init__()
        self.conv1 = folds(FusedConv2d(in_channels, w, 1, act="relu"), "bn1")
        self.conv2 = folds(FusedConv2d(w, w, 3, stride=s, padding=1, act="relu"), "bn2")
        self.conv3 = folds(FusedConv2d(w, 4 * w, 1, act="relu"), "bn3")
        if s == 1 and in_channels == 4 * w:
            self.downsample = nn.Identity()
        else:
            self.downsample = nn.Sequential(
                folds(FusedConv2d(in_channels, 4 * w, 1, stride=s), "1")
            )

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(x)
        return self.conv3(self.conv2(y), self.downsample(x))


class Resnet50(nn.Module):
    """`resnet50`: 3x224x224 to 1000."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = folds(
            FusedConv2d(3, 64, 7, stride=2, padding=3, act="relu"), "bn1"
        )
        self.maxpool1 = SeparableMaxPool2d(3, stride=2, padding=1)
        self.layer1 = nn.Sequential(
            Bottleneck(64, 64),
            Bottleneck(256, 64),
            Bottleneck(256, 64),
        )
        self.layer2 = nn.Sequential(
            Bottleneck(256, 128, 2),
            *[Bottleneck(512, 128) for _ in range(3)],
        )
        self.layer3 = nn.Sequential(
            Bottleneck(512, 256, 2),
            *[Bottleneck(1024, 256) for _ in range(5)],
        )
        self.layer4 = nn.Sequential(
            Bottleneck(1024, 512, 2),
            Bottleneck(2048, 512),
            Bottleneck(2048, 512),
        )
        self.gap1 = nn.AdaptiveAvgPool2d(1)
        self.fc = FusedLinear(2048, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.flatten(self.gap1(by_slices(self.maps, x, 4)), 1)  # 2048
        return self.fc(x)  # 1000

    def maps(self, x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)  # 3x224x224
        x = self.maxpool1(self.conv1(x))  # 64x56x56
        x = self.layer1(x)  # 256x56x56
        x = self.layer2(x)  # 512x28x28
        x = self.layer3(x)  # 1024x14x14
        return self.layer4(x)  # 2048x7x7


if __name__ == "__main__":
    model = Resnet50().eval()
    with torch.no_grad():
        output = model(torch.randn(1, 3, 224, 224))
    print(tuple(output.shape))
