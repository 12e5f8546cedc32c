"""Layers whose places depend on the data: spatial transformer, max-unpooling."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SpatialTransformer(nn.Module):
    """`x` sampled through an affine transform made from `features`.

    Jaderberg et al. 2015, sections 3.1 to 3.3; the transform starts as the identity.
    """

    def __init__(
        self,
        in_features: int,
        axes: int = 2,
        size: tuple[int, ...] | None = None,
        mode: str = "bilinear",
        padding_mode: str = "zeros",
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        self.axes, self.size = axes, size
        self.mode, self.padding_mode = mode, padding_mode
        self.align_corners = align_corners
        self.theta = nn.Linear(in_features, axes * (axes + 1))
        nn.init.zeros_(self.theta.weight)
        self.theta.bias.data = torch.eye(axes, axes + 1).flatten()

    def forward(self, x: Tensor, features: Tensor) -> Tensor:
        theta = self.theta(features.flatten(1)).unflatten(1, (self.axes, self.axes + 1))
        size = self.size or tuple(x.shape[2:])
        grid = F.affine_grid(theta, [*x.shape[:2], *size], self.align_corners)
        return F.grid_sample(x, grid, self.mode, self.padding_mode, self.align_corners)


class Unpool(nn.Module):
    """`x` put where a max-pool of `below` took its values from.

    Zeiler and Fergus 2014, section 2.1. Values that go to one place add.
    """

    def __init__(
        self,
        kernel_size: tuple[int, ...],
        stride: tuple[int, ...],
        padding: tuple[int, ...],
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        pool = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)[len(kernel_size) - 1]
        self.pool = pool(
            kernel_size,
            stride,
            padding,
            return_indices=True,
            ceil_mode=ceil_mode,
        )

    def forward(self, x: Tensor, below: Tensor) -> Tensor:
        _, switches = self.pool(below.detach())
        empty = torch.zeros_like(below.flatten(2))
        return empty.scatter_add(2, switches.flatten(2), x.flatten(2)).view_as(below)
