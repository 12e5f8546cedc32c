"""shufflenet_g3: 1,865,728 parameters, 137,460,672 multiply-adds for each image.

in   input: 3x224x224
out  output: 1000

Written by cnnc 0.1.0.
"""

import torch
from torch import Tensor, nn


class ShufflePath(nn.Sequential):
    """The block `shuffle_path(w, s, g, g1, out, norm, act)`."""

    def __init__(
        self, in_channels: int, w: int, s: int, g: int, g1: int, out: int
    ) -> None:
        super().__init__(
            nn.Conv2d(in_channels, w // 4, 1, groups=g1, bias=False),
            nn.BatchNorm2d(w // 4),
            nn.ReLU(inplace=True),
            nn.ChannelShuffle(g),
            nn.Conv2d(
                w // 4, w // 4, 3, stride=s, padding=1, groups=w // 4, bias=False
            ),
            nn.BatchNorm2d(w // 4),
            nn.Conv2d(w // 4, out, 1, groups=g, bias=False),
            nn.BatchNorm2d(out),
        )


class ShuffleUnit(nn.Module):
    """The block `shuffle_unit(w, s, g, g1, norm, act)`."""

    def __init__(
        self, in_channels: int, w: int, g1: int, s: int = 1, g: int = 3
    ) -> None:
        super().__init__()
        self.adds = s == 1
        if self.adds:
            self.shuffle_path1 = ShufflePath(in_channels, w, s, g, g1, w)
        else:
            self.avgpool1 = nn.AvgPool2d(3, stride=s, padding=1)
            self.shuffle_path1 = ShufflePath(in_channels, w, s, g, g1, w - in_channels)
        self.relu1 = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        if self.adds:
            return self.relu1(x + self.shuffle_path1(x))
        x = torch.cat([self.avgpool1(x), self.shuffle_path1(x)], 1)
        return self.relu1(x)


class Stage(nn.Sequential):
    """The block `stage(n, w, g, g1)`."""

    def __init__(self, in_channels: int, n: int, w: int, g: int, g1: int) -> None:
        super().__init__(
            ShuffleUnit(in_channels, w, g1, 2, g),
            *[ShuffleUnit(w, w, g, g=g) for _ in range(n)],
        )


class ShufflenetG3(nn.Module):
    """`shufflenet_g3`: 3x224x224 to 1000."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 24, 3, stride=2, padding=1, bias=False)
        self.conv1_bn = nn.BatchNorm2d(24)
        self.conv1_relu = nn.ReLU(inplace=True)
        self.maxpool1 = nn.MaxPool2d(3, stride=2, padding=1)
        self.stage2 = Stage(24, 3, 240, 3, 1)
        self.stage3 = Stage(240, 7, 480, 3, 3)
        self.stage4 = Stage(480, 3, 960, 3, 3)
        self.gap1 = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(960, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool1(self.conv1_relu(self.conv1_bn(self.conv1(x))))  # 24x56x56
        x = self.stage2(x)  # 240x28x28
        x = self.stage3(x)  # 480x14x14
        x = torch.flatten(self.gap1(self.stage4(x)), 1)  # 960
        return self.fc(x)  # 1000


if __name__ == "__main__":
    model = ShufflenetG3().eval()
    with torch.no_grad():
        output = model(torch.randn(1, 3, 224, 224))
    print(tuple(output.shape))
