"""Positions and channels exchanged on one or three axes; PyTorch has two only."""

from torch import Tensor, nn


class PixelShuffleNd(nn.Module):
    """C*r... channels to r times the size on each axis (Shi et al. 2016, eq. 4)."""

    def __init__(self, factor: tuple[int, ...]) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        rank = len(self.factor)
        x = x.unflatten(1, (-1, *self.factor))
        # batch, channel, then each axis followed by its factor
        order = [n for i in range(rank) for n in (2 + rank + i, 2 + i)]
        x = x.permute(0, 1, *order)
        for i in range(rank):
            x = x.flatten(2 + i, 3 + i)
        return x


class SpaceToDepth(nn.Module):
    """Blocks of positions to channels, the inverse of the pixel shuffle."""

    def __init__(self, factor: tuple[int, ...]) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        rank = len(self.factor)
        for i, r in enumerate(self.factor):
            x = x.unflatten(2 + 2 * i, (-1, r))
        sizes = [2 + 2 * i for i in range(rank)]
        x = x.permute(0, 1, *(n + 1 for n in sizes), *sizes)
        return x.flatten(1, 1 + rank)
