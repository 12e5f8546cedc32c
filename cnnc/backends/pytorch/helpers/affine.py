"""Factors and offsets, fixed for each channel or learnt for each value."""

import torch
from torch import Tensor, nn


class Affine(nn.Module):
    """x * scale + shift, with one number for all channels or one for each."""

    scale: Tensor
    shift: Tensor

    def __init__(
        self,
        scale: float | tuple[float, ...] = 1.0,
        shift: float | tuple[float, ...] = 0.0,
    ) -> None:
        super().__init__()
        self.register_buffer("scale", torch.as_tensor(scale).float(), False)
        self.register_buffer("shift", torch.as_tensor(shift).float(), False)

    def forward(self, x: Tensor) -> Tensor:
        shape = (-1,) + (1,) * (x.dim() - 2)
        return x * self.scale.view(shape) + self.shift.view(shape)


class Normalize(nn.Module):
    """(x - mean) / std, with one number for all channels or one for each."""

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        mean: float | tuple[float, ...],
        std: float | tuple[float, ...],
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.as_tensor(mean).float(), False)
        self.register_buffer("std", torch.as_tensor(std).float(), False)

    def forward(self, x: Tensor) -> Tensor:
        shape = (-1,) + (1,) * (x.dim() - 2)
        return (x - self.mean.view(shape)) / self.std.view(shape)


class PositionScale(nn.Module):
    """x * weight, and + bias, one for each value, or with shape 1 for all."""

    def __init__(self, *shape: int, start: float = 1.0, bias: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full(shape, start))
        self.bias = nn.Parameter(torch.zeros(shape)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        y = x * self.weight
        return y if self.bias is None else y + self.bias
