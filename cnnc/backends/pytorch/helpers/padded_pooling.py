"""Pools that PyTorch lacks."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

AXES = (1, 2, 3)
"""What is written here for maps of two axes is read for one and three axes too."""


class UnevenMaxPool2d(nn.MaxPool2d):
    """Max-pool padded by side: `padding` as `F.pad` has it, last axis first.

    With `ceil_mode` a window must start in the input or the padding before it.
    """

    def __init__(self, *args: Any, padding: tuple[int, ...], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sides = padding

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = super().forward(F.pad(x, self.sides, value=float("-inf")))
        for i in range(x.dim() - 2):
            s = self.stride[i] if isinstance(self.stride, tuple) else self.stride
            start = x.shape[2 + i] + self.sides[-2 - 2 * i]
            y = y.narrow(2 + i, 0, min(y.shape[2 + i], -(-start // s)))
        return y


class UnevenAvgPool2d(nn.AvgPool2d):
    """Average-pool padded by side: `padding` as `F.pad` has it, last axis first.

    With `ceil_mode` a window must start in the input or the padding before it.
    """

    def __init__(self, *args: Any, padding: tuple[int, ...], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sides = padding

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(F.pad(x, self.sides))
        if not self.count_include_pad:
            y = y / super().forward(F.pad(torch.ones_like(x[:1, :1]), self.sides))
        for i in range(x.dim() - 2):
            s = self.stride[i] if isinstance(self.stride, tuple) else self.stride
            start = x.shape[2 + i] + self.sides[-2 - 2 * i]
            y = y.narrow(2 + i, 0, min(y.shape[2 + i], -(-start // s)))
        return y
