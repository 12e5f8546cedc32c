"""densenet_bc100_k12: 769,162 parameters, 287,929,692 multiply-adds for each image.

in   input: 3x32x32
out  output: 10

Written by cnnc 0.1.0.
"""

import math

import torch
from torch import Tensor, nn


class DenseLayer(nn.Module):
    """The block `dense_layer(k, b, norm, act)`."""

    def __init__(self, in_channels: int, k: int, b: int = 4) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(in_channels, b * k, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(b * k)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(b * k, k, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu1(self.bn1(x))
        y = self.relu2(self.bn2(self.conv1(y)))
        return torch.cat([x, self.conv2(y)], 1)


class Transition(nn.Sequential):
    """The block `transition(theta, norm, act)`."""

    def __init__(self, in_channels: int, theta: float = 0.5) -> None:
        super().__init__(
            nn.BatchNorm2d(in_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(in_channels, math.floor(theta * in_channels), 1, bias=False),
            nn.AvgPool2d(2),
        )


class DenseBlock(nn.Sequential):
    """The block `dense_block(n, k, b, norm, act)`."""

    def __init__(self, in_channels: int, n: int, k: int, b: int = 4) -> None:
        super().__init__(*[DenseLayer(in_channels + i * k, k, b) for i in range(n)])


class DensenetBc100K12(nn.Module):
    """`densenet_bc100_k12`: 3x32x32 to 10."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 24, 3, padding=1, bias=False)
        self.block1 = DenseBlock(24, 16, 12)
        self.transition1 = Transition(216)
        self.block2 = DenseBlock(108, 16, 12)
        self.transition2 = Transition(300)
        self.block3 = DenseBlock(150, 16, 12)
        self.bn1 = nn.BatchNorm2d(342)
        self.relu1 = nn.ReLU(inplace=True)
        self.gap1 = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(342, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)  # 24x32x32
        x = self.block1(x)  # 216x32x32
        x = self.transition1(x)  # 108x16x16
        x = self.block2(x)  # 300x16x16
        x = self.transition2(x)  # 150x8x8
        x = torch.flatten(self.gap1(self.relu1(self.bn1(self.block3(x)))), 1)  # 342
        return self.fc(x)  # 10


if __name__ == "__main__":
    model = DensenetBc100K12().eval()
    with torch.no_grad():
        output = model(torch.randn(1, 3, 32, 32))
    print(tuple(output.shape))
