"""fcn8s: 134,489,759 parameters, 181,529,034,048 multiply-adds for each image.

in   input: 3x500x500
out  output: 21x500x500

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


# helper UnevenConvTranspose2d


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


class Refine(nn.Module):
    """The block `refine(skip, classes)`."""

    def __init__(self, in_channels: int, in_channels2: int, classes: int = 21) -> None:
        super().__init__()
        self.upscore = nn.ConvTranspose2d(in_channels, classes, 4, stride=2, bias=False)
        self.score = FusedConv2d(in_channels2, classes, 1)

    def forward(self, x: Tensor, pool4: Tensor) -> Tensor:
        upscore = self.upscore(x)
        x = centre_crop(self.score(pool4), upscore)
        return upscore + x


class Fcn8s(nn.Module):
    """`fcn8s`: 3x500x500 to 21x500x500."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1_1 = FusedConv2d(3, 64, 3, padding=100, act="relu")
        self.conv1_2 = FusedConv2d(64, 64, 3, padding=1, act="relu")
        self.pool1 = SeparableMaxPool2d(2, ceil_mode=True)
        self.conv2_1 = FusedConv2d(64, 128, 3, padding=1, act="relu")
        self.conv2_2 = FusedConv2d(128, 128, 3, padding=1, act="relu")
        self.pool2 = SeparableMaxPool2d(2, ceil_mode=True)
        self.conv3_1 = FusedConv2d(128, 256, 3, padding=1, act="relu")
        self.conv3_2 = FusedConv2d(256, 256, 3, padding=1, act="relu")
        self.conv3_3 = FusedConv2d(256, 256, 3, padding=1, act="relu")
        self.pool3 = SeparableMaxPool2d(2, ceil_mode=True)
        self.conv4_1 = FusedConv2d(256, 512, 3, padding=1, act="relu")
        self.conv4_2 = FusedConv2d(512, 512, 3, padding=1, act="relu")
        self.conv4_3 = FusedConv2d(512, 512, 3, padding=1, act="relu")
        self.pool4 = SeparableMaxPool2d(2, ceil_mode=True)
        self.conv5_1 = FusedConv2d(512, 512, 3, padding=1, act="relu")
        self.conv5_2 = FusedConv2d(512, 512, 3, padding=1, act="relu")
        self.conv5_3 = FusedConv2d(512, 512, 3, padding=1, act="relu")
        self.pool5 = SeparableMaxPool2d(2, ceil_mode=True)
        self.fc6 = FusedConv2d(512, 4096, 7, act="relu")
        self.dropout1 = nn.Dropout()
        self.fc7 = FusedConv2d(4096, 4096, 1, act="relu")
        self.dropout2 = nn.Dropout()
        self.score_fr = FusedConv2d(4096, 21, 1)
        self.fuse_pool4 = Refine(21, 512)
        self.fuse_pool3 = Refine(21, 256)
        self.upscore8 = UnevenConvTranspose2d(
            21, 21, 16, stride=8, padding=(31, 37, 31, 37), bias=False
        )

    def forward(self, x: Tensor) -> Tensor:
        return by_slices(self.maps, x, 1)  # 21x500x500

    def maps(self, x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)  # 3x500x500
        x = self.conv1_1(x)  # 64x698x698
        x = self.pool1(self.conv1_2(x))  # 64x349x349
        x = self.conv2_1(x)  # 128x349x349
        x = self.pool2(self.conv2_2(x))  # 128x175x175
        x = self.conv3_1(x)  # 256x175x175
        x = self.conv3_2(x)
        pool3 = self.pool3(self.conv3_3(x))  # 256x88x88
        x = self.conv4_1(pool3)  # 512x88x88
        x = self.conv4_2(x)
        pool4 = self.pool4(self.conv4_3(x))  # 512x44x44
        x = self.conv5_1(pool4)
        x = self.conv5_2(x)
        x = self.pool5(self.conv5_3(x))  # 512x22x22
        x = self.dropout1(self.fc6(x))  # 4096x16x16
        x = self.dropout2(self.fc7(x))
        pool4 = self.fuse_pool4(self.score_fr(x), pool4)  # 21x34x34
        pool4 = self.fuse_pool3(pool4, pool3)  # 21x70x70
        return self.upscore8(pool4)  # 21x500x500


if __name__ == "__main__":
    model = Fcn8s().eval()
    with torch.no_grad():
        output = model(torch.randn(1, 3, 500, 500))
    print(tuple(output.shape))
