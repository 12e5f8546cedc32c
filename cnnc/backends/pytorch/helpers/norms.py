"""Norms that PyTorch lacks."""

import torch
from torch import Tensor, nn


class GlobalResponseNorm(nn.Module):
    """x + bias + weight * x * n (Woo et al. 2023, eq. 1-3).

    n is the length of a map, as a vector, over the mean length of all maps.
    """

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        axes = tuple(range(2, x.dim()))
        length = torch.linalg.vector_norm(x, dim=axes, keepdim=True)
        n = length / (length.mean(1, keepdim=True) + self.eps)
        shape = (-1,) + (1,) * len(axes)
        return x + self.bias.view(shape) + self.weight.view(shape) * x * n


class ChannelRMSNorm(nn.RMSNorm):
    """Root-mean-square norm over the channels of a map, at each position."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class EvoNormS0(nn.Module):
    """x * sigmoid(v * x) over the groups' standard deviation (Liu et al. 2020)."""

    def __init__(self, channels: int, groups: int = 32, eps: float = 1e-5) -> None:
        super().__init__()
        self.groups, self.eps = groups, eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.v = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        shape = (-1,) + (1,) * (x.dim() - 2)
        groups = x.unflatten(1, (self.groups, -1))
        axes = tuple(range(2, groups.dim()))
        var = groups.var(axes, correction=0, keepdim=True)
        scaled = (groups * torch.rsqrt(var + self.eps)).flatten(1, 2)
        gated = scaled * torch.sigmoid(self.v.view(shape) * x)
        return gated * self.weight.view(shape) + self.bias.view(shape)


class EvoNormB0(nn.Module):
    """x over the larger of the batch's standard deviation and v * x + the map's own.

    Liu et al. 2020; the batch's variance is followed as a batch norm follows it.
    """

    running_var: Tensor

    def __init__(self, channels: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.v = nn.Parameter(torch.ones(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        axes = tuple(range(2, x.dim()))
        shape = (-1,) + (1,) * len(axes)
        var = self.running_var
        if self.training:
            var = x.var((0, *axes), correction=0)
            count = x.numel() // x.shape[1]
            unbiased = var.detach() * (count / max(count - 1, 1))
            self.running_var.lerp_(unbiased.to(self.running_var.dtype), self.momentum)
        own = torch.sqrt(x.var(axes, correction=0, keepdim=True) + self.eps)
        batch = torch.sqrt(var.view(shape) + self.eps)
        y = x / torch.maximum(batch, self.v.view(shape) * x + own)
        return y * self.weight.view(shape) + self.bias.view(shape)
