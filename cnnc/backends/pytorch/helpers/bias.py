"""Biases that PyTorch lacks."""

import torch
from torch import Tensor, nn


class PositionBias(nn.Module):
    """x + bias, one for each position of each map (LeCun et al. 1989); 0 at first."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(shape))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias


class ChannelBias(nn.Module):
    """x + bias, one for each channel; 0 at first."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias.view((-1,) + (1,) * (x.dim() - 2))
