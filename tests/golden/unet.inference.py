"""unet: 31,030,658 parameters, 150,428,424,448 multiply-adds for each image.

in   input: 1x572x572
out  output: 2x388x388

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


# helper centre_crop


# helper scale_and_shift


# helper fold_norm


# helper convert


class Level(nn.Module):
    """The block `level(w, inner)`."""

    def __init__(
        self, in_channels: int, w: int, inner_channels: int, inner: nn.Module
    ) -> None:
        super().__init__()
        self.conv1 = FusedConv2d(in_channels, w, 3, act="relu")
        self.conv2 = FusedConv2d(w, w, 3, act="relu")
        self.maxpool1 = SeparableMaxPool2d(2)
        self.level1 = inner
        self.tconv1 = nn.ConvTranspose2d(inner_channels, w, 2, stride=2)
        self.conv3 = FusedConv2d(2 * w, w, 3, act="relu")
        self.conv4 = FusedConv2d(w, w, 3, act="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        x = self.conv2(x)
        y = self.maxpool1(x)
        y = self.level1(y)
        y = self.tconv1(y)
        y = torch.cat([centre_crop(x, y), y], 1)
        y = self.conv3(y)
        return self.conv4(y)


class Level2(nn.Module):
    """The block `level(w, inner)`."""

    def __init__(self, in_channels: int, w: int) -> None:
        super().__init__()
        self.conv1 = FusedConv2d(in_channels, w, 3, act="relu")
        self.conv2 = FusedConv2d(w, w, 3, act="relu")
        self.maxpool1 = SeparableMaxPool2d(2)
        self.conv3 = FusedConv2d(w, 1024, 3, act="relu")
        self.conv4 = FusedConv2d(1024, 1024, 3, act="relu")
        self.tconv1 = nn.ConvTranspose2d(1024, w, 2, stride=2)
        self.conv5 = FusedConv2d(2 * w, w, 3, act="relu")
        self.conv6 = FusedConv2d(w, w, 3, act="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        x = self.conv2(x)
        y = self.maxpool1(x)
        y = self.conv3(y)
        y = self.conv4(y)
        y = self.tconv1(y)
        y = torch.cat([centre_crop(x, y), y], 1)
        y = self.conv5(y)
        return self.conv6(y)


class Unet(nn.Module):
    """`unet`: 1x572x572 to 2x388x388."""

    def __init__(self) -> None:
        super().__init__()
        self.level1 = Level(
            1, 64, 128, Level(64, 128, 256, Level(128, 256, 512, Level2(256, 512)))
        )
        self.conv1 = FusedConv2d(64, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return by_slices(self.maps, x, 1)  # 2x388x388

    def maps(self, x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)  # 1x572x572
        x = self.level1(x)  # 64x388x388
        return self.conv1(x)  # 2x388x388


if __name__ == "__main__":
    model = Unet().eval()
    with torch.no_grad():
        output = model(torch.randn(1, 1, 572, 572))
    print(tuple(output.shape))
