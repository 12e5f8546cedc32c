"""two_stream: 181,335,594 parameters, 4,277,888,928 multiply-adds for each image.

in   frame: 3x224x224, flow: 20x224x224
out  output: 101

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


# helper CudaGraphs


# helper is_close


# helper named


# helper use_huge_pages


# helper OneDnnGraphs


# helper capture


# helper scale_and_shift


# helper fold_norm


# helper convert


class CnnM(nn.Sequential):
    """The block `cnn_m(norm2, classes)`."""

    def __init__(self, in_channels: int, norm2: str, classes: int = 101) -> None:
        super().__init__()
        self.conv1 = FusedConv2d(in_channels, 96, 7, stride=2, act="relu")
        self.add_module("0", nn.LocalResponseNorm(5, alpha=0.0005, k=2.0))
        self.add_module("1", SeparableMaxPool2d(3, stride=2, ceil_mode=True))
        self.conv2 = FusedConv2d(96, 256, 5, stride=2, padding=1, act="relu")
        if norm2 == "lrn":
            self.add_module("2", nn.LocalResponseNorm(5, alpha=0.0005, k=2.0))
            self.add_module("3", SeparableMaxPool2d(3, stride=2, ceil_mode=True))
            self.conv3 = FusedConv2d(256, 512, 3, padding=1, act="relu")
            self.conv4 = FusedConv2d(512, 512, 3, padding=1, act="relu")
            self.conv5 = FusedConv2d(512, 512, 3, padding=1, act="relu")
            self.add_module("4", SeparableMaxPool2d(3, stride=2, ceil_mode=True))
            self.flatten = nn.Flatten()
            self.full6 = FusedLinear(18432, 4096, act="relu")
            self.add_module("5", nn.Dropout(0.9))
            self.full7 = FusedLinear(4096, 2048, act="relu")
            self.add_module("6", nn.Dropout(0.9))
            self.score = FusedLinear(2048, classes)
            self.add_module("7", nn.Softmax(dim=1))
        else:
            self.add_module("2", SeparableMaxPool2d(3, stride=2, ceil_mode=True))
            self.conv3 = FusedConv2d(256, 512, 3, padding=1, act="relu")
            self.conv4 = FusedConv2d(512, 512, 3, padding=1, act="relu")
            self.conv5 = FusedConv2d(512, 512, 3, padding=1, act="relu")
            self.add_module("3", SeparableMaxPool2d(3, stride=2, ceil_mode=True))
            self.flatten = nn.Flatten()
            self.full6 = FusedLinear(18432, 4096, act="relu")
            self.add_module("4", nn.Dropout(0.9))
            self.full7 = FusedLinear(4096, 2048, act="relu")
            self.add_module("5", nn.Dropout(0.9))
            self.score = FusedLinear(2048, classes)
            self.add_module("6", nn.Softmax(dim=1))


class TwoStream(nn.Module):
    """`two_stream`: 3x224x224 and 20x224x224 to 101."""

    def __init__(self) -> None:
        super().__init__()
        self.spatial = CnnM(3, "lrn")
        self.temporal = CnnM(20, "none")

    def forward(self, frame: Tensor, flow: Tensor) -> Tensor:
        frame = frame.contiguous(memory_format=torch.channels_last)  # 3x224x224
        flow = flow.contiguous(memory_format=torch.channels_last)  # 20x224x224
        return self.spatial(frame) + self.temporal(flow)  # 101


if __name__ == "__main__":
    model = TwoStream().eval()
    with torch.no_grad():
        output = model(torch.randn(1, 3, 224, 224), torch.randn(1, 20, 224, 224))
    print(tuple(output.shape))
