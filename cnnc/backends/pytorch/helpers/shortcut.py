"""Shortcuts of residual networks."""

import torch.nn.functional as F
from torch import Tensor, nn


class PadShortcut(nn.Module):
    """Every `stride`-th position, zeros for new channels (He et al. 2016, option A)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int | tuple[int, ...],
    ) -> None:
        super().__init__()
        self.more = out_channels - in_channels
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        rank = x.dim() - 2
        steps = self.stride if isinstance(self.stride, tuple) else (self.stride,) * rank
        x = x[(slice(None), slice(None), *(slice(None, None, step) for step in steps))]
        return F.pad(x, (0, 0) * rank + (0, self.more))
