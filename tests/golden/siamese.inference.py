"""siamese: 431,102 parameters, 4,586,040 multiply-adds for each image.

in   left: 1x28x28, right: 1x28x28
out  feature_left: 2, feature_right: 2

Written by cnnc 0.1.0, inference form.
"""

import copy
import ctypes
import pathlib
import threading
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn


# helper CudaGraphs


# helper InGraph


# helper is_close


# helper seconds


# helper least_seconds


# helper named


# helper use_huge_pages


# helper OneDnnGraphs


# helper capture


# helper scale_and_shift


# helper fold_norm


# helper convert


class SiameseOutput(NamedTuple):
    """What `Siamese` returns."""

    feature_left: Tensor  # 2
    feature_right: Tensor  # 2


class Siamese(nn.Module):
    """`siamese`: 1x28x28 and 1x28x28 to 2 and 2."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = nn.Sequential(
            OrderedDict(
                [
                    ("0", nn.Conv2d(1, 20, 5)),
                    ("1", nn.MaxPool2d(2)),
                    ("2", nn.Conv2d(20, 50, 5)),
                    ("3", nn.MaxPool2d(2)),
                    ("flatten", nn.Flatten()),
                    ("4", nn.Linear(800, 500)),
                    ("5", nn.ReLU()),
                    ("6", nn.Linear(500, 10)),
                    ("feat", nn.Linear(10, 2)),
                ],
            ),
        )

    def forward(self, left: Tensor, right: Tensor) -> SiameseOutput:
        left = left.contiguous(memory_format=torch.channels_last)  # 1x28x28
        right = right.contiguous(memory_format=torch.channels_last)
        left = self.tower(left)  # 2
        right = self.tower(right)
        return SiameseOutput(left, right)


if __name__ == "__main__":
    model = Siamese().eval()
    with torch.no_grad():
        output = model(torch.randn(1, 1, 28, 28), torch.randn(1, 1, 28, 28))
    print([tuple(tensor.shape) for tensor in output])
