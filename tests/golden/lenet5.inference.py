"""lenet5: 61,706 parameters, 416,520 multiply-adds for each image.

in   input: 1x32x32
out  output: 10

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


class Lenet5(nn.Module):
    """`lenet5`: 1x32x32 to 10."""

    def __init__(self) -> None:
        super().__init__()
        self.C1 = FusedConv2d(1, 6, 5, act="tanh")
        self.S2 = nn.AvgPool2d(2)
        self.C3 = FusedConv2d(6, 16, 5, act="tanh")
        self.S4 = nn.AvgPool2d(2)
        self.C5 = FusedConv2d(16, 120, 5, act="tanh")
        self.F6 = nn.Linear(120, 84)
        self.F6_tanh = nn.Tanh()
        self.OUTPUT = nn.Linear(84, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = by_slices(self.maps, x, 1024)  # 16x5x5
        x = torch.flatten(self.C5(x), 1)  # 120
        x = self.F6_tanh(self.F6(x))  # 84
        return self.OUTPUT(x)  # 10

    def maps(self, x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)  # 1x32x32
        x = self.S2(self.C1(x))  # 6x14x14
        return self.S4(self.C3(x))  # 16x5x5


if __name__ == "__main__":
    model = Lenet5().eval()
    with torch.no_grad():
        output = model(torch.randn(1, 1, 32, 32))
    print(tuple(output.shape))
